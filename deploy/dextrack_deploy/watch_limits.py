"""Limits of the watches of a running cell, and how a cell's configuration, arm and hand make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec
from dextrack_deploy.arm.spec import ArmSpec
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.drivers.leap_registers import current_limits
from dextrack_deploy.graph import HEARTBEAT_DEADLINE

Floats = NDArray[np.float64]

_WRIST_MPS, _WRIST_RADPS = 2.0, 8.0
"""Limits of the wrist: above what an FR3 flange does (1.7 m/s), far below what a wrong sample makes."""

CURRENT_PART = 0.95
"""A motor that draws this part of the current that it may is at its limit: readings come short of it by a few counts."""


@dataclasses.dataclass(frozen=True)
class WatchLimits:
    """The limits of every watch. SI units; arrays over joints follow the arm's or the hand's joint names."""

    arm_lower: Floats
    arm_upper: Floats
    arm_velocity: Floats
    hand_lower: Floats
    """(22,) as theta."""
    hand_upper: Floats
    hand_velocity: Floats
    """(22,): m/s and rad/s."""
    workspace_lower_w: Floats = dataclasses.field(default_factory=lambda: np.array([-0.6, -0.6, 0.0]))
    """(3,): box of the palm's position, m."""
    workspace_upper_w: Floats = dataclasses.field(default_factory=lambda: np.array([0.6, 0.6, 0.9]))
    streams: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"hand/joint_states": 0.2, "arm/joint_states": 0.2})
    """Largest age of the newest sample of each sensor, s."""
    ahead_s: float = 0.1
    """A stamp farther ahead of this clock than this is of another clock, and says nothing about how old a sample is."""
    followed_s: tuple[float, float] = (0.15, 0.25)
    """Targets that the cell follows may carry samples this old, and be older for so long: planning a run takes none, a pause goes on giving them."""
    unseen_rad: float = 0.1
    """What joints follow may move so far while none of them reads anything new, rad, ..."""
    unseen_m: float = 0.02
    """... and the palm so far while no joint of the arm does, m, ..."""
    unseen_for_s: float = 0.2
    """... for so long: motors begin to move some tens of milliseconds after they are told to."""
    object_age_s: float = 0.25
    """The object counts as lost when its newest pose is older."""
    object_std_m: float = 0.03
    """... or when its estimator, where it tells so much, is no surer of its place: standard deviation along the worst direction, ..."""
    object_std_rad: float = 0.35
    """... or of how it is turned."""
    object_jump_m: float = 0.10
    """Largest distance between two poses of the object that follow each other; about 3 m/s at 30 Hz, above what the noise of an estimator makes."""
    object_speed_mps: float = 1.0
    """Where poses were missed between the two: so much farther for each further second; nobody's hand carries faster, and references keep to half of it."""
    nodes: tuple[str, ...] = ()
    """Nodes whose heartbeat is watched."""
    heartbeat_s: float = HEARTBEAT_DEADLINE
    operator_s: float = 1.0
    """The operator counts as gone when nothing was heard for longer: a terminal on a busy machine is slower than a node."""
    estop: bool = False
    """Whether the cell has an emergency stop that is read: then its silence counts as pressed."""
    estop_where: str = ""
    """Where it is listened for, in words; an emergency stop that was never heard is most often published somewhere else."""
    estop_s: float = HEARTBEAT_DEADLINE
    """An emergency stop not heard for longer is silent, s."""
    overruns: int = 6
    """Overruns of the control loop in a row."""
    tracking_position_m: float = 0.08
    """Distance of the palm from the shadow simulator's."""
    tracking_rotation_rad: float = 0.5
    tracking_finger_rad: float = 1.0
    """Fingers are blocked by the object that the shadow simulator does not have, so this is wide."""
    tracking_arm_rad: float = 0.25
    """Distance of an arm joint from its target."""
    tracking_for_s: float = 0.5
    """A tracking error counts when it lasts this long."""
    joint_margin: float = 0.1
    """Readings may leave the limits by this much (noise and zero errors), rad or m."""
    velocity_factor: float = 1.5
    """Finite differences of noisy readings exceed the true velocity; they may exceed the limit by this factor."""
    velocity_for_s: float = 0.1
    current_a: Floats | float = 0.475
    """Current of a motor, or (16,) of each; ``CURRENT_PART`` of what it may draw."""
    current_for_s: float = 30.0
    """A firm grasp draws all that a motor may, for 9 s in the longest trial of the twin: what does so for much longer is blocked."""
    voltage_v: tuple[float, float] = (4.0, 6.0)
    """A LEAP's motors are made for 3.7 to 6.0 V; below 4 V they lose torque, and reset soon."""
    voltage_for_s: float = 0.5
    """All fingers that close at once pull the supply down for a moment."""
    temperature_c: float = 65.0
    """Temperature of a motor (DYNAMIXEL XL330 shuts down at 70)."""
    disk_free_mb: float = 150.0
    """Above what the recorder keeps free, so that the hold itself is still recorded."""

    def __post_init__(self) -> None:
        """Refuse limits that are not ordered or not finite."""
        pairs = {
            "arm": (self.arm_lower, self.arm_upper),
            "hand": (self.hand_lower, self.hand_upper),
            "workspace": (self.workspace_lower_w, self.workspace_upper_w),
        }
        for what, (low, high) in pairs.items():
            if low.shape != high.shape or not np.isfinite([low, high]).all() or not (low < high).all():
                raise InputError(f"watch limits: the {what}'s lower and upper limits are not finite and in order.", remedy="correct the cell configuration.")

    @staticmethod
    def of_cell(cell: CellConfig, arm: ArmSpec, hand: HandSpec, nodes: tuple[str, ...], estop_where: str = "") -> WatchLimits:
        """The limits of ``cell`` with its ``arm`` and ``hand``, watching the heartbeats of ``nodes``; ``estop_where`` is for a person to read."""
        lower, upper = hand.limits()
        velocity = np.concatenate([np.full(3, _WRIST_MPS), np.full(3, _WRIST_RADPS), hand.velocity])
        workspace = cell.workspace
        return WatchLimits(
            arm.lower, arm.upper, arm.velocity, lower, upper, velocity,
            workspace_lower_w=np.array(workspace.lower_w), workspace_upper_w=np.array(workspace.upper_w), nodes=nodes, estop=cell.safety.estop == "topic",
            current_a=CURRENT_PART * current_limits(hand), estop_where=estop_where,
        )  # fmt: skip

    def uncertain(self, deviation: tuple[float, float]) -> str:
        """Why an object that is known to within ``deviation``, m and rad, counts as lost; empty: it does not."""
        if deviation[0] <= self.object_std_m and deviation[1] <= self.object_std_rad:
            return ""
        limits = f"(limits {self.object_std_m:.3f} m, {self.object_std_rad:.2f} rad)"
        return f"the object is seen to within {deviation[0]:.3f} m and {deviation[1]:.2f} rad only {limits}"

    @property
    def sensor_ages(self) -> dict[str, float]:
        """Largest age of the newest sample of each stream that a trial needs, s: of what is watched, and of what preflight asks for."""
        return {**self.streams, "object_pose": self.object_age_s}
