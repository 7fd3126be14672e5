"""Which of the spheres that cover a hand are inside an object or the table, for many frames at once.

Most are far from both most of the time: a ball around each body is looked up first, and only the spheres of the bodies that may touch.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.hands.kinematics import collision_spheres
from dextrack.hands.spec import HandSpec
from dextrack.references.jacobians import HandJacobians, Pose
from dextrack.references.objective import Grasp

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Overlaps:
    """A spheres that are too deep in something, by ascending frame."""

    frames: Ints
    """(A,)."""
    bodies: Ints
    """(A,), as in ``HandJacobians.bodies``."""
    points_w: Floats
    """Their centres, (A, 3), m."""
    depths: Floats
    """(A,), m."""
    inward_w: Floats
    """Derivative of the depth over the centre, (A, 3)."""


class Spheres:
    """The spheres that cover a hand, by body."""

    def __init__(self, hand: HandSpec, kinematics: HandJacobians) -> None:
        """Sort the spheres of ``hand`` by body and lay a ball around those of each."""
        bodies, offsets, radii = collision_spheres(hand)
        place = kinematics.index(bodies)
        self._of_body = [np.flatnonzero(place == b) for b in range(len(kinematics.bodies))]
        self._offsets, self._radii = offsets, radii
        self._centres = np.zeros((len(self._of_body), 3))
        self._reach = np.full(len(self._of_body), -np.inf)
        for b, mine in enumerate(self._of_body):
            if len(mine):
                self._centres[b] = 0.5 * (offsets[mine].min(axis=0) + offsets[mine].max(axis=0))
                self._reach[b] = (np.linalg.norm(offsets[mine] - self._centres[b], axis=1) + radii[mine]).max()

    def in_object(self, pose: Pose, grasp: Grasp) -> Overlaps:
        """Spheres that are inside the object of ``grasp``."""
        d = grasp.distance
        # Nothing is nearer to the object than its projection on the grid, so beyond the grid the value at its border bounds the distance.
        last = d.origin_o + d.spacing * (np.array(d.values.shape) - 1)
        centres_o = _to_object(self._balls(pose), grasp.rotation_w, grasp.position_w)
        bound, _ = d.query(np.clip(centres_o, d.origin_o, last))
        frames, spheres, bodies, points = self._members(pose, bound < self._reach[:, None] + d.spacing)
        rotation = grasp.rotation_w[frames]
        points_o = _to_object(points, rotation, grasp.position_w[frames])
        inside = np.flatnonzero(((points_o > d.origin_o) & (points_o < last)).all(axis=1))
        value, gradient = d.query(points_o[inside])
        depth = self._radii[spheres[inside]] - value
        deep = depth > 0.0
        kept = inside[deep]
        inward = -(rotation[kept] @ gradient[deep][..., None])[..., 0]
        return Overlaps(frames[kept], bodies[kept], points[kept], depth[deep], inward)

    def in_table(self, pose: Pose, margin: float) -> Overlaps:
        """Spheres that are less than ``margin`` m above the table."""
        low = self._balls(pose)[..., 2] < self._reach[:, None] + margin
        frames, spheres, bodies, points = self._members(pose, low)
        depth = self._radii[spheres] + margin - points[:, 2]
        kept = np.flatnonzero(depth > 0.0)
        return Overlaps(frames[kept], bodies[kept], points[kept], depth[kept], np.broadcast_to([0.0, 0.0, -1.0], (len(kept), 3)))

    def _balls(self, pose: Pose) -> Floats:
        """Centres (B, T, 3), m, of the balls."""
        out: Floats = (pose.rotation @ self._centres[:, None, :, None])[..., 0] + pose.position
        return out

    def _members(self, pose: Pose, wanted: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Floats]:
        """Frame, sphere, body and centre of every sphere of the bodies and frames ``wanted`` (B, T), by ascending frame."""
        frames, spheres, bodies, points = [], [], [], []
        for b, mine in enumerate(self._of_body):
            at = np.flatnonzero(wanted[b])
            if not len(at) or not len(mine):
                continue
            points.append((self._offsets[mine] @ pose.rotation[b, at].transpose(0, 2, 1) + pose.position[b, at, None]).reshape(-1, 3))
            frames.append(np.repeat(at, len(mine)))
            spheres.append(np.tile(mine, len(at)))
            bodies.append(np.full(len(at) * len(mine), b))
        if not frames:
            none = np.zeros(0, dtype=np.intp)
            return none, none, none, np.zeros((0, 3))
        order = np.argsort(np.concatenate(frames), kind="stable")
        return np.concatenate(frames)[order], np.concatenate(spheres)[order], np.concatenate(bodies)[order], np.concatenate(points)[order]


def _to_object(points_w: Floats, rotation_w: Floats, position_w: Floats) -> Floats:
    """Points (..., T, 3) in the frame of an object at ``rotation_w`` (T, 3, 3), ``position_w`` (T, 3)."""
    out: Floats = ((points_w - position_w)[..., None, :] @ rotation_w)[..., 0, :]
    return out
