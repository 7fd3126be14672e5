"""Motors as the e-manual describes them, in simulated time: registers, refusals, shutdown, watchdog, reset, and who answers a group."""

from __future__ import annotations

import math

import pytest
from dextrack_deploy.twin.dynamixel.faults import KINDS, BrownOut, Faults, LostBytes, Overheating, Silent, as_dict, from_dict
from dextrack_deploy.twin.dynamixel.motor import BOOT_S, Hazard, Motor
from dextrack_deploy.twin.dynamixel.packet import ALERT, BROADCAST, Error, Instruction, Parser, frame
from dextrack_deploy.twin.dynamixel.responder import Responder
from dextrack_deploy.twin.dynamixel.table import BY_NAME, TABLE, covering

from dextrack.errors import InputError

BAUD = 4_000_000


def word(*values: int) -> bytes:
    return b"".join(v.to_bytes(2, "little") for v in values)


def set_(motor: Motor, name: str, value: int) -> Error:
    r = BY_NAME[name]
    return motor.write(r.address, (value % (1 << 8 * r.size)).to_bytes(r.size, "little"))


@pytest.fixture
def motor() -> Motor:
    """Mode 5, torque on, at 90 degrees."""
    m = Motor(1)
    assert set_(m, "operating_mode", 5) is Error.NONE
    m.sense(math.pi / 2, 0.0, 0.0, 0.0)
    m.note(0.0)
    assert set_(m, "torque_enable", 1) is Error.NONE
    return m


def ask(motors: list[Motor], number: int, body: bytes, now: float = 0.0, baud: int = BAUD) -> list[bytes]:
    (packet,) = Parser().feed(frame(number, body))
    return [a.data for a in Responder(motors).answers(packet, baud, now)]


def test_the_table_has_the_addresses_of_the_manual_and_no_overlap() -> None:
    known = {"torque_enable": (64, 1), "hardware_error_status": (70, 1), "position_d_gain": (80, 2), "position_p_gain": (84, 2), "bus_watchdog": (98, 1)}
    known |= {"goal_current": (102, 2), "goal_position": (116, 4), "present_current": (126, 2), "present_position": (132, 4), "present_temperature": (146, 1)}
    assert {name: (BY_NAME[name].address, BY_NAME[name].size) for name in known} == known
    assert all(a.end <= b.address for a, b in zip(TABLE, TABLE[1:], strict=False))
    block = covering(126, 10)
    assert block is not None and [r.name for r in block] == ["present_current", "present_velocity", "present_position"]
    assert covering(64, 7) is None, "66 and 67 are not defined"


def test_negative_values_are_in_twos_complement(motor: Motor) -> None:
    motor.sense(-math.pi / 2, -1.0, -0.2, 0.0)
    assert motor.read(126, 10) == (-200 % 2**16).to_bytes(2, "little") + (-42 % 2**32).to_bytes(4, "little") + (-1024 % 2**32).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("return_delay_time", 0, Error.ACCESS),  # EEPROM, and torque is on
        ("present_position", 0, Error.ACCESS),
        ("goal_position", 1_048_576, Error.DATA_RANGE),
        ("goal_position", -4096, Error.NONE),  # mode 5 counts turns
        ("goal_current", 2000, Error.DATA_LIMIT),
        ("bus_watchdog", -1, Error.DATA_RANGE),
        ("torque_enable", 2, Error.DATA_RANGE),
    ],
)
def test_what_is_refused(motor: Motor, name: str, value: int, error: Error) -> None:
    motor.put("current_limit", 1000)
    before = motor.get(name)
    assert set_(motor, name, value) is error
    assert motor.get(name) == (before if error else value)


def test_half_a_register_and_what_is_not_defined_are_refused(motor: Motor) -> None:
    assert motor.write(116, b"\x00\x00") is Error.DATA_LENGTH
    assert motor.write(66, b"\x00") is Error.ACCESS
    assert motor.read(66, 1) is None
    assert motor.write(80, word(1, 2, 3)) is Error.NONE
    assert [motor.get(n) for n in ("position_d_gain", "position_i_gain", "position_p_gain")] == [1, 2, 3]


def test_position_mode_keeps_its_limits_and_a_new_mode_resets_gains(motor: Motor) -> None:
    set_(motor, "position_p_gain", 600)
    set_(motor, "torque_enable", 0)
    assert set_(motor, "operating_mode", 2) is Error.DATA_RANGE
    assert set_(motor, "operating_mode", 3) is Error.NONE
    assert motor.get("position_p_gain") == 1100 and motor.get("goal_current") == 2352
    assert set_(motor, "goal_position", 4096) is Error.DATA_LIMIT


def test_heat_ends_torque_until_a_reboot(motor: Motor) -> None:
    motor.temperature = 80.0
    motor.watch(0.0)
    assert motor.get("hardware_error_status") == Hazard.OVERHEATING and not motor.torque and motor.alert == ALERT
    motor.temperature = 40.0
    motor.watch(0.0)
    set_(motor, "torque_enable", 1)
    assert not motor.torque and motor.alert == ALERT
    motor.reset(1.0)
    motor.watch(1.0)
    set_(motor, "torque_enable", 1)
    assert motor.torque and motor.alert == 0


def test_a_sagging_supply_alerts_and_ends_no_torque(motor: Motor) -> None:
    motor.voltage = 3.2
    motor.watch(0.0)
    assert motor.get("hardware_error_status") == Hazard.INPUT_VOLTAGE and motor.torque, "52, the default of shutdown, leaves bit 0 out"


def test_the_watchdog_trips_holds_and_is_cleared_by_zero(motor: Motor) -> None:
    set_(motor, "goal_position", 3000)
    set_(motor, "bus_watchdog", 10)
    motor.watch(0.19)
    assert motor.get("bus_watchdog") == 10 and motor.goal == pytest.approx(2 * math.pi * 3000 / 4096)
    motor.watch(0.21)
    assert motor.get("bus_watchdog") == -1 and motor.torque
    assert motor.goal == pytest.approx(math.pi / 2), "it stopped where it was"
    assert set_(motor, "goal_position", 1000) is Error.DATA_RANGE
    assert set_(motor, "goal_current", 100) is Error.DATA_RANGE
    assert set_(motor, "bus_watchdog", 0) is Error.NONE
    assert set_(motor, "goal_position", 1000) is Error.NONE and motor.goal == pytest.approx(2 * math.pi * 1000 / 4096)


def test_the_watchdog_sleeps_without_torque(motor: Motor) -> None:
    set_(motor, "bus_watchdog", 1)
    set_(motor, "torque_enable", 0)
    motor.watch(9.0)
    assert motor.get("bus_watchdog") == 1


def test_a_reset_forgets_ram_and_turns_and_takes_a_moment(motor: Motor) -> None:
    motor.turns = 3
    set_(motor, "position_p_gain", 600)
    motor.reset(5.0)
    assert not motor.hears(BAUD, 5.0 + 0.9 * BOOT_S) and motor.hears(BAUD, 5.0 + 1.1 * BOOT_S)
    motor.sense(math.pi / 2, 0.0, 0.0, 6.0)
    assert (motor.get("present_position"), motor.get("position_p_gain"), motor.torque) == (1024, 1100, False)
    assert motor.get("operating_mode") == 5, "EEPROM stays"


def test_only_the_right_baud_is_heard() -> None:
    motors = [Motor(0, 57_600), Motor(1)]
    assert len(ask(motors, BROADCAST, b"\x01")) == 1
    assert len(ask(motors, BROADCAST, b"\x01", baud=57_600)) == 1


def test_unknown_instructions_and_a_factory_reset_are_refused() -> None:
    (answer,) = ask([Motor(1)], 1, bytes((0x10, 1, 0x44, 0x58, 0x4C, 0x22)))
    assert answer[8] == Error.INSTRUCTION
    (answer,) = ask([Motor(1)], 1, bytes((Instruction.FACTORY_RESET, 0xFF)))
    assert answer[8] == Error.RESULT_FAIL
    (answer,) = ask([Motor(1)], 1, bytes((Instruction.ACTION,)))
    assert answer[8] == Error.INSTRUCTION, "action without a registered write"


def test_a_registered_write_waits_for_its_action() -> None:
    m = Motor(1)
    ask([m], 1, bytes((Instruction.REG_WRITE,)) + word(84) + word(700))
    assert (m.get("position_p_gain"), m.get("registered_instruction")) == (1100, 1)
    assert ask([m], BROADCAST, bytes((Instruction.ACTION,))) == []
    assert (m.get("position_p_gain"), m.get("registered_instruction")) == (700, 0)


def test_the_status_return_level() -> None:
    m = Motor(1)
    read, write = bytes((2,)) + word(132, 4), bytes((3,)) + word(65) + b"\x01"
    for level, answers in ((2, (1, 1, 1)), (1, (1, 1, 0)), (0, (1, 0, 0))):
        m.put("status_return_level", level)
        assert tuple(len(ask([m], 1, body)) for body in (b"\x01", read, write)) == answers


def test_a_corrupt_packet_is_answered_as_such_and_does_nothing() -> None:
    m = Motor(1)
    packet = bytearray(frame(1, bytes((3,)) + word(84) + word(700)))
    packet[-1] ^= 1
    (parsed,) = Parser().feed(bytes(packet))
    (answer,) = Responder([m]).answers(parsed, BAUD, 0.0)
    assert answer.data[8] == Error.CRC and m.get("position_p_gain") == 1100


@pytest.mark.parametrize("instruction", [Instruction.SYNC_READ, Instruction.FAST_SYNC_READ])
def test_behind_a_silent_motor_nobody_answers_a_group(instruction: Instruction) -> None:
    motors = [Motor(n) for n in range(4)]
    body = bytes((instruction,)) + word(132, 4) + bytes(range(4))
    assert len(ask(motors, BROADCAST, body)) == 4
    motors[2].silent = True
    assert len(ask(motors, BROADCAST, body)) == 2
    motors[0].silent = True
    assert ask(motors, BROADCAST, body) == []


def test_group_writes_and_bulk_reads() -> None:
    motors = [Motor(n) for n in range(3)]
    ask(motors, BROADCAST, bytes((Instruction.SYNC_WRITE,)) + word(84, 2) + b"\x00" + word(600) + b"\x02" + word(602))
    ask(motors, BROADCAST, bytes((Instruction.BULK_WRITE, 1)) + word(80, 2, 200) + b"\x02" + word(65, 1) + b"\x01")
    assert [m.get("position_p_gain") for m in motors] == [600, 1100, 602]
    assert (motors[1].get("position_d_gain"), motors[2].get("led")) == (200, 1)
    asked = b"\x02" + word(84, 2) + b"\x01" + word(80, 2)
    plain = ask(motors, BROADCAST, bytes((Instruction.BULK_READ,)) + asked)
    assert [(a[4], a[9:11]) for a in plain] == [(2, word(602)), (1, word(200))]
    fast = ask(motors, BROADCAST, bytes((Instruction.FAST_BULK_READ,)) + asked)
    assert fast[0][9:12] == b"\x02" + word(602) and fast[1][:4] == b"\x00\x01" + word(200)


def test_faults_travel_as_plain_values_and_wrong_ones_are_refused() -> None:
    for fault in (LostBytes(2), Silent(3), Overheating(4), BrownOut((1, 2))):
        assert from_dict(as_dict(fault)) == fault and type(fault).__name__ in KINDS
    with pytest.raises(InputError, match="'Sabotage' is not known"):
        from_dict({"kind": "Sabotage"})
    with pytest.raises(InputError, match="Silent"):
        from_dict({"kind": "Silent"})
    with pytest.raises(InputError, match="no motor 9"):
        Faults({1: Motor(1)}).begin(Silent(9), 0.0)


def test_bytes_are_lost_as_often_as_asked() -> None:
    faults = Faults({})
    faults.begin(LostBytes(count=2, times=2, offset=3), 0.0)
    assert [faults.spoil(b"abcdefgh") for _ in range(3)] == [b"abcfgh", b"abcfgh", b"abcdefgh"]
