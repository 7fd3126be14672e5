"""Registers of a LEAP's motors (XC330-M288-T), their units, and the settings that a HandSpec asks for. Source: the ROBOTIS e-manual."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from dextrack.hands.spec import HandSpec
from dextrack_deploy.drivers.protocols import Array

MODEL = 1240
"""Model number of an XC330-M288-T."""
FAST_FIRMWARE = 46
"""Firmware from which on an X330 answers fast reads."""
COUNTS = 4096
"""Positions per turn."""
OFFSET = math.pi
"""Angle of a motor where its joint is at zero, rad (LEAP Hand project: 180 degrees is flat)."""
CURRENT_POSITION = 5
"""Operating mode: position with a limited current."""
WATCHDOG_UNIT_S = 0.02
VELOCITY_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""One count of a velocity, rad/s."""
BAUD_RATES = (4_000_000, 3_000_000, 2_000_000, 1_000_000, 115_200, 57_600)
"""The bauds that a LEAP may be set to, fastest first."""


@dataclasses.dataclass(frozen=True)
class Register:
    """Where a value lies."""

    name: str
    address: int
    size: int
    """Bytes."""


RETURN_DELAY = Register("return delay time", 9, 1)
DRIVE_MODE = Register("drive mode", 10, 1)
OPERATING_MODE = Register("operating mode", 11, 1)
TORQUE = Register("torque enable", 64, 1)
RETURN_LEVEL = Register("status return level", 68, 1)
HARDWARE_ERROR = Register("hardware error status", 70, 1)
D_GAIN = Register("position D gain", 80, 2)
I_GAIN = Register("position I gain", 82, 2)
P_GAIN = Register("position P gain", 84, 2)
WATCHDOG = Register("bus watchdog", 98, 1)
GOAL_CURRENT = Register("goal current", 102, 2)
PROFILE_ACCELERATION = Register("profile acceleration", 108, 4)
PROFILE_VELOCITY = Register("profile velocity", 112, 4)
GOAL_POSITION = Register("goal position", 116, 4)
PRESENT = Register("present current, velocity and position", 126, 10)
SUPPLY = Register("present input voltage and temperature", 144, 3)

PRESENT_TYPE = np.dtype([("current", "<i2"), ("velocity", "<i4"), ("position", "<i4")])
"""``PRESENT`` on the wire: two's complement, low byte first; mA, 0.229 rpm, 1/4096 turn."""
SUPPLY_TYPE = np.dtype([("voltage", "<u2"), ("temperature", "u1")])
"""``SUPPLY`` on the wire: 0.1 V, degrees Celsius."""

OVERHEATING, OVERLOAD = 4, 32
_HAZARDS = {1: "input voltage out of range", OVERHEATING: "overheating", 8: "encoder failure", 16: "electrical shock or too little power", OVERLOAD: "overload"}

TORQUE_PER_AMPERE = 0.52
"""N m/A: 0.93 N m at 1.80 A, stalled at 5 V."""
HIGHEST_CURRENT_A = 0.5
"""What the LEAP Hand project runs its motors at, and no more."""
STIFFNESS_PER_P = 0.93 / 885.0 * COUNTS / (2.0 * math.pi) / 128.0
"""Stiffness of a joint for one count of P gain, N m/rad: P / 128 is PWM counts per position count, and 885 PWM counts stall at 0.93 N m at 5 V."""
P_GAINS = (600.0, 800.0)
"""Range of P gains that the LEAP Hand project has run; the stiffness of a HandSpec is met within it."""
D_GAIN_VALUE = 200.0
"""D gain of the LEAP Hand project. What it is in N m s/rad the e-manual leaves open; the motor's own back EMF damps ten times more."""
SIDE_MOTORS = (0, 4, 8)
"""Motors that move fingers sideways, and run at ``SIDE_PART`` of P and D."""
SIDE_PART = 0.75
SOFT = 0.25
"""Part of gains and current that a softened hand keeps."""


@dataclasses.dataclass(frozen=True)
class MotorSettings:
    """Register values for every motor, (16,)."""

    p: NDArray[np.int64]
    i: NDArray[np.int64]
    d: NDArray[np.int64]
    current_ma: NDArray[np.int64]


def current_limits(hand: HandSpec) -> Array:
    """Current that each motor of ``hand`` may draw at full power, (16,) A."""
    return np.minimum(np.array(hand.effort) / TORQUE_PER_AMPERE, HIGHEST_CURRENT_A)


def settings(hand: HandSpec, part: float = 1.0) -> MotorSettings:
    """Gains and current limit for ``hand``, all but I scaled by ``part``."""
    n = len(hand.finger_joints)
    side = np.ones(n)
    side[list(SIDE_MOTORS)] = SIDE_PART
    p = np.full(n, np.clip(hand.finger_kp / STIFFNESS_PER_P, *P_GAINS)) * side
    whole = [np.rint(part * values).astype(np.int64) for values in (p, D_GAIN_VALUE * side, 1e3 * current_limits(hand))]
    return MotorSettings(p=whole[0], i=np.zeros(n, dtype=np.int64), d=whole[1], current_ma=whole[2])


def to_counts(angles: Array) -> NDArray[np.int64]:
    """Motor angles, rad, in counts; any shape."""
    return np.rint(np.asarray(angles) * COUNTS / (2.0 * math.pi)).astype(np.int64)


def to_angles(counts: NDArray[np.int64]) -> Array:
    """The inverse of ``to_counts``."""
    return np.asarray(counts, dtype=np.float64) * (2.0 * math.pi / COUNTS)


def hazards(status: int) -> str:
    """What a hardware error status says, in words."""
    return ", ".join(text for bit, text in _HAZARDS.items() if status & bit) or "unknown error %#04x" % status
