"""Where an object lies: told by a person, or seen by a camera; and the move over the table that brings a task there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.objects.symmetry import Symmetry
from dextrack.references.reference import Reference
from dextrack.rotations import conjugate, from_rotation_vector, multiply, to_rotation_vector
from dextrack_deploy.placement.transform import PlanarTransform
from dextrack_deploy.trial_log import Poses
from dextrack_deploy.watch_limits import WatchLimits

Floats = NDArray[np.float64]

TILT_LIMIT = 0.26
"""Angle between how the object stands and how the task begins, beside the yaw, above which a re-anchoring is refused, rad."""
HEIGHT_LIMIT = 0.03
"""Height between where the object lies and where the task begins above which a re-anchoring is refused, m."""
LOOK_S = 2.0
"""An object is looked at for this long, s."""
FEWEST = 10
"""Poses within that time below which the object counts as not seen."""
STILL = (0.006, 0.1)
"""Distance, m, and angle, rad, between the means of the first and of the second half of those poses, above which the object moves."""


def anchor(begin_position: Floats, begin_quaternion: Floats, position_w: Floats, quaternion_w: Floats) -> PlanarTransform:
    """The move over the table that brings the object from where a task begins to where it lies.

    Raises:
        RefusedError: no move over the table does: the object lies on another side or at another height.
    """
    turn = multiply(np.asarray(quaternion_w), conjugate(begin_quaternion))
    yaw = _yaw(turn)
    move_ = PlanarTransform.carrying(begin_position, (float(position_w[0]), float(position_w[1])), yaw)
    tilt = float(np.linalg.norm(to_rotation_vector(multiply(turn, conjugate(move_.quaternion)))))
    height = abs(float(position_w[2] - begin_position[2]))
    if tilt > TILT_LIMIT or height > HEIGHT_LIMIT:
        what = f"object: it lies {np.degrees(tilt):.0f} degrees tilted from, and {1e3 * height:.0f} mm above or below, where the task begins."
        raise RefusedError(what, remedy="put it on the side that the recording shows, on the table.")
    return move_


def lying_at(task: Reference | Demonstration, x: float, y: float, turn_deg: float) -> tuple[Floats, Floats]:
    """Pose, position (3,) m and quaternion (4,), of the object of ``task`` when it lies at (x, y) as the task begins, but turned.

    Args:
        task: how high it lies, and which way up: a demonstration's object came to rest first, its reference's is where a recording had it.
        x: of its origin, m.
        y: m.
        turn_deg: about the vertical, counter-clockwise seen from above, degrees.
    """
    turn = from_rotation_vector([0.0, 0.0, np.radians(turn_deg)])
    return np.array([x, y, task.object_position_w[0, 2]]), np.asarray(multiply(turn, task.object_quaternion_w[0]))


def seen_at(task: Reference | Demonstration, poses: Poses, ended_ns: int, symmetry: Symmetry) -> tuple[float, float, float]:
    """Where a camera last saw the object of ``task`` lie: x, y in m and its turn in degrees, as ``lying_at`` takes them.

    Args:
        task: which way up the object must lie, and how high.
        poses: what the camera saw; those of the last ``LOOK_S`` count of which its estimator was as sure as a run needs.
        ended_ns: when the trial ended in which it did, ns: what was seen long before is no news.
        symmetry: of the object: turns after which it looks the same do not count.

    Raises:
        RefusedError: it was hardly seen, moved, or lies as no move over the table brings the task.
    """
    sure = (poses.deviation <= [WatchLimits.object_std_m, WatchLimits.object_std_rad]).all(axis=1)
    last = sure & (poses.received_ns >= ended_ns - round(LOOK_S * 1e9))
    if np.count_nonzero(last) < FEWEST:
        what = f"object: in the last {LOOK_S:g} s the camera had {np.count_nonzero(last)} poses of it that it was sure of (needed {FEWEST})."
        raise RefusedError(what, remedy="put it in the camera's view, or say where it lies (--at).")
    begin = task.object_quaternion_w[0]
    places, turns = poses.position_w[last], symmetry.nearest(poses.quaternion_w[last], poses.quaternion_w[last][-1])
    half = len(places) // 2
    first, second = ((places[s].mean(axis=0), rotations.mean(turns[s])) for s in (slice(half), slice(half, None)))
    moved, turned = float(np.linalg.norm(second[0] - first[0])), float(rotations.angle(second[1], first[1]))
    if moved > STILL[0] or turned > STILL[1]:
        what = f"object: it moves: by {1e3 * moved:.0f} mm and {np.degrees(turned):.0f} degrees within {LOOK_S / 2:g} s as the camera sees it."
        raise RefusedError(what, remedy="let it come to rest, and look again; or say where it lies (--at).")
    # A camera's noise is larger than what poses of an object at rest differ by.
    position, quaternion = places.mean(axis=0), _least_tilted(rotations.mean(turns), begin, symmetry)
    anchor(task.object_position_w[0], begin, position, quaternion)
    return float(position[0]), float(position[1]), float(np.degrees(_yaw(multiply(quaternion, conjugate(begin)))))


def _least_tilted(q: Floats, begin: Floats, symmetry: Symmetry) -> Floats:
    """Of the rotations that look like ``q`` (4,), the one that differs from ``begin`` (4,) most nearly by a turn about the vertical, and a small one.

    The nearest of them (``Symmetry.nearest``) is another: of an object on its side that was turned by a right angle, it is tilted.
    """
    if symmetry.is_sphere:
        return begin
    alike = multiply(q, conjugate(symmetry.representatives()))
    if symmetry.free_axis is not None:
        axis = symmetry.free_axis
        across = np.linalg.svd(axis[None])[2][1:]
        up, up_begin = (rotations.rotate(conjugate(r), np.array([0.0, 0.0, 1.0])) for r in (alike, begin))
        if np.linalg.norm(across @ up_begin) < np.sin(TILT_LIMIT / 2.0):
            # It stands on its axis: every turn is one about the vertical.
            alike = np.array([symmetry.nearest(r, begin) for r in alike])
        else:
            e, f = across[0], np.cross(axis, across[0])
            spin = np.arctan2(up @ f, up @ e) - np.arctan2(up_begin @ f, up_begin @ e)
            alike = multiply(alike, from_rotation_vector(spin[:, None] * axis))
    turn = multiply(alike, conjugate(begin))
    tilt, yaw = 2.0 * np.arctan2(np.hypot(turn[:, 1], turn[:, 2]), np.hypot(turn[:, 0], turn[:, 3])), np.array([abs(_yaw(t)) for t in turn])
    upright = np.flatnonzero(tilt < tilt.min() + 0.035)
    return np.asarray(alike[upright[np.argmin(yaw[upright])]])


def _yaw(turn: Floats) -> float:
    """The part of a rotation (4,) that turns about the vertical, rad, in (-pi, pi]."""
    return math.remainder(2.0 * math.atan2(turn[3], turn[0]), 2.0 * math.pi)
