from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import trimesh
from dextrack_deploy.drivers import leap_port
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.twin.dynamixel.process import PeerProcess
from dextrack_deploy.twin.process import TwinProcess

from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec

REST = np.array(load_hand("leap_right").rest)
PATIENT_S = 2.5
"""Watchdog of tests that are not about it: longer than the stalls of a busy machine."""


@pytest.fixture
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinProcess]:
    """A running twin with a box of 5 cm on its table."""
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    path = tmp_path_factory.mktemp("objects") / "box.npz"
    ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1).save(path)
    with TwinProcess(path) as running:
        yield running


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine lets a peer's answer wait longer than a USB adapter does."""
    monkeypatch.setattr(leap_port, "UNKNOWN_PATIENCE_MS", 400.0)


@pytest.fixture(scope="module")
def shared() -> Iterator[PeerProcess]:
    with PeerProcess(["--alone"]) as running:
        yield running


@pytest.fixture
def peer(shared: PeerProcess, patience: None) -> PeerProcess:
    """Motors as after power came on, at rest."""
    shared.client.call("renew")
    for motor in range(16):
        shared.client.call("push", motor=motor, angle=float(REST[motor]))
    return shared


@pytest.fixture
def connect(peer: PeerProcess) -> Iterator[Callable[..., LeapHand]]:
    """Connects to the peer; what is still open when the test ends is closed, whatever became of it."""
    opened: list[LeapHand] = []

    def make(**options: Any) -> LeapHand:
        opened.append(LeapHand(peer.pty, **{"watchdog_s": PATIENT_S} | options))
        return opened[-1]

    yield make
    for hand in opened:
        hand.close()


@pytest.fixture
def hand(connect: Callable[..., LeapHand]) -> LeapHand:
    return connect()
