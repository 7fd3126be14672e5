"""What the drivers are told to do beside the state: a reaction that only the operator makes weaker."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.cell.config import Safety
from dextrack_deploy.drivers.leap_registers import settings
from dextrack_deploy.faults import Fault
from dextrack_deploy.status import Reaction, State, Status
from dextrack_deploy.supervisor import Event
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Watcher

from dextrack.hands import load_hand
from tests.deploy.test_supervisor import LASTING, VIOLATIONS, good, supervisor


def test_shutting_down_after_a_hot_motor_does_not_give_the_hand_its_torque_back() -> None:
    s = supervisor(State.RUN)
    s.observe(good(0.0, temperature=np.full(16, 66.0)), 0.0)
    assert (s.state, s.status.reaction) == (State.FAULT, Reaction.DROP_TORQUE)
    assert s.request(Event.CLEANUP, 0.0).accepted
    assert (s.state, s.status.reaction) == (State.UNCONFIGURED, Reaction.DROP_TORQUE)


@pytest.mark.parametrize("event", [Event.HOLD, Event.CLEANUP])
def test_a_softened_hand_stays_soft_when_it_is_told_to_hold_or_shut_down(event: Event) -> None:
    s = supervisor(State.RUN)
    for now in (0.0, 1.1):
        s.observe(good(now, current=np.full(16, 0.6)), now)
    for now in (1.2, 2.3):
        s.observe(good(now, current=np.full(16, 0.6)), now)
    assert (s.state, s.status.reaction) == (State.HOLD, Reaction.SOFTEN)
    assert s.request(event, 2.3).accepted and s.status.reaction is Reaction.SOFTEN


def test_a_stopped_cell_is_told_a_stronger_reaction_never_a_weaker_one() -> None:
    s = supervisor(State.RUN)
    s.observe(good(0.0, **VIOLATIONS[Fault.TRIAL_LOG]), 0.0)
    assert s.status == Status(State.HOLD, Reaction.HOLD, s.status.reason)
    for now in (0.1, 1.2):
        s.observe(good(now, **LASTING[Fault.CURRENT]), now)
    assert s.state is State.HOLD and s.status.reaction is Reaction.SOFTEN
    s.observe(good(1.3), 1.3)
    assert s.status.reaction is Reaction.SOFTEN
    s.observe(good(1.4, **VIOLATIONS[Fault.DRIVER]), 1.4)
    assert s.state is State.FAULT and s.status.reaction is Reaction.STOP_ARM
    s.observe(good(1.5, **VIOLATIONS[Fault.TEMPERATURE]), 1.5)
    assert s.status.reaction is Reaction.DROP_TORQUE
    s.observe(good(1.6, **VIOLATIONS[Fault.DRIVER]), 1.6)
    assert s.status.reaction is Reaction.DROP_TORQUE


def test_an_emergency_stop_that_was_never_heard_is_looked_for_where_it_is_listened_for() -> None:
    cell = dataclasses.replace(load_cell("twin"), safety=Safety("topic"))
    hand, arm = load_hand(cell.hand.model), load_arm(cell.arm.model)
    found = WatchLimits.of_cell(cell, arm, hand, (), "on the topic estop of ROS domain 42")
    silent = good(0.0, stamps={k: v for k, v in good(0.0).stamps.items() if k != "estop"})
    reasons = Watcher(found, hand.joint_names, arm.joint_names).reasons(silent, 0.0, State.IDLE)
    assert [str(r) for r in reasons] == ["emergency stop: this cell has one, and it was never heard on the topic estop of ROS domain 42"]


def test_a_motor_at_the_limit_that_its_cell_sets_is_noticed_and_a_firm_grasp_is_not() -> None:
    """The driver caps the current, so that none ever draws more than its limit."""
    cell = load_cell("twin")
    hand = load_hand(cell.hand.model)
    found = WatchLimits.of_cell(cell, load_arm(cell.arm.model), hand, ())
    capped = 1e-3 * settings(hand).current_ma
    watcher = Watcher(found, hand.joint_names, load_arm(cell.arm.model).joint_names)

    def softened_after(current: np.ndarray, seconds: float) -> float | None:
        for now in np.arange(0.0, seconds, 0.1):
            measured = good(now, current=current)
            if Fault.CURRENT in [r.fault for r in watcher.reasons(measured, now, State.RUN)]:
                return float(now)
        watcher.forget("current")
        return None

    stalled = np.where(np.arange(16) == 5, capped, 0.1)
    assert softened_after(stalled, 9.0) is None, "a wineglass is held so for 9 s"
    assert softened_after(0.9 * stalled, 60.0) is None
    assert softened_after(stalled, 60.0) == pytest.approx(found.current_for_s, abs=0.2)
