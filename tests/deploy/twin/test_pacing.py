from __future__ import annotations

import pytest
from dextrack_deploy.twin.pacing import Pacer


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s

    def wall_ns(self) -> int:
        return 10**18 + round(self.s * 1e9)


def make(step_s: float = 0.01) -> tuple[Pacer, Clock]:
    clock = Clock()
    return Pacer(step_s, clock, clock.wall_ns), clock


def take_all(pacer: Pacer) -> int:
    count = 0
    while pacer.take():
        count += 1
    return count


def test_a_step_is_due_when_it_ends_so_that_stamps_are_never_in_the_future() -> None:
    pacer, clock = make()
    assert not pacer.take()
    steps = 0
    for _ in range(1000):
        clock.s += 0.0037
        steps += take_all(pacer)
        assert pacer.stamp(steps * 0.01) <= clock.wall_ns() + 1
    # 3.7 s hold 370 steps; the last is due within rounding of the last instant.
    assert steps in (369, 370)


def test_lateness_is_measured_and_caught_up() -> None:
    pacer, clock = make()
    clock.s += 0.05
    assert take_all(pacer) == 5
    report = pacer.report()
    assert report["lateness_max_ms"] == pytest.approx(40.0)
    assert (report["overruns"], report["slips"]) == (3, 0)


def test_a_long_stall_is_given_up_and_stamps_stay_near_the_clock() -> None:
    pacer, clock = make()
    clock.s += 3.0
    assert take_all(pacer) == 1
    assert pacer.slips == 1 and pacer.slipped_s == pytest.approx(2.99)
    assert abs(pacer.stamp(0.01) - clock.wall_ns()) < 1_000
