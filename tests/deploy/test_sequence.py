"""The ticks of a trial, state by state, with a planner that plans what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from dextrack_deploy.approach import Motion
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.sequence import Sequence
from dextrack_deploy.status import State

from dextrack.errors import RefusedError
from dextrack.references.reference import Reference

NAMES = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))
ARM, FINGERS = np.arange(7.0), np.arange(16.0)


class Planner:
    """Three ticks away from what was measured; waits to be let go, and counts its plans."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.plans: list[str] = []

    def approach(self, arm: np.ndarray, fingers: np.ndarray) -> Motion:
        return self._plan("approach", arm, fingers, 1.0)

    def retreat(self, arm: np.ndarray, fingers: np.ndarray) -> Motion:
        if arm[0] < 0.0:
            raise RefusedError("the arm is in the table.", remedy="lift it.")
        return self._plan("retreat", arm, fingers, -1.0)

    def _plan(self, name: str, arm: np.ndarray, fingers: np.ndarray, step: float) -> Motion:
        self.plans.append(name)
        assert self.go.wait(5.0)
        start = np.concatenate([arm, fingers])
        return Motion(np.stack([start + step * k for k in range(3)]), 7)


@pytest.fixture
def planner() -> Planner:
    return Planner()


@pytest.fixture
def sequence(planner: Planner) -> Iterator[Sequence]:
    n, unit = 4, np.tile([1.0, 0, 0, 0], (5, 1))
    hand = np.tile(np.arange(n + 1.0)[:, None], (1, 22))
    reference = Reference("ref", "leap_right", "box", NAMES, unit[0], hand, np.zeros((n + 1, 3)), unit, np.zeros((n + 1, 21, 3)))
    made = Sequence(ReplayController(reference), planner)
    made.enter(State.IDLE, measured)
    yield made
    planner.go.set()
    made.close()


def measured() -> tuple[np.ndarray, np.ndarray]:
    return ARM, FINGERS


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_run_gives_every_target_once_and_the_last_until_it_ends(sequence: Sequence) -> None:
    assert sequence.run_target() is None and sequence.ticks == 0
    sequence.enter(State.RUN, measured)
    given, last = [], []
    for _ in range(6):
        given.append(float(sequence.run_target()[0]))
        last.append(sequence.advance())
    # Without an expert, the target of tick n is the state n + 1.
    assert given == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    assert last == [False, False, False, True, False, False]
    assert sequence.progress() == {"state": "RUN", "tick": 4, "phase": 4.0, "ticks": 4, "done": True, "overruns": 0, "in_a_row": 0}


def test_a_status_with_other_words_does_not_begin_the_state_anew(sequence: Sequence, planner: Planner) -> None:
    planner.go.set()
    sequence.enter(State.APPROACH, measured)
    until(lambda: sequence.motion_target() is not None)
    sequence.advance()
    timer = sequence.timer
    sequence.enter(State.APPROACH, measured)
    assert sequence.tick == 1 and sequence.timer is timer and planner.plans == ["approach"]
    sequence.enter(State.HOLD, measured)
    assert sequence.tick == 0 and sequence.timer is not timer


def test_nothing_is_due_before_the_plan_is_there(sequence: Sequence, planner: Planner) -> None:
    sequence.enter(State.APPROACH, measured)
    until(lambda: planner.plans == ["approach"])
    assert sequence.motion_target() is None and sequence.ticks == 0 and not sequence.advance() and not sequence.progress()["done"]
    planner.go.set()
    until(lambda: sequence.ticks == 3)
    np.testing.assert_array_equal(sequence.motion_target(), np.concatenate([ARM, FINGERS]))
    assert [sequence.advance() for _ in range(3)] == [False, False, True]
    np.testing.assert_array_equal(sequence.motion_target(), np.concatenate([ARM, FINGERS]) + 2.0)


def test_a_plan_of_a_state_that_has_ended_is_forgotten(sequence: Sequence, planner: Planner) -> None:
    sequence.enter(State.APPROACH, measured)
    sequence.enter(State.HOLD, measured)
    sequence.enter(State.RETREAT, measured)
    planner.go.set()
    until(lambda: sequence.ticks == 3)
    sequence.advance()
    assert sequence.motion_target()[0] == -1.0


@pytest.mark.parametrize(("arm", "error"), [(-np.ones(7), RefusedError), (None, KeyError)])
def test_a_refused_plan_is_said_at_every_tick(sequence: Sequence, arm: np.ndarray | None, error: type[Exception]) -> None:
    def never_heard() -> tuple[np.ndarray, np.ndarray]:
        raise KeyError("arm/joint_states")

    sequence.enter(State.RETREAT, never_heard if arm is None else lambda: (arm, FINGERS))

    def refused() -> bool:
        try:
            return sequence.motion_target() is not None
        except error:
            return True

    until(refused)
    for _ in range(2):
        with pytest.raises(error):
            sequence.motion_target()
    assert sequence.ticks == 0 and not sequence.progress()["done"]


def test_the_timing_of_a_run_outlives_it(sequence: Sequence) -> None:
    sequence.enter(State.RUN, measured)
    for k in range(3):
        sequence.timer.begin(k * 16_666_667)
        sequence.timer.end(k * 16_666_667 + 1_000_000)
    sequence.enter(State.HOLD, measured)
    sequence.enter(State.RETREAT, measured)
    assert sequence.last_run["loop_duration_ms"]["n"] == 3 and sequence.last_run["overruns"] == 0


def test_a_paused_run_stands_still_and_goes_on_where_it_was(sequence: Sequence) -> None:
    """Pace changes by no more than a standstill within 0.3 s would: 1/18 per tick; targets in between lie on the line between two."""
    sequence.enter(State.RUN, measured)
    given = [sequence.run_target()[0]]
    for pace in [1.0] + [0.0] * 30 + [1.0] * 60:
        sequence.advance(pace)
        given.append(sequence.run_target()[0])
    steps = np.diff(given)
    # The run is 4 ticks long: it had to end somewhere in the braking, and the last target is 4.
    assert steps[0] == 1.0 and (np.diff(steps[:3]) >= -1.0 / 18 - 1e-9).all() and given[-1] == 4.0


def test_a_slow_run_gives_targets_in_between_and_ends_at_the_last(sequence: Sequence) -> None:
    sequence.enter(State.RUN, measured)
    given, last = [], []
    for _ in range(17):
        given.append(float(sequence.run_target()[0]))
        last.append(sequence.advance(0.25))
    # The fourth and last target is reached after three quarters of the ticks, and held.
    assert given == [min(1.0 + 0.25 * k, 4.0) for k in range(17)]
    assert last == [k == 15 for k in range(17)]
    assert sequence.progress()["tick"] == 4 and sequence.progress()["done"]
