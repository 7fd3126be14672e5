"""Base frames of wrists: the same motion, away from gimbal lock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from dextrack import rotations
from dextrack.references.wrist_frame import MARGIN, away_from_gimbal_lock, gimbal_distance


def motion(base: Rotation, turns: list[Rotation]) -> np.ndarray:
    """theta (T, 22) of a wrist that turns from one of ``turns`` to the next, in the frame ``base``."""
    path = Slerp(np.arange(len(turns)), Rotation.concatenate(turns))(np.linspace(0.0, len(turns) - 1.0, 50 * len(turns)))
    theta = np.zeros((len(path), 22))
    theta[:, :3], theta[:, 6:] = [0.1, 0.2, 0.3], 0.5
    theta[:, 3:6] = np.unwrap((base.inv() * path).as_euler("XYZ"), axis=0)
    return theta


def wrist(base: np.ndarray, theta: np.ndarray) -> Rotation:
    """As another library has it."""
    return Rotation.from_quat(base, scalar_first=True) * Rotation.from_euler("XYZ", theta[:, 3:6])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_the_motion_is_the_same_and_no_nearer_to_gimbal_lock(seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    base = Rotation.random(rng=rng)
    theta = motion(base, [base * Rotation.from_rotvec(far * rng.uniform(-1.0, 1.0, 3)) for _ in range(4)])
    given_base = base.as_quat(scalar_first=True)
    new_base, new = away_from_gimbal_lock(given_base, theta)
    before, after = wrist(given_base, theta), wrist(new_base, new)
    assert (before.inv() * after).magnitude().max() < 1e-6
    assert np.array_equal(new[:, [0, 1, 2, *range(6, 22)]], theta[:, [0, 1, 2, *range(6, 22)]])
    old, found = (gimbal_distance(b, before.as_quat(scalar_first=True)) for b in (given_base, new_base))
    assert found >= old and (old < MARGIN or new_base is given_base)
    # The distance is that of ry from a right angle.
    assert found == pytest.approx(np.arccos(np.clip(np.abs(np.sin(new[:, 4])).max(), 0.0, 1.0)), abs=1e-6)


def test_a_hand_that_is_turned_over_about_its_second_axis_comes_nowhere_near() -> None:
    base = Rotation.identity()
    theta = motion(base, [Rotation.from_euler("y", a) for a in (-2.0, 0.0, 2.0)])
    new_base, new = away_from_gimbal_lock(base.as_quat(scalar_first=True), theta)
    assert gimbal_distance(new_base, wrist(new_base, new).as_quat(scalar_first=True)) > 1.3
    assert np.abs(np.diff(new[:, 3:6], axis=0)).max() < 0.05
    assert rotations.angle(new_base, base.as_quat(scalar_first=True)) < 1.7


def test_a_motion_with_room_keeps_its_frame() -> None:
    base = Rotation.from_euler("xyz", [0.3, -0.2, 0.5])
    theta = motion(base, [base, base * Rotation.from_euler("y", 0.8), base])
    given_base = base.as_quat(scalar_first=True)
    assert away_from_gimbal_lock(given_base, theta) == (given_base, theta)
