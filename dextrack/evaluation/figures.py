"""Figures of a report as inline SVG, in the colours of the page that they are put into, light or dark."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Placeholders: a page's style sheet gives the colours, so that a figure follows its light or dark theme.
INK, LINE, REFERENCE, TRIAL, SHADE = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {INK: "--ink", LINE: "--line", REFERENCE: "--reference", TRIAL: "--trial", SHADE: "--shade"}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}

_NOTE: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8.5}
"""Small print in a diagram."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line over time."""

    label: str
    values: Floats
    """(T,), in the panel's unit."""
    colour: str = TRIAL
    dashed: bool = False


@dataclasses.dataclass(frozen=True)
class Level:
    """A horizontal line: a threshold. A panel gives them from the lowest up."""

    value: float
    """In the panel's unit."""
    label: str


@dataclasses.dataclass(frozen=True)
class Panel:
    """One of several diagrams above each other, over the same time."""

    ylabel: str
    curves: tuple[Curve, ...]
    levels: tuple[Level, ...] = ()


def over_time(name: str, time: Floats, panels: Sequence[Panel], shaded: NDArray[np.bool_] | None = None, marks: Sequence[tuple[float, str]] = ()) -> str:
    """SVG of ``panels`` over ``time`` (T,) s.

    Args:
        name: distinguishes the figure's ids from those of other figures on the page.
        time: s.
        panels: from top to bottom.
        shaded: (T,) stretches to set off, for example those in which the object should be in the air.
        marks: (time s, label) of moments, written above the first panel.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 0.5 + 1.9 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            _draw(axes, time, panel, shaded)
        for at, label in marks:
            for axes in rows:
                axes.axvline(at, color=LINE, linewidth=0.8, linestyle=(0, (1, 2)))
            rows[0].annotate(label, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 2), **_NOTE, va="bottom")
        rows[-1].set_xlabel("time in the run, s")
        rows[-1].set_xlim(float(time[0]), float(time[-1]) if len(time) > 1 else float(time[0]) + 1.0)
        return _svg(figure, name)


def _draw(axes: Axes, time: Floats, panel: Panel, shaded: NDArray[np.bool_] | None) -> None:
    for curve in panel.curves:
        axes.plot(time, curve.values, color=curve.colour, linestyle="--" if curve.dashed else "-", label=curve.label)
    measured = max([float(np.nanmax(c.values)) for c in panel.curves if np.isfinite(c.values).any()] + [0.0])
    # The lowest threshold is always drawn; others only where they would not flatten the curves, and named at the edge otherwise.
    top = max([measured, *(level.value for level in panel.levels[:1])])
    above = []
    for level in panel.levels:
        if level.value <= 1.6 * top:
            top = max(top, level.value)
            axes.axhline(level.value, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
            axes.annotate(level.label, (1.0, level.value), xycoords=("axes fraction", "data"), xytext=(-2, 2), **_NOTE, ha="right")
        else:
            above.append(level.label)
    if above:
        axes.annotate("further up: " + ", ".join(above), (1.0, 1.0), xycoords="axes fraction", xytext=(-2, 0), **_NOTE, ha="right")
    axes.set_ylim(0.0, 1.18 * top if top > 0.0 else 1.0)
    if shaded is not None and shaded.any():
        axes.fill_between(time, 0.0, 1.0, where=shaded.tolist(), transform=axes.get_xaxis_transform(), color=SHADE, linewidth=0.0, zorder=0)
    axes.set_ylabel(panel.ylabel)
    axes.grid(axis="y", color=LINE, linewidth=0.4, alpha=0.6)
    if len(panel.curves) > 1:
        axes.legend(loc="upper left", fontsize=9, ncols=len(panel.curves))


def histogram(name: str, values: Floats, nominal: float, xlabel: str) -> str:
    """SVG of the distribution of ``values`` (n,) around ``nominal``, both in the unit of ``xlabel``; counts on a logarithmic axis."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 2.6), layout="constrained")
        axes = figure.subplots()
        last = 2.0 * nominal
        axes.hist(np.clip(values, 0.0, last), bins=np.linspace(0.0, last, 61).tolist(), color=TRIAL, alpha=0.85)
        axes.axvline(nominal, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(f"nominal {nominal:.2f}", (nominal, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -2), **_NOTE, va="top")
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.set_xlim(0.0, last)
        axes.set_xlabel(f"{xlabel} (the last bar holds everything longer)")
        axes.set_ylabel("count")
        return _svg(figure, name)


def ranges(name: str, rows: Mapping[str, tuple[float, float, float]], xlabel: str) -> str:
    """SVG of (median, 99th percentile, maximum) for each of ``rows``, in the unit of ``xlabel``."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 0.8 + 0.38 * max(1, len(rows))), layout="constrained")
        axes = figure.subplots()
        y = np.arange(len(rows))[::-1]
        p50, p99, largest = (np.array([v[i] for v in rows.values()], dtype=np.float64) for i in range(3))
        axes.hlines(y, 0.0, p99, color=TRIAL, linewidth=5.0, alpha=0.35)
        axes.plot(p50, y, "o", color=TRIAL, markersize=7, label="median")
        axes.plot(p99, y, "|", color=TRIAL, markersize=13, markeredgewidth=2.0, label="99th percentile")
        axes.plot(largest, y, "x", color=INK, markersize=6, label="largest")
        axes.set_yticks(y, list(rows))
        axes.set_xlim(left=0.0)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x", color=LINE, linewidth=0.4, alpha=0.6)
        figure.legend(loc="outside upper right", fontsize=9, ncols=3)
        return _svg(figure, name)


def bars(name: str, counts: Mapping[str, int], xlabel: str) -> str:
    """SVG of ``counts``, one horizontal bar each, in their order from the top."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 0.8 + 0.34 * max(1, len(counts))), layout="constrained")
        axes = figure.subplots()
        drawn = axes.barh(list(counts), list(counts.values()), color=TRIAL, alpha=0.85)
        axes.bar_label(drawn, padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", color=LINE, linewidth=0.4, alpha=0.6)
        return _svg(figure, name)


@dataclasses.dataclass(frozen=True)
class Path3:
    """A path in space."""

    label: str
    points: Floats
    """(T, 3), m."""
    colour: str = TRIAL


def views(name: str, paths: Sequence[Path3], box: tuple[Floats, Floats], table: tuple[Floats, Floats], places: Mapping[str, Floats]) -> str:
    """SVG of ``paths`` seen from above and from the side, to one scale.

    Args:
        name: distinguishes the figure's ids from those of other figures on the page.
        paths: each begins at a dot.
        box: least and greatest corner (3,) of the workspace, m.
        table: least and greatest corner (2,) of the table's top, m.
        places: name -> point (3,) to mark, m.
    """
    lower, upper = box
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        above, side = figure.subplots(1, 2)
        for axes, (i, j), label in ((above, (0, 1), ("x, m", "y, m")), (side, (0, 2), ("x, m", "z, m"))):
            axes.add_patch(Rectangle((lower[i], lower[j]), upper[i] - lower[i], upper[j] - lower[j], fill=False, edgecolor=INK, linestyle="--", linewidth=1.0))
            for path in paths:
                axes.plot(path.points[:, i], path.points[:, j], color=path.colour, label=path.label)
                axes.plot(*path.points[0, [i, j]], "o", color=path.colour, markersize=6)
            for word, point in places.items():
                axes.plot(*point[[i, j]], "+", color=INK, markersize=9)
                axes.annotate(word, tuple(point[[i, j]]), xytext=(4, 4), **_NOTE)
            axes.set_xlabel(label[0])
            axes.set_ylabel(label[1])
            axes.set_aspect("equal")
        above.add_patch(Rectangle((table[0][0], table[0][1]), *(table[1] - table[0]), color=SHADE, zorder=0))
        side.axhline(0.0, color=LINE, linewidth=2.0)
        above.set_title("from above: the table, and the workspace dashed", fontsize=9)
        side.set_title("from the side", fontsize=9)
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", fontsize=9, ncols=len(paths))
        return _svg(figure, name)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page: no external names, ids of its own, colours from the page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{name}-\2", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    # The white sheet behind a figure: the page has its own.
    text = re.sub(r"fill: #ffffff", "fill: none", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
