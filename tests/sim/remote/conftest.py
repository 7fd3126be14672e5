"""Servers of backends, in processes of their own, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


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


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; all end with the test."""
    servers: list[Server] = []

    def start(*arguments: str, **options: object) -> Server:
        servers.append(Server(*arguments, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.process.pid, 18)  # one that a test stopped goes on, and ends
        server.end()


@pytest.fixture(scope="session")
def key_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of keys that know nothing of each other."""
    from dextrack.sim.remote.keys import make_keys

    folders = tmp_path_factory.mktemp("keys") / "one", tmp_path_factory.mktemp("keys") / "other"
    for folder in folders:
        make_keys(folder)
    return folders
