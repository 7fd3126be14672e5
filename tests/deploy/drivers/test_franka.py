"""The arm's driver: the real franky against a simulator of the robot's protocol, on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.franka import FrankaArm
from dextrack_deploy.drivers.franka_payload import Payload, payload_of
from dextrack_deploy.drivers.franka_stream import FIRST_REACH
from dextrack_deploy.drivers.registry import open_arm
from dextrack_deploy.twin import franka_setup
from dextrack_deploy.twin.franka_peer import FrankaPeer

from dextrack.errors import DriverError, InputError, RefusedError

CELL = load_cell("twin")
HOME = np.array(CELL.arm.home)
ARM = load_arm("fr3")
HOST = "127.0.%d.%d" % (1 + os.getpid() // 250 % 250, 2 + os.getpid() % 250)
"""Of this test run: libfranka's port is fixed, so two runs on one machine need two addresses."""
TICK = 1.0 / 60.0
SCHEDULING = os.sched_getscheduler(0)
"""Of this process before it connects to anything."""

STREAM = """
import sys, time
import numpy as np
from dextrack.errors import DriverError
from dextrack_deploy.drivers.registry import open_arm
arm = open_arm("franka", sys.argv[1])
home = arm.read().q
print("moving", flush=True)
try:
    for n in range(1200):
        arm.write(home + 0.002 * n * np.eye(7)[0])
        arm.read()
        time.sleep(1 / 60)
except DriverError as error:
    print(error.what, flush=True)
"""


@pytest.fixture(scope="session")
def simulator() -> Path:
    """The simulator's environment, made where it is not there."""
    return franka_setup.interpreter()


@pytest.fixture
def peer(simulator: Path) -> Iterator[FrankaPeer]:
    # A robot stops after 20 ms without a command; a machine that runs tests is late by more now and then.
    with FrankaPeer(CELL, HOST, rate=250.0, lost_cycles=100) as running:
        yield running


@pytest.fixture
def arm(peer: FrankaPeer) -> Iterator[FrankaArm]:
    driver = open_arm("franka", peer.address, CELL)
    assert isinstance(driver, FrankaArm)
    yield driver
    driver.close()


def stream(arm: FrankaArm, path: Callable[[float], np.ndarray], seconds: float) -> np.ndarray:
    """Write ``path(t)`` 60 times a second; rows of time, target (7), measured (7)."""
    rows, begin = [], time.monotonic()
    while (now := time.monotonic() - begin) < seconds:
        arm.write(path(now))
        rows.append([now, *path(now), *arm.read().q])
        time.sleep(TICK - (time.monotonic() - begin) % TICK)
    return np.array(rows)


def await_error(arm: FrankaArm, seconds: float = 5.0) -> DriverError:
    """The error that the driver surfaces."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            arm.read()
        except DriverError as error:
            return error
        time.sleep(0.005)
    raise AssertionError("no error was surfaced")


def test_the_state_is_read_where_the_arm_waits(arm: FrankaArm) -> None:
    first = arm.read()
    np.testing.assert_allclose(first.q, HOME, atol=2e-3)
    np.testing.assert_allclose(first.dq, 0.0, atol=5e-3)
    assert first.mode == "idle"
    assert first.effort is not None and first.effort.shape == (7,)
    assert 0 <= time.time_ns() - first.stamp < 1e9
    time.sleep(0.1)
    assert arm.read().stamp > first.stamp
    arm.write(HOME)
    time.sleep(0.3)
    assert arm.read().mode == "move"


def test_the_state_is_new_every_few_milliseconds_while_the_arm_is_commanded(arm: FrankaArm) -> None:
    arm.write(HOME)
    time.sleep(0.3)
    stamps = set()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        arm.write(HOME)
        for _ in range(8):
            stamps.add(arm.read().stamp)
            time.sleep(0.001)
    # 1000 on an idle machine; a busy one sleeps longer.
    assert len(stamps) > 150


def test_it_follows_a_path_at_60_hz(arm: FrankaArm) -> None:
    turn = 2.0 * np.pi * 0.3
    rows = stream(arm, lambda t: HOME + 0.15 * (1.0 - np.cos(turn * t)) * np.ones(7), 3.0)
    late = rows[rows[:, 0] > 0.5]
    # The path is followed a little later: one period on the line to each target, and what impedance and joint damping take.
    delayed = np.stack([np.interp(late[:, 0] - 0.035, rows[:, 0], rows[:, 1 + i]) for i in range(7)], axis=1)
    error = np.abs(late[:, 8:] - delayed)
    assert np.percentile(error, 95) < 0.012, error.max(axis=0)
    arm.write(HOME)


def test_the_process_keeps_its_scheduling(arm: FrankaArm) -> None:
    """libfranka puts the thread that connects above everything else; what that starts later would be there too."""
    stream(arm, lambda t: HOME, 0.3)
    assert os.sched_getscheduler(0) == SCHEDULING
    inherited = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True, text=True, check=True)
    assert int(inherited.stdout) == SCHEDULING


def test_it_is_exact_where_it_stands(arm: FrankaArm) -> None:
    goal = HOME + 0.08
    stream(arm, lambda t: goal, 1.5)
    np.testing.assert_allclose(arm.read().q, goal, atol=4e-3)


def test_a_step_is_limited_in_velocity_and_acceleration(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    with peer.watched() as rows:
        stream(arm, lambda t: HOME + 0.9 * np.eye(7)[0] - 0.7 * np.eye(7)[3], 1.5)
    trace = np.array(rows)
    speed = np.abs(trace[:, 8:]).max(axis=0)
    assert (speed < ARM.velocity).all(), speed
    assert speed[0] > 0.5
    # Over 40 ms, so that the moment at which a busy machine sees a sample is no acceleration.
    begin, end = trace[:-10], trace[10:]
    acceleration = np.abs(end[:, 8:] - begin[:, 8:]) / np.maximum(end[:, :1] - begin[:, :1], 0.03)
    assert (acceleration.max(axis=0) < 1.5 * ARM.acceleration).all(), acceleration.max(axis=0)
    np.testing.assert_allclose(arm.read().q[[0, 3]], HOME[[0, 3]] + [0.9, -0.7], atol=0.02)


def test_the_robot_accepts_a_step_of_all_joints_at_once(arm: FrankaArm) -> None:
    """The simulator stops at the velocities that a Franka stops at, and at jumps of the torque."""
    step = np.array([0.9, 0.6, 0.9, 0.7, 0.9, 0.9, 0.9])
    stream(arm, lambda t: HOME + (step if 0.2 < t < 1.2 else 0.0), 4.0)
    np.testing.assert_allclose(arm.read().q, HOME, atol=0.05)


def test_stop_ends_the_motion_and_later_targets_are_followed(arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME + 0.5 * t * np.eye(7)[0], 0.8)
    arm.stop()
    time.sleep(0.6)
    stopped = arm.read()
    assert np.abs(stopped.dq).max() < 0.03
    time.sleep(0.3)
    np.testing.assert_allclose(arm.read().q, stopped.q, atol=3e-3)
    stream(arm, lambda t: stopped.q + 0.05, 1.0)
    np.testing.assert_allclose(arm.read().q, stopped.q + 0.05, atol=0.01)


def test_it_holds_when_commands_fall_silent(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME + 0.6 * t * np.eye(7)[0], 0.8)
    arm.write(HOME + 1.0 * np.eye(7)[0])
    with peer.watched() as rows:
        time.sleep(1.0)
    trace = np.array(rows)
    assert trace[-1, 1] < HOME[0] + 0.8, "it went on to a target that nobody confirmed"
    assert np.abs(trace[-1, 8:]).max() < 0.03
    begin, end = trace[:-10], trace[10:]
    acceleration = np.abs(end[:, 8] - begin[:, 8]) / np.maximum(end[:, 0] - begin[:, 0], 0.03)
    assert acceleration.max() < 1.5 * ARM.acceleration[0]
    assert arm.read().mode == "move"


def test_what_is_not_finite_is_refused_and_the_arm_stands(arm: FrankaArm) -> None:
    arm.write(HOME)
    for bad in (HOME * np.nan, np.append(HOME[:6], np.inf), HOME[:6]):
        with pytest.raises(RefusedError, match="not 7 finite numbers"):
            arm.write(bad)
    stream(arm, lambda t: HOME, 0.3)
    np.testing.assert_allclose(arm.read().q, HOME, atol=3e-3)


def test_a_first_target_far_away_is_refused(arm: FrankaArm) -> None:
    with pytest.raises(RefusedError, match="the first one is 0.50 rad from the arm"):
        arm.write(HOME + 0.5)
    time.sleep(0.2)
    assert arm.read().mode == "idle"


def test_a_reflex_is_named_and_stays_until_it_is_recovered(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("reflex", name="cartesian_reflex")
    error = await_error(arm)
    assert "cartesian_reflex" in error.what and "then recover" in error.remedy
    for _ in range(20):
        with pytest.raises(DriverError, match="cartesian_reflex"):
            arm.write(HOME)
        time.sleep(0.02)
    assert peer.ask("none")["mode"] == 4, "the driver recovered a reflex by itself"
    arm.recover()
    assert arm.read().mode == "idle"
    with pytest.raises(RefusedError):
        arm.write(HOME + 2.0 * FIRST_REACH)
    stream(arm, lambda t: arm.read().q if t < 0.1 else HOME, 0.5)
    assert arm.read().mode == "move"


def test_a_reflex_from_before_is_surfaced_and_not_recovered_by_connecting(peer: FrankaPeer, arm: FrankaArm) -> None:
    peer.ask("reflex", name="joint_reflex")
    assert "joint_reflex" in await_error(arm).what
    assert peer.ask("none")["mode"] == 4


def test_a_pressed_user_stop_is_surfaced_and_cannot_be_recovered_until_it_is_released(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("user_stop")
    assert "user stop" in await_error(arm).what
    with pytest.raises(DriverError, match="user stop"):
        arm.recover()
    peer.ask("release")
    time.sleep(0.2)
    with pytest.raises(DriverError, match="user stop"):
        arm.read()
    arm.recover()
    stream(arm, lambda t: HOME, 0.3)


def test_a_frozen_client_is_stopped_by_the_robot(peer: FrankaPeer) -> None:
    client = subprocess.Popen([sys.executable, "-c", STREAM, peer.address], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "moving\n"
    time.sleep(0.8)
    client.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    standing = peer.state()[1]
    client.send_signal(signal.SIGCONT)
    said, _ = client.communicate(timeout=20.0)
    assert "communication_constraints_violation" in said
    assert np.abs(standing).max() < 0.1


def test_a_robot_that_falls_silent_and_one_that_hangs_up_are_surfaced(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("freeze", seconds=2.5)
    begin = time.monotonic()
    assert "connection" in await_error(arm).what
    assert time.monotonic() - begin < 4.0
    time.sleep(2.0)
    arm.recover()
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("drop")
    assert "connection" in await_error(arm).what
    arm.recover()
    stream(arm, lambda t: HOME, 0.3)


def test_a_short_silence_of_the_robot_shows_in_the_stamps(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("freeze", seconds=0.5)
    time.sleep(0.4)
    age = (time.time_ns() - arm.read().stamp) / 1e9
    assert 0.25 < age < 0.6


def test_a_wire_that_loses_states_stops_the_robot_where_it_is(peer: FrankaPeer) -> None:
    client = subprocess.Popen([sys.executable, "-c", STREAM, peer.address], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "moving\n"
    time.sleep(0.8)
    peer.ask("lose", seconds=0.6)
    time.sleep(0.4)
    standing = peer.state()[0]
    time.sleep(0.4)
    np.testing.assert_allclose(peer.state()[0], standing, atol=2e-3)
    said, _ = client.communicate(timeout=20.0)
    assert "communication_constraints_violation" in said


def test_a_sensor_out_of_range_is_read_as_it_is_and_the_arm_is_where_it_was(peer: FrankaPeer, arm: FrankaArm) -> None:
    peer.ask("out_of_range", joint=6, rad=-2.0)
    np.testing.assert_allclose(peer.state()[0], HOME, atol=5e-3)
    deadline = time.monotonic() + 2.0
    with contextlib.suppress(DriverError):
        # The robot's own watch over its joints may stop it first.
        while arm.read().q[5] > ARM.lower[5]:
            assert time.monotonic() < deadline
    peer.ask("out_of_range", joint=6, rad=0.0)
    with pytest.raises(InputError, match="fault nonsense"):
        peer.ask("nonsense")


def test_a_sensor_that_jumps_ends_control_before_torques_follow_it(peer: FrankaPeer, arm: FrankaArm) -> None:
    stream(arm, lambda t: HOME, 0.3)
    peer.ask("out_of_range", joint=5, rad=0.05)
    # The robot, too, watches how fast its joints turn.
    with pytest.raises(DriverError, match="position of joint 5 jumped.*control was ended|joint_velocity_violation"):
        stream(arm, lambda t: HOME, 1.0)
    time.sleep(1.0)
    q = peer.state()[0]
    assert np.abs(q - HOME).max() < 0.045, "what it did in the milliseconds before is less than where the sensor would have taken it"
    time.sleep(0.5)
    np.testing.assert_allclose(peer.state()[0], q, atol=2e-3)
    peer.ask("out_of_range", joint=5, rad=0.0)
    arm.recover()
    stream(arm, lambda t: q, 0.5)
    np.testing.assert_allclose(arm.read().q, q, atol=5e-3)


def test_closing_twice_ends_what_moves(peer: FrankaPeer) -> None:
    driver = FrankaArm(peer.address, CELL)
    stream(driver, lambda t: HOME + 0.4 * t * np.eye(7)[0], 0.5)
    driver.close()
    driver.close()
    with pytest.raises(DriverError, match="closed"):
        driver.read()
    time.sleep(0.3)
    q, dq = peer.state()
    assert np.abs(dq).max() < 0.02 and q[0] < HOME[0] + 0.35
    again = FrankaArm(peer.address, CELL)
    np.testing.assert_allclose(again.read().q, q, atol=5e-3)
    again.close()


def test_another_address_is_no_robot() -> None:
    with pytest.raises(DriverError, match="the connection failed.*check address"):
        FrankaArm("127.255.255.254", CELL)


def test_what_the_robot_was_told(peer: FrankaPeer, arm: FrankaArm) -> None:
    payload = payload_of(CELL)
    time.sleep(0.1)
    state = arm._robot.state
    assert state.m_load == pytest.approx(payload.mass, rel=1e-6)
    np.testing.assert_allclose(np.array(state.F_x_Cload).ravel(), payload.center_f, atol=1e-6)
    np.testing.assert_allclose(np.array(state.I_load), payload.inertia_f, atol=1e-7)
    heavier = Payload(1.2, payload.center_f, 1.2 * payload.inertia_f)
    arm.set_payload(heavier)
    time.sleep(0.1)
    assert arm._robot.state.m_load == pytest.approx(1.2, rel=1e-6)
    stream(arm, lambda t: HOME, 0.2)
    with pytest.raises(RefusedError, match="is being commanded"):
        arm.set_payload(payload)
