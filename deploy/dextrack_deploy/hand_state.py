"""The hand state theta (22) of a cell: the wrist from the arm's forward kinematics, the fingers from the hand's readings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands.spec import WRIST_JOINTS
from dextrack_deploy.velocities import FiniteDifference

Floats = NDArray[np.float64]

PalmPose = Callable[[Floats], tuple[Floats, Floats]]
"""Forward kinematics of the cell: arm joints (7,) rad -> the palm's (position_w (3,) m, quaternion_w (4,) wxyz)."""


def by_name(names: Sequence[str], values: ArrayLike, wanted: Sequence[str]) -> Floats:
    """Pick ``values`` (n,), named ``names``, in the order of ``wanted``; shape (len(wanted),).

    Raises:
        InputError: names and values differ in number, a wanted name is missing, or a name comes twice.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.shape != (len(names),):
        raise InputError(f"joint state: {len(names)} names for values of shape {x.shape}.", remedy="check the driver that sent it.")
    index = {n: i for i, n in enumerate(names)}
    missing = [n for n in wanted if n not in index]
    if missing or len(index) != len(names):
        raise InputError(f"joint state: {'missing ' + ', '.join(missing) if missing else 'a name comes twice'}.", remedy="check the driver that sent it.")
    return x[[index[n] for n in wanted]]


def wrist_angles(base_quaternion_w: ArrayLike, quaternion_w: ArrayLike, near: ArrayLike) -> Floats:
    """Hinges rx ry rz (3,) rad of a palm at ``quaternion_w``, each the turn closest to ``near`` (3,)."""
    angles = rotations.to_hinges(rotations.multiply(rotations.conjugate(base_quaternion_w), quaternion_w))
    turns = np.round((np.asarray(near, dtype=np.float64) - angles) / (2.0 * np.pi))
    # ry comes from an arc sine: it never needs unwrapping, and a reference keeps it below 60 degrees.
    turns[1] = 0.0
    out: Floats = angles + 2.0 * np.pi * turns
    return out


@dataclasses.dataclass(frozen=True)
class HandState:
    """A hand state and its velocity."""

    stamp_ns: int
    """Stamp of the newest sample in it."""
    theta: Floats
    """(22,), m and rad; columns as ``HandStateEstimator.joint_names``."""
    velocity: Floats
    """(22,), finite differences, m/s and rad/s."""
    valid: bool
    """Whether every velocity is a difference of two samples."""


class HandStateEstimator:
    """Assembles theta from samples of arm and hand that come at their own times.

    The wrist is differenced over the arm's stamps and the fingers over the hand's: over common stamps, a part that has no new sample would
    differentiate to zero and then to twice its velocity.
    """

    def __init__(
        self,
        base_quaternion_w: ArrayLike,
        palm_pose: PalmPose,
        finger_joints: Sequence[str],
        near: ArrayLike | None = None,
        max_gap_s: float = 0.1,
        hold_s: float = 0.1,
    ) -> None:
        """Estimate relative to a placed reference's frame.

        Args:
            base_quaternion_w: (4,) wxyz, the placed reference's base frame.
            palm_pose: forward kinematics of the cell.
            finger_joints: the 16 joint names that ``update_fingers`` gets values for.
            near: (22,) where the trial begins; wrist angles start on its turn. Zeros by default.
            max_gap_s: see ``velocities``.
            hold_s: see ``velocities``.
        """
        self.joint_names = WRIST_JOINTS + tuple(finger_joints)
        self._base = rotations.normalise(base_quaternion_w)
        self._palm_pose = palm_pose
        self._near = np.zeros(3) if near is None else np.asarray(near, dtype=np.float64)[3:6].copy()
        self._wrist_rate = FiniteDifference(6, max_gap_s, hold_s)
        self._finger_rate = FiniteDifference(len(finger_joints), max_gap_s, hold_s)
        self._wrist: tuple[int, Floats] | None = None
        self._fingers: tuple[int, Floats] | None = None

    def update_arm(self, stamp_ns: int, q: ArrayLike) -> None:
        """Take the arm's joints (7,) rad, sampled at ``stamp_ns``. Samples that are old or not finite are ignored and counted."""
        q = np.asarray(q, dtype=np.float64)
        if not np.isfinite(q).all():
            self._wrist_rate.update(stamp_ns, np.full(6, np.nan))
            return
        position_w, quaternion_w = self._palm_pose(q)
        wrist = np.concatenate([position_w, wrist_angles(self._base, quaternion_w, self._near)])
        self._wrist_rate.update(stamp_ns, wrist)
        if self._wrist is None or stamp_ns > self._wrist[0]:
            self._wrist = (stamp_ns, wrist)
            self._near = wrist[3:]

    def update_fingers(self, stamp_ns: int, positions: ArrayLike) -> None:
        """Take the finger joints (16,) rad, sampled at ``stamp_ns``. Samples that are old or not finite are ignored and counted."""
        x = np.asarray(positions, dtype=np.float64)
        self._finger_rate.update(stamp_ns, x)
        if np.isfinite(x).all() and (self._fingers is None or stamp_ns > self._fingers[0]):
            self._fingers = (stamp_ns, x.copy())

    def state(self, now_ns: int | None = None) -> HandState | None:
        """The newest hand state; None until both arm and hand were sampled. With ``now_ns``, a velocity older than ``hold_s`` is zero."""
        if self._wrist is None or self._fingers is None:
            return None
        (wrist_stamp, wrist), (finger_stamp, fingers) = self._wrist, self._fingers
        now = max(wrist_stamp, finger_stamp) if now_ns is None else now_ns
        velocity = np.concatenate([self._wrist_rate.at(now), self._finger_rate.at(now)])
        return HandState(max(wrist_stamp, finger_stamp), np.concatenate([wrist, fingers]), velocity, self._wrist_rate.valid and self._finger_rate.valid)

    @property
    def counts(self) -> dict[str, int]:
        """Samples that did not count, of arm and hand together; see ``FiniteDifference.counts``."""
        wrist, fingers = self._wrist_rate.counts, self._finger_rate.counts
        return {k: wrist[k] + fingers[k] for k in wrist}
