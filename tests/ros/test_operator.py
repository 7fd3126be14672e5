"""What the operator's program asks of the supervisor, where the supervisor says no."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
import rclpy
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


def test_on_real_devices_nothing_begins_before_somebody_says_so(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The word is a key, or a service where there is no terminal; who leaves instead, or a cell that stops meanwhile, ends the wait."""
    from dextrack_deploy.status import Reaction, State, Status
    from dextrack_ros import dds
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions
    from std_msgs.msg import String
    from std_srvs.srv import Trigger

    for key in dds.settings({}):
        monkeypatch.setenv(key, environment[key])
    rclpy.init(domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    said: list[str] = []
    todo: list[Callable[[], object]] = []
    somebody = Node("somebody")
    other = SingleThreadedExecutor()
    other.add_node(somebody)
    client = somebody.create_client(Trigger, operator.PROCEED)

    def look() -> None:
        other.spin_once(timeout_sec=0.0)
        if todo and said:
            todo.pop()()

    one = operator.Operator((), said.append, look, asks=True)
    stopped = String(data=Status(State.FAULT, Reaction.STOP_ARM, "somebody pressed the emergency stop").encode())
    try:
        for act, expected in (
            (lambda: one.press("proceed"), True),
            (lambda: one.press("quit"), False),
            (lambda: one._hear_status(stopped), False),
        ):
            said.clear()
            todo[:] = [act]
            assert one._may_begin("run") is expected
            assert "run? g, or a call of /operator/proceed: it begins" in said[0]
        assert client.wait_for_service(10.0)
        said.clear()
        todo[:] = [lambda: client.call_async(Trigger.Request())]
        assert one._may_begin("retreat")
        # A word that nothing waited for is none for what comes later.
        one.press("proceed")
        said.clear()
        todo[:] = [lambda: one.press("quit")]
        assert not one._may_begin("approach")
        todo[:] = [lambda: one.press("quit")]
        outcome = one.run_trial(1.0)
        assert outcome.ended == "fault" and "emergency stop" in outcome.reason
    finally:
        one.close()
        other.remove_node(somebody)
        somebody.destroy_node()
        rclpy.shutdown()
