"""The nodes' executor: what rclpy's does, and what it leaves out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Int64
from std_srvs.srv import Trigger

Spin = Callable[..., bool]


@pytest.fixture
def node(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node in the default context, in a domain of its own."""
    from dextrack_ros import dds

    for key in dds.settings({}):
        monkeypatch.setenv(key, environment[key])
    rclpy.init(domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("tested")
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def until(executor: object, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        executor.spin_once(0.05)
    return condition()


def executor_of(node: Node, **options: object) -> object:
    from dextrack_ros.executor import NodeExecutor

    executor = NodeExecutor(**options)
    executor.add_node(node)
    return executor


def test_messages_timers_services_and_answers(node: Node, observer: Node, spin: Spin) -> None:
    executor, heard, beats = executor_of(node), [], []
    node.create_subscription(Int64, "numbers", lambda m: heard.append(m.data), 10)
    node.create_timer(0.02, lambda: beats.append(time.monotonic()))

    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = "here"
        return response

    node.create_service(Trigger, "ask", answer)
    publisher = observer.create_publisher(Int64, "numbers", 10)
    assert until(executor, lambda: publisher.get_subscription_count() == 1)
    for n in range(5):
        publisher.publish(Int64(data=n))
    assert until(executor, lambda: len(heard) == 5) and heard == [0, 1, 2, 3, 4]
    # Its own service too: request and answer are both left to rclpy.
    client = node.create_client(Trigger, "ask")
    assert until(executor, client.service_is_ready)
    done: list[str] = []
    client.call_async(Trigger.Request()).add_done_callback(lambda future: done.append(future.result().message))
    assert until(executor, lambda: done == ["here"])
    beats.clear()
    until(executor, lambda: False, 1.0)
    assert 35 <= len(beats) <= 51


def test_an_rclpy_that_is_built_otherwise_does_it_all(node: Node, observer: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dextrack_ros.executor._NEEDED", ("_nothing_of_that_name",))
    heard: list[int] = []
    node.create_subscription(Int64, "numbers", lambda m: heard.append(m.data), 10)
    executor = executor_of(node)
    publisher = observer.create_publisher(Int64, "numbers", 10)
    assert until(executor, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Int64(data=7))
    assert until(executor, lambda: heard == [7])


def test_a_callback_that_destroys_a_timer_that_is_due(node: Node) -> None:
    executor, called = executor_of(node), []

    def first() -> None:
        called.append("first")
        node.destroy_timer(second)

    node.create_timer(0.02, first)
    second = node.create_timer(0.02, lambda: called.append("second"))
    time.sleep(0.05)
    until(executor, lambda: len(called) >= 3, 2.0)
    assert called[:3] == ["first"] * 3
    # One that is made in a callback runs as well.
    node.create_timer(0.01, lambda: called.append("third"))
    assert until(executor, lambda: "third" in called, 2.0)


def test_an_exception_of_a_callback_comes_out(node: Node) -> None:
    executor = executor_of(node)
    node.create_timer(0.01, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        until(executor, lambda: False, 2.0)


def test_waiting_ends_in_time_and_with_the_context(node: Node) -> None:
    executor = executor_of(node)
    begin = time.monotonic()
    executor.spin_once(0.2)
    executor.spin_once(0.2)
    assert 0.15 < time.monotonic() - begin < 2.0
    rclpy.shutdown()
    with pytest.raises(ExternalShutdownException):
        executor.spin_once(0.2)


def test_gathered_messages_keep_the_order_in_which_they_came(node: Node, observer: Node) -> None:
    executor, heard, stamps = executor_of(node, gather_s=0.2), [], []

    def note(message: Int64, info: dict[str, int]) -> None:
        heard.append(message.data)
        stamps.append(info["received_timestamp"])

    for topic in ("odd", "even"):
        node.create_subscription(Int64, topic, note, 10)
    publishers = [observer.create_publisher(Int64, topic, 10) for topic in ("even", "odd")]
    assert until(executor, lambda: all(p.get_subscription_count() == 1 for p in publishers))
    for n in range(8):
        publishers[n % 2].publish(Int64(data=n))
        time.sleep(0.01)
    executor.spin_once(2.0)
    assert heard == list(range(8))
    assert stamps == sorted(stamps) and abs(stamps[-1] - time.time_ns()) < 2e9


def test_what_is_fetched_wakes_nobody(node: Node, observer: Node) -> None:
    from dextrack_ros.executor import hand_over

    heard: list[int] = []
    fetched = [node.create_subscription(Int64, "numbers", lambda m: heard.append(m.data), 3)]
    executor = executor_of(node, fetched=fetched)
    publisher = observer.create_publisher(Int64, "numbers", 10)
    assert until(executor, lambda: publisher.get_subscription_count() == 1)
    for n in range(5):
        publisher.publish(Int64(data=n))
    until(executor, lambda: bool(heard), 0.5)
    assert heard == []
    hand_over(fetched)
    assert heard == [2, 3, 4], "the newest, as many as it keeps"
