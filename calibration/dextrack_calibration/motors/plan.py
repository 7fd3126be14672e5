"""Which steps a joint makes: small ones within the motor's linear range, large ones that saturate it; inside its limits, and clear of the rest of the hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np
from dextrack_deploy.drivers.leap_registers import SIDE_MOTORS, to_angles, to_counts
from numpy.typing import NDArray

from dextrack.errors import InputError, RefusedError
from dextrack.hands.spec import HandSpec

Floats = NDArray[np.float64]

SMALL_RAD = (0.05, 0.12, 0.3)
"""Steps about the motor's linear range: 0.05 rad is where kp 5 N m/rad meets 0.26 N m."""
LARGE_RAD = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Steps that saturate; the first that fits is made. The driver passes on 0.85 rad at most: a tenth of a second of a motor's speed."""
LIMIT_MARGIN_RAD = 0.08
"""Kept from the joint's limits: a step may overshoot."""
CLEARANCE_M = 0.004
"""Kept between the parts of the hand."""
SPREAD_RAD = 0.5
"""Where a finger has no room to step sideways, each of the others is led this far away from its neighbour."""
SWEEP_RAD = 0.05
"""The joint's way is checked for collisions this often."""


@dataclasses.dataclass(frozen=True)
class Move:
    """One step of a joint, between angles that the bus can express: whole counts of the encoder."""

    start: float
    """Target before it, rad."""
    target: float
    """Target after it, rad."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps of one joint; the others hold still, at rest or spread."""

    joint: str
    index: int
    """Of the joint in ``HandSpec.finger_joints``."""
    pose: Floats
    """Targets of all joints (n,), rad, with the joint at the start of the first step."""
    moves: tuple[Move, ...]
    """Each begins where the one before ended, or is led to slowly."""

    @property
    def way(self) -> float:
        """How far the joint is led slowly between its steps, rad."""
        return sum(abs(then.start - now.target) for now, then in zip(self.moves, self.moves[1:], strict=False))


class Planner:
    """Makes plans for the joints of ``hand``."""

    def __init__(self, hand: HandSpec) -> None:
        """Load the hand's model for its shapes."""
        self._hand = hand
        self._model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
        self._model.geom_margin[:] = CLEARANCE_M
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in hand.finger_joints])
        self._near_at_rest = self._near(np.array(hand.rest))

    def plan(self, joint: str, repeats: int) -> Plan:
        """The steps of ``joint``, each size up and down ``repeats`` times, the small ones first.

        Raises:
            InputError: no such joint, or no repeat.
            RefusedError: even the smallest step that saturates would touch the rest of the hand.
        """
        hand = self._hand
        if joint not in hand.finger_joints:
            raise InputError(f"joint {joint!r} is unknown to {hand.name}.", remedy=f"choose among: {', '.join(hand.finger_joints)}.")
        if repeats < 1:
            raise InputError(f"repeats is {repeats}.", remedy="give 1 or more; 3 is usual.")
        i = hand.finger_joints.index(joint)
        for size in LARGE_RAD:
            low, high = hand.lower[i] + LIMIT_MARGIN_RAD + size / 2, hand.upper[i] - LIMIT_MARGIN_RAD - size / 2
            if low > high:
                continue
            for pose in (np.array(hand.rest), _spread(hand, i)):
                centre = float(np.clip(hand.rest[i], low, high))
                if self._clear(pose, i, centre, size):
                    return _plan(hand, pose, i, centre, (*SMALL_RAD, size), repeats)
        what = f"joint {joint}: no step of {LARGE_RAD[-1]:g} rad fits between its limits and the rest of the hand."
        raise RefusedError(what, remedy="leave this joint out (--joints).")

    def _clear(self, pose: Floats, index: int, centre: float, size: float) -> bool:
        """Whether the joint's way, and a tenth beyond for what it overshoots, comes near nothing that is not near at rest."""
        half = 0.6 * size
        pose = pose.copy()
        for angle in np.linspace(centre - half, centre + half, 2 + int(2 * half / SWEEP_RAD)):
            pose[index] = angle
            if not self._near(pose) <= self._near_at_rest:
                return False
        return True

    def _near(self, pose: Floats) -> set[tuple[int, int]]:
        """Pairs of bodies that are nearer to each other than ``CLEARANCE_M``."""
        self._data.qpos[self._qpos] = pose
        mujoco.mj_forward(self._model, self._data)
        bodies = self._model.geom_bodyid[self._data.contact.geom].reshape(-1, 2)
        return {(int(min(pair)), int(max(pair))) for pair in bodies}


def _spread(hand: HandSpec, index: int) -> Floats:
    """The rest pose with the fingers beside the one of joint ``index`` turned away from it, where that is a joint that turns a finger sideways."""
    pose = np.array(hand.rest)
    if index in SIDE_MOTORS:
        for place, motor in enumerate(SIDE_MOTORS):
            pose[motor] += SPREAD_RAD * (place - SIDE_MOTORS.index(index))
    return np.asarray(np.clip(pose, hand.lower, hand.upper))


def _plan(hand: HandSpec, pose: Floats, index: int, centre: float, sizes: Sequence[float], repeats: int) -> Plan:
    moves = [Move(_whole(centre - sign * size / 2), _whole(centre + sign * size / 2)) for size in sizes for _ in range(repeats) for sign in (1.0, -1.0)]
    pose = pose.copy()
    pose[index] = moves[0].start
    return Plan(hand.finger_joints[index], index, pose, tuple(moves))


def _whole(angle: float) -> float:
    """``angle`` as the bus gives it on: what the driver would round must not count as the joint's own error."""
    return float(to_angles(to_counts(np.array(angle))))
