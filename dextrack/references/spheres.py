"""Which of the spheres that cover a hand are inside an object or the table, for many frames at once.

Most are far from both most of the time: a ball around each body is looked up first, and only the spheres of the bodies that may touch.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from dextrack.hands.kinematics import collision_spheres
from dextrack.hands.spec import HandSpec
from dextrack.objects.distance import PADDING
from dextrack.references.jacobians import Pose, body_names
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


@functools.lru_cache(maxsize=8)
def cover(hand: HandSpec) -> Spheres:
    """The spheres of ``hand``, made once."""
    return Spheres(hand)


class Spheres:
    """The spheres that cover a hand, by body."""

    def __init__(self, hand: HandSpec) -> None:
        """Sort the spheres of ``hand`` by body and lay a ball around those of each."""
        names, offsets, radii = collision_spheres(hand)
        bodies = body_names(hand)
        place = np.array([bodies.index(n) for n in names], dtype=np.intp)
        order = np.argsort(place, kind="stable")
        self._offsets, self._radii = offsets[order], radii[order]
        self._counts = np.bincount(place, minlength=len(bodies))
        self._first = np.cumsum(self._counts) - self._counts
        self._centres = np.zeros((len(bodies), 3))
        self._reach = np.full(len(bodies), -np.inf)
        for b in np.flatnonzero(self._counts):
            mine = slice(self._first[b], self._first[b] + self._counts[b])
            self._centres[b] = 0.5 * (self._offsets[mine].min(axis=0) + self._offsets[mine].max(axis=0))
            self._reach[b] = (np.linalg.norm(self._offsets[mine] - self._centres[b], axis=1) + self._radii[mine]).max()

    def in_object(self, pose: Pose, grasp: Grasp) -> Overlaps:
        """Spheres that are inside the object of ``grasp``, or nearer than its clearance."""
        d = grasp.distance
        # Nothing is nearer to the object than its projection on the grid, so beyond the grid the value at its border bounds the distance.
        last = d.origin_o + d.spacing * (np.array(d.values.shape) - 1)
        # Far values are good to a voxel.
        slack = 2.0 * d.spacing
        centres_o = _to_object(self._balls(pose), grasp.rotation_w, grasp.position_w)
        bound, _ = d.query(np.clip(centres_o, d.origin_o, last))
        frames, spheres, bodies, points = self._members(pose, bound < self._reach[:, None] + grasp.clearance + slack)
        points_o = _to_object(points, grasp.rotation_w[frames], grasp.position_w[frames])
        # Beyond the grid nothing is nearer than PADDING.
        inside = np.flatnonzero(((points_o > d.origin_o) & (points_o < last)).all(axis=1))
        value, gradient = d.query(points_o[inside])
        depth = np.minimum(self._radii[spheres[inside]] + grasp.clearance[frames[inside]], PADDING) - value
        deep = depth > 0.0
        kept = inside[deep]
        inward = -(grasp.rotation_w[frames[kept]] @ gradient[deep, :, None])[..., 0]
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
        at, body = np.nonzero(wanted.T)
        count = self._counts[body]
        pair = np.repeat(np.arange(len(at)), count)
        spheres = self._first[body[pair]] + np.arange(len(pair)) - (np.cumsum(count) - count)[pair]
        points = (pose.rotation[body, at][pair] @ self._offsets[spheres, :, None])[..., 0] + pose.position[body, at][pair]
        return at[pair], spheres, body[pair], points


def _to_object(points_w: Floats, rotation_w: Floats, position_w: Floats) -> Floats:
    """Points (..., T, 3) in the frame of an object at ``rotation_w`` (T, 3, 3), ``position_w`` (T, 3)."""
    out: Floats = ((points_w - position_w)[..., None, :] @ rotation_w)[..., 0, :]
    return out
