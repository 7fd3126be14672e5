"""The twin's drivers over the real link, and what holds when their process dies."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.guard import DeadlineGuard, GuardState, JointLimits
from dextrack_deploy.drivers.registry import open_arm, open_hand, open_object_pose_source
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.process import TwinProcess

from dextrack.errors import DriverError
from dextrack.hands import load_hand
from dextrack.rotations import angle

HAND = load_hand("leap_right")
HOME = np.array(load_cell("twin").arm.home)

STREAM = """
import sys, time
import numpy as np
from dextrack_deploy.drivers.registry import open_arm, open_hand
hand, arm = open_hand("twin", sys.argv[1]), open_arm("twin", sys.argv[1])
home, rest = arm.read().q, hand.read().position
print("moving", flush=True)
for n in range(100000):
    hand.write(rest + 0.01 * n * np.eye(16)[5], hand.read().stamp)
    arm.write(home + 0.004 * n * np.eye(7)[0], 0)
    time.sleep(1 / 60)
"""


def hand_limits() -> JointLimits:
    return JointLimits(HAND.finger_joints, np.array(HAND.lower), np.array(HAND.upper), np.array(HAND.velocity), engaging_velocity=2.0)


def test_readings(twin: TwinProcess) -> None:
    hand, arm, camera = open_hand("twin", twin.endpoint), open_arm("twin", twin.endpoint), open_object_pose_source("twin", twin.endpoint)
    h, a = hand.read(), arm.read()
    for stamp in (h.stamp, a.stamp):
        assert 0 <= time.time_ns() - stamp < 1e9
    np.testing.assert_allclose(h.position, HAND.rest, atol=0.015)
    assert h.velocity is not None and h.velocity.shape == (16,)
    assert h.current is not None and h.current.shape == (16,) and np.abs(h.current).max() < 0.5
    assert h.temperature is None
    np.testing.assert_allclose(a.q, HOME, atol=0.002)
    np.testing.assert_allclose(a.dq, 0.0, atol=0.01)
    deadline = time.monotonic() + 2.0
    while (pose := camera.read()) is None:
        assert time.monotonic() < deadline
    assert np.linalg.norm(pose.position_w - [0.0, 0.0, 0.025]) < 0.04
    assert angle(pose.quaternion_w, [1.0, 0.0, 0.0, 0.0]) < 0.4
    for device in (hand, arm, camera):
        device.close()
        device.close()


def test_a_guarded_hand_moves_and_holds_when_commands_stop(twin: TwinProcess) -> None:
    hand = open_hand("twin", twin.endpoint)
    guard = DeadlineGuard(hand, hand_limits(), hand.read().position)
    goal = np.array(HAND.rest)
    goal[5] += 0.5
    deadline = time.monotonic() + 5.0
    while guard.report().state is not GuardState.TRACKING:
        guard.command(goal, hand.read().stamp)
        time.sleep(1 / 60)
        assert time.monotonic() < deadline
    time.sleep(0.3)
    assert guard.tick().state is GuardState.HOLDING
    np.testing.assert_allclose(hand.read().position, goal, atol=0.03)
    hand.close()


def test_hand_and_arm_stand_still_when_their_process_is_killed(twin: TwinProcess) -> None:
    mover = subprocess.Popen([sys.executable, "-c", STREAM, twin.endpoint], stdout=subprocess.PIPE)
    assert mover.stdout is not None
    mover.stdout.readline()
    with TwinClient(twin.endpoint) as watch:
        time.sleep(0.7)
        moving = watch.call("arm.read")["dq"][0], watch.call("hand.read")["position"][5] - HAND.rest[5]
        mover.kill()
        mover.wait()
        mover.stdout.close()
        # The latency, and a moment for the joints to come to rest.
        time.sleep(0.3)
        arm, finger = watch.call("arm.read")["q"], watch.call("hand.read")["position"]
        time.sleep(0.5)
        assert moving[0] > 0.05 and moving[1] > 0.05
        np.testing.assert_allclose(watch.call("arm.read")["q"], arm, atol=1e-3)
        np.testing.assert_allclose(watch.call("hand.read")["position"], finger, atol=0.015)
        assert watch.call("status")["hand_command_age_s"] > 0.7


def test_the_arm_stays_within_five_milliradians_of_a_slow_stream(twin: TwinProcess) -> None:
    arm = open_arm("twin", twin.endpoint)
    limits = JointLimits(load_arm("fr3").joint_names, load_arm("fr3").lower, load_arm("fr3").upper, load_arm("fr3").velocity, engaging_velocity=0.5)
    guard = DeadlineGuard(arm, limits, arm.read().q)
    goal = HOME + 0.1
    deadline = time.monotonic() + 10.0
    while guard.report().state is not GuardState.TRACKING:
        guard.command(goal, 0)
        time.sleep(1 / 60)
        assert time.monotonic() < deadline
    time.sleep(0.5)
    np.testing.assert_allclose(arm.read().q, goal, atol=5e-3)
    arm.close()


def test_a_killed_twin_is_named_through_every_driver(twin: TwinProcess) -> None:
    devices = [opener("twin", twin.endpoint) for opener in (open_hand, open_arm, open_object_pose_source)]
    twin.process.kill()
    twin.process.wait()
    for device in devices:
        begin = time.monotonic()
        with pytest.raises(DriverError, match="connection was lost"):
            device.read()
        assert time.monotonic() - begin < 0.5
        device.close()


def test_power_and_stop_reach_the_motors(twin: TwinProcess) -> None:
    hand, arm = open_hand("twin", twin.endpoint), open_arm("twin", twin.endpoint)
    with TwinClient(twin.endpoint) as watch:
        hand.set_power("off")
        assert watch.call("status")["hand_power"] == "off"
        hand.set_power("full")
        arm.write(HOME + 0.3 * np.eye(7)[0])
        arm.stop()
        time.sleep(0.2)
        assert abs(arm.read().q[0] - HOME[0]) < 0.2
    hand.close()
    arm.close()
