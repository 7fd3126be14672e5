"""Processes of the twin: each announces itself by one line of JSON, and ends with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

import tyro

from dextrack.errors import DexTrackError, DriverError

T = TypeVar("T")

START_S = 30.0
"""A process that has not announced itself after this long has failed, s: a busy machine imports slowly."""
STOP_S = 5.0
"""A process that has not ended this long after SIGTERM is killed, s."""


def ending(parent: int) -> Callable[[], bool]:
    """A function that says whether to end: SIGINT or SIGTERM came, or the parent is no longer the process ``parent`` (0: whatever becomes of it)."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.append(number))
    return lambda: bool(told) or parent not in (0, os.getppid())


def command_line(options: type[T], serve: Callable[[T], None]) -> int:
    """Main function of a process of the twin: ``serve`` the ``options`` of its command line; an error is said in one line. Returns the exit code."""
    try:
        serve(tyro.cli(options))
    except DexTrackError as error:
        print("error: %s" % error, file=sys.stderr)
        return 1
    return 0


class Announced:
    """Starts ``python -m MODULE ...`` and waits for its line; a context manager that ends it."""

    def __init__(self, name: str, command: Sequence[str], start_s: float = START_S, listens: bool = False) -> None:
        """Start it.

        Args:
            name: for messages.
            command: module and arguments.
            start_s: time that it has until its line, s.
            listens: whether its standard input is a pipe, for what it takes there; else it is empty.

        Raises:
            DriverError: it did not start, with what it said.
        """
        # A file, not a pipe: nobody reads a pipe while the process runs, and a full one would stop it.
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        arguments = [sys.executable, "-m", *command]
        stdin = subprocess.PIPE if listens else subprocess.DEVNULL
        self.process = subprocess.Popen(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=self._errors)
        try:
            self.announcement = self._announced(name, start_s)
            """What it said of itself."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it; closing twice is allowed."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._errors.close()

    def __enter__(self) -> Announced:
        """Return the process itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.close()

    def _announced(self, name: str, start_s: float) -> dict[str, Any]:
        out = self.process.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            line = out.readline() if selector.select(start_s) else b""
        try:
            return dict(json.loads(line))
        except ValueError:
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip() or "nothing within %g s" % start_s
            raise DriverError("%s: it did not start; it said: %s" % (name, said), remedy="correct what it names.") from None


class TwinProcess(Announced):
    """A twin in a process of its own: ``python -m dextrack_deploy.twin.server``."""

    def __init__(self, object_file: Path, arguments: Sequence[str] = ()) -> None:
        """Start a twin with the object of ``object_file``; ``arguments`` are further options of its command line.

        Raises:
            DriverError: it did not start, with what it said.
        """
        super().__init__("twin", ["dextrack_deploy.twin.server", "--object", str(object_file), "--parent", str(os.getpid()), *arguments])
        self.endpoint: str = self.announcement["endpoint"]
        """Where its link listens."""
        self.mismatch: dict[str, Any] = self.announcement["mismatch"]
        """Its mismatch, with the label."""
