"""Panel: playback, what to show, facts and curves, beside the scene."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray
from viser import uplot

from dextrack.evaluation.viewer.contacts import Pads
from dextrack.evaluation.viewer.curves import Curve
from dextrack.evaluation.viewer.player import SPEEDS, Player
from dextrack.evaluation.viewer.scene import Scene
from dextrack.evaluation.viewer.show import Show

Floats = NDArray[np.float64]

WIDTH, CURVES_WIDTH = 350, 350
"""Of the panels, pixels."""
CURVE_HEIGHT = 170
"""Pixels."""
MANY = 10
"""Frames of a long step."""
KEYS = "K plays and pauses, J and L step, with Shift by 10 frames, Home and End go to the ends, R looks at the object"


class Panel:
    """The controls of one show. Callbacks only tell ``player`` and ``scene``; ``update`` is called by the loop that shows frames."""

    def __init__(self, server: viser.ViserServer, show: Show, scene: Scene, player: Player, names: Sequence[str], choose: Callable[[str], None]) -> None:
        """Build the panel.

        Args:
            server: where; its controls are replaced.
            show: what is shown.
            scene: its nodes.
            player: its clock.
            names: what else can be shown; the first is shown now.
            choose: called with the one of ``names`` that the user picks.
        """
        self._server, self._show, self._scene, self._player = server, show, scene, player
        self._drawn = -1
        server.gui.reset()
        server.gui.set_panel_label(f"{show.kind}: {show.title}")
        if len(names) > 1:
            menu = server.gui.add_dropdown("show", sorted(names), initial_value=names[0])
            menu.on_update(lambda _: choose(menu.value))
        self._add_playback()
        self._add_keys()
        self._add_layers()
        with server.gui.add_folder("verdict" if show.kind == "demonstration" else "about it"):
            server.gui.add_html(f'<div style="padding:0 .9em .5em;font-size:.85em;line-height:1.35">{show.facts}</div>')
        server.gui.main_panel.dock_right()
        server.gui.main_panel.set_width(WIDTH)
        self._curves = [_Plot(curve, show.time) for curve in show.curves]
        self._add_curves()

    def update(self, frame: int) -> None:
        """Show ``frame`` in the controls."""
        if frame == self._drawn:
            return
        self._drawn = frame
        with self._server.atomic():
            self._slider.value = frame
            self._clock.content = self._clock_html(frame)
            for plot in self._curves:
                plot.mark(frame)

    def sync_play_button(self) -> None:
        """Let the button say what it would do now."""
        label = "Pause" if self._player.playing else "Play"
        if self._play.label != label:
            self._play.label = label
            self._play.icon = viser.Icon.PLAYER_PAUSE if self._player.playing else viser.Icon.PLAYER_PLAY

    def _add_playback(self) -> None:
        gui, player = self._server.gui, self._player
        self._clock = gui.add_html(self._clock_html(0))
        self._slider: Any = gui.add_slider("frame", 0, self._show.frames - 1, 1, 0)  # viser declares its value so that mypy takes it for read-only
        # Our own updates call back too, without a client; only a person's may move the clock.
        self._slider.on_update(lambda event: player.seek(self._slider.value) if event.client is not None else None)
        self._play = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY, hint=KEYS)
        self._play.on_click(lambda _: player.toggle(time.monotonic()))
        steps = gui.add_button_group("step", ("|<", "-10", "-1", "+1", "+10", ">|"), hint=KEYS)
        steps.on_click(lambda _: self._step(steps.value))
        speed = gui.add_dropdown("speed", [_speed_label(s) for s in SPEEDS], initial_value=_speed_label(1.0))
        speed.on_update(lambda _: player.set_speed(float(speed.value[:-1]), time.monotonic()))
        loop = gui.add_checkbox("repeat", player.loop)
        loop.on_update(lambda _: setattr(player, "loop", loop.value))
        look = gui.add_button("Look at the object", icon=viser.Icon.FOCUS_2, hint=KEYS)
        look.on_click(lambda _: self._look())

    def _step(self, label: str) -> None:
        if label in ("|<", ">|"):
            self._player.seek(0 if label == "|<" else self._show.frames - 1)
        else:
            self._player.step(int(label), time.monotonic())

    def _add_keys(self) -> None:
        add, player = self._server.gui.add_command, self._player
        add("Play or pause", hotkey="K").on_trigger(lambda _: player.toggle(time.monotonic()))
        add("One frame back", hotkey="J").on_trigger(lambda _: player.step(-1, time.monotonic()))
        add("One frame on", hotkey="L").on_trigger(lambda _: player.step(1, time.monotonic()))
        add(f"{MANY} frames back", hotkey="J", modifier="shift").on_trigger(lambda _: player.step(-MANY, time.monotonic()))
        add(f"{MANY} frames on", hotkey="L", modifier="shift").on_trigger(lambda _: player.step(MANY, time.monotonic()))
        add("First frame", hotkey="home").on_trigger(lambda _: player.seek(0))
        add("Last frame", hotkey="end").on_trigger(lambda _: player.seek(self._show.frames - 1))
        add("Look at the object", hotkey="R").on_trigger(lambda _: self._look())

    def _add_layers(self) -> None:
        with self._server.gui.add_folder("show and hide"):
            for label, shown in self._scene.labels():
                self._add_layer(label, shown)

    def _add_layer(self, label: str, shown: bool) -> None:
        box = self._server.gui.add_checkbox(label, shown)
        box.on_update(lambda _: self._scene.set_shown(label, box.value))

    def _add_curves(self) -> None:
        panel = self._server.gui.add_panel()
        with panel.add_tab("curves", viser.Icon.CHART_LINE):
            for plot in self._curves:
                plot.add(self._server)
        panel.dock_left()
        panel.set_width(CURVES_WIDTH)

    def _look(self) -> None:
        """Bring the camera of everybody back to the first direction of view, at the object where it is now."""
        camera = self._show.camera
        target = self._show.object_position_w[max(self._drawn, 0)]
        eye = target + camera.position_w() - np.asarray(camera.target_w)
        for client in self._server.get_clients().values():
            with client.atomic():
                client.camera.position, client.camera.look_at = eye, target

    def _clock_html(self, frame: int) -> str:
        now, last = self._show.time[frame], self._show.time[-1]
        text = f'<b style="font-size:1.1em">{now:.2f} s</b> of {last:.2f} s, frame {frame} of {self._show.frames - 1}'
        return f'<div style="padding:.2em .9em;font-variant-numeric:tabular-nums">{text}{_pads_html(self._show.pads, frame)}</div>'


class _Plot:
    """A curve as a plot, of which the part that was played is shaded."""

    def __init__(self, curve: Curve, times: Floats) -> None:
        self._curve, self._time = curve, times
        self._handle: viser.GuiUplotHandle | None = None

    def add(self, server: viser.ViserServer) -> None:
        """Put it where the server's next control goes."""
        curve = self._curve
        series: list[uplot.Series] = [{}, {"label": "played", "fill": "rgba(90,100,115,0.13)", "stroke": "rgba(60,66,74,0.9)", "width": 1}]
        series.append({"label": curve.limit_label, "stroke": "#9aa1a9", "width": 1, "dash": (6, 4)})
        series += [{"label": line.label, "stroke": line.colour, "width": 2} for line in curve.lines]
        beyond = "" if curve.limit_shown else " (further up)"
        keys = "".join(f'<span style="color:{line.colour}">━ {escape(line.label)}</span> ' for line in curve.lines)
        keys += f'<span style="color:#59616b">┅ {escape(curve.limit_label)}, {curve.limit:.0f} {escape(curve.unit)}{beyond}</span>'
        head = f'<b>{escape(curve.title)}</b>, {escape(curve.unit)} over s<br><span style="font-size:.9em">{keys}</span>'
        server.gui.add_html(f'<div style="padding:.5em .9em 0;font-size:.85em">{head}</div>')
        self._handle = server.gui.add_uplot(
            data=self._data(0), series=tuple(series), height=CURVE_HEIGHT, legend={"show": False}, padding=(8, 14, 0, 0),
            scales={"x": {"time": False}, "y": {"range": (0.0, curve.top)}}, axes=({"size": 32}, {"size": 40}),
        )  # fmt: skip

    def mark(self, frame: int) -> None:
        """Shade it up to ``frame``."""
        if self._handle is not None:
            self._handle.data = self._data(frame)

    def _data(self, frame: int) -> tuple[Floats, ...]:
        """Columns of the plot, in which ``frame`` is there twice: the shade falls upright from above the plot to below it."""
        twice = np.sort(np.append(np.arange(len(self._time)), frame))
        beyond = np.where(np.arange(len(twice)) <= frame, 2.0, -1.0) * self._curve.top
        limit = np.full(len(twice), self._curve.limit)
        return (self._time[twice], beyond, limit, *(line.values[twice] for line in self._curve.lines))


def _speed_label(speed: float) -> str:
    return f"{speed:g}×"


def _pads_html(pads: Pads | None, frame: int) -> str:
    """A dot for each finger, filled while its pad touches, and how far the pad is."""
    if pads is None:
        return ""
    cells = []
    for finger, gap, touching, deep in zip(pads.fingers, pads.gaps[frame], pads.touching[frame], pads.deep[frame], strict=True):
        colour = "#c81e1e" if deep else "#009e73" if touching else "#9aa1a9"
        depth = round(1e3 * float(gap))
        far = "far" if depth >= 100 else f"{-depth} mm inside" if depth < 0 else f"{depth} mm"
        dot = f'<span style="color:{colour}">{"●" if touching else "○"}</span>'
        cells.append(
            f'<span style="display:inline-block;width:25%">{dot} {escape(finger)}<br><span style="color:{colour if deep else "#59616b"}">{far}</span></span>'
        )
    return f'<div style="font-size:.82em;line-height:1.25;margin-top:.3em">{"".join(cells)}</div>'
