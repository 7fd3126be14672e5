"""The control table of an XC330-M288-T: every register by name, with its address, size, range and default."""

from __future__ import annotations

import dataclasses
import functools

MODEL = 1240
"""Model number of an XC330-M288-T."""
FIRMWARE = 52
"""Firmware that the peer claims to run; fast reads exist since 46."""
COUNTS = 4096
"""Positions per turn."""
BAUD_RATES = (9_600, 57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
"""Baud by the value of the register ``baud_rate``."""
CURRENT_POSITION = 5
"""Operating mode: position with a limited current."""
POSITION = 3
"""Operating mode: position within one turn."""
TURNS = 256 * COUNTS - 1
"""Largest goal position of the modes that count turns."""


@dataclasses.dataclass(frozen=True)
class Register:
    """One entry of the control table."""

    name: str
    address: int
    size: int
    """Bytes."""
    default: int = 0
    low: int = 0
    """Least value that may be written."""
    high: int = 0
    """Greatest value that may be written."""
    writable: bool = True

    @property
    def signed(self) -> bool:
        """Whether its values are in two's complement."""
        return self.low < 0

    @property
    def eeprom(self) -> bool:
        """Whether it survives a reset, and cannot be written while torque is on."""
        return self.address < 64

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.address + self.size


def _shown(name: str, address: int, size: int, signed: bool = False, default: int = 0) -> Register:
    return Register(name, address, size, default, -1 if signed else 0, 0, writable=False)


TABLE = (
    _shown("model_number", 0, 2, default=MODEL),
    _shown("model_information", 2, 4),
    _shown("firmware_version", 6, 1, default=FIRMWARE),
    Register("id", 7, 1, 1, 0, 252),
    Register("baud_rate", 8, 1, 1, 0, 6),
    Register("return_delay_time", 9, 1, 250, 0, 254),
    Register("drive_mode", 10, 1, 0, 0, 5),
    Register("operating_mode", 11, 1, POSITION, 0, 16),
    Register("secondary_id", 12, 1, 255, 0, 255),
    Register("protocol_type", 13, 1, 2, 2, 22),
    Register("homing_offset", 20, 4, 0, -1_044_479, 1_044_479),
    Register("moving_threshold", 24, 4, 10, 0, 1023),
    Register("temperature_limit", 31, 1, 70, 0, 100),
    Register("max_voltage_limit", 32, 2, 70, 31, 70),
    Register("min_voltage_limit", 34, 2, 35, 31, 70),
    Register("pwm_limit", 36, 2, 885, 0, 885),
    Register("current_limit", 38, 2, 2352, 0, 2352),
    Register("velocity_limit", 44, 4, 350, 0, 2047),
    Register("max_position_limit", 48, 4, 4095, 0, 4095),
    Register("min_position_limit", 52, 4, 0, 0, 4095),
    Register("startup_configuration", 60, 1, 0, 0, 3),
    Register("pwm_slope", 62, 1, 140, 1, 255),
    Register("shutdown", 63, 1, 52, 0, 63),
    Register("torque_enable", 64, 1, 0, 0, 1),
    Register("led", 65, 1, 0, 0, 1),
    Register("status_return_level", 68, 1, 2, 0, 2),
    _shown("registered_instruction", 69, 1),
    _shown("hardware_error_status", 70, 1),
    Register("velocity_i_gain", 76, 2, 1600, 0, 16_383),
    Register("velocity_p_gain", 78, 2, 50, 0, 16_383),
    Register("position_d_gain", 80, 2, 500, 0, 16_383),
    Register("position_i_gain", 82, 2, 0, 0, 16_383),
    Register("position_p_gain", 84, 2, 1100, 0, 16_383),
    Register("feedforward_2nd_gain", 88, 2, 0, 0, 16_383),
    Register("feedforward_1st_gain", 90, 2, 0, 0, 16_383),
    Register("bus_watchdog", 98, 1, 0, -1, 127),
    Register("goal_pwm", 100, 2, 885, -885, 885),
    Register("goal_current", 102, 2, 2352, -2352, 2352),
    Register("goal_velocity", 104, 4, 0, -2047, 2047),
    Register("profile_acceleration", 108, 4, 0, 0, 32_767),
    Register("profile_velocity", 112, 4, 0, 0, 32_767),
    Register("goal_position", 116, 4, 0, -TURNS, TURNS),
    _shown("realtime_tick", 120, 2),
    _shown("moving", 122, 1),
    _shown("moving_status", 123, 1),
    _shown("present_pwm", 124, 2, signed=True),
    _shown("present_current", 126, 2, signed=True),
    _shown("present_velocity", 128, 4, signed=True),
    _shown("present_position", 132, 4, signed=True),
    _shown("velocity_trajectory", 136, 4, signed=True),
    _shown("position_trajectory", 140, 4, signed=True),
    _shown("present_input_voltage", 144, 2),
    _shown("present_temperature", 146, 1),
    _shown("backup_ready", 147, 1),
)
"""In the order of their addresses. Indirect addresses (from 168) are left out."""

BY_NAME = {register.name: register for register in TABLE}
GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
"""What a tripped bus watchdog makes read-only."""
SIZE = TABLE[-1].end
"""Bytes of the table."""


@functools.cache
def covering(address: int, length: int) -> tuple[Register, ...] | None:
    """The registers that ``length`` bytes from ``address`` touch; None where one of these bytes belongs to no register."""
    end, hit = address + length, [r for r in TABLE if r.address < address + length and r.end > address]
    covered = sum(min(r.end, end) - max(r.address, address) for r in hit)
    return tuple(hit) if length > 0 and covered == length else None
