from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from dextrack_deploy.velocities import FiniteDifference, PoseDifference
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.errors import InputError

T0 = 1_780_000_000_123_456_789
"""A stamp of today: a double would lose its last digits."""
MS = 1_000_000


@hypothesis.given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    st.lists(st.integers(1, 90), min_size=1, max_size=20),
)
def test_a_straight_line_has_its_slope_whatever_the_stamps(start: list[float], slope: list[float], steps_ms: list[int]) -> None:
    d = FiniteDifference(3)
    stamp = T0
    d.update(stamp, start)
    for step in steps_ms:
        stamp += step * MS
        v = d.update(stamp, np.array(start) + np.array(slope) * (stamp - T0) * 1e-9)
        assert d.valid
        np.testing.assert_allclose(v, slope, atol=1e-8)


def test_a_30_hz_sample_read_at_60_hz_neither_drops_to_zero_nor_spikes() -> None:
    d = FiniteDifference(1)
    speeds = []
    for tick in range(60):
        sample = tick // 2
        v = d.update(T0 + sample * 33_333_333, [0.5 * sample / 30.0])
        speeds.append(v[0])
    np.testing.assert_allclose(speeds[2:], 0.5, rtol=1e-6)
    assert d.counts == {"duplicates": 30, "out_of_order": 0, "gaps": 0, "not_finite": 0}


def test_a_sine_is_its_derivative_to_first_order() -> None:
    """The backward difference is the derivative half a step earlier: an independent closed form."""
    d = FiniteDifference(1)
    h = 1 / 60
    t = np.arange(120) * h
    v = np.array([d.update(T0 + round(x * 1e9), [np.sin(3.0 * x)])[0] for x in t])
    np.testing.assert_allclose(v[1:], 3.0 * np.cos(3.0 * (t[1:] - h / 2)), atol=3.0**3 * h**2 / 24 * 1.01)


def test_the_first_sample_and_a_gap_give_zero_and_the_flag() -> None:
    d = FiniteDifference(2, max_gap_s=0.1)
    np.testing.assert_array_equal(d.update(T0, [1.0, 2.0]), 0.0)
    assert not d.valid
    d.update(T0 + 50 * MS, [1.1, 2.0])
    assert d.valid
    np.testing.assert_array_equal(d.update(T0 + 550 * MS, [9.0, 9.0]), 0.0)
    assert not d.valid and d.counts["gaps"] == 1
    np.testing.assert_allclose(d.update(T0 + 570 * MS, [9.2, 9.0]), [10.0, 0.0], atol=1e-9)
    assert d.valid


def test_old_and_broken_samples_are_ignored_and_counted() -> None:
    d = FiniteDifference(1)
    d.update(T0, [0.0])
    d.update(T0 + 10 * MS, [0.01])
    for stamp, value in ((T0 + 5 * MS, 7.0), (T0 + 20 * MS, np.nan), (T0 + 10 * MS, 99.0)):
        np.testing.assert_allclose(d.update(stamp, [value]), 1.0)
    assert d.counts == {"duplicates": 1, "out_of_order": 1, "gaps": 0, "not_finite": 1}
    np.testing.assert_allclose(d.update(T0 + 20 * MS, [0.03]), 2.0)


def test_a_velocity_holds_for_a_while_and_then_is_zero() -> None:
    d = FiniteDifference(1, hold_s=0.05)
    assert d.at(T0)[0] == 0.0
    d.update(T0, [0.0])
    d.update(T0 + 10 * MS, [0.01])
    assert d.at(T0 + 60 * MS)[0] == pytest.approx(1.0)
    assert d.at(T0 + 61 * MS)[0] == 0.0
    d.reset()
    assert not d.valid and d.at(T0 + 60 * MS)[0] == 0.0


def test_the_caller_cannot_change_the_memory() -> None:
    d = FiniteDifference(1)
    x = np.array([1.0])
    d.update(T0, x)
    x[0] = 5.0
    v = d.update(T0 + 10 * MS, [1.1])
    v[0] = 0.0
    assert d.at(T0 + 10 * MS)[0] == pytest.approx(10.0)


def test_wrong_shapes_and_times_are_refused() -> None:
    with pytest.raises(InputError):
        FiniteDifference(2).update(T0, [1.0])
    with pytest.raises(InputError):
        PoseDifference().update(T0, [0, 0, 0], [1, 0, 0])
    with pytest.raises(InputError):
        FiniteDifference(2, max_gap_s=0.0)
    with pytest.raises(InputError):
        PoseDifference(hold_s=-1.0)


@hypothesis.given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda a: np.linalg.norm(a) > 0.1),
    st.floats(0.1, 20.0),
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.integers(0, 2**31 - 1),
)
@hypothesis.settings(deadline=None)
def test_a_constant_turn_has_its_angular_velocity_whatever_the_signs(axis: list[float], speed: float, flips: list[bool], seed: int) -> None:
    """Turning about a fixed axis of the world, from a random attitude; scipy makes the poses, and the sign of each quaternion is random."""
    omega = speed * np.array(axis) / np.linalg.norm(axis)
    first = Rotation.random(random_state=seed)
    d = PoseDifference()
    for i, flip in enumerate(flips):
        t = i / 30.0
        q = (Rotation.from_rotvec(omega * t) * first).as_quat(scalar_first=True)
        linear, angular = d.update(T0 + round(t * 1e9), [0.2 * t, 0.0, -t], -q if flip else q)
    assert d.valid
    np.testing.assert_allclose(linear, [0.2, 0.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(angular, omega, atol=1e-5 * speed)


def test_a_pose_held_at_60_hz_keeps_its_twist() -> None:
    d = PoseDifference()
    for tick in range(40):
        sample = tick // 2
        q = rotations.from_rotation_vector([0.0, 0.0, 0.1 * sample])
        linear, angular = d.update(T0 + sample * 33_333_333, [0.01 * sample, 0, 0], q if tick % 2 else -q)
        if tick >= 2:
            np.testing.assert_allclose(linear, [0.3, 0, 0], atol=1e-6)
            np.testing.assert_allclose(angular, [0, 0, 3.0], atol=1e-5)
    linear, angular = d.at(T0 + 20 * 33_333_333 + 200 * MS)
    assert not linear.any() and not angular.any()


def test_a_pose_after_a_gap_or_broken_gives_no_twist() -> None:
    d = PoseDifference()
    d.update(T0, [0, 0, 0], [1, 0, 0, 0])
    d.update(T0 + 33 * MS, [0.033, 0, 0], [1, 0, 0, 0])
    np.testing.assert_allclose(d.update(T0 + 40 * MS, [0, 0, 0], [0, 0, 0, 0])[0], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(d.update(T0 + 41 * MS, [np.nan, 0, 0], [1, 0, 0, 0])[0], [1, 0, 0], atol=1e-9)
    linear, angular = d.update(T0 + 533 * MS, [1, 0, 0], [0, 1, 0, 0])
    assert not linear.any() and not angular.any() and not d.valid
    assert d.counts == {"duplicates": 0, "out_of_order": 0, "gaps": 1, "not_finite": 2}
