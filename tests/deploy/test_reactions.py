"""What the drivers are told to do beside the state: a reaction that only the operator makes weaker."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.status import Reaction, State
from dextrack_deploy.supervisor import Event

from tests.deploy.test_supervisor import good, supervisor


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
