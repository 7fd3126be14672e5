from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.hand_state import HandStateEstimator, by_name, wrist_angles
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.rotations import from_hinges, multiply

BASE = from_hinges([0.3, -0.8, 2.0])
FINGERS = tuple(str(i) for i in range(16))
T0 = 1_780_000_000_000_000_000
MS = 1_000_000


def fake_arm(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An arm whose seven joints are a position, three hinges of the base frame, and one that does nothing."""
    return q[:3], multiply(BASE, from_hinges(q[3:6]))


def estimator(near: np.ndarray | None = None) -> HandStateEstimator:
    return HandStateEstimator(BASE, fake_arm, FINGERS, near)


def test_theta_is_recovered_from_the_pose_that_it_means() -> None:
    rng = np.random.default_rng(0)
    for i in range(200):
        q = np.concatenate([rng.uniform(-0.5, 0.5, 3), rng.uniform(-3.0, 3.0, 1), rng.uniform(-1.0, 1.0, 1), rng.uniform(-3.0, 3.0, 1), [0.0]])
        fingers = rng.uniform(-1, 1, 16)
        e = estimator(np.concatenate([np.zeros(3), q[3:6], np.zeros(16)]))
        e.update_arm(T0 + i, q)
        assert e.state() is None
        e.update_fingers(T0, fingers)
        state = e.state()
        assert state is not None and state.stamp_ns == T0 + i and not state.valid
        np.testing.assert_allclose(state.theta, np.concatenate([q[:6], fingers]), atol=1e-9)


def test_the_palms_rotation_agrees_with_scipy() -> None:
    quaternion = Rotation.from_euler("xyz", [0.5, 0.2, -0.4]).as_quat(scalar_first=True)
    angles = wrist_angles(BASE, quaternion, np.zeros(3))
    again = Rotation.from_quat(BASE, scalar_first=True) * Rotation.from_euler("XYZ", angles)
    np.testing.assert_allclose(again.as_matrix(), Rotation.from_quat(quaternion, scalar_first=True).as_matrix(), atol=1e-9)


@pytest.mark.parametrize("start", [0.0, 2 * np.pi, -2 * np.pi])
def test_turning_past_half_a_turn_does_not_jump_and_starts_on_the_references_turn(start: float) -> None:
    e = estimator(np.array([0, 0, 0, start, 0, -start] + [0.0] * 16))
    e.update_fingers(T0, np.zeros(16))
    speeds = []
    for i in range(240):
        turn = 1.9 * np.pi * i / 239
        e.update_arm(T0 + i * 16 * MS, np.array([0, 0, 0, turn, 0.3, -turn, 0]))
        state = e.state()
        assert state is not None
        np.testing.assert_allclose(state.theta[3:6], [start + turn, 0.3, -start - turn], atol=1e-9)
        speeds.append(state.velocity[3])
    np.testing.assert_allclose(speeds[1:], 1.9 * np.pi / 239 / 0.016, rtol=1e-6)


def test_arm_and_hand_sampled_alternately_keep_steady_velocities() -> None:
    """Fingers every 16 ms, arm every 33 ms at other times: neither part's velocity may see the other's stamps."""
    e = estimator()
    for ms in range(400):
        t = ms * 1e-3
        if ms % 16 == 3:
            e.update_fingers(T0 + ms * MS, np.full(16, 0.7 * t))
        if ms % 33 == 5:
            e.update_arm(T0 + ms * MS, np.array([0.2 * t, 0, 0, 0, 0, -1.5 * t, 0]))
        state = e.state(T0 + ms * MS)
        if ms > 60 and state is not None:
            assert state.valid
            np.testing.assert_allclose(state.velocity[6:], 0.7, atol=1e-6)
            np.testing.assert_allclose(state.velocity[[0, 5]], [0.2, -1.5], atol=1e-6)


def test_a_silent_sensor_loses_its_velocity_but_keeps_its_position() -> None:
    e = estimator()
    for i in range(3):
        e.update_arm(T0 + i * 16 * MS, np.array([0.01 * i, 0, 0, 0, 0, 0, 0]))
        e.update_fingers(T0 + i * 16 * MS, np.full(16, 0.01 * i))
    state = e.state(T0 + 500 * MS)
    assert state is not None and not state.velocity.any()
    assert state.theta[0] == pytest.approx(0.02)


def test_broken_and_old_samples_change_nothing() -> None:
    e = estimator()
    e.update_arm(T0 + 20 * MS, np.array([0.1, 0, 0, 0, 0, 0, 0]))
    e.update_fingers(T0 + 20 * MS, np.full(16, 0.1))
    before = e.state()
    e.update_arm(T0 + 30 * MS, np.full(7, np.nan))
    e.update_arm(T0 + 10 * MS, np.ones(7))
    e.update_fingers(T0 + 30 * MS, np.full(16, np.inf))
    e.update_fingers(T0 + 10 * MS, np.ones(16))
    after = e.state()
    assert before is not None and after is not None
    np.testing.assert_array_equal(before.theta, after.theta)
    assert e.counts == {"duplicates": 0, "out_of_order": 2, "gaps": 0, "not_finite": 2}


def test_values_are_picked_by_name() -> None:
    np.testing.assert_array_equal(by_name(["b", "x", "a"], [2.0, 9.0, 1.0], ["a", "b"]), [1.0, 2.0])
    for names, values, wanted in ((["a"], [1.0], ["a", "b"]), (["a", "a"], [1.0, 2.0], ["a"]), (["a", "b"], [1.0], ["a"])):
        with pytest.raises(InputError):
            by_name(names, values, wanted)


def test_base_need_not_be_of_unit_length() -> None:
    e = HandStateEstimator(3.0 * BASE, fake_arm, FINGERS)
    e.update_arm(T0, np.array([0, 0, 0, 0.1, 0.2, 0.3, 0]))
    e.update_fingers(T0, np.zeros(16))
    state = e.state()
    assert state is not None
    np.testing.assert_allclose(rotations.from_hinges(state.theta[3:6]), from_hinges([0.1, 0.2, 0.3]), atol=1e-12)
