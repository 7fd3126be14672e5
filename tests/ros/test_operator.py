"""What the operator's program asks of the supervisor, where the supervisor says no."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from dextrack_deploy import graph
from dextrack_deploy.status import Reaction, State, Status
from dextrack_ros import dds, operator
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

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


class Asked:
    """An operator that asks, and somebody who acts once they are asked; both over real DDS."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.act: Callable[[], object] | None = None
        self._somebody, self._other = Node("somebody"), SingleThreadedExecutor()
        self._other.add_node(self._somebody)
        self.client = self._somebody.create_client(Trigger, graph.PROCEED)
        self.operator = operator.Operator((), self.said.append, self._look, asks=True)

    def _look(self) -> None:
        self._other.spin_once(timeout_sec=0.0)
        if self.said and self.act is not None:
            act, self.act = self.act, None
            act()

    def tell(self, state: State, why: str = "") -> None:
        """What the supervisor says."""
        self.operator._hear_status(String(data=Status(state, Reaction.HOLD, why).encode()))

    def when_asked(self, what: str, act: Callable[[], object]) -> bool:
        """Whether ``what`` may begin, where somebody does ``act`` when the question is there."""
        self.said.clear()
        self.act = act
        found = self.operator._may_begin(what)
        assert f"{what}? It begins with g, or a call of /operator/proceed" in self.said[0]
        return found

    def close(self) -> None:
        self.operator.close()
        self._other.remove_node(self._somebody)
        self._somebody.destroy_node()


@pytest.fixture
def asked(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    for key in dds.settings({}):
        monkeypatch.setenv(key, environment[key])
    rclpy.init(domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    found = Asked()
    yield found
    found.close()
    rclpy.shutdown()


def test_on_real_devices_nothing_begins_before_somebody_says_so(asked: Asked) -> None:
    press = asked.operator.press
    asked.tell(State.READY)
    assert asked.when_asked("run", lambda: press("proceed"))
    assert not asked.when_asked("run", lambda: press("quit")) and asked.operator._left
    # A stop is no word; who asks the supervisor for that very motion has said it.
    assert not asked.when_asked("run", lambda: asked.tell(State.FAULT, "somebody pressed the emergency stop")) and not asked.operator._left
    asked.tell(State.HOLD)
    assert asked.when_asked("retreat", lambda: asked.tell(State.RETREAT))


def test_without_a_terminal_the_word_is_a_service_and_says_where_nothing_waits(asked: Asked) -> None:
    answers: list[Any] = []

    def call() -> None:
        asked.client.call_async(Trigger.Request()).add_done_callback(lambda f: answers.append(f.result()))

    asked.tell(State.READY)
    assert asked.client.wait_for_service(10.0)
    assert asked.when_asked("run", call)
    # A word that nothing waits for is none for what comes later.
    asked.operator.press("proceed")
    call()
    assert asked.operator.lifecycle.spin_until(lambda: len(answers) == 2, 10.0)
    assert [(a.success, a.message) for a in answers] == [(True, "run begins"), (False, "nothing is waited with")]
    assert not asked.when_asked("run", lambda: asked.operator.press("quit"))


@pytest.mark.parametrize(
    ("state", "ended", "why"), [(State.IDLE, "refused", "nobody let the approach begin"), (State.FAULT, "fault", "somebody pressed the emergency stop")]
)
def test_a_trial_that_was_not_let_begin_ends_with_its_reason(asked: Asked, state: State, ended: str, why: str) -> None:
    asked.tell(State.IDLE)
    asked.act = (lambda: asked.operator.press("quit")) if state is State.IDLE else lambda: asked.tell(state, why)
    outcome = asked.operator.run_trial(1.0)
    assert outcome.ended == ended and why in outcome.reason


def test_a_finished_trial_stays_one_whatever_happens_at_the_last_question(asked: Asked) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    asked.tell(State.HOLD)
    asked.act = interrupt
    asked.operator._go_home()
    assert asked.operator._left and "interrupted" in asked.said[-1]
