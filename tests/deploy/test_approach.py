from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from dextrack_deploy.approach import MotionLimits, plan_approach, plan_retreat, segment

from dextrack.errors import InputError, RefusedError

PERIOD = 1 / 60
V, A = 0.4, 0.9


def limits(n: int = 23, v: float = V, a: float = A) -> MotionLimits:
    return MotionLimits(tuple(f"j{i}" for i in range(n)), np.full(n, -3.0), np.full(n, 3.0), np.full(n, v), np.full(n, a))


REST, HOME = np.zeros(16), np.array([0.0, -0.8, 0, -2.3, 0, 1.6, 0.8])
START, GOAL = np.full(7, 0.1), np.array([0.5, -0.2, 0.3, -1.5, 0.1, 1.2, 1.0])
SHAPED = np.full(16, 0.4)


@hypothesis.given(st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), min_size=2, max_size=6))
@hypothesis.settings(deadline=None)
def test_every_segment_is_smooth_slow_and_ends_where_it_should(points: list[list[float]]) -> None:
    q = np.array(points)
    out = segment(list(q), limits(4), PERIOD)
    if not len(out):
        assert np.abs(q - q[0]).max() < 1e-6
        return
    np.testing.assert_array_equal(out[-1], q[np.flatnonzero(np.linalg.norm(np.diff(q, axis=0), axis=1) > 1e-9)[-1] + 1])
    rest = np.concatenate([np.repeat(q[:1], 3, axis=0), out, np.repeat(out[-1:], 3, axis=0)])
    velocity = np.diff(rest, axis=0) / PERIOD
    assert np.abs(velocity).max() <= V * (1 + 1e-3)
    assert np.abs(np.diff(velocity, axis=0) / PERIOD).max() <= A * 1.02


@pytest.mark.parametrize(("distance", "v", "a"), [(1.0, 0.4, 100.0), (0.3, 100.0, 0.9), (2.0, 0.4, 0.9)])
def test_a_straight_line_takes_the_quintics_closed_form_time(distance: float, v: float, a: float) -> None:
    """Peaks of the quintic: velocity 15/8 d/T, acceleration 10/sqrt(3) d/T^2."""
    out = segment([np.zeros(1), np.array([distance])], limits(1, v, a), PERIOD)
    expected = max(15 / 8 * distance / v, np.sqrt(10 / np.sqrt(3) * distance / a))
    assert len(out) * PERIOD == pytest.approx(expected, abs=1.01 * PERIOD)
    u = np.arange(1, len(out) + 1) / len(out)
    np.testing.assert_allclose(out[:, 0], distance * (10 * u**3 - 15 * u**4 + 6 * u**5), atol=1e-12)


def test_an_approach_shapes_the_fingers_above_the_goal_and_then_descends() -> None:
    above = GOAL + 0.2
    m = plan_approach(START, REST, GOAL, SHAPED, REST, limits(), descent=[above, GOAL + 0.1])
    arm, fingers = m.positions[:, :7], m.positions[:, 7:]
    shaping = np.flatnonzero(np.abs(np.diff(fingers, axis=0)).max(axis=1) > 1e-9)
    np.testing.assert_allclose(arm[shaping], np.tile(above, (len(shaping), 1)), atol=1e-9)
    np.testing.assert_allclose(fingers[shaping[-1] + 1 :], 0.4, atol=1e-9)
    assert shaping[-1] + 10 < m.n_ticks, "the descent comes after"
    np.testing.assert_array_equal(m.target(m.n_ticks)[0], GOAL)


def test_an_approach_opens_then_moves_the_arm_then_shapes_the_fingers() -> None:
    via = np.array([0.4, -0.6, 0.2, -1.8, 0.1, 1.3, 0.9])
    measured = np.full(16, 0.9)
    m = plan_approach(START, measured, GOAL, SHAPED, REST, limits(), via=[via])
    arm, fingers = m.positions[:, :7], m.positions[:, 7:]
    moving = np.flatnonzero(np.abs(np.diff(arm, axis=0)).max(axis=1) > 1e-9)
    np.testing.assert_allclose(arm[: moving[0] + 1], np.tile(START, (moving[0] + 1, 1)))
    np.testing.assert_allclose(fingers[moving[0] : moving[-1] + 1], 0.0, atol=1e-12)
    np.testing.assert_array_equal(m.target(10**6)[0], GOAL)
    np.testing.assert_array_equal(m.target(10**6)[1], SHAPED)
    assert np.abs(arm - via).max(axis=1).min() < 0.02, "it passes through the point on the way"
    steps = np.abs(np.diff(np.concatenate([[np.concatenate([START, measured])], m.positions]), axis=0)).max() / PERIOD
    assert 0.5 * V < steps <= V * 1.001
    assert m.progress(0) == 0.0 and m.progress(m.n_ticks) == 1.0 and m.finished(m.n_ticks) and not m.finished(m.n_ticks - 1)


def test_a_retreat_opens_the_hand_before_anything_else_then_rises() -> None:
    rise = [START + 0.05 * k for k in (1, 2, 3)]
    m = plan_retreat(START, SHAPED, HOME, REST, limits(), rise=rise)
    arm, fingers = m.positions[:, :7], m.positions[:, 7:]
    opened = int(np.flatnonzero(np.abs(fingers).max(axis=1) < 1e-12)[0])
    np.testing.assert_allclose(arm[: opened + 1], np.tile(START, (opened + 1, 1)))
    np.testing.assert_allclose(fingers[opened:], 0.0, atol=1e-12)
    visits = [int(np.abs(arm - q).max(axis=1).argmin()) for q in (*rise, HOME)]
    assert visits == sorted(visits)
    np.testing.assert_allclose(arm[visits[2]], rise[-1], atol=1e-9)
    np.testing.assert_array_equal(m.target(m.n_ticks)[0], HOME)


def test_a_retreat_may_open_partly_first_and_wholly_above() -> None:
    m = plan_retreat(START, SHAPED, HOME, REST, limits(), rise=[START + 0.2], opening=0.25)
    arm, fingers = m.positions[:, :7], m.positions[:, 7:]
    first = int(np.flatnonzero(np.abs(arm - START).max(axis=1) > 1e-9)[0])
    np.testing.assert_allclose(fingers[first], 0.3, atol=1e-9)
    np.testing.assert_allclose(fingers[-1], 0.0, atol=1e-9)


def test_standing_at_the_goal_already_is_a_motion_of_one_tick() -> None:
    m = plan_approach(GOAL, REST, GOAL, REST, REST, limits())
    assert m.n_ticks == 1
    np.testing.assert_array_equal(m.target(0)[0], GOAL)


def test_a_goal_outside_the_limits_is_refused_by_name_but_a_start_outside_may_come_back() -> None:
    outside = GOAL.copy()
    outside[3] = -3.2
    with pytest.raises(RefusedError, match="j3"):
        plan_approach(START, REST, outside, SHAPED, REST, limits())
    m = plan_approach(outside, REST, GOAL, SHAPED, REST, limits())
    assert m.positions[:, 3].min() >= -3.2 - 1e-9


def test_a_collision_on_the_way_is_refused_and_one_that_was_there_before_is_not() -> None:
    def wall(arm: np.ndarray, _: np.ndarray) -> str | None:
        return "palm and table" if 0.25 < arm[0] < 0.27 else None

    with pytest.raises(RefusedError, match="palm and table"):
        plan_approach(START, REST, GOAL, SHAPED, REST, limits(), collides=wall)

    def grasped(_: np.ndarray, fingers: np.ndarray) -> str | None:
        return "fingertip and object" if fingers[0] > 0.3 else None

    assert plan_retreat(START, SHAPED, HOME, REST, limits(), collides=grasped).n_ticks > 10
    with pytest.raises(RefusedError, match="fingertip and object"):
        plan_approach(START, REST, GOAL, SHAPED, REST, limits(), collides=grasped)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="arm"):
        plan_approach(np.full(7, np.nan), REST, GOAL, SHAPED, REST, limits())
    with pytest.raises(InputError, match="joints for limits"):
        plan_retreat(START[:6], REST, HOME[:6], REST, limits())
    with pytest.raises(InputError, match="limits"):
        limits(v=0.0)
