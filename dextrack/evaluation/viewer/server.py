"""Server: opens the viewer's port, on this machine alone unless told otherwise, and moves what it shows.

One thread, the caller's, sends all frames. Viser's threads run the callbacks of the panel, and those only set what the loop reads.
"""

from __future__ import annotations

import contextlib
import errno
import io
import queue
import socket
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence

import viser

from dextrack.errors import DexTrackError, InputError
from dextrack.evaluation.viewer.panel import Panel
from dextrack.evaluation.viewer.player import Player
from dextrack.evaluation.viewer.scene import Scene
from dextrack.evaluation.viewer.show import Show

RATE = 60.0
"""Frames per second at most."""
PANEL_RATE = 12.0
"""Updates of the panel per second while it plays: its curves are much longer messages than poses."""
LOOPBACK = "127.0.0.1"


class _Server(viser.ViserServer):
    """Viser's server, without its way to the outside."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refuse: viser would open a tunnel through a server of its makers when any page asks for it."""
        return None


def serve(names: Sequence[str], load: Callable[[str], Show], host: str, port: int, ready: Callable[[str], None], browser: bool = False) -> None:
    """Show the first of ``names`` until Ctrl-C; the user may choose another in the page.

    Args:
        names: what can be shown, at least one.
        load: makes the show of a name.
        host: address to listen on.
        port: TCP port; 0 takes any that is free.
        ready: called with the page's address once it can be opened.
        browser: whether to open the page in the user's browser.

    Raises:
        InputError: the address or port cannot be had, or the first show cannot be loaded.
    """
    show = load(names[0])
    with _listening(host, port) as server:
        address = f"http://{'[%s]' % host if ':' in host else host}:{server.get_port()}"
        session = Session(server, show, names, names[0])
        ready(address)
        if browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                chosen = session.play_until_another_is_chosen()
                try:
                    session = Session(server, load(chosen), names, chosen)
                except DexTrackError as error:
                    _tell(server, error)


class Session:
    """One show on a server."""

    def __init__(self, server: viser.ViserServer, show: Show, names: Sequence[str], name: str) -> None:
        """Put ``show``, called ``name``, in the place of what the server shows; ``names`` is what can be chosen."""
        self._chosen: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.player = Player(show.time)
        self.scene = Scene(server, show)
        self.panel = Panel(server, show, self.scene, self.player, (name, *(n for n in names if n != name)), self._chosen.put)

    def play_until_another_is_chosen(self) -> str:
        """Show frame after frame; returns the name of what the user wants to see instead."""
        shown, panel_at = 0, 0.0
        while True:
            begin = time.monotonic()
            frame = self.player.frame(begin)
            if frame != shown:
                self.scene.update(frame)
                shown = frame
            if not self.player.playing or begin - panel_at >= 1.0 / PANEL_RATE:
                panel_at = begin
                self.panel.update(frame)
                self.panel.sync_play_button()
            with contextlib.suppress(queue.Empty):
                return self._chosen.get(timeout=max(0.001, 1.0 / RATE - (time.monotonic() - begin)))


def _tell(server: viser.ViserServer, error: DexTrackError) -> None:
    """Show an error in every page."""
    for client in server.get_clients().values():
        client.add_notification(error.what, error.remedy, color="red")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[viser.ViserServer]:
    """A server on exactly that address, stopped on leaving."""
    # Viser would take the next free port in silence, and wait for ever at an address that is none.
    _require_free(host, port)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a banner of its own
        server = _Server(host=host, port=port, verbose=False)
    try:
        if port and server.get_port() != port:
            raise _busy(host, port)
        server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(0, 114, 178))
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


def _require_free(host: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: ports are 0 (any that is free) to 65535.", remedy="choose a port in that range.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise InputError(f"--host {host}: it is no address ({error.strerror}).", remedy=f"give {LOOPBACK}, or an address of this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _busy(host, port) from None
        if error.errno == errno.EACCES:
            raise InputError(f"--port {port}: only root may listen on it.", remedy="choose a port from 1024 on.") from None
        raise InputError(
            f"--host {host}: this machine cannot listen there ({error.strerror}).", remedy=f"give {LOOPBACK}, or an address of this machine."
        ) from None


def _busy(host: str, port: int) -> InputError:
    remedy = "end the other program (perhaps another `dextrack view`), or choose a port with --port; --port 0 takes any that is free."
    return InputError(f"--port {port}: another program listens on {host}:{port}.", remedy=remedy)
