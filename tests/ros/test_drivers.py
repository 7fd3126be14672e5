"""The driver nodes on devices that write down what they are told, and refuse it where a test says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
import rclpy
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.protocols import ArmReading, HandReading, OverloadError
from dextrack_deploy.status import Reaction, State, Status
from std_msgs.msg import String

from dextrack.errors import DriverError
from dextrack.hands import load_hand

CELL = load_cell("twin")
HAND, ARM = load_hand(CELL.hand.model), load_arm(CELL.arm.model)
MOTION = (*ARM.joint_names, *HAND.finger_joints)


class Device:
    """A hand or an arm that stands where it was put."""

    def __init__(self, joints: np.ndarray) -> None:
        self.joints = joints
        self.told: list[str] = []
        """Every order, in turn: ``write``, ``stop``, ``recover`` (of a hand, with its power) or a power."""
        self.refused: set[str] = set()
        """Orders that fail."""

    def _take(self, order: str) -> None:
        if order in self.refused:
            raise DriverError(f"device: no answer to {order}.", remedy="look at it.")
        self.told.append(order)

    def write(self, targets: np.ndarray, stamp: int = 0) -> None:
        self._take("write")

    def set_power(self, power: str) -> None:
        self._take(power)

    def stop(self) -> None:
        self._take("stop")

    def recover(self, power: str = "") -> None:
        self._take(f"recover {power}".strip())

    def close(self) -> None:
        pass


class Hand(Device):
    """Of 16 joints."""

    def read(self) -> HandReading:
        if "read" in self.refused:
            raise OverloadError("hand: motor 5: overheating.", remedy="let it cool.")
        return HandReading(time.time_ns(), self.joints)


class Arm(Device):
    """Of 7 joints."""

    def read(self) -> ArmReading:
        return ArmReading(time.time_ns(), self.joints, np.zeros(7))


@pytest.fixture
def hand_node(started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Hand]:
    from dextrack_ros import hand_driver

    device = Hand(np.array(HAND.rest))
    monkeypatch.setattr(hand_driver, "open_hand", lambda *_, **__: device)
    return started(hand_driver.HandDriverNode), device


@pytest.fixture
def arm_node(started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, Arm]:
    from dextrack_ros import arm_driver

    device = Arm(np.array(CELL.arm.home))
    monkeypatch.setattr(arm_driver, "open_arm", lambda *_: device)
    placed, _ = handmade.write_trial(tmp_path)
    return started(arm_driver.ArmDriverNode, placed=str(placed)), device


def tell(node: Any, state: State, reaction: Reaction = Reaction.HOLD) -> None:
    """The node hears the supervisor, and then its own timer."""
    node._hear_status(String(data=Status(state, reaction, "a test").encode()))
    node._tick()


def move(node: Any, joints: np.ndarray) -> None:
    """A target of a slow motion, as the node's subscription hands it on."""
    from dextrack_ros import messages

    handler = node._move if hasattr(node, "_move") else lambda m: node._command(m, State.APPROACH, State.RETREAT)
    node.guarded("hearing motion/joint_targets", handler)(messages.joint_state(time.time_ns(), MOTION, joints))


def targets(arm: float = 0.0) -> np.ndarray:
    return np.concatenate([np.array(CELL.arm.home) + arm, np.array(HAND.rest)])


def errors(node: Any) -> list[str]:
    return sorted(node._errors)


def powers(device: Hand) -> list[str]:
    return [order for order in device.told if order in ("full", "soft", "off")]


def test_a_hand_that_lost_its_torque_does_not_get_it_back_when_the_cell_shuts_down(hand_node: tuple[Any, Hand]) -> None:
    node, device = hand_node
    for state in (State.FAULT, State.UNCONFIGURED):
        tell(node, state, Reaction.DROP_TORQUE)
    assert powers(device) == ["full", "off"]


def test_the_arm_s_stop_leaves_the_hand_s_power_alone(hand_node: tuple[Any, Hand]) -> None:
    node, device = hand_node
    tell(node, State.HOLD, Reaction.SOFTEN)
    tell(node, State.FAULT, Reaction.STOP_ARM)
    assert powers(device) == ["full", "soft"]
    tell(node, State.FAULT, Reaction.DROP_TORQUE)
    tell(node, State.HOLD)
    assert powers(device) == ["full", "soft", "off", "full"]


def test_a_power_that_was_not_taken_is_told_again_and_reported_until_it_is(hand_node: tuple[Any, Hand]) -> None:
    node, device = hand_node
    tell(node, State.IDLE)
    tell(node, State.APPROACH)
    move(node, targets())
    device.refused = {"off", "write"}
    with pytest.raises(DriverError):
        tell(node, State.FAULT, Reaction.DROP_TORQUE)
    assert errors(node) == ["powering the hand"] and powers(device) == ["full"]
    # The same heartbeat again says nothing new; the error stays.
    device.refused = {"off"}
    tell(node, State.FAULT, Reaction.DROP_TORQUE)
    assert errors(node) == ["powering the hand"]
    device.refused = set()
    node._tick()
    assert errors(node) == [] and powers(device) == ["full", "off"]


def test_strength_that_a_hand_did_not_get_is_not_given_later_unasked(hand_node: tuple[Any, Hand]) -> None:
    node, device = hand_node
    tell(node, State.HOLD, Reaction.SOFTEN)
    device.refused = {"full"}
    tell(node, State.RETREAT)
    assert errors(node) == ["powering the hand"]
    device.refused = set()
    tell(node, State.FAULT, Reaction.STOP_ARM)
    assert errors(node) == ["powering the hand"] and powers(device) == ["full", "soft"]
    # Nothing is known of its power now: whatever comes next is told.
    tell(node, State.FAULT, Reaction.DROP_TORQUE)
    assert powers(device) == ["full", "soft", "off"]


def test_what_the_supervisor_took_from_a_hand_is_given_back_by_its_reset_and_not_by_recovering(hand_node: tuple[Any, Hand]) -> None:
    node, device = hand_node
    tell(node, State.FAULT, Reaction.DROP_TORQUE)
    assert node._recover()[0]
    # The cause lasts, and the reset is refused: nothing is heard.
    node._tick()
    assert device.told == ["full", "off", "recover off"]
    tell(node, State.HOLD)
    assert device.told == ["full", "off", "recover off", "full"]


def test_an_overloaded_motor_is_told_to_the_supervisor_and_the_whole_hand_lets_go(hand_node: tuple[Any, Hand]) -> None:
    from dextrack_deploy import health

    node, device = hand_node
    device.refused = {"read"}
    with pytest.raises(OverloadError):
        node._tick()
    assert "overheating" in health.measured("hand_driver", node._health[1])["overload"]
    # What the supervisor makes of that reaches the motors though their readings fail.
    node._hear_status(String(data=Status(State.FAULT, Reaction.DROP_TORQUE, "a test").encode()))
    assert powers(device) == ["full", "off"]
    device.refused = set()
    node._tick()
    assert health.measured("hand_driver", node._health[1])["overload"] == ""


def test_a_dry_run_tells_the_devices_nothing(started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dextrack_ros import arm_driver, hand_driver

    placed, _ = handmade.write_trial(tmp_path)
    asked: list[dict[str, Any]] = []
    for module, make, opener, device in (
        (hand_driver, "HandDriverNode", "open_hand", Hand(np.array(HAND.rest))),
        (arm_driver, "ArmDriverNode", "open_arm", Arm(np.array(CELL.arm.home))),
    ):

        def connect(*_: Any, device: Device = device, **how: Any) -> Device:
            asked.append(how)
            return device

        monkeypatch.setattr(module, opener, connect)
        node = started(getattr(module, make), placed=str(placed), dry_run=True)
        for state, reaction in ((State.IDLE, Reaction.HOLD), (State.FAULT, Reaction.DROP_TORQUE), (State.HOLD, Reaction.HOLD)):
            tell(node, state, reaction)
        accepted, why = node._recover()
        assert device.told == [] and not accepted and "dry run" in why
    assert asked[0] == {"engage": False}


def test_nothing_is_written_to_an_arm_that_was_stopped_until_a_motion_begins_where_it_is(arm_node: tuple[Any, Arm]) -> None:
    node, device = arm_node
    tell(node, State.IDLE)
    tell(node, State.APPROACH)
    move(node, targets(0.001))
    assert device.told == ["write"]
    tell(node, State.FAULT, Reaction.STOP_ARM)
    for _ in range(5):
        node._tick()
    tell(node, State.FAULT, Reaction.DROP_TORQUE)
    tell(node, State.HOLD)
    assert device.told == ["write", "stop"] and node._health[0] == "stopped"
    # It came to rest elsewhere than where it was last sent.
    device.joints = device.joints + 0.05
    tell(node, State.RETREAT)
    move(node, targets())
    assert device.told == ["write", "stop", "write"]
    np.testing.assert_allclose(node._guard.safe_target, device.joints, atol=0.01)


@pytest.mark.parametrize("which", ["hand_node", "arm_node"])
def test_a_slow_motion_that_jumps_is_not_followed(which: str, request: pytest.FixtureRequest) -> None:
    """Once its guard follows, a driver would go wherever it is called as fast as the joints can. No slow motion is that fast."""
    node, device = request.getfixturevalue(which)
    tell(node, State.IDLE)
    tell(node, State.APPROACH)
    for k in range(5):
        move(node, targets() + 0.002 * k)
    assert errors(node) == [] and device.told.count("write") >= 5
    before = node._guard.safe_target
    for _ in range(5):
        move(node, targets() + 1.0)
        node._tick()
    assert errors(node) == ["hearing motion/joint_targets"] and "jumped by 0.99" in node._errors["hearing motion/joint_targets"]
    np.testing.assert_allclose(node._guard.safe_target, before, atol=0.01)
    # The motion is over with that. The next one may begin anywhere, as each does.
    tell(node, State.FAULT, Reaction.STOP_ARM)
    assert node._recover()[0]
    tell(node, State.HOLD)
    tell(node, State.RETREAT)
    move(node, targets() + 0.3)
    assert errors(node) == []


def test_an_arm_s_whole_state_is_published_for_the_record_as_often_as_asked_for(
    started: Callable[..., Any], arm_node: tuple[Any, Arm], observer: Any, tmp_path: Path
) -> None:
    from dextrack_ros import arm_driver
    from sensor_msgs.msg import JointState

    plain, device = arm_node
    heard: list[JointState] = []
    observer.create_subscription(JointState, "arm/samples", heard.append, 100)
    device.read = lambda: ArmReading(time.time_ns() // 4_000_000 * 4_000_000, device.joints, np.zeros(7), effort=np.arange(7.0))  # type: ignore[method-assign]
    sampling = started(arm_driver.ArmDriverNode, placed=str(tmp_path / "placed.h5"), state_hz=1000.0)
    executor = rclpy.executors.SingleThreadedExecutor()
    for node in (plain, sampling):
        executor.add_node(node)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        executor.spin_once(timeout_sec=0.001)
        observer.executor.spin_once(timeout_sec=0.0)
    executor.shutdown()
    # The device has a new sample every 4 ms, and each is published once; the node that was not asked publishes none.
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in heard]
    assert 100 < len(stamps) <= 260 and len(set(stamps)) == len(stamps)
    assert list(heard[-1].effort) == list(range(7))


def test_a_stop_that_the_arm_did_not_take_is_told_again(arm_node: tuple[Any, Arm]) -> None:
    node, device = arm_node
    device.refused = {"stop"}
    tell(node, State.FAULT, Reaction.STOP_ARM)
    assert errors(node) == ["stopping the arm"]
    device.refused = set()
    node._tick()
    node._tick()
    assert errors(node) == [] and device.told == ["stop"]


@pytest.mark.parametrize("which", ["hand_node", "arm_node"])
def test_recovering_mends_what_no_other_target_would_mend(which: str, request: pytest.FixtureRequest) -> None:
    node, device = request.getfixturevalue(which)
    tell(node, State.IDLE)
    tell(node, State.APPROACH)
    device.refused = {"write"}
    move(node, targets())
    device.refused = set()
    tell(node, State.FAULT, Reaction.STOP_ARM)
    # It lasts, whatever the cell hears, until the operator says so.
    tell(node, State.FAULT, Reaction.STOP_ARM)
    assert errors(node) == ["hearing motion/joint_targets"]
    assert node._recover()[0] and errors(node) == []
