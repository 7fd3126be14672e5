"""HandSpec: everything about a robot hand that the rest of DexTrack needs to know, and the registry of hands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError

WRIST_JOINTS: Tuple[str, ...] = ("tx", "ty", "tz", "rx", "ry", "rz")
"""Names of the floating base: slides along the world axes, then hinges about x, y, z of the base frame."""

KEYPOINTS: Tuple[str, ...] = (
    "wrist",
    "thumb_1", "thumb_2", "thumb_3", "thumb_tip",
    "index_1", "index_2", "index_3", "index_tip",
    "middle_1", "middle_2", "middle_3", "middle_tip",
    "ring_1", "ring_2", "ring_3", "ring_tip",
    "little_1", "little_2", "little_3", "little_tip",
)  # fmt: skip
"""Order of the 21 keypoints of a human hand in every recording (wrist, then four per finger from base to tip)."""


@dataclasses.dataclass(frozen=True)
class Keypoint:
    """A point of the robot hand that retargeting brings near a human keypoint."""

    human: str
    """Name out of ``KEYPOINTS``."""
    body: str
    """Body (link) of the robot hand that carries the point."""
    offset: Tuple[float, float, float]
    """The point in the body's frame, m."""
    weight: float
    """Weight in the retargeting objective."""


@dataclasses.dataclass(frozen=True)
class Fingertip:
    """The pad of a finger: a sphere on a body."""

    finger: str
    """``thumb``, ``index``, ``middle``, ``ring`` or ``little``."""
    body: str
    """Body (link) that carries it."""
    offset: Tuple[float, float, float]
    """Centre of the pad's sphere in the body's frame, m."""
    radius: float
    """Radius of the pad's sphere, m."""


@dataclasses.dataclass(frozen=True)
class HandSpec:
    """A robot hand on a floating base. Joints are always named; arrays over joints follow ``joint_names``."""

    name: str
    """For example ``leap_right``; also the folder of its model in the assets."""
    side: str
    """``right`` or ``left``."""
    mjcf: Path
    """Its MJCF: the hand alone, root body ``palm_body``, no floating base."""
    palm_body: str
    """Root body of the MJCF: the wrist frame (suffix ``_h``)."""
    finger_joints: Tuple[str, ...]
    """Joint names in motor-id order."""
    lower: Tuple[float, ...]
    """Lower limits of the finger joints, rad."""
    upper: Tuple[float, ...]
    """Upper limits of the finger joints, rad."""
    effort: Tuple[float, ...]
    """Torque that each finger motor gives at the current limit that cells run, N m."""
    effort_max: Tuple[float, ...]
    """Published torque limit of each finger motor (near stall), N m."""
    velocity: Tuple[float, ...]
    """Velocity limits of the finger joints, rad/s."""
    finger_kp: float
    """Position gain of a finger joint, N m/rad (paper, Sec. 4.1)."""
    finger_kv: float
    """Damping of a finger joint, N m s/rad (paper, Sec. 4.1)."""
    keypoints: Tuple[Keypoint, ...]
    """Correspondences for retargeting."""
    fingertips: Tuple[Fingertip, ...]
    """Pads, thumb first."""
    rest: Tuple[float, ...]
    """Open pose of the fingers, rad, within limits: what an approach begins from."""
    palm_axes_h: Tuple[Tuple[float, float, float], Tuple[float, float, float]]
    """Unit vectors in the wrist frame: (from wrist to fingers, out of the palm)."""
    mass: float
    """Mass of the hand, kg."""
    wrist_kp: Tuple[float, float] = (1000.0, 50.0)
    """Position gains of the wrist's slides, N/m, and hinges, N m/rad. Ours: the paper gives none."""
    wrist_kv: Tuple[float, float] = (50.0, 2.5)
    """Damping of the wrist's slides, N s/m, and hinges, N m s/rad. Ours: kv / kp is 50 ms, as of the fingers."""
    wrist_effort: Tuple[float, float] = (100.0, 20.0)
    """Force, N, and torque, N m, limits of the wrist: finite, because an arm's are. Ours."""

    def __post_init__(self) -> None:
        """Check the shapes and the order of limits at construction."""
        n = len(self.finger_joints)
        for field in ("lower", "upper", "effort", "effort_max", "velocity", "rest"):
            given = len(getattr(self, field))
            if given != n:
                raise InputError("hand %s: field %s has %d values for %d joints." % (self.name, field, given, n), remedy="correct the HandSpec.")
        if not all(lo <= r <= up for lo, r, up in zip(self.lower, self.rest, self.upper)):
            raise InputError("hand %s: the rest pose leaves the joint limits." % self.name, remedy="correct the HandSpec.")

    @property
    def joint_names(self) -> Tuple[str, ...]:
        """The 22 names of a hand state theta: six of the wrist, then the fingers' in motor-id order."""
        return WRIST_JOINTS + self.finger_joints

    @property
    def dof(self) -> int:
        """Length of theta."""
        return len(self.joint_names)

    def limits(self) -> Tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(lower, upper) of theta, shapes (22,): m and rad; the wrist's are +-2 m and +-2 pi rad."""
        wrist = np.array([2.0] * 3 + [2 * np.pi] * 3)
        return np.concatenate([-wrist, self.lower]), np.concatenate([wrist, self.upper])

    def finger_speed(self, theta: NDArray[np.float64], period: float) -> NDArray[np.float64]:
        """Of each step of ``theta`` (N + 1, 22), ``period`` s apart: the largest part of its motor's speed that a finger joint takes, (N,)."""
        share: NDArray[np.float64] = (np.abs(np.diff(theta[:, 6:], axis=0)) / (period * np.array(self.velocity))).max(axis=1)
        return share

    def gains(self) -> Tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(kp, kv, effort) over theta, shapes (22,), SI units of slide and hinge joints."""
        n = len(self.finger_joints)
        kp = np.array([self.wrist_kp[0]] * 3 + [self.wrist_kp[1]] * 3 + [self.finger_kp] * n)
        kv = np.array([self.wrist_kv[0]] * 3 + [self.wrist_kv[1]] * 3 + [self.finger_kv] * n)
        effort = np.array([self.wrist_effort[0]] * 3 + [self.wrist_effort[1]] * 3 + list(self.effort))
        return kp, kv, effort


_HANDS: Dict[str, Callable[[], HandSpec]] = {}


def register(name: str) -> Callable[[Callable[[], HandSpec]], Callable[[], HandSpec]]:
    """Decorator that puts a function returning a HandSpec under ``name`` in the registry."""

    def add(make: Callable[[], HandSpec]) -> Callable[[], HandSpec]:
        _HANDS[name] = make
        return make

    return add


def hand_names() -> Tuple[str, ...]:
    """Names of the registered hands."""
    return tuple(sorted(_HANDS))


def load_hand(name: str) -> HandSpec:
    """Return the registered hand ``name``.

    Raises:
        InputError: no such hand.
    """
    if name not in _HANDS:
        raise InputError("hand %r is not known." % name, remedy="choose one of: %s." % ", ".join(hand_names()))
    return _HANDS[name]()
