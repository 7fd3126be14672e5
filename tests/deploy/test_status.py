"""What the supervisor tells everybody, and the limits that it watches: rubbish is refused."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.status import BEGINS, MOVING, Reaction, State, Status
from dextrack_deploy.supervisor import TRANSITIONS
from dextrack_deploy.watch_limits import WatchLimits

from dextrack.errors import InputError


def test_a_motion_begins_where_the_supervisor_s_table_lets_it_begin() -> None:
    """A run that pauses or goes on stays a run."""
    assert {(before, after) for (before, _), after in TRANSITIONS.items() if after in MOVING and before is not after} == {(b, a) for a, b in BEGINS.items()}


def test_status_survives_its_text_and_rubbish_is_refused() -> None:
    for status in (Status(State.FAULT, Reaction.DROP_TORQUE, 'motor "3" has 90 C | ü'), Status(State.RUN, pace=0.25)):
        assert Status.decode(status.encode()) == status
    for text in ("", "RUN", "[]", '{"state": "FLY", "reaction": "HOLD", "reason": ""}', '{"state": "RUN"}', "null", Status(State.RUN, pace=1.5).encode()):
        with pytest.raises(InputError):
            Status.decode(text)


def test_limits_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match="arm"):
        WatchLimits(np.full(7, 2.5), np.full(7, -2.5), np.full(7, 2.0), np.full(22, -2.0), np.full(22, 2.0), np.full(22, 3.0))
