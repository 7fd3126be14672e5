"""What the operator's program asks of the supervisor, where the supervisor says no."""

from __future__ import annotations

import types

import pytest
from dextrack_ros import operator

from dextrack.errors import RefusedError


class StandInForAConnection:
    """Answers as a supervisor that refuses so many times; keeps no time and no node."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.asked = refusals, 0
        self.lifecycle = types.SimpleNamespace(spin_until=lambda condition, timeout_s: False)

    def request(self, service: str) -> str:
        self.asked += 1
        if self.asked <= self.refusals:
            raise RefusedError(f"supervisor: {service} is refused: stale sensor", remedy="ask again.")
        return "granted"


def test_a_request_is_repeated_where_one_stall_made_it_refused() -> None:
    connection = StandInForAConnection(refusals=3)
    operator.Operator._insist(connection, "run")
    assert connection.asked == 4


def test_a_request_that_stays_refused_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "_PATIENCE_S", 0.05)
    with pytest.raises(RefusedError, match="stale sensor"):
        operator.Operator._insist(StandInForAConnection(refusals=10**9), "run")
