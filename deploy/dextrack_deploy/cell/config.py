"""CellConfig: arm, hand, table, workspace and drivers of one cell, checked when it is made.

World frame: right-handed, z up, origin on the table top. Quaternions are wxyz. Suffixes: ``_w`` world, ``_f`` the arm's flange.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack_deploy.drivers.registry import ARM_DRIVERS, HAND_DRIVERS, OBJECT_POSE_SOURCES

Floats = NDArray[np.float64]
Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

ARMS = ("fr3", "panda")
"""Arms that DexTrack has a model of."""
HANDS = ("leap_right",)
"""Hands that a cell can carry."""
FARTHEST_ZERO = 0.35
"""Zero error of a finger joint, rad, above which its horn is mounted wrongly."""
TWIN, PEER = "twin", "peer"
"""Name of the twin's drivers; and the address of a device that speaks the real wire protocol and moves the twin."""


def _refuse(field: str, what: str, remedy: str) -> InputError:
    return InputError(f"cell configuration: field {field} {what}.", remedy=remedy)


def _check_numbers(field: str, values: tuple[float, ...], length: int) -> None:
    if len(values) != length or not all(np.isfinite(v) for v in values):
        raise _refuse(field, f"is not {length} finite numbers", f"give {length} numbers in SI units.")


def _check_unit(field: str, q: Quaternion) -> None:
    _check_numbers(field, q, 4)
    if abs(float(np.linalg.norm(q)) - 1.0) > 1e-3:
        raise _refuse(field, f"has length {np.linalg.norm(q):.4f}, not 1", "give a unit quaternion in the order w x y z.")


def _check_choice(field: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise _refuse(field, f"is {value!r}", f"choose one of: {', '.join(choices)}.")


def _check_fraction(field: str, value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise _refuse(field, f"is {value}", "give a fraction of the arm's published limit, above 0 and at most 1.")


@dataclasses.dataclass(frozen=True)
class ArmMount:
    """The arm: where its base stands, where it waits, and how much of its limits may be used."""

    model: str
    """Name of the arm's model, one of ``ARMS``."""
    base_position_w: Vector3
    """Origin of the arm's root body, m."""
    base_quaternion_w: Quaternion
    """Rotation of the arm's root body."""
    home: tuple[float, ...]
    """Joint positions where the arm waits, rad; 7 of them. Inverse kinematics prefers postures near it."""
    velocity_fraction: float = 0.7
    """Part of the published joint velocities that commands may reach."""
    acceleration_fraction: float = 0.7
    """Part of the published joint accelerations that commands may reach."""
    limit_margin: float = 0.05
    """Distance that commands keep from every joint limit, rad."""

    def __post_init__(self) -> None:
        """Refuse what no arm can be."""
        _check_choice("arm.model", self.model, ARMS)
        _check_numbers("arm.base_position_w", self.base_position_w, 3)
        _check_unit("arm.base_quaternion_w", self.base_quaternion_w)
        _check_numbers("arm.home", self.home, 7)
        _check_fraction("arm.velocity_fraction", self.velocity_fraction)
        _check_fraction("arm.acceleration_fraction", self.acceleration_fraction)
        if not 0.01 <= self.limit_margin < 0.5:
            raise _refuse("arm.limit_margin", f"is {self.limit_margin} rad", "give 0.01 to 0.5 rad: closer to a limit a Franka may not move.")


@dataclasses.dataclass(frozen=True)
class HandMount:
    """The hand, and the fixed transform from the arm's flange to the hand's root body (``palm_lower`` of a LEAP)."""

    model: str
    """Name of the hand, for example ``leap_right``."""
    position_f: Vector3
    """Origin of the hand's root body in the flange's frame, m."""
    quaternion_f: Quaternion
    """Rotation of the hand's root body in the flange's frame."""
    plate_thickness: float = 0.025
    """Thickness of the plate between flange and hand, m. It is drawn and weighed; ``position_f`` already contains it."""
    plate_mass: float = 0.1
    """Mass of that plate with its screws, kg."""
    lag_s: float = 0.0
    """Time by which the hand's own position loop trails a moving target, s: targets run ahead of the shadow simulator's joints by this times
    their velocity. 0 is the paper's loop, which takes the hand to reach a command at once; kv / kp of the motors is what they really take."""
    motors: str = ""
    """What `dextrack calibrate motors` wrote of this hand, beside the cell's file or by its whole path: ``lag_s`` is then the measured one. The
    shadow simulator has the motors that a demonstration was mined with (`dextrack mine --motors`): its targets lead where they led there with no others."""
    zeros: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Joint name -> angle, rad, that the joint shows when it truly is at zero; joints left out show 0. A twin has none."""

    def __post_init__(self) -> None:
        """Refuse an unknown hand or a mount that is no rigid transform of plausible size."""
        if not 0.0 <= self.lag_s <= 0.3:
            raise _refuse("hand.lag_s", "is not between 0 and 0.3 s", "give seconds; 0.05 is a LEAP at the gains of the paper.")
        for name, zero in self.zeros.items():
            if not abs(zero) <= FARTHEST_ZERO:
                raise _refuse(f"hand.zeros.{name}", f"is {zero}", f"give at most {FARTHEST_ZERO} rad either way; mount a horn that is farther off again.")
        _check_choice("hand.model", self.model, HANDS)
        _check_numbers("hand.position_f", self.position_f, 3)
        _check_unit("hand.quaternion_f", self.quaternion_f)
        if not (0.002 <= self.plate_thickness <= 0.2 and 0.0 < self.plate_mass < 3.0):
            raise _refuse("hand.plate_thickness or hand.plate_mass", "is not plausible", "give metres (0.002 to 0.2) and kilograms (below 3).")
        if float(np.linalg.norm(self.position_f)) > 0.5:
            raise _refuse("hand.position_f", f"is {np.linalg.norm(self.position_f):.3g} m long", "give metres, not millimetres.")


@dataclasses.dataclass(frozen=True)
class Table:
    """A rectangular table; its top is the plane z = 0 of the world."""

    lower: tuple[float, float]
    """Least x and y of the top, m."""
    upper: tuple[float, float]
    """Greatest x and y of the top, m."""

    def __post_init__(self) -> None:
        """Refuse an empty rectangle."""
        _check_numbers("table.lower", self.lower, 2)
        _check_numbers("table.upper", self.upper, 2)
        if not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise _refuse("table", "is empty: lower is not below upper", "swap them.")


@dataclasses.dataclass(frozen=True)
class Workspace:
    """The box that the origin of the hand's root body may move in."""

    lower_w: Vector3
    """Least x, y, z, m."""
    upper_w: Vector3
    """Greatest x, y, z, m."""

    def __post_init__(self) -> None:
        """Refuse an empty box."""
        _check_numbers("workspace.lower_w", self.lower_w, 3)
        _check_numbers("workspace.upper_w", self.upper_w, 3)
        if not all(a < b for a, b in zip(self.lower_w, self.upper_w, strict=True)):
            raise _refuse("workspace", "is empty: lower_w is not below upper_w", "swap them.")

    def contains(self, points_w: Floats) -> NDArray[np.bool_]:
        """Whether each of ``points_w`` (..., 3) m lies in the box; shape (...)."""
        inside = (points_w >= np.asarray(self.lower_w)) & (points_w <= np.asarray(self.upper_w))
        return np.asarray(inside.all(axis=-1))


@dataclasses.dataclass(frozen=True)
class Drivers:
    """Which driver stands behind each device."""

    arm: str
    """One of ``registry.ARM_DRIVERS``."""
    hand: str
    """One of ``registry.HAND_DRIVERS``."""
    object_pose: str
    """One of ``registry.OBJECT_POSE_SOURCES``."""
    arm_address: str = ""
    """Where the arm is, for example ``172.16.0.2``; ``peer``: the simulated Franka whose joints drive the twin's. Empty for the twin's own driver."""
    hand_address: str = ""
    """Where the hand is, for example ``/dev/ttyUSB0`` or ``auto``; ``peer``: the simulated motors that the twin's fingers move."""
    object_pose_address: str = ""
    """Where the camera is."""

    def __post_init__(self) -> None:
        """Refuse drivers that there are not, and devices without a place."""
        _check_choice("drivers.arm", self.arm, ARM_DRIVERS)
        _check_choice("drivers.hand", self.hand, HAND_DRIVERS)
        _check_choice("drivers.object_pose", self.object_pose, OBJECT_POSE_SOURCES)
        for device in ("arm", "hand", "object_pose"):
            given = bool(getattr(self, f"{device}_address"))
            if given == (getattr(self, device) == TWIN):
                what, remedy = ("is given", "leave it out: the twin has one link") if given else ("is missing", f"say where the {device} is")
                raise _refuse(f"drivers.{device}_address", what, f"{remedy}.")
        if PEER in (self.arm_address, self.hand_address) and not self.twin:
            raise _refuse("drivers", f"has a {PEER}, and nothing of the twin that it could move", f"let object_pose be {TWIN}.")

    @property
    def twin(self) -> bool:
        """Whether anything of the cell is the twin's."""
        return TWIN in (self.arm, self.hand, self.object_pose)

    @property
    def hardware(self) -> tuple[str, ...]:
        """Devices that are really there: neither the twin's own nor behind its bus peers."""
        devices = ("arm", "hand", "object_pose")
        return tuple(d for d in devices if getattr(self, d) != TWIN and getattr(self, f"{d}_address") != PEER)


@dataclasses.dataclass(frozen=True)
class Safety:
    """What this cell has for stopping beside the arm's own stop."""

    estop: str = "none"
    """``topic``: an emergency stop is read and published on the topic ``estop``, and its silence stops the cell; ``none``: there is none."""

    def __post_init__(self) -> None:
        """Refuse what is not known."""
        _check_choice("safety.estop", self.estop, ("none", "topic"))


@dataclasses.dataclass(frozen=True)
class CellConfig:
    """One cell. ``load_cell`` reads it from a file."""

    name: str
    arm: ArmMount
    hand: HandMount
    table: Table
    workspace: Workspace
    drivers: Drivers
    safety: Safety = Safety()

    def __post_init__(self) -> None:
        """Refuse a cell without a name."""
        if not self.name:
            raise _refuse("name", "is empty", "name the cell.")
