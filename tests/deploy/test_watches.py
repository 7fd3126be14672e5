"""Watches that depend on how one measurement follows another."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.drivers.protocols import ObjectPose
from dextrack_deploy.faults import Fault
from dextrack_deploy.graph import MOTION
from dextrack_deploy.status import State
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Measurements, Watcher

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


def test_an_object_whose_estimator_hardly_knows_where_it_is_counts_as_lost() -> None:
    """The worst direction counts, whatever the axes; an estimator that says nothing of it is believed."""
    slanted = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    for position, rotation, lost in ((0.02, 0.3, False), (0.04, 0.3, True), (0.02, 0.5, True), (np.nan, 0.0, True)):
        covariance = np.zeros((6, 6))
        covariance[:3, :3], covariance[3:, 3:] = position**2 * slanted, rotation**2 * slanted
        seen = ObjectPose(0, np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), covariance)
        m = Measurements(stamps={"object_pose": 0.0}, object_position_w=np.zeros(3), object_deviation=seen.deviation)
        said = found(watcher(), m, 0.0, State.RUN, Fault.OBJECT_LOST)
        assert bool(said) == lost
    assert "to within inf m" in said[0]
    assert not found(watcher(), Measurements(stamps={"object_pose": 0.0}, object_position_w=np.zeros(3)), 0.0, State.RUN, Fault.OBJECT_LOST)


@pytest.mark.parametrize("state", [State.RUN, State.APPROACH, State.RETREAT])
@pytest.mark.parametrize("frozen", ["fingers", "arm_q"])
def test_joints_that_read_the_same_for_ever_are_noticed_once_what_they_follow_has_moved(state: State, frozen: str) -> None:
    """Stamps are new and values plausible: only that nothing changes gives them away. A hand that stands because nothing moves is no frozen one."""
    w, speed = watcher(), 0.2
    w.begin(Measurements(shadow=np.full(22, -1.0), arm_target=np.full(7, -1.0), finger_target=np.full(16, -1.0)))
    for now in np.arange(0.0, 4.0, 1 / 30):
        # What an earlier motion asked for lasts while this one is planned.
        followed = {"shadow": np.full(22, -1.0), "arm_target": np.full(7, -1.0), "finger_target": np.full(16, -1.0)}
        if now >= 1.0:
            followed = {name: np.full(len(v), speed * (now - 1.0)) for name, v in followed.items()}
        reading = {"fingers": np.full(16, 0.01 * now), "arm_q": np.full(7, 0.01 * now)} | {frozen: np.zeros({"fingers": 16, "arm_q": 7}[frozen])}
        said = [s for s in found(w, Measurements(**followed, **reading), now, state, Fault.STALE_SENSOR) if "last bit" in s]
        if said:
            break
    limit = w.limits.unseen_m if (state, frozen) == (State.RUN, "arm_q") else w.limits.unseen_rad
    assert now == pytest.approx(1.0 + limit / speed + w.limits.unseen_for_s, abs=0.08) and frozen in said[0]


@pytest.mark.parametrize("state", [State.RUN, State.APPROACH])
def test_joints_that_read_anything_new_are_not_frozen(state: State) -> None:
    """Even a finger that is blocked by the object flickers by a step of its encoder now and then, or another one moves."""
    w = watcher()
    for k, now in enumerate(np.arange(0.0, 3.0, 1 / 30)):
        fingers, arm = np.zeros(16), np.zeros(7)
        fingers[4] = arm[2] = 0.0015 * (k // 5 % 2)
        m = Measurements(fingers=fingers, arm_q=arm, shadow=np.full(22, 0.4 * now), arm_target=np.full(7, 0.4 * now), finger_target=np.full(16, 0.4 * now))
        assert not [s for s in found(w, m, now, state, Fault.STALE_SENSOR) if "last bit" in s]
