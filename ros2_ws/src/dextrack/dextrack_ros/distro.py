"""Where rclpy differs between Humble, Jazzy and Kilted: every other module is written as if there were one ROS 2.

``ros2_ws/README.md`` lists what differs, and ``dds`` chooses the profile's variable by the same distros without importing rclpy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation as rclpy_c
from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ["PublisherEventCallbacks", "SubscriptionEventCallbacks", "refuse_wrong_transitions", "takes_info", "with_info"]

Informed = Callable[[Any, Mapping[str, Any]], None]
"""Takes a message and what the middleware knows of it: ``received_timestamp``, ns since the epoch."""


class _Humble:
    """A callback that takes the message alone, as Humble's rclpy calls it, or with what is known of it, as our executor does."""

    def __init__(self, callback: Informed) -> None:
        self._callback = callback

    def __call__(self, message: Any, info: Mapping[str, Any] | None = None) -> None:
        self._callback(message, {"received_timestamp": time.time_ns()} if info is None else info)


def with_info(callback: Informed) -> Callable[..., None]:
    """``callback`` as one that a subscription takes. On Humble the clock stands in for the stamp of a message that rclpy itself hands over."""
    return callback if hasattr(Subscription, "CallbackType") else _Humble(callback)


def takes_info(subscription: Any) -> bool:
    """Whether the callback of ``subscription`` is to get what is known of a message, too."""
    kinds = getattr(Subscription, "CallbackType", None)
    if kinds is None:
        return isinstance(subscription.callback, _Humble)
    return subscription._callback_type is kinds.WithMessageInfo


def refuse_wrong_transitions(node: LifecycleNode) -> None:
    """A transition that ``node`` has none of in its state is refused. In Humble and Jazzy the request raises in the spinning thread, and ends the process."""
    for service in node.services:
        if service.srv_type is ChangeState:
            service.callback = _refusing(node, service.callback)


def _refusing(node: LifecycleNode, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return answer(request, response)
        except rclpy_c.RCLError as error:
            node.get_logger().error(f"transition {request.transition.id} is refused: {error}")
            response.success = False
            return response

    return call
