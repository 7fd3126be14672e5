"""Which fingers of a hand are inside one another, for many frames at once.

People's fingers lie side by side; a robot's, twice as thick, laid on the same keypoints would share one place, and in a simulator they fight each
other with all their torque. A few balls along each link are enough to keep them apart.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from dextrack.hands.kinematics import collision_spheres
from dextrack.hands.spec import HandSpec
from dextrack.references.jacobians import HandJacobians, Pose, body_parents

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

CROWDING = 4.0
"""What a depth between fingers costs, relative to the same depth in the object."""
MARGIN = 0.003
"""Distance that fingers keep from one another, m: the corners of links stand out of the balls."""


@dataclasses.dataclass(frozen=True)
class Balls:
    """Balls along the links of the fingers, and the pairs of them that may meet."""

    bodies: tuple[str, ...]
    """(S,)."""
    offsets: Floats
    """(S, 3), m, in the bodies' frames."""
    radii: Floats
    """(S,), m, half of the margin between fingers included."""
    pairs: Ints
    """(P, 2): of different fingers."""


@dataclasses.dataclass(frozen=True)
class Meetings:
    """A pairs of balls that overlap, by ascending frame."""

    frames: Ints
    """(A,)."""
    bodies: Ints
    """(A, 2), as in ``HandJacobians.bodies``."""
    points_w: Floats
    """Their centres, (A, 2, 3), m."""
    depths: Floats
    """(A,), m."""
    apart_w: Floats
    """Unit vectors (A, 3) from the second centre to the first."""


@functools.lru_cache(maxsize=8)
def balls(hand: HandSpec) -> Balls:
    """Lay balls in rows through the links of ``hand``, as thick as each link's thinnest side and about that far apart."""
    names, offsets, radii = collision_spheres(hand)
    parents = body_parents(hand)
    bodies, centres, sizes, fingers = [], [], [], []
    for body in dict.fromkeys(names):
        finger = _finger(body, parents, hand.palm_body)
        if finger is None:
            continue
        mine = np.array([n == body for n in names]) & (radii > 0.0)
        for centre, radius in _fill(offsets[mine], radii[mine]):
            bodies.append(body)
            centres.append(centre)
            sizes.append(radius + 0.5 * MARGIN)
            fingers.append(finger)
    a, b = np.triu_indices(len(bodies), 1)
    other = np.array([fingers[i] != fingers[j] for i, j in zip(a, b, strict=True)], dtype=bool)
    return Balls(tuple(bodies), np.array(centres).reshape(-1, 3), np.array(sizes), np.stack([a[other], b[other]], axis=1))


def _finger(body: str, parents: dict[str, str], palm: str) -> str | None:
    """The body of the palm's child that ``body`` hangs from; None for the palm, and for that child itself, which never leaves its place."""
    chain = [body]
    while chain[-1] != palm and chain[-1] in parents:
        chain.append(parents[chain[-1]])
    return chain[-2] if chain[-1] == palm and len(chain) > 2 else None


def _fill(points: Floats, radii: Floats) -> list[tuple[Floats, float]]:
    """Balls (centre, radius), as thick as its thinnest side, that fill the box around spheres at ``points`` (n, 3) of ``radii`` (n,)."""
    low, high = (points - radii[:, None]).min(axis=0), (points + radii[:, None]).max(axis=0)
    radius = 0.5 * float((high - low).min())
    rows = []
    for start, end in zip(low + radius, high - radius, strict=True):
        count = int(np.ceil((end - start) / (2.0 * radius) - 0.1)) + 1
        rows.append(np.linspace(start, end, count) if count > 1 else np.array([0.5 * (start + end)]))
    return [(centre, radius) for centre in np.stack(np.meshgrid(*rows, indexing="ij"), axis=-1).reshape(-1, 3)]


class Crowding:
    """The balls of one hand at its poses."""

    def __init__(self, hand: HandSpec, kinematics: HandJacobians) -> None:
        """Lay the balls of ``hand``."""
        b = self._balls = balls(hand)
        self._kinematics, self._place = kinematics, kinematics.index(b.bodies)
        self._touch = np.full((len(b.bodies), len(b.bodies)), -1.0)
        self._touch[b.pairs[:, 0], b.pairs[:, 1]] = b.radii[b.pairs].sum(axis=1) ** 2

    def __call__(self, pose: Pose) -> Meetings:
        """The pairs that overlap at ``pose``."""
        b = self._balls
        centres = self._kinematics.points(pose, self._place, b.offsets)
        # |a - b|^2 of all pairs by one product per frame: most are far apart.
        square = (centres**2).sum(axis=-1)
        apart = square[:, :, None] - 2.0 * (centres @ centres.transpose(0, 2, 1))
        apart += square[:, None]
        frames, first, second = np.nonzero(apart < self._touch)
        both = np.stack([first, second], axis=1)
        points = centres[frames[:, None], both]
        between = points[:, 0] - points[:, 1]
        distance = np.linalg.norm(between, axis=1)
        depth = np.maximum(b.radii[both].sum(axis=1) - distance, 0.0)
        return Meetings(frames, self._place[both], points, depth, between / np.maximum(distance, 1e-9)[:, None])
