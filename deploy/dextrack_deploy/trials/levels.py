"""The three levels of success of the paper's real-world evaluation (App. B.2), from the recorded motion of object and hand.

Level 1: "reaching the object, finding a good grasp pose, and exhibiting the potential movements to lift the object up, i.e., one side of the object is
successfully lifted up from the table". Level 2: "to lift the whole object up from the table". Level 3: "lifting the object up, followed by keeping
tracking the object's trajectory for more than 100 timesteps".

The paper judges by eye and gives no figures; the ones here are ours. A person may correct what they find: ``session`` keeps both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands import load_hand
from dextrack.hands.kinematics import HandKinematics
from dextrack.objects import ObjectSpec, lowest_z
from dextrack.objects.distance import signed_distance
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack.references.reference import Reference
from dextrack.tracking.metrics import translation_error
from dextrack.tracking.verdict import REFERENCE_LIFT, hull_vertices
from dextrack_deploy.trial_result import TrialResult

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

UP_M = 0.01
"""A side, or the whole object, is up when it is this far above the table: several times what an estimate of the object's pose is off by."""
LASTING = 6
"""Frames that it stays up without a break, 0.1 s: an object that is knocked away is up for less, or not between fingers."""
GRIP_M = 0.025
"""The hand grips where the thumb and another finger have a point this near to the surface; a finger's points lie about 1 cm inside it."""
FOOT_M = 0.005
"""Points of the object this close above its lowest point stand on the table at the beginning."""
STEPS = 100
"""Level 3 needs more steps than these after lifting (paper)."""
FOLLOW_M, FOLLOW_RAD = 0.10, np.radians(40.0)
"""An object follows its reference while it is nearer than this: the paper's looser thresholds of success in simulation (Sec. 4.1)."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """What a trial reached."""

    level: int
    """0 to 3; 3 only where the reference is long enough (``qualifies``)."""
    to_end: bool
    """Lifted, and followed to the reference's last frame; asked of every reference, however long."""
    qualifies: bool
    """Whether the reference goes on for more than ``STEPS`` steps after its own lift: no other can reach level 3."""
    side_m: float
    """Greatest height of a side while gripped, m."""
    whole_m: float
    """Greatest height of the lowest point while gripped, m."""
    followed: int
    """Frames in a row that the object followed its reference from where it was lifted."""

    def as_dict(self) -> dict[str, Any]:
        """For a session's file."""
        return dataclasses.asdict(self)


def levels_of(result: TrialResult, placed: Reference, obj: ObjectSpec) -> Levels:
    """Levels that a measured trial reached.

    Args:
        result: the trial over the frames that it reached.
        placed: its whole placed reference.
        obj: its object.
    """
    cut = result.reference
    grips = gripping(cut, obj, result.hand, result.object_position_w, result.object_quaternion_w)
    hull = hull_vertices(obj.vertices)
    side, whole = heights(hull, result.object_position_w, result.object_quaternion_w)
    aside = translation_error(result.object_position_w, cut.object_position_w)
    turned = symmetry_of(obj).angle(result.object_quaternion_w, cut.object_quaternion_w)
    # An object that lies on the table below its reference does not follow it.
    dropped = (result.reference_height >= REFERENCE_LIFT) & (whole < UP_M)
    follows = (aside <= FOLLOW_M) & (turned <= FOLLOW_RAD) & ~dropped
    own = first_lasting(lowest_z(hull, placed.object_position_w, placed.object_quaternion_w) >= UP_M)
    qualifies = own is not None and len(placed.hand) - 1 - own > STEPS
    return judge(side, whole, grips, follows, qualifies, complete=result.complete)


def judge(side: Floats, whole: Floats, grips: Flags, follows: Flags, qualifies: bool, complete: bool) -> Levels:
    """Levels from what was measured in each frame reached, arrays (n,).

    Args:
        side: height of the highest of the points that the object stood on, m.
        whole: height of its lowest point, m.
        grips: whether the hand grips.
        follows: whether the object follows its reference.
        qualifies: whether the reference is long enough for level 3.
        complete: whether every frame of the reference was reached.
    """
    lifted = first_lasting((whole >= UP_M) & grips)
    followed = 0 if lifted is None else int(np.argmin(np.append(follows[lifted:], False)))
    if lifted is None:
        level = 1 if first_lasting((side >= UP_M) & grips) is not None else 0
    else:
        level = 3 if qualifies and followed > STEPS else 2
    to_end = lifted is not None and complete and bool(followed == len(whole) - lifted)
    held_side, held_whole = (float(np.where(grips, h, 0.0).max(initial=0.0)) for h in (side, whole))
    return Levels(level, to_end, qualifies, held_side, held_whole, followed)


def first_lasting(flags: Flags) -> int | None:
    """The first of ``LASTING`` frames in a row in which ``flags`` is true; None where there are none."""
    runs = np.convolve(np.asarray(flags, dtype=np.int64), np.ones(LASTING, dtype=np.int64), "valid") if len(flags) >= LASTING else np.zeros(0)
    found = np.flatnonzero(runs == LASTING)
    return int(found[0]) if len(found) else None


def heights(hull_o: Floats, position_w: Floats, quaternion_w: Floats) -> tuple[Floats, Floats]:
    """(n,) heights of the highest point that the object stood on in the first frame, and of its lowest point, m.

    A round object that rolls raises what it stood on as well as one that is tilted: the hand has to grip it for either to count.
    """
    world = rotations.rotate(quaternion_w[:, None, :], hull_o[None]) + position_w[:, None, :]
    z = world[..., 2]
    foot = z[0] <= z[0].min() + FOOT_M
    return z[:, foot].max(axis=1), z.min(axis=1)


def gripping(reference: Reference, obj: ObjectSpec, hand: Floats, position_w: Floats, quaternion_w: Floats) -> Flags:
    """(n,): whether the thumb and another finger are at the object's surface.

    Args:
        reference: names the hand and its base frame.
        obj: the object.
        hand: (n, 22) theta.
        position_w: (n, 3) of the object, m.
        quaternion_w: (n, 4) of the object, wxyz.
    """
    spec = load_hand(reference.hand_name)
    points = [p for p in spec.keypoints if p.human != "wrist"]
    kinematics = HandKinematics(spec, reference.base_quaternion_w)
    with torch.no_grad():
        tips_w = kinematics.points(torch.as_tensor(hand), [p.body for p in points], [p.offset for p in points]).numpy()
    tips_o = rotations.rotate(rotations.conjugate(quaternion_w)[:, None, :], tips_w - position_w[:, None, :])
    near = signed_distance(obj).query(tips_o)[0] <= GRIP_M
    thumb = np.array([p.human.startswith("thumb") for p in points])
    return np.asarray(near[:, thumb].any(axis=1) & near[:, ~thumb].any(axis=1))
