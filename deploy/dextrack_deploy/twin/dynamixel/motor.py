"""One motor: its registers, and what they do to each other. It moves nothing itself; a plant does.

Rules, from the e-manual: EEPROM cannot be written while torque is on. A hardware error that ``shutdown`` selects ends torque until a reboot.
A reset brings back the defaults of RAM, torque off, and a position within one turn. While torque is on, the bus watchdog trips when no instruction
came for its time: the motor stops where it is, goals become read-only, and writing 0 to the watchdog is the way back.
"""

from __future__ import annotations

import enum
import math

from dextrack_deploy.twin.dynamixel.packet import ALERT, Error
from dextrack_deploy.twin.dynamixel.table import BAUD_RATES, BY_NAME, COUNTS, CURRENT_POSITION, GOALS, POSITION, SIZE, TABLE, covering

BOOT_S = 0.3
"""A motor that resets is deaf for this long, s. Ours: the e-manual gives no figure."""
WATCHDOG_UNIT_S = 0.02
MODES = (0, 1, POSITION, 4, CURRENT_POSITION, 16)
_LIMITED = {"goal_pwm": "pwm_limit", "goal_current": "current_limit", "goal_velocity": "velocity_limit"}
VELOCITY_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""One count of a velocity register, rad/s."""
_PLACES = {r.name: (r.address, r.end, r.signed, 1 << 8 * r.size) for r in TABLE}
"""Of each register: its first byte, the one behind its last, whether it is signed, and how many values it has. Looked up some ten thousand times a second."""


class Hazard(enum.IntFlag):
    """Bits of ``hardware_error_status`` and of ``shutdown``."""

    INPUT_VOLTAGE = 1
    OVERHEATING = 4
    ENCODER = 8
    ELECTRICAL_SHOCK = 16
    OVERLOAD = 32


class Motor:
    """A motor with id ``number``, as it leaves the maker but for what a LEAP's builder sets: id and baud."""

    def __init__(self, number: int, baud: int = BAUD_RATES[-1]) -> None:
        """Power it on."""
        self._memory = bytearray(SIZE)
        for register in TABLE:
            self.put(register.name, register.default)
        self.put("id", number)
        self.put("baud_rate", BAUD_RATES.index(baud))
        self.silent = False
        """Whether its plug is out: it hears and says nothing. What else a fault may set:"""
        self.temperature = 35.0
        """degrees Celsius"""
        self.voltage = 5.0
        """V"""
        self.overloaded = False
        self.stalled = False
        self.turns = 0
        """Whole turns that it has counted away from its absolute encoder's."""
        self.misread: list[int] = []
        """Counts by which its next positions are wrong, one each."""
        self._ready_at = -math.inf
        self._booted_at = 0.0
        self._heard_at = -math.inf
        self._held: int | None = None
        self._registered: tuple[int, bytes] | None = None
        self._restore()

    @property
    def number(self) -> int:
        """Its id."""
        return self.get("id")

    @property
    def baud(self) -> int:
        """The baud at which it hears and speaks."""
        return BAUD_RATES[self.get("baud_rate")]

    @property
    def torque(self) -> bool:
        """Whether it holds or moves."""
        return bool(self.get("torque_enable"))

    @property
    def alert(self) -> int:
        """The alert bit of its status packets."""
        return ALERT if self.get("hardware_error_status") else 0

    @property
    def return_delay_s(self) -> float:
        """Seconds from an instruction's end to its status."""
        return 2e-6 * self.get("return_delay_time")

    @property
    def goal(self) -> float:
        """The angle that it holds or moves to, rad from its absolute zero; a tripped watchdog holds where it tripped."""
        counts = self.get("goal_position") if self._held is None else self._held
        return 2.0 * math.pi * (counts - self.get("homing_offset") - COUNTS * self.turns) / COUNTS

    @property
    def current_limit(self) -> float:
        """The current that it may draw, A."""
        return 1e-3 * abs(self.get("goal_current"))

    def get(self, name: str) -> int:
        """Value of a register."""
        begin, end, signed, _ = _PLACES[name]
        return int.from_bytes(self._memory[begin:end], "little", signed=signed)

    def put(self, name: str, value: int) -> None:
        """Set a register from within; nothing is checked. What does not fit wraps around, as a counter does."""
        begin, end, _, values = _PLACES[name]
        self._memory[begin:end] = (value % values).to_bytes(end - begin, "little")

    def hears(self, baud: int, now: float) -> bool:
        """Whether a packet at ``baud`` reaches it."""
        return not self.silent and now >= self._ready_at and self.baud == baud

    def note(self, now: float) -> None:
        """An instruction came, whatever it was: the bus watchdog begins anew."""
        self._heard_at = now

    def reset(self, now: float, boot_s: float = BOOT_S) -> None:
        """Lose power for a moment, or obey a reboot; it hears again after ``boot_s``."""
        self.turns = 0
        self._ready_at = now + boot_s
        self._booted_at = self._ready_at
        self._restore()

    def sense(self, angle: float, velocity: float, current: float, now: float) -> None:
        """Take what its sensors measure.

        Args:
            angle: rad from its absolute zero, within a turn.
            velocity: rad/s.
            current: A.
            now: s.
        """
        counts = round(angle * COUNTS / (2.0 * math.pi)) + COUNTS * self.turns + self.get("homing_offset")
        self.put("present_position", counts)
        self.put("present_velocity", round(velocity / VELOCITY_UNIT))
        self.put("present_current", round(1e3 * (self.current_limit if self.stalled else current)))
        self.put("present_input_voltage", round(10.0 * self.voltage))
        self.put("present_temperature", round(self.temperature))
        self.put("realtime_tick", int(1e3 * (now - self._booted_at)) % 32_768)

    def watch(self, now: float) -> None:
        """Look for hazards and at the bus watchdog."""
        status = self.get("hardware_error_status")
        if self.temperature > self.get("temperature_limit"):
            status |= Hazard.OVERHEATING
        if not self.get("min_voltage_limit") <= 10.0 * self.voltage <= self.get("max_voltage_limit"):
            status |= Hazard.INPUT_VOLTAGE
        if self.overloaded:
            status |= Hazard.OVERLOAD
        if status:
            self.put("hardware_error_status", status)
            if status & self.get("shutdown"):
                self.put("torque_enable", 0)
        limit = self.get("bus_watchdog")
        if self.torque and limit > 0 and now - self._heard_at > limit * WATCHDOG_UNIT_S:
            self.put("bus_watchdog", -1)
            self._held = self.get("present_position")

    def read(self, address: int, length: int) -> bytes | None:
        """Bytes of the table; None where an address is not defined."""
        position = BY_NAME["present_position"]
        if self.misread and address <= position.address and position.end <= address + length:
            self.put(position.name, self.get(position.name) + self.misread.pop(0))
        return bytes(self._memory[address : address + length]) if covering(address, length) else None

    def write(self, address: int, data: bytes) -> Error:
        """Write whole registers; with any error none is written."""
        registers = covering(address, len(data))
        if registers is None or not all(r.writable for r in registers) or (self.torque and any(r.eeprom for r in registers)):
            return Error.ACCESS
        if registers[0].address != address or registers[-1].end != address + len(data):
            return Error.DATA_LENGTH
        values = {r.name: int.from_bytes(data[r.address - address : r.end - address], "little", signed=r.signed) for r in registers}
        error = next((e for name, value in values.items() if (e := self._refuses(name, value))), Error.NONE)
        if error is Error.NONE:
            for name, value in values.items():
                self._set(name, value)
        return error

    def register_write(self, address: int, data: bytes) -> None:
        """Keep a write until ``act``."""
        self._registered = address, data
        self.put("registered_instruction", 1)

    def act(self) -> Error:
        """Do the write that was kept."""
        if self._registered is None:
            return Error.INSTRUCTION
        address, data = self._registered
        self._registered = None
        self.put("registered_instruction", 0)
        return self.write(address, data)

    def _refuses(self, name: str, value: int) -> Error:
        r = BY_NAME[name]
        if not r.low <= value <= r.high or (name == "operating_mode" and value not in MODES) or (name == "bus_watchdog" and value < 0):
            return Error.DATA_RANGE
        if name in GOALS and self.get("bus_watchdog") < 0:
            return Error.DATA_RANGE
        if name in _LIMITED and abs(value) > self.get(_LIMITED[name]):
            return Error.DATA_LIMIT
        within_a_turn = name == "goal_position" and self.get("operating_mode") == POSITION
        if within_a_turn and not self.get("min_position_limit") <= value <= self.get("max_position_limit"):
            return Error.DATA_LIMIT
        return Error.NONE

    def _set(self, name: str, value: int) -> None:
        if name == "torque_enable" and value and self.get("hardware_error_status") & self.get("shutdown"):
            return
        self.put(name, value)
        if name == "bus_watchdog":
            self._held = None
        elif name == "operating_mode":
            for other in ("position_p_gain", "position_i_gain", "position_d_gain", "profile_velocity", "profile_acceleration"):
                self.put(other, BY_NAME[other].default)
            self.put("goal_pwm", self.get("pwm_limit"))
            self.put("goal_current", self.get("current_limit"))

    def _restore(self) -> None:
        """RAM at its defaults, as after power came on."""
        for register in TABLE:
            if not register.eeprom:
                self.put(register.name, register.default)
        self.put("goal_pwm", self.get("pwm_limit"))
        self.put("goal_current", self.get("current_limit"))
        self._held, self._registered = None, None
