"""A reference made by formula: the object rests, is lifted 10 cm, carried, and set down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dextrack import rotations
from dextrack.hands.spec import WRIST_JOINTS
from dextrack.references.reference import Reference

JOINTS = WRIST_JOINTS + tuple(str(i) for i in range(16))


def _reference(height: np.ndarray, name: str = "made", seed: int = 0) -> Reference:
    """A reference of a 4 cm cube whose lowest point is at ``height`` (N + 1,) m, with a smooth random hand motion."""
    n = len(height)
    rng = np.random.default_rng(seed)
    phase = np.linspace(0.0, 1.0, n)[:, None]
    hand = rng.uniform(-0.3, 0.3, 22) + 0.2 * np.sin(2 * np.pi * (phase + rng.uniform(size=22)))
    position = np.stack([0.1 * phase[:, 0], np.zeros(n), height + 0.02], axis=1)
    return Reference(
        name=name,
        hand_name="leap_right",
        object_name="cube",
        joint_names=JOINTS,
        base_quaternion_w=rotations.normalise(rng.normal(size=4)),
        hand=hand,
        object_position_w=position,
        object_quaternion_w=np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)),
        keypoints_w=np.zeros((n, 21, 3)),
    )


def _lift_height() -> np.ndarray:
    """120 frames: rest, up to 10 cm in 20 frames, carried, down in 20, rest."""
    return np.interp(np.arange(120), [0, 30, 50, 80, 100, 119], [0.0, 0.0, 0.1, 0.1, 0.0, 0.0])


@pytest.fixture
def reference() -> Reference:
    return _reference(_lift_height())


@pytest.fixture
def make_reference() -> Callable[..., Reference]:
    return _reference


@pytest.fixture
def cube() -> np.ndarray:
    """Corners (8, 3) of the 4 cm cube."""
    return 0.02 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
