"""TwinProcess: a twin in a process of its own, which ends with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from dextrack.errors import DriverError

START_S = 30.0
"""A twin that has not announced itself after this long has failed, s: a busy machine imports slowly."""
STOP_S = 5.0
"""A twin that has not ended this long after SIGTERM is killed, s."""


class TwinProcess:
    """Starts ``python -m dextrack_deploy.twin.server`` and waits until it serves; a context manager that ends it."""

    def __init__(self, object_file: Path, arguments: Sequence[str] = ()) -> None:
        """Start a twin with the object of ``object_file``; ``arguments`` are further options of its command line.

        Raises:
            DriverError: it did not start, with what it said.
        """
        command = [sys.executable, "-m", "dextrack_deploy.twin.server", "--object", str(object_file), "--parent", str(os.getpid()), *arguments]
        # A file, not a pipe: nobody reads a pipe while the twin runs, and a full one would stop it.
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors)
        try:
            announcement = self._announcement()
        except BaseException:
            self.close()
            raise
        self.endpoint: str = announcement["endpoint"]
        """Where its link listens."""
        self.mismatch: dict[str, Any] = announcement["mismatch"]
        """Its mismatch, with the label."""

    def close(self) -> None:
        """End the twin; closing twice is allowed."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()

    def __enter__(self) -> TwinProcess:
        """Return the process itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the twin."""
        self.close()

    def _announcement(self) -> dict[str, Any]:
        out = self.process.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            line = out.readline() if selector.select(START_S) else b""
        try:
            return dict(json.loads(line))
        except ValueError:
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip() or "nothing within %g s" % START_S
            raise DriverError("twin: it did not start; it said: %s" % said, remedy="correct what it names.") from None
