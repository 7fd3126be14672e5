"""Contacts: where the fingers should touch, and which pads do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.evaluation.motion import HandMotion, Motion
from dextrack.evaluation.viewer.posing import pad_centres
from dextrack.hands import load_hand
from dextrack.objects import ObjectSpec
from dextrack.objects.distance import signed_distance
from dextrack.tracking.verdict import CLEAN_P95

Floats = NDArray[np.float64]

TOUCHING = 0.002
"""A pad nearer to the object's surface than this touches it, m: the edge of a voxel of the distance field."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The contact points that retargeting chose, fixed to the object."""

    fingers: tuple[str, ...]
    points_o: Floats
    """(F, 3), m, on the surface."""
    normals_o: Floats
    """(F, 3), outward unit normals."""
    held: NDArray[np.bool_]
    """(T,): whether the fingers should touch there in this frame."""


@dataclasses.dataclass(frozen=True)
class Pads:
    """The pads of the robot's fingers over time."""

    fingers: tuple[str, ...]
    radii: Floats
    """(F,), m."""
    centres_w: Floats
    """(T, F, 3), m."""
    gaps: Floats
    """(T, F): distance between pad and object, m; negative inside."""

    @property
    def touching(self) -> NDArray[np.bool_]:
        """(T, F): which pads touch the object."""
        near: NDArray[np.bool_] = self.gaps < TOUCHING
        return near

    @property
    def deep(self) -> NDArray[np.bool_]:
        """(T, F): which pads are further inside the object than a clean demonstration has them: soft contacts give way, real objects do not."""
        inside: NDArray[np.bool_] = self.gaps < -CLEAN_P95
        return inside


def planned(diagnosis: dict[str, Any], frames: int) -> Plan | None:
    """The contact plan in a reference's ``diagnosis``; None where it has none, because the human does not grasp."""
    fingers, points, normals = (diagnosis.get(k) or [] for k in ("fingers", "contact_points_o", "contact_normals_o"))
    if not fingers or np.shape(points) != (len(fingers), 3) or np.shape(normals) != (len(fingers), 3):
        return None
    step = np.arange(frames)
    held = (step >= diagnosis.get("onset", 0)) & (step <= diagnosis.get("release", frames))
    return Plan(tuple(fingers), np.asarray(points, dtype=np.float64), np.asarray(normals, dtype=np.float64), held)


def measured(robot: HandMotion, motion: Motion, obj: ObjectSpec) -> Pads:
    """The pads of the hand ``robot`` and how far they are from ``obj``, which moves as in ``motion``."""
    hand = load_hand(robot.hand_name)
    centres = pad_centres(hand, robot)
    inverse = np.broadcast_to(rotations.conjugate(motion.object_quaternion_w)[:, None], centres.shape[:-1] + (4,))
    radii = np.array([tip.radius for tip in hand.fingertips])
    distance = signed_distance(obj).distances(rotations.rotate(inverse, centres - motion.object_position_w[:, None]))
    return Pads(tuple(tip.finger for tip in hand.fingertips), radii, centres, distance - radii)
