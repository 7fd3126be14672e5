"""The pause before the lift, and waiting for slow motors: what they add, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dextrack.references.resample import Resampled, keep_up, pause, retime

PERIOD = 1.0 / 60.0


def _motion(count: int) -> Resampled:
    time = np.arange(count) * PERIOD
    position = np.stack([0.3 * time, 0.0 * time, 0.1 * time**2], axis=1)
    half = 0.2 * time
    quaternion = np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], axis=1)
    return Resampled(np.repeat(position[:, None], 21, axis=1), position, quaternion, 2.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(80, 200), st.integers(30, 50), st.floats(0.1, 1.0))
def test_a_pause_adds_its_seconds_and_keeps_the_path(count: int, frame: int, seconds: float) -> None:
    motion = _motion(count)
    slow = pause(motion, frame, seconds, PERIOD)
    assert len(slow.object_position_w) - count == pytest.approx(seconds / PERIOD, abs=1.0)
    assert slow.time_scale == pytest.approx(motion.time_scale * (1.0 + seconds / (PERIOD * (count - 1))), rel=0.02)
    # Every place lies on the old path, in the old order; the time at which the old motion was there is x / 0.3.
    then = slow.object_position_w[:, 0] / 0.3
    assert (np.diff(then) > 0.0).all()
    assert slow.object_position_w[:, 2] == pytest.approx(0.1 * then**2, abs=2e-5)
    assert slow.keypoints_w[:, 0, 0] == pytest.approx(slow.object_position_w[:, 0], abs=2e-5)
    assert np.linalg.norm(slow.object_quaternion_w, axis=1) == pytest.approx(1.0)


def test_it_is_slow_where_it_pauses_and_as_fast_as_before_elsewhere() -> None:
    slow = pause(_motion(150), 60, 0.5, PERIOD)
    speed = np.diff(slow.object_position_w[:, 0]) / PERIOD
    assert speed.min() < 0.1 and speed[:40] == pytest.approx(0.3, rel=1e-3) and speed[-40:] == pytest.approx(0.3, rel=1e-3)


def test_no_seconds_no_pause() -> None:
    motion = _motion(80)
    assert pause(motion, 40, 0.0, PERIOD) is motion


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 120), elements=st.floats(0.0, 6.0)))
def test_where_a_joint_is_too_fast_time_waits_for_it(share: np.ndarray) -> None:
    at = keep_up(share)
    path = np.concatenate([[0.0], np.cumsum(share)])  # of a joint, in units of what it can do in a step
    assert np.abs(np.diff(np.interp(at, np.arange(len(path)), path))).max(initial=0.0) < 1.0 + 1e-9
    assert at[0] == 0.0 and (np.diff(at) > 0.0).all() and np.diff(at).max(initial=1.0) < 1.0 + 1e-9
    assert len(share) - 1 < at[-1] <= len(share)
    assert (np.diff(at) > 1.0 / max(share.max(), 1.0) - 1e-9).all()  # no slower than the fastest joint needs
    if share.max() <= 1.0:
        assert at == pytest.approx(np.arange(len(path)))


def test_a_motion_at_its_own_frames_is_itself() -> None:
    motion = _motion(50)
    same = retime(motion, np.arange(50.0))
    assert same.object_position_w == pytest.approx(motion.object_position_w, abs=1e-12)
    assert same.keypoints_w == pytest.approx(motion.keypoints_w, abs=1e-12)
    assert same.object_quaternion_w == pytest.approx(motion.object_quaternion_w, abs=1e-9)
