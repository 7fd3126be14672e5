"""Watches that depend on how one measurement follows another."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.faults import Fault
from dextrack_deploy.graph import MOTION
from dextrack_deploy.status import State
from dextrack_deploy.watches import Measurements, Watcher, WatchLimits

ARM, HAND = tuple(f"fr3_joint{i}" for i in range(1, 8)), ("tx", "ty", "tz", "rx", "ry", "rz", *(str(i) for i in range(16)))


def watcher() -> Watcher:
    arm, hand = (np.full(7, -2.5), np.full(7, 2.5), np.full(7, 2.0)), (np.full(22, -2.0), np.full(22, 2.0), np.full(22, 3.0))
    return Watcher(WatchLimits(*arm, *hand), HAND, ARM)


def found(w: Watcher, m: Measurements, now: float, state: State, fault: Fault) -> list[str]:
    """What is said of ``fault``; nothing else was measured."""
    return [str(r) for r in w.reasons(m, now, state) if r.fault is fault]


@pytest.mark.parametrize("state", [State.APPROACH, State.RETREAT])
@pytest.mark.parametrize("heard", [None, -0.5])
def test_targets_of_a_slow_motion_that_are_lost_are_noticed(state: State, heard: float | None) -> None:
    """The controller goes on counting: where its targets came through again, the cell would cut across to them."""
    w, stamps = watcher(), {} if heard is None else {MOTION: heard}
    for now in np.arange(0.0, 2.0, 0.1):
        assert not found(w, Measurements(stamps=stamps), now, state, Fault.STALE_COMMAND), "planning takes a while, and gives no targets"
    for now in np.arange(2.0, 4.0, 0.1):
        assert not found(w, Measurements(stamps={MOTION: now - 0.02}, ticks=9), now, state, Fault.STALE_COMMAND)
    begin = 4.0
    for now in np.arange(begin, 6.0, 1.0 / 60.0):
        said = found(w, Measurements(stamps=stamps, ticks=9), now, state, Fault.STALE_COMMAND)
        if said:
            break
    assert now - begin == pytest.approx(w.limits.followed_s[1], abs=0.02)
    assert said[0].startswith("stale command: motion/joint_targets " + ("was never heard" if heard is None else "carries a sample"))


def test_an_object_may_go_farther_where_poses_were_missed_and_no_faster_than_a_hand() -> None:
    """At 0.9 m/s a camera that missed three images shows a step of 12 cm: that is no jump; 20 cm in the same time are."""
    for step, seconds, jumped in ((0.09, 1 / 30, False), (0.11, 1 / 30, True), (0.12, 0.13, False), (0.2, 0.13, True)):
        w = watcher()
        for at, x in ((0.0, 0.0), (seconds, step)):
            said = found(w, Measurements(stamps={"object_pose": at}, object_position_w=np.array([x, 0.0, 0.05])), at, State.RUN, Fault.OBJECT_JUMP)
        assert bool(said) == jumped
    assert said == ["object jump: the object moved 0.200 m between two poses 130 ms apart (limit 0.197 m)"]
