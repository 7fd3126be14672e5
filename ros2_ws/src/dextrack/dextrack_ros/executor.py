"""The executor of every node's process: timers and messages straight from the wait set, everything else by rclpy's single-threaded one.

For each message rclpy makes a wait set anew, enters a context for each entity, and wraps the callback into a task and two coroutines: half of what a
node of this graph cost. Here the wait set stays while the node's entities do, and callbacks are called. A node has one thread, so nothing is
locked. Timers and messages are all that is frequent: services, events and what was made a task are left where they are for rclpy's own turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rclpy_c
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from rclpy.utilities import timeout_sec_to_nsec

from dextrack_ros.distro import takes_info

_NEEDED = ("_tasks", "_guard", "_sigint_gc", "_nodes", "_context")
"""What of rclpy's executor this one reaches into, besides what it documents."""
_KINDS = ("subscription", "guard_condition", "timer", "client", "service")
"""What a wait set knows by pointer; in the order of its sizes."""


class NodeExecutor(SingleThreadedExecutor):
    """Runs the callbacks of one node in the one thread of its process. Timers' callbacks take no argument."""

    def __init__(self, gather_s: float = 0.0, fetched: Sequence[Any] = ()) -> None:
        """Make the executor of the default context.

        Args:
            gather_s: messages are gathered for so long from the first one, and handed over in the order in which they came: for a node that is
                not in the control loop, and for which being woken is most of the work.
            fetched: subscriptions that are never waited for; the node asks for what came, with ``hand_over``. May grow.
        """
        super().__init__()
        self._gather_s = gather_s
        self._fetched = fetched
        self._known: list[list[Any]] = []
        self._waiting: _Waiting | None = None
        self._leaving = False
        self._strange = any(not hasattr(self, name) for name in _NEEDED)
        """Whether this rclpy is built otherwise: then everything is left to it, which costs more and does the same."""

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait until something is ready, for ``timeout_sec`` at most (None: for ever), and call what is.

        Raises:
            ExternalShutdownException: the context was shut down.
        """
        if self._strange:
            super().spin_once(timeout_sec)
            return
        if any(not task.done() for task, _, _ in self._tasks):
            self._leave_to_rclpy()
            return
        ready = self._wait(timeout_sec)
        for timer in ready["timer"]:
            _call_timer(timer)
        if ready["subscription"] and self._gather_s > 0.0:
            time.sleep(self._gather_s)
            hand_over(self._known[0])
        else:
            for subscription in ready["subscription"]:
                if (taken := _take(subscription)) is not None:
                    _call(subscription, taken)
        for guard in ready["guard_condition"]:
            # Waiting took the trigger; this is how rclpy remembers it.
            guard._executor_triggered = True
        (node,) = self._nodes
        if ready["client"] or ready["service"] or ready["event"] or any(guard._executor_triggered for guard in node.guards):
            self._leave_to_rclpy()

    def _wait(self, timeout_sec: float | None) -> dict[str, list[Any]]:
        """What is ready, by kind."""
        self._check_context()
        (node,) = self._nodes
        own = [g for g in (self._guard, self._sigint_gc) if g is not None]
        # Asked every time, because callbacks make and destroy timers.
        subscriptions = [s for s in node.subscriptions if s not in self._fetched]
        entities = [subscriptions, [*node.guards, *own], [*node.timers], [*node.clients], [*node.services], [*node.waitables]]
        if self._waiting is None or entities != self._known:
            self._known, self._waiting = entities, _Waiting(entities, self._context.handle)
        ready = self._waiting.wait(timeout_sec_to_nsec(timeout_sec))
        self._check_context()
        return ready

    def _check_context(self) -> None:
        if not self._context.ok():
            raise ExternalShutdownException()

    def _leave_to_rclpy(self) -> None:
        """Let rclpy do one thing that is ready and that is not done here."""
        # What is left of its last look may have been done since.
        self._cb_iter = None
        self._leaving = True
        try:
            super().spin_once(0.0)
        finally:
            self._leaving = False

    def can_execute(self, entity: Any) -> bool:
        """Whether rclpy may look at ``entity``. It serves messages first: where they come faster than it takes them, a request would wait for ever."""
        return not (self._leaving and isinstance(entity, (Subscription, Timer))) and super().can_execute(entity)


def hand_over(subscriptions: Sequence[Any]) -> None:
    """Call back with every message of ``subscriptions`` that waits, in the order in which they came."""
    waiting = []
    for subscription in subscriptions:
        # No more than it keeps: a stream that is faster than this ends the round too.
        for _ in range(subscription.qos_profile.depth):
            if (taken := _take(subscription)) is None:
                break
            waiting.append((taken[1]["received_timestamp"], subscription, taken))
    for _, subscription, taken in sorted(waiting, key=itemgetter(0)):
        _call(subscription, taken)


class _Waiting:
    """A wait set for the same entities, time after time."""

    def __init__(self, entities: list[list[Any]], context: Any) -> None:
        """Wait for ``entities`` by kind, in the order of ``_KINDS``, and the waitables behind them."""
        *known, self._waitables = entities
        events = sum(w.get_num_entities().num_events for w in self._waitables)
        self._set = rclpy_c.WaitSet(*(len(members) for members in known), events, context)
        self._handles = [(getattr(self._set, f"add_{kind}"), [e.handle for e in members]) for kind, members in zip(_KINDS, known, strict=True)]
        self._by_pointer = {kind: {e.handle.pointer: e for e in members} for kind, members in zip(_KINDS, known, strict=True)}

    def wait(self, timeout_ns: int) -> dict[str, list[Any]]:
        """What is ready, by kind; waitables as ``event``."""
        # A wait leaves only what is ready in the set.
        self._set.clear_entities()
        for add, handles in self._handles:
            for handle in handles:
                add(handle)
        for waitable in self._waitables:
            waitable.add_to_wait_set(self._set)
        self._set.wait(timeout_ns)
        ready = {kind: [entity for pointer in self._set.get_ready_entities(kind) if (entity := found.get(pointer))] for kind, found in self._by_pointer.items()}
        ready["event"] = [w for w in self._waitables if w.is_ready(self._set)]
        return ready


def _call_timer(timer: Any) -> None:
    try:
        with timer.handle:
            # One that was cancelled meanwhile was in the wait set nevertheless.
            if not timer.handle.is_timer_ready():
                return
            timer.handle.call_timer()
    except InvalidHandle:
        # A callback before this one destroyed it.
        return
    timer.callback()


def _take(subscription: Any) -> tuple[Any, dict[str, Any]] | None:
    """The oldest message that waits, and what is known of it; None where none does."""
    try:
        with subscription.handle:
            taken: tuple[Any, dict[str, Any]] | None = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            return taken
    except InvalidHandle:
        return None


def _call(subscription: Any, taken: tuple[Any, dict[str, Any]]) -> None:
    if takes_info(subscription):
        subscription.callback(*taken)
    else:
        subscription.callback(taken[0])
