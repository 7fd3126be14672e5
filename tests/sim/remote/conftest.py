"""Servers of backends, in processes of their own, on loopback."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.served import Server


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
