"""A backend served from a process of its own, on loopback. Used by tests only."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys


class Server:
    """A running ``python -m dextrack.sim.remote.serve``."""

    def __init__(self, *arguments: str, python: str = sys.executable, environment: dict[str, str] | None = None) -> None:
        """Start it and wait until it listens."""
        command = [python, "-m", "dextrack.sim.remote.serve", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        told = json.loads(line)
        assert told["pid"] == self.process.pid
        self.endpoint: str = told["endpoint"]

    def end(self) -> int:
        """End it as an operator would; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        code = self.process.wait(20)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code
