from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.cell import CellConfig, load_cell
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.mismatch import Mismatch
from dextrack_deploy.twin.process import TwinProcess
from dextrack_deploy.twin.simulation import Twin

from dextrack.hands import HandSpec, load_hand
from dextrack.objects.spec import ObjectSpec


@pytest.fixture(scope="session")
def cell() -> CellConfig:
    return load_cell("twin")


@pytest.fixture(scope="session")
def hand() -> HandSpec:
    return load_hand("leap_right")


@pytest.fixture(scope="session")
def box() -> ObjectSpec:
    """6 x 5 x 4 cm, of two halves, 0.1 kg, friction 0.8."""
    whole = trimesh.creation.box((0.06, 0.05, 0.04))
    parts = []
    for x in (-0.015, 0.015):
        half = trimesh.creation.box((0.03, 0.05, 0.04))
        half.apply_translation((x, 0.0, 0.0))
        parts.append((np.array(half.vertices), np.array(half.faces, dtype=np.int32)))
    return ObjectSpec("box", np.array(whole.vertices), np.array(whole.faces, dtype=np.int32), tuple(parts), mass=0.1, friction=0.8)


@pytest.fixture(scope="session")
def box_file(box: ObjectSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objects") / "box.npz"
    box.save(path)
    return path


@pytest.fixture
def make_twin(cell: CellConfig, hand: HandSpec, box: ObjectSpec) -> Callable[..., Twin]:
    def make(mismatch: Mismatch | None = None, **options: object) -> Twin:
        return Twin(cell, hand, box, mismatch, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def palm_down(cell: CellConfig) -> Callable[[float], np.ndarray]:
    """Arm joints (7,) that hold the hand's root at a height above the table, fingers forward and 50 degrees down."""
    inverse = InverseKinematics(cell)

    def solve(height: float) -> np.ndarray:
        half = np.deg2rad(50.0) / 2.0
        found = inverse.solve([-0.05, 0.035, height], [np.cos(half), 0.0, np.sin(half), 0.0])
        assert found.position_error < 1e-4 and found.rotation_error < 1e-3
        return found.q

    return solve


@pytest.fixture(scope="session")
def low(palm_down: Callable[[float], np.ndarray]) -> np.ndarray:
    """The middle finger's pad ends 2 cm above the table."""
    return palm_down(0.15)


@pytest.fixture
def process(box_file: Path) -> Iterator[TwinProcess]:
    """A twin of the test's own, to be mistreated."""
    with TwinProcess(box_file) as running:
        yield running


@pytest.fixture(scope="session")
def shared_process(box_file: Path) -> Iterator[TwinProcess]:
    with TwinProcess(box_file, ["--seed", "3"]) as running:
        yield running


@pytest.fixture
def client(shared_process: TwinProcess) -> Iterator[TwinClient]:
    """A client of a twin that many tests share, and that begins again for each."""
    # A test machine may be busier than a cell's.
    with TwinClient(shared_process.endpoint, timeout_s=2.0) as connected:
        connected.call("reset", 10.0, position=[0.0, 0.0, 0.0], quaternion=[1.0, 0.0, 0.0, 0.0])
        yield connected
