"""What a LEAP's motors say of heat, load and supply, and what its driver makes of it; against the bus peer over a real pseudo terminal."""

from __future__ import annotations

import time

import numpy as np
import pytest
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.drivers.protocols import OverloadError
from dextrack_deploy.drivers.registry import open_hand
from dextrack_deploy.twin.dynamixel.faults import Fault, LowVoltage, Overheating, Overload, Stalled
from dextrack_deploy.twin.dynamixel.process import PeerProcess

from dextrack.errors import DriverError, InputError
from tests.deploy.drivers.conftest import REST
from tests.deploy.drivers.test_leap import register


@pytest.mark.parametrize(
    ("fault", "what", "kind"),
    [(Overheating(5), "overheating", OverloadError), (Overload(5), "overload", OverloadError), (LowVoltage(5), "input voltage out of range", DriverError)],
)
def test_a_hardware_error_names_motor_joint_and_remedy(peer: PeerProcess, hand: LeapHand, fault: Fault, what: str, kind: type[DriverError]) -> None:
    hand.read()
    peer.client.begin(fault)
    with pytest.raises(DriverError, match=rf"hardware error of motor 5 \(joint 5\): {what}.*reboot") as raised:
        hand.read()
    assert raised.type is kind


def test_a_motor_that_is_warm_or_blocked_says_so_without_an_error(peer: PeerProcess, hand: LeapHand) -> None:
    peer.client.begin(Overheating(5, celsius=68.0))
    peer.client.begin(Stalled(6))
    deadline = time.monotonic() + 5.0
    while (reading := hand.read()).temperature is None or reading.temperature[5] < 68.0:
        assert time.monotonic() < deadline
    assert reading.current is not None and reading.current[6] == pytest.approx(0.5) and reading.current[7] < 0.4


def test_a_hand_that_is_only_looked_at_gets_no_torque_and_shows_its_true_zero(peer: PeerProcess) -> None:
    looking = open_hand("leap", peer.pty, {"3": 0.05}, engage=False)
    try:
        reading = looking.read()
        np.testing.assert_allclose(reading.position, REST - 0.05 * (np.arange(16) == 3), atol=0.01)
        looking.write(REST + 0.1, 0)
        assert register(peer.client, "torque_enable") == [0] * 16
        looking.set_power("full")
        assert register(peer.client, "torque_enable") == [1] * 16
        np.testing.assert_allclose(looking.read().position, reading.position, atol=0.01)
    finally:
        looking.close()


def test_a_hot_motor_comes_back_only_on_the_operator_s_word(peer: PeerProcess, hand: LeapHand) -> None:
    hand.read()
    peer.client.begin(Overheating(5))
    with pytest.raises(DriverError, match="overheating"):
        hand.read()
    with pytest.raises(DriverError, match="overheating"):
        hand.set_power("full")
    peer.client.clear()
    with pytest.raises(DriverError, match="overheating"):
        hand.read()
    peer.client.call("push", motor=5, angle=1.5)
    hand.recover()
    assert register(peer.client, "torque_enable") == [1] * 16
    np.testing.assert_allclose(hand.read().position[5], 1.5, atol=0.01)
    assert register(peer.client, "position_p_gain")[5] == 800
    with pytest.raises(InputError):
        hand.reboot((16,))


def test_a_hand_is_recovered_without_torque_where_it_is_to_have_none(peer: PeerProcess, hand: LeapHand) -> None:
    peer.client.begin(Overload(5))
    hand.set_power("off")
    peer.client.clear()
    hand.recover("off")
    hand.read()
    assert register(peer.client, "torque_enable") == [0] * 16 and register(peer.client, "hardware_error_status") == [0] * 16


def test_a_hardware_error_is_named_at_the_start(peer: PeerProcess) -> None:
    peer.client.begin(Overload(11))
    with pytest.raises(DriverError, match=r"motor 11 \(joint 11\): overload"):
        LeapHand(peer.pty)
