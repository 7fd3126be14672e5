"""The paper's five metrics, exactly (Sec. 4.1, "Metrics"): numpy in, numbers out.

Frames n = 0 .. N; a hat marks the reference. Every mean runs over all N + 1 frames.

    R_err    = mean Diff_Angle(q_n, qhat_n)                                              rad
    T_err    = mean || t_n - that_n ||                                                   m
    E_wrist  = mean 0.5 Diff_Angle(wrist rotations) + 0.5 || wrist translations' difference ||
    E_finger = mean || theta_n^finger - thetahat_n^finger ||_1 / d                       rad
    success  : T_err, R_err and 0.5 E_wrist + 0.5 E_finger all below their thresholds, strictly

E_wrist adds radians to metres; that is the paper's definition. The success thresholds, 10 cm - 20 deg - 0.8 and 10 cm - 40 deg - 1.2, look at
means only, so a run that leaves the object on the table can pass them: ``tracking.verdict`` stands beside them for that reason.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands.spec import WRIST_JOINTS
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Upper bounds, exclusive, of one success level."""

    t_err_m: float
    r_err_rad: float
    hand: float
    """Bound of 0.5 E_wrist + 0.5 E_finger."""


SUCCESS_20 = Threshold(0.10, math.radians(20.0), 0.8)
"""The paper's stricter level, 10 cm - 20 deg - 0.8."""
SUCCESS_40 = Threshold(0.10, math.radians(40.0), 1.2)
"""The paper's looser level, 10 cm - 40 deg - 1.2."""


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The five metrics of one trajectory."""

    t_err_m: float
    """Mean translation error of the object, m."""
    r_err_rad: float
    """Mean rotation error of the object, rad."""
    e_wrist: float
    """Mean of half the wrist's rotation error in rad plus half its translation error in m."""
    e_finger_rad: float
    """Mean absolute error per finger joint, rad."""

    def below(self, threshold: Threshold) -> bool:
        """Whether the trajectory is a success at ``threshold``."""
        hand = 0.5 * self.e_wrist + 0.5 * self.e_finger_rad
        return self.t_err_m < threshold.t_err_m and self.r_err_rad < threshold.r_err_rad and hand < threshold.hand

    @property
    def success_20(self) -> bool:
        """Success at 10 cm - 20 deg - 0.8."""
        return self.below(SUCCESS_20)

    @property
    def success_40(self) -> bool:
        """Success at 10 cm - 40 deg - 1.2."""
        return self.below(SUCCESS_40)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: ``t_err_m``, ``r_err_rad``, ``e_wrist``, ``e_finger_rad``, ``success_20``, ``success_40``."""
        return {**dataclasses.asdict(self), "success_20": self.success_20, "success_40": self.success_40}


def rotation_error(q: ArrayLike, reference_q: ArrayLike) -> Floats:
    """Angle in rad, in [0, pi], between rotations ``q`` and ``reference_q`` (..., 4), wxyz; shape (...). As in the paper, no symmetry counts."""
    return rotations.angle(q, reference_q)


def translation_error(p: ArrayLike, reference_p: ArrayLike) -> Floats:
    """Distance in m between positions ``p`` and ``reference_p`` (..., 3); shape (...)."""
    out: Floats = np.linalg.norm(np.asarray(p, dtype=np.float64) - np.asarray(reference_p, dtype=np.float64), axis=-1)
    return out


def wrist_error(wrist: ArrayLike, reference_wrist: ArrayLike, base_quaternion_w: ArrayLike) -> Floats:
    """Half the rotation error in rad plus half the translation error in m of wrists (..., 6) = tx ty tz rx ry rz; shape (...).

    Args:
        wrist: tracked, m and rad.
        reference_wrist: the reference's.
        base_quaternion_w: (4,), the frame whose hinges rx, ry, rz are: a wrist's rotation is base * Rx Ry Rz.
    """
    a, b = np.asarray(wrist, dtype=np.float64), np.asarray(reference_wrist, dtype=np.float64)
    qa = rotations.multiply(base_quaternion_w, rotations.from_hinges(a[..., 3:6]))
    qb = rotations.multiply(base_quaternion_w, rotations.from_hinges(b[..., 3:6]))
    return 0.5 * rotations.angle(qa, qb) + 0.5 * translation_error(a[..., :3], b[..., :3])


def finger_error(fingers: ArrayLike, reference_fingers: ArrayLike) -> Floats:
    """Mean absolute difference in rad over the joints of ``fingers`` and ``reference_fingers`` (..., d); shape (...)."""
    out: Floats = np.abs(np.asarray(fingers, dtype=np.float64) - np.asarray(reference_fingers, dtype=np.float64)).mean(axis=-1)
    return out


def measure(reference: Reference, hand: ArrayLike, object_position_w: ArrayLike, object_quaternion_w: ArrayLike) -> Metrics:
    """Metrics of one trajectory against its reference, frame n against frame n.

    Args:
        reference: what was to be tracked.
        hand: theta reached, (N + 1, 22), columns as ``reference.joint_names``, wrist hinges in the reference's base frame.
        object_position_w: (N + 1, 3), m.
        object_quaternion_w: (N + 1, 4), wxyz, unit.

    Raises:
        InputError: an array does not fit the reference or is not finite.
    """
    given = {"hand": hand, "object_position_w": object_position_w, "object_quaternion_w": object_quaternion_w}
    arrays = {field: fitting(reference, field, a) for field, a in given.items()}
    wrist = [reference.joint_names.index(name) for name in WRIST_JOINTS]
    fingers = [i for i, name in enumerate(reference.joint_names) if name not in WRIST_JOINTS]
    return Metrics(
        t_err_m=float(translation_error(arrays["object_position_w"], reference.object_position_w).mean()),
        r_err_rad=float(rotation_error(arrays["object_quaternion_w"], reference.object_quaternion_w).mean()),
        e_wrist=float(wrist_error(arrays["hand"][:, wrist], reference.hand[:, wrist], reference.base_quaternion_w).mean()),
        e_finger_rad=float(finger_error(arrays["hand"][:, fingers], reference.hand[:, fingers]).mean()),
    )


def fitting(reference: Reference, field: str, a: ArrayLike) -> Floats:
    """Return ``a`` as float64 where it is finite and shaped as the reference's ``field``.

    Raises:
        InputError: it is not.
    """
    out = np.asarray(a, dtype=np.float64)
    shape = getattr(reference, field).shape
    if out.shape != shape or not np.isfinite(out).all():
        raise InputError(
            f"trajectory of {reference.name}: {field} is not a finite array of shape {shape} (it is {out.shape}).",
            remedy="give every frame of the reference, at its period, without gaps.",
        )
    return out
