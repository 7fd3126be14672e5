"""Ctrl-C and SIGTERM: when they interrupt, when they wait for a good moment, and when they have to wait for the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A context manager: in its block SIGTERM raises KeyboardInterrupt, as SIGINT does. Both end a trial in order."""

    def __init__(self) -> None:
        """Not interrupted yet."""
        self._waiting = False
        self._came = False

    def __enter__(self) -> Interruption:
        """Take over both signals."""
        self._before = {n: signal.signal(n, self._take) for n in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Give both signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In this block only ``check`` interrupts: rclpy turns an exception that comes up inside it into another one, or swallows it."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def check(self) -> None:
        """Raise KeyboardInterrupt where a signal came since the last one was raised."""
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    def _take(self, number: int, frame: object) -> None:
        self._came = True
        if not self._waiting:
            self.check()


@contextmanager
def uninterruptible() -> Iterator[None]:
    """Neither signal interrupts the block: what it does must be done, and is short."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
