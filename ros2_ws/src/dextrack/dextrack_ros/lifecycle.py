"""LifecycleClient: drives other nodes through their lifecycle services, and hears why one refused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from dextrack_deploy import graph
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from dextrack.errors import DriverError, RefusedError
from dextrack_ros import messages

CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP

_SHUTDOWN_FROM = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
_AFTER = {CONFIGURE: "inactive", ACTIVATE: "active", DEACTIVATE: "inactive", CLEANUP: "unconfigured"}
_NAMES = {CONFIGURE: "configure", ACTIVATE: "activate", DEACTIVATE: "deactivate", CLEANUP: "clean up"}

Interrupt = Callable[[], None]
"""Called while waiting; raises to end the wait (Ctrl-C, a node that died)."""
_ALIVE_S = 1.5
"""Who was heard this recently is asked to end; who was not would not answer."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A transition that was asked for."""

    transition: int
    futures: dict[str, Future]
    """Node: its answer."""


def _answer(future: Future) -> Any:
    """The answer of a future that is done."""
    return future.result()


class LifecycleClient:
    """Transitions of other nodes, requested from ``node`` and waited for on ``executor``."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor, names: Sequence[str], interrupt: Interrupt) -> None:
        """Prepare to drive the nodes ``names``."""
        self._executor = executor
        self._interrupt = interrupt
        self.errors: dict[str, str] = {}
        """Node: the error in its newest heartbeat."""
        self.values: dict[str, dict[str, str]] = {}
        """Node: the values of its newest heartbeat."""
        self._state: dict[str, str] = {}
        self._heard: dict[str, float] = {}
        self._clients: dict[str, Client] = {n: node.create_client(ChangeState, f"{n}/change_state") for n in names}
        entry = graph.topic("/diagnostics")
        node.create_subscription(DiagnosticArray, entry.name, self._hear, messages.qos(entry.qos))

    def wait_for_nodes(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until the services and heartbeats of the nodes ``names`` are there.

        Raises:
            DriverError: one is missing after ``timeout_s``.
        """
        missing: list[str] = []

        def all_there() -> bool:
            missing[:] = [n for n in names if n not in self.values or not self._clients[n].service_is_ready()]
            return not missing

        if not self.spin_until(all_there, timeout_s):
            raise DriverError(f"these nodes did not appear within {timeout_s:.0f} s: {', '.join(missing)}.", remedy="read their logs in the trial folder.")

    def begin(self, names: Sequence[str], transition: int) -> Change:
        """Ask the nodes ``names`` for one ``transition`` at once."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return Change(transition, {n: self._clients[n].call_async(request) for n in names})

    def finish(self, change: Change, timeout_s: float) -> None:
        """Wait until every node has done what ``change`` asked for.

        Raises:
            RefusedError: a node refused; with its reason.
            DriverError: a node did not answer in time.
        """
        futures, what = change.futures, _NAMES[change.transition]
        if not self.spin_until(lambda: all(f.done() for f in futures.values()), timeout_s):
            silent = ", ".join(n for n, f in futures.items() if not f.done())
            raise DriverError(f"no answer to `{what}` within {timeout_s:.0f} s from: {silent}.", remedy="read its log in the trial folder.")
        refused = [n for n, f in futures.items() if not _answer(f).success]
        self._state.update({n: _AFTER[change.transition] for n in futures if n not in refused})
        if refused:
            # A node publishes why just before it answers; the two come through different sockets.
            self.spin_until(lambda: all(self.errors.get(n) for n in refused), 1.0)
            why = "; ".join(f"{n}: {self.errors.get(n) or 'no reason given'}" for n in refused)
            raise RefusedError(f"node refused to {what}: {why}", remedy="repair that, and start again.")

    def shut_down(self, names: Sequence[str], timeout_s: float) -> None:
        """Ask the nodes ``names`` to end, from whatever state each is in. Best effort: a process whose node does not answer is ended as a process."""
        now = time.monotonic()
        alive = [n for n in names if now - self._heard.get(n, 0.0) < _ALIVE_S and self._clients[n].service_is_ready()]
        changes = [self.begin([n], _SHUTDOWN_FROM[self._state.get(n, "unconfigured")]) for n in alive]
        self.spin_until(lambda: all(f.done() for c in changes for f in c.futures.values()), timeout_s)

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Spin until ``condition`` or for ``timeout_s``; whether the condition came true.

        The clock is read before the condition: what came true in the last spin counts, however late that ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            late = time.monotonic() > deadline
            if condition():
                return True
            if late:
                return False
            self._interrupt()
            self._executor.spin_once(timeout_sec=0.05)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._heard[status.name] = time.monotonic()
            self.errors[status.name] = status.message if status.level == DiagnosticStatus.ERROR else ""
            self.values[status.name] = messages.from_status(status)
