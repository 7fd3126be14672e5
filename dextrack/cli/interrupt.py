"""Ctrl-C that is never lost: what falls into an import ends the process where nothing has begun, and waits until the import is done where work has.

Python's own handler raises KeyboardInterrupt wherever the program is. Inside the initialisation of an extension module that becomes an ImportError, and
packages that try an import and do without it (`try: import x; except ImportError: x = None`) then go on as if nobody had pressed a key.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_AGAIN = 0.1
"""Seconds after which a delayed interrupt is tried again."""


class _Handler:
    """Raises KeyboardInterrupt, or comes back later."""

    def __init__(self) -> None:
        self._timer: Any = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _importing(frame):
            raise KeyboardInterrupt
        import threading  # not above: until this module is imported, Ctrl-C prints a traceback

        # To this very thread, so that it wakes from what it waits for.
        self._timer = threading.Timer(_AGAIN, signal.pthread_kill, (threading.get_ident(), number))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Come back no more."""
        if self._timer is not None:
            self._timer.cancel()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Within this block, KeyboardInterrupt is raised for every Ctrl-C, though not inside an import.

    A handler that someone else has installed stays, and so does Python's in any thread but the main one, which gets no signals.
    """
    handler = _Handler()
    with _handling(handler, lambda installed: installed is signal.default_int_handler):
        try:
            yield
        finally:
            handler.end()


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Within a block of ``kept``: Ctrl-C ends the process as it ends programs without a handler; for imports before the work, which take seconds."""
    with _handling(signal.SIG_DFL, lambda installed: isinstance(installed, _Handler)):
        yield


@contextlib.contextmanager
def _handling(handler: Any, over: Callable[[Any], bool]) -> Iterator[None]:
    """Within this block, ``handler`` is that of Ctrl-C, if the one installed is one that it may stand in for."""
    installed = signal.getsignal(signal.SIGINT)
    ours = over(installed)
    if ours:
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:
            ours = False  # not the main thread
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, installed)


def _importing(frame: FrameType | None) -> bool:
    """Whether ``frame``, or one that it was called from, is Python's import machinery."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
