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
        to_object = grasp.rotation_w.transpose(0, 2, 1)
        rotation = to_object @ pose.rotation
        position = (to_object @ (pose.position - grasp.position_w)[..., None])[..., 0]
        # Nothing is nearer to the object than its projection on the grid, so beyond the grid the value at its border bounds the distance.
        last = d.origin_o + d.spacing * (np.array(d.values.shape) - 1)
        balls_o: Floats = (rotation @ self._centres[:, None, :, None])[..., 0] + position
        # Far values are good to a voxel.
        bound = d.distances(np.clip(balls_o, d.origin_o, last))
        wanted = bound < self._reach[:, None] + grasp.clearance + 2.0 * d.spacing
        found = [self._close(int(b), np.flatnonzero(wanted[b]), rotation[b], position[b], grasp) for b in np.flatnonzero(wanted.any(axis=1))]
        if not found:
            none = np.zeros(0, dtype=np.intp)
            return Overlaps(none, none, np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
        frames, spheres, bodies = (np.concatenate([f[i] for f in found]) for i in range(3))
        points_o = np.concatenate([f[3] for f in found])
        # Beyond the grid nothing is nearer than PADDING.
        inside = np.flatnonzero(((points_o > d.origin_o) & (points_o < last)).all(axis=1))
        depth = np.minimum(self._radii[spheres[inside]] + grasp.clearance[frames[inside]], PADDING) - d.distances(points_o[inside])
        order = np.flatnonzero(depth > 0.0)
        order = order[np.argsort(frames[inside[order]], kind="stable")]
        kept = inside[order]
        turned = grasp.rotation_w[frames[kept]]
        _, gradient = d.query(points_o[kept])
        points_w = np.einsum("nij,nj->ni", turned, points_o[kept]) + grasp.position_w[frames[kept]]
        return Overlaps(frames[kept], bodies[kept], points_w, depth[order], -np.einsum("nij,nj->ni", turned, gradient))

    def _close(self, body: int, at: Ints, rotation: Floats, position: Floats, grasp: Grasp) -> tuple[Ints, Ints, Ints, Floats]:
        """Frame, sphere, body and centre, in the object's frame, of spheres of ``body`` that may touch in frames ``at``.

        ``rotation`` (T, 3, 3) and ``position`` (T, 3) are the body's in that frame. The voxel that a centre is in tells most of the others apart.
        """
        d = grasp.distance
        mine = slice(self._first[body], self._first[body] + self._counts[body])
        # One row per axis, (3, A, S).
        points = (rotation[at].transpose(1, 0, 2) @ self._offsets[mine].T) + position[at].T[..., None]
        voxels = np.rint((points - d.origin_o[:, None, None]) / d.spacing).astype(np.int64)
        frame, sphere = np.nonzero(d.nearest(voxels) < self._radii[mine] + grasp.clearance[at][:, None] + 3.0 * d.spacing)
        return at[frame], self._first[body] + sphere, np.full(len(frame), body), points[:, frame, sphere].T

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
