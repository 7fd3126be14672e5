"""The LEAP driver, with the real Dynamixel SDK, against the bus peer over a real pseudo terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from dextrack_deploy.drivers import leap_port, leap_setup
from dextrack_deploy.drivers.guard import DeadlineGuard, GuardState, JointLimits
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.drivers.registry import open_hand
from dextrack_deploy.twin.dynamixel.faults import BadChecksum, BrownOut, Fault, LostBytes, Misread, Overheating, Silent, Turned
from dextrack_deploy.twin.dynamixel.process import PeerClient, PeerProcess
from dextrack_deploy.twin.process import TwinProcess
from dynamixel_sdk import Protocol2PacketHandler

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from tests.deploy.drivers.conftest import PATIENT_S, REST

SPEC = load_hand("leap_right")
COUNT = 2.0 * np.pi / 4096
BOOT_S = 0.3

STREAM = """
import sys, time
import numpy as np
from dextrack_deploy.drivers.leap import LeapHand
hand = LeapHand(sys.argv[1], watchdog_s=1.0)
start = hand.read().position
print("moving", flush=True)
for n in range(100000):
    hand.read()
    hand.write(start + 0.004 * n * np.eye(16)[5], 0)
    time.sleep(1 / 60)
"""


def register(client: PeerClient, name: str) -> list[int]:
    """A register of every motor, read from behind the bus."""
    motors = client.call("state")["motors"]
    return [motors[str(n)][name] for n in range(16)]


def truth(client: PeerClient) -> np.ndarray:
    """Joint positions, read from behind the bus."""
    return np.array(register(client, "present_position")) * COUNT - np.pi


def follow(hand: LeapHand, goal: np.ndarray, within: float = 0.01) -> None:
    deadline = time.monotonic() + 10.0
    while np.abs(hand.read().position - goal).max() > within:
        hand.write(goal, 0)
        time.sleep(0.01)
        assert time.monotonic() < deadline


def test_it_connects_sets_the_motors_up_and_reads(peer: PeerProcess, hand: LeapHand) -> None:
    before = time.time_ns()
    r = hand.read()
    assert before < r.stamp < time.time_ns()
    np.testing.assert_allclose(r.position, REST, atol=COUNT)
    assert r.velocity is not None and r.current is not None and np.abs(r.velocity).max() < 0.1 and np.abs(r.current).max() < 0.1
    assert r.temperature is not None and r.voltage is not None
    np.testing.assert_allclose(r.temperature, 35.0)
    np.testing.assert_allclose(r.voltage, 5.0)
    assert (hand.info.device, hand.info.baud, hand.info.latency_ms, hand.info.fast, set(hand.info.firmware)) == (peer.pty, 4_000_000, None, True, {52})
    side = np.isin(np.arange(16), [0, 4, 8])
    for name, value in {
        "operating_mode": 5, "return_delay_time": 0, "status_return_level": 2, "torque_enable": 1, "bus_watchdog": 0, "goal_current": 500,
        "position_i_gain": 0, "position_p_gain": np.where(side, 600, 800), "position_d_gain": np.where(side, 150, 200),
    }.items():  # fmt: skip
        np.testing.assert_array_equal(register(peer.client, name), value, err_msg=name)


def test_the_hand_does_not_jump_when_torque_comes_on(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    for motor, angle in ((5, 1.2), (12, -0.3), (15, -1.3)):
        peer.client.call("push", motor=motor, angle=angle)
    start = truth(peer.client)
    # What a goal register holds after power came on would turn every finger by half a turn.
    assert register(peer.client, "goal_position") == [0] * 16
    with_torque = connect()
    for _ in range(10):
        np.testing.assert_allclose(truth(peer.client), start, atol=2 * COUNT)
        with_torque.read()
        time.sleep(0.02)
    assert register(peer.client, "torque_enable") == [1] * 16


def test_it_follows_targets_within_limits_and_steps(peer: PeerProcess, hand: LeapHand) -> None:
    hand.read()
    hand.write(REST + 3.0 * np.eye(16)[5], 0)
    # One step: what the motor turns in a tenth of a second at most.
    reached = register(peer.client, "goal_position")[5] * COUNT - np.pi
    assert REST[5] < reached <= REST[5] + 0.1 * SPEC.velocity[5] + COUNT
    assert hand.clamped == ("5",)
    goal = REST.copy()
    goal[5], goal[14] = SPEC.upper[5], SPEC.lower[14]
    follow(hand, goal)
    hand.write(goal + 5.0 * np.eye(16)[5], 0)
    assert register(peer.client, "goal_position")[5] == round((SPEC.upper[5] + np.pi) / COUNT)
    np.testing.assert_allclose(hand.read().position, truth(peer.client), atol=2 * COUNT)


@pytest.mark.parametrize("targets", [REST[:15], np.where(np.arange(16) == 3, np.nan, REST), np.full(16, np.inf)])
def test_targets_that_are_none_are_refused(peer: PeerProcess, hand: LeapHand, targets: np.ndarray) -> None:
    before = register(peer.client, "goal_position")
    with pytest.raises(RefusedError, match="16 finite numbers"):
        hand.write(targets, 0)
    assert register(peer.client, "goal_position") == before


def test_a_zero_shifts_readings_and_targets(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    with pytest.raises(InputError, match="zero of joint thumb"):
        connect(zeros={"thumb": 0.1})
    shifted = connect(zeros={"6": 0.1})
    np.testing.assert_allclose(shifted.read().position, REST - 0.1 * np.eye(16)[6], atol=COUNT)
    follow(shifted, REST)
    np.testing.assert_allclose(truth(peer.client)[6], REST[6] + 0.1, atol=0.02)


@pytest.mark.parametrize("fault", [LostBytes(), LostBytes(count=3, offset=1), BadChecksum()])
def test_a_spoiled_answer_costs_one_more_read(peer: PeerProcess, hand: LeapHand, fault: Fault) -> None:
    before = hand.retries
    peer.client.begin(fault)
    np.testing.assert_allclose(hand.read().position, REST, atol=COUNT)
    assert hand.retries > before


@pytest.mark.parametrize("motors", [(0,), (9,), (3, 15)])
def test_a_motor_that_falls_silent_is_named(peer: PeerProcess, hand: LeapHand, motors: tuple[int, ...]) -> None:
    hand.read()
    for motor in motors:
        peer.client.begin(Silent(motor))
    named = ", ".join(f"motor {m} \\(joint {m}\\)" for m in motors)
    with pytest.raises(DriverError, match=f"no answer from {named}\\..*cable"):
        hand.read()
    peer.client.clear()
    np.testing.assert_allclose(hand.read().position, REST, atol=0.02)


def test_all_motors_silent_is_another_message(peer: PeerProcess, hand: LeapHand) -> None:
    for motor in range(16):
        peer.client.begin(Silent(motor))
    with pytest.raises(DriverError, match="no motor answers any more.*5 V supply"):
        hand.read()


@pytest.mark.parametrize(
    ("missing", "what"), [((7,), r"15 of 16 motors answer at 4000000 baud; no answer from motor 7 \(joint 7\)"), ((0, 1, 2, 3), "12 of 16")]
)
def test_missing_motors_are_named_at_the_start(peer: PeerProcess, missing: tuple[int, ...], what: str) -> None:
    for motor in missing:
        peer.client.begin(Silent(motor))
    with pytest.raises(DriverError, match=what):
        LeapHand(peer.pty)
    assert register(peer.client, "torque_enable") == [0] * 16


def test_a_brown_out_is_noticed_though_the_motors_answer_again(peer: PeerProcess, hand: LeapHand) -> None:
    hand.read()
    peer.client.begin(BrownOut((2, 3)))
    time.sleep(1.5 * BOOT_S)
    with pytest.raises(DriverError, match=r"motor 2 \(joint 2\), motor 3 \(joint 3\) lost torque.*supply"):
        for _ in range(1000):
            hand.read()
    hand.recover()
    assert register(peer.client, "torque_enable") == [1] * 16 and register(peer.client, "operating_mode") == [5] * 16


def test_counts_of_whole_turns_are_no_turns(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    peer.client.begin(Turned(6, -1))
    peer.client.begin(Turned(7, 2))
    assert register(peer.client, "present_position")[6] < 0 < 8192 < register(peer.client, "present_position")[7]
    connected = connect()
    np.testing.assert_allclose(connected.read().position, REST, atol=COUNT)
    follow(connected, REST + 0.3 * np.isin(np.arange(16), [6, 7]))
    raw = np.array(register(peer.client, "present_position"))[[6, 7]]
    np.testing.assert_allclose(raw * COUNT - np.pi, REST[[6, 7]] + 0.3 + [-2 * np.pi, 4 * np.pi], atol=0.02)
    # One that changes while the hand runs is no motion.
    peer.client.begin(Turned(7, 3))
    with pytest.raises(DriverError, match=r"motor 7 \(joint 7\) jumped"):
        connected.read()
    connected.close()
    peer.client.begin(Turned(7, 9))
    with pytest.raises(DriverError, match="motor 7 .* reads 9 turns"):
        LeapHand(peer.pty)


def test_one_impossible_reading_is_discarded_and_two_are_an_error(peer: PeerProcess, hand: LeapHand) -> None:
    hand.read()
    peer.client.begin(Misread(4))
    np.testing.assert_allclose(hand.read().position, REST, atol=COUNT)
    assert hand.implausible == 1
    peer.client.begin(Misread(4, times=2))
    with pytest.raises(DriverError, match=r"motor 4 \(joint 4\) jumped, twice"):
        hand.read()


def test_after_a_stall_old_motions_do_not_go_on_by_themselves(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    stalling = connect(watchdog_s=1.0)
    time.sleep(1.5)
    stalling.write(stalling.read().position, 0)
    time.sleep(2.0)
    assert register(peer.client, "bus_watchdog") == [-1] * 16
    assert register(peer.client, "torque_enable") == [1] * 16, "the hand holds"
    before = register(peer.client, "goal_position")
    with pytest.raises(DriverError, match="watchdogs of motor 0 .* tripped"):
        stalling.write(REST + 0.1, 0)
    with pytest.raises(DriverError, match="take no targets.*set_power"):
        stalling.write(REST + 0.1, 0)
    assert register(peer.client, "goal_position") == before
    stalling.read()
    stalling.set_power("full")
    follow(stalling, REST + 0.1 * np.eye(16)[1])


def test_fingers_stand_still_when_the_driver_s_process_is_killed(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    mover = subprocess.Popen([sys.executable, "-c", STREAM, peer.pty], stdout=subprocess.PIPE)
    assert mover.stdout is not None
    mover.stdout.readline()
    deadline = time.monotonic() + 10.0
    while truth(peer.client)[5] < REST[5] + 0.05:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mover.kill()
    mover.wait()
    mover.stdout.close()
    time.sleep(2.0)
    held = truth(peer.client)
    assert register(peer.client, "bus_watchdog") == [-1] * 16 and register(peer.client, "torque_enable") == [1] * 16
    time.sleep(0.3)
    np.testing.assert_allclose(truth(peer.client), held, atol=2 * COUNT)
    again = connect()
    np.testing.assert_allclose(again.read().position, held, atol=2 * COUNT)


def test_a_closed_hand_goes_on_holding(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    closing = connect(watchdog_s=1.0)
    follow(closing, REST + 0.2 * np.eye(16)[9])
    closing.close()
    closing.close()
    time.sleep(1.6)
    assert register(peer.client, "bus_watchdog") == [0] * 16 and register(peer.client, "torque_enable") == [1] * 16
    np.testing.assert_allclose(truth(peer.client), REST + 0.2 * np.eye(16)[9], atol=0.02)


def test_power(peer: PeerProcess, hand: LeapHand) -> None:
    with pytest.raises(InputError, match="'half'"):
        hand.set_power("half")
    hand.set_power("soft")
    assert register(peer.client, "goal_current") == [125] * 16 and register(peer.client, "position_p_gain")[:2] == [150, 200]
    hand.set_power("off")
    assert register(peer.client, "torque_enable") == [0] * 16
    goals = register(peer.client, "goal_position")
    hand.write(REST + 0.2, 0)
    assert register(peer.client, "goal_position") == goals, "without torque nothing is sent"
    # Someone bends the limp finger; a hand that gets its power back holds it there.
    hand.read()
    peer.client.call("push", motor=2, angle=0.45)
    hand.read()
    hand.set_power("full")
    for _ in range(10):
        np.testing.assert_allclose(truth(peer.client)[2], 0.45, atol=2 * COUNT)
        hand.read()
    assert register(peer.client, "goal_current") == [500] * 16
    hand.write(REST, 0)
    assert hand.clamped == (), "a first target that is near is taken as it is"


def test_torque_is_dropped_and_softened_though_a_motor_is_hot(peer: PeerProcess, hand: LeapHand) -> None:
    peer.client.begin(Overheating(5))
    with pytest.raises(DriverError, match="overheating"):
        hand.set_power("soft")
    assert register(peer.client, "goal_current") == [125] * 16
    assert sum(register(peer.client, "torque_enable")) == 15
    hand.set_power("off")
    assert sum(register(peer.client, "torque_enable")) == 0


def test_older_firmware_is_read_without_fast_reads(peer: PeerProcess, connect: Callable[..., LeapHand], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leap_setup, "FAST_FIRMWARE", 99)
    plain = connect()
    assert not plain.info.fast
    np.testing.assert_allclose(plain.read().position, REST, atol=COUNT)
    peer.client.begin(Silent(4))
    with pytest.raises(DriverError, match="no answer from motor 4"):
        plain.read()


def test_a_motor_that_turns_the_other_way_is_refused(peer: PeerProcess) -> None:
    port, sdk = leap_port.Port(peer.pty, 4_000_000, None), Protocol2PacketHandler()
    assert sdk.write1ByteTxRx(port, 8, 10, 1) == (0, 0)
    port.closePort()
    with pytest.raises(DriverError, match=r"drive mode of motor 8 \(joint 8\)"):
        LeapHand(peer.pty)
    port = leap_port.Port(peer.pty, 4_000_000, None)
    assert sdk.write1ByteTxRx(port, 8, 10, 0) == (0, 0)
    port.closePort()


def test_a_port_that_is_in_use_is_not_shared(peer: PeerProcess, hand: LeapHand) -> None:
    with pytest.raises(DriverError, match="in use by another program"):
        open_hand("leap", peer.pty)


@pytest.mark.slow
def test_a_guarded_leap_moves_the_fingers_of_the_twin(twin: TwinProcess) -> None:
    with PeerProcess(["--twin", twin.endpoint]) as joined:
        leap = LeapHand(joined.pty, watchdog_s=PATIENT_S)
        np.testing.assert_allclose(leap.read().position, REST, atol=0.03)
        limits = JointLimits(SPEC.finger_joints, np.array(SPEC.lower), np.array(SPEC.upper), np.array(SPEC.velocity), engaging_velocity=2.0)
        guard, goal = DeadlineGuard(leap, limits, leap.read().position), REST + 0.5 * np.eye(16)[5]
        deadline = time.monotonic() + 10.0
        while guard.report().state is not GuardState.TRACKING or np.abs(leap.read().position - goal)[5] > 0.08:
            guard.command(goal, leap.read().stamp)
            time.sleep(1 / 60)
            assert time.monotonic() < deadline
        leap.close()


def test_a_hand_that_its_watchdogs_stopped_is_not_set_going_by_closing_it(peer: PeerProcess, connect: Callable[..., LeapHand]) -> None:
    """Cleared, they would let every finger go back to the target that it had when the bus fell silent."""
    silent = connect(watchdog_s=1.0)
    goal = REST + 0.5 * np.eye(16)[9]
    silent.write(goal, 0)
    time.sleep(2.0)
    held = truth(peer.client)
    silent.close()
    time.sleep(0.3)
    assert register(peer.client, "bus_watchdog") == [-1] * 16 and register(peer.client, "torque_enable") == [1] * 16
    np.testing.assert_allclose(truth(peer.client), held, atol=2 * COUNT)
