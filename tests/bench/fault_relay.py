"""A process between a publisher and its subscribers, which spoils what goes through: the injecting half of most cells of the fault matrix.

    python fault_relay.py hand/joint_states arm/joint_states

The publisher is started with ``-r TOPIC:=TOPIC_raw``; the relay hears TOPIC_raw and publishes TOPIC, byte for byte and with the graph's quality of
service, until a line on its standard input names a fault: ``{"fault": "lost"}``. ``{"fault": "none"}`` ends it. The end of the input ends the relay.

- lost: nothing goes through. late: everything comes 0.4 s late.
- frozen: at each message the last one before the fault comes again, stamp and all; frozen_fresh: with the stamp of the new one.
- jumping: every other message is a step away: 0.5 rad, 0.3 m, or a status that says HOLD. nan, tenfold: values that are none, or far outside any limit.
- uncertain: true poses, of which the estimator says that it knows the place to 0.1 m.
- stamp_zero, stamp_behind, stamp_frozen, stamp_jumping, stamp_ahead: true values under a wrong time.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from dextrack_deploy import graph
from dextrack_deploy.status import State, Status
from dextrack_ros import dds, messages, realtime
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

LATE_S = 0.4
STEP_RAD, STEP_M = 0.5, 0.3
UNCERTAIN_M = 0.1
FAR = 10.0
"""Times pi, rad, or times one metre."""
BEHIND_S, AHEAD_S, JUMP_S = 1.0, 3600.0, 1.0
POLL_S = 0.005
"""How exactly a late message is late."""


def raw_name(topic: str) -> str:
    """The name under which the publisher of ``topic`` publishes in a cell of the matrix."""
    return f"{topic}_raw"


def _header(message: Any) -> Any:
    """What holds the stamp: the operator's heartbeat is a header, and has none."""
    return getattr(message, "header", message)


def _frozen(_: Any, last: Any, __: int) -> Any:
    return last


def _frozen_fresh(message: Any, last: Any, _: int) -> Any:
    _header(last).stamp = _header(message).stamp
    return last


def _uncertain(message: Any, _: Any, __: int) -> Any:
    message.pose.covariance[:] = UNCERTAIN_M**2 * np.eye(6).ravel()
    return message


def _jumping(message: Any, _: Any, count: int) -> Any:
    if count % 2:
        return message
    if hasattr(message, "pose"):
        message.pose.pose.position.x += STEP_M
    elif hasattr(message, "data"):
        message.data = dataclasses.replace(Status.decode(message.data), state=State.HOLD).encode()
    elif hasattr(message, "position"):
        message.position = [v + (STEP_M if n.startswith("t") else STEP_RAD) for n, v in zip(message.name, message.position, strict=True)]
    return message


def _nan(message: Any, _: Any, __: int) -> Any:
    if hasattr(message, "pose"):
        message.pose.pose.position.x = float("nan")
    else:
        message.position = [float("nan")] * len(message.position)
    return message


def _tenfold(message: Any, _: Any, __: int) -> Any:
    if hasattr(message, "pose"):
        message.pose.pose.position.x = FAR
    elif hasattr(message, "data"):
        message.data = '{"state": "SPRINT"}'
    else:
        message.position = [FAR * (1.0 if n.startswith("t") else 3.14) for n in message.name]
    return message


def _stamp_zero(message: Any, _: Any, __: int) -> Any:
    _header(message).stamp = messages.to_time(0)
    return message


def _stamp_frozen(message: Any, last: Any, _: int) -> Any:
    _header(message).stamp = _header(last).stamp
    return message


def _shifted(message: Any, seconds: float) -> Any:
    _header(message).stamp = messages.to_time(messages.from_time(_header(message).stamp) + round(seconds * messages.NANOSECONDS))
    return message


CHANGES: dict[str, Callable[[Any, Any, int], Any]] = {
    "frozen": _frozen,
    "frozen_fresh": _frozen_fresh,
    "jumping": _jumping,
    "uncertain": _uncertain,
    "nan": _nan,
    "tenfold": _tenfold,
    "stamp_zero": _stamp_zero,
    "stamp_behind": lambda message, _, __: _shifted(message, -BEHIND_S),
    "stamp_frozen": _stamp_frozen,
    "stamp_jumping": lambda message, _, count: _shifted(message, 0.0 if count % 2 else JUMP_S),
    "stamp_ahead": lambda message, _, __: _shifted(message, AHEAD_S),
}
"""(message, the last one before the fault, messages since then) -> what is published instead."""
FAULTS = ("none", "lost", "late", *CHANGES)


class Relay:
    """One topic."""

    def __init__(self, node: Node, topic: str) -> None:
        entry = graph.topic(topic)
        self.fault = "none"
        self._class = messages.message_class(entry.type)
        self._last: bytes | None = None
        self._count = 0
        self._late: collections.deque[tuple[float, bytes]] = collections.deque()
        self._publisher = node.create_publisher(self._class, entry.name, messages.qos(entry.qos))
        node.create_subscription(self._class, raw_name(entry.name), self._hear, messages.qos(entry.qos), raw=True)

    def _hear(self, raw: bytes) -> None:
        fault = self.fault
        if fault == "none":
            self._last, self._count = raw, 0
            self._late.clear()
            self._publisher.publish(raw)
        elif fault == "late":
            self._late.append((time.monotonic() + LATE_S, raw))
        elif fault in CHANGES and self._last is not None:
            message, last = (deserialize_message(r, self._class) for r in (raw, self._last))
            self._publisher.publish(CHANGES[fault](message, last, self._count))
            self._count += 1

    def publish_due(self) -> None:
        """Let through what has been late for long enough."""
        while self._late and self._late[0][0] <= time.monotonic():
            self._publisher.publish(self._late.popleft()[1])


def main() -> int:
    """Relay the topics of the command line until the input ends."""
    dds.keep_on_loopback()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node("fault_relay", start_parameter_services=False, enable_rosout=False)
    relays = [Relay(node, topic) for topic in sys.argv[1:]]
    ended = threading.Event()

    def obey() -> None:
        for line in sys.stdin:
            fault = json.loads(line)["fault"]
            assert fault in FAULTS, fault
            for relay in relays:
                relay.fault = fault
        ended.set()

    threading.Thread(target=obey, daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.create_timer(POLL_S, lambda: [relay.publish_due() for relay in relays])
    # As the nodes on both sides of it: what is measured is the fault's effect, and not the relay's wait for a core.
    realtime.begin(os.getpid())
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.1)
    # Like a node's process: the middleware's own end may hang.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
