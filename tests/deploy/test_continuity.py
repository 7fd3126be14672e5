"""A stream of targets that jumps is not followed; one that moves as fast as its source can, at uneven times, is."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from dextrack_deploy.continuity import Continuity

from dextrack.errors import RefusedError

PERIOD = 1.0 / 60.0
NAMES, SPEED = ("tx", "3"), (2.0, 8.0)


@hypothesis.given(st.lists(st.tuples(st.floats(0.25, 6.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)), min_size=1, max_size=50))
def test_what_moves_at_most_at_its_speed_is_followed(steps: list[tuple[float, float, float]]) -> None:
    """Steps of 0.25 to 6 periods, at any part of the joints' speeds: after a gap, what the longest time allows."""
    c, at, stamp = Continuity(NAMES, SPEED, PERIOD), np.array([5.0, -3.0]), 10**18
    c.check(at, stamp)
    for periods, *parts in steps:
        at = at + np.array(parts) * SPEED * min(periods * PERIOD, 0.1)
        stamp += round(periods * PERIOD * 1e9)
        c.check(at, stamp)


@pytest.mark.parametrize(("joint", "by"), [(0, 0.1), (1, -0.5), (0, float("nan")), (1, float("inf"))])
def test_a_jump_ends_it_for_this_run(joint: int, by: float) -> None:
    c = Continuity(NAMES, SPEED, PERIOD)
    c.check([0.0, 0.0], 10**9)
    jumped = np.zeros(2)
    jumped[joint] += by
    with pytest.raises(RefusedError, match=NAMES[joint]):
        c.check(jumped, 10**9 + 16_666_667)
    with pytest.raises(RefusedError, match=NAMES[joint]):
        c.check([0.0, 0.0], 10**9 + 33_333_333)
    c.begin()
    c.check([0.0, 0.0], 2 * 10**9)


def test_a_first_target_that_is_no_number_is_refused() -> None:
    with pytest.raises(RefusedError, match="tx is not finite"):
        Continuity(NAMES, SPEED, PERIOD).check([float("nan"), 0.0], 1)


@pytest.mark.parametrize("missed", range(14))
def test_a_slow_motion_survives_a_driver_that_was_not_there_for_a_while(missed: int) -> None:
    """Judged by when they come: one target waits, the others are lost, and the next one comes at once. At the speed that plans reach."""
    c, step = Continuity(NAMES, SPEED, PERIOD, longest_s=0.25), PERIOD * np.array(SPEED)
    at, ms = np.zeros(2), 1e6 * 1e3 * PERIOD
    for k in range(5):
        c.check(at + k * step, round(k * ms))
    late = 4 + missed + 1
    for k, came in ((late, late), (late + 1, late + 0.1), (late + 2, late + 2)):
        c.check(at + k * step, round(came * ms))
    with pytest.raises(RefusedError, match="jumped"):
        c.check(at + late * step + 1.0, round((late + 3) * ms))
