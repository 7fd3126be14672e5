"""Where and when the fingers should touch the object: contact points read off the human hand, moved to oppose the thumb.

Keypoints alone leave a robot's fingertips some millimetres off the surface or deep inside it; a grasp needs points on the surface whose
normals face each other. The points are chosen near the human fingertips, among surface samples, for opposition and clearance of the table.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands.spec import KEYPOINTS, HandSpec
from dextrack.objects.distance import SignedDistance
from dextrack.objects.spec import ObjectSpec
from dextrack.settings import require

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ContactConfig:
    """How contact points are chosen."""

    moved_m: float = 0.005
    """The object is being moved once it is this far from its first position ..."""
    moved_rad: float = 0.07
    """... or turned by this much, rad."""
    near: float = 0.03
    """A human fingertip this near to the surface while the object moves takes part in the grasp, m."""
    reach: float = 0.03
    """A contact point may lie this far from the human fingertip, m."""
    samples: int = 2500
    """Surface samples."""
    distance_weight: float = 1.0
    """Weight of (distance to the human fingertip / 1.5 cm) squared against opposition."""
    centre_weight: float = 0.5
    """Weight of (distance of the thumb-finger axis from the centre of mass / 3 cm) squared."""
    spacing: float = 0.03
    """Least distance between contact points of neighbouring fingers, m."""
    window: int = 0
    """Control steps, after the object is first moved, of which the human fingertips are looked at; 0: all in which it is held."""
    scatter: float = 0.0
    """Standard deviation by which the human fingertips are displaced before points are chosen near them, m: other grasps for the same motion."""
    early_frames: int = 18
    """Fingers are in place this many control steps before the object moves."""
    ramp_frames: int = 12
    """Control steps over which a contact's weight grows or fades."""

    def __post_init__(self) -> None:
        """Refuse weights and distances that are negative or not finite, and what divides by 0."""
        at_least_0 = ("moved_m", "moved_rad", "near", "reach", "distance_weight", "centre_weight", "spacing", "window", "scatter", "early_frames")
        require(self, "contacts", at_least_0, "give a positive number, or 0.")
        require(self, "contacts", ("samples", "ramp_frames"), "give at least 1.", least=1)


@dataclasses.dataclass(frozen=True)
class ContactPlan:
    """Contact points of the robot's fingers in the object frame, and when they hold."""

    fingers: tuple[str, ...]
    """Fingers that touch, thumb first."""
    points_o: Floats
    """(F, 3), m, on the surface."""
    normals_o: Floats
    """(F, 3), outward unit normals."""
    weights: Floats
    """(N + 1, F) in [0, 1]."""
    onset: int
    """First step at which the object is being moved, or N + 1 when it never is."""
    release: int
    """Last step at which it is held."""
    opposition: float
    """Mean cosine between the thumb-finger axes and the normals they meet: 1 is a perfect pinch."""


def departure(position_w: Floats, quaternion_w: Floats) -> int:
    """The last frame at which the object, (N + 1, 3) m and (N + 1, 4) wxyz, still lies where it lay first, to 1.5 mm and 0.02 rad."""
    moved = (np.linalg.norm(position_w - position_w[0], axis=1) > 0.0015) | (rotations.angle(quaternion_w, quaternion_w[:1]) > 0.02)
    return max(0, int(np.argmax(moved)) - 1) if moved.any() else len(moved) - 1


def moving_interval(position_w: Floats, quaternion_w: Floats, lowest: Floats, config: ContactConfig) -> tuple[int, int]:
    """First and last step between which the object is held: it left its place and has not come to rest on the table.

    Args:
        position_w: (N + 1, 3), m.
        quaternion_w: (N + 1, 4) wxyz.
        lowest: height of the object's lowest point, (N + 1,), m.
        config: thresholds.

    Returns:
        (onset, release); (N + 1, N) when the object never moves.
    """
    n = len(position_w)
    moved = (np.linalg.norm(position_w - position_w[0], axis=1) > config.moved_m) | (rotations.angle(quaternion_w, quaternion_w[:1]) > config.moved_rad)
    if not moved.any():
        return n, n - 1
    onset = int(np.argmax(moved))
    speed = np.linalg.norm(np.diff(position_w, axis=0), axis=1)
    speed = np.concatenate([speed[:1], speed])
    busy = (speed > 2e-4) | (lowest > 0.004)
    busy[:onset] = True
    return onset, int(np.flatnonzero(busy)[-1])


def plan_contacts(
    hand: HandSpec,
    obj: ObjectSpec,
    distance: SignedDistance,
    keypoints_w: Floats,
    position_w: Floats,
    quaternion_w: Floats,
    lowest: Floats,
    config: ContactConfig,
    seed: int = 0,
) -> ContactPlan:
    """Choose contact points for the fingers that the human used.

    Args:
        hand: the robot hand.
        obj: the object.
        distance: its signed distance.
        keypoints_w: (N + 1, 21, 3), m.
        position_w: (N + 1, 3), m.
        quaternion_w: (N + 1, 4), wxyz.
        lowest: height of the object's lowest point, (N + 1,), m.
        config: weights.
        seed: of the surface samples, and of the scatter.

    Returns:
        The plan; its ``fingers`` is empty when the human does not touch, or the object is too small for two points as far apart as ``spacing``.
    """
    n = len(position_w)
    onset, release = moving_interval(position_w, quaternion_w, lowest, config)
    held = np.arange(onset, min(release, onset + config.window if config.window else release) + 1)
    empty = ContactPlan((), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((n, 0)), onset, release, 0.0)
    if len(held) == 0:
        return empty
    tips = _human_tips(hand, keypoints_w[held], position_w[held], quaternion_w[held])
    fingers = [f for f, p in tips.items() if np.median(distance.distances(p)) < config.near]
    if "thumb" not in fingers or len(fingers) < 2:
        return empty
    candidates = _surface(obj, distance, config.samples, seed)
    resting = rotations.rotate(quaternion_w[:1], candidates[0]) + position_w[:1]
    normals_w = rotations.rotate(quaternion_w[:1], candidates[1])
    radius = hand.fingertips[0].radius
    clear = (resting + radius * normals_w)[:, 2] > radius + 0.001
    if clear.sum() > 50:
        candidates = (candidates[0][clear], candidates[1][clear])
    rng = np.random.default_rng(seed)
    wanted = {f: np.median(tips[f], axis=0) + config.scatter * rng.normal(size=3) for f in fingers}
    points, normals, opposition = _oppose(candidates, wanted, _centre(obj), config)
    if not points:
        return empty
    used = tuple(points)
    return ContactPlan(
        fingers=used,
        points_o=np.array([points[f] for f in used]),
        normals_o=np.array([normals[f] for f in used]),
        weights=np.repeat(ramp(n, onset - config.early_frames, release, config.ramp_frames)[:, None], len(used), axis=1),
        onset=onset,
        release=release,
        opposition=opposition,
    )


def _human_tips(hand: HandSpec, keypoints_w: Floats, position_w: Floats, quaternion_w: Floats) -> dict[str, Floats]:
    """Human fingertips (T, 3) in the object frame, for the fingers that the robot has."""
    inverse = rotations.conjugate(quaternion_w)
    return {f.finger: rotations.rotate(inverse, keypoints_w[:, KEYPOINTS.index(f.finger + "_tip")] - position_w) for f in hand.fingertips}


def _surface(obj: ObjectSpec, distance: SignedDistance, count: int, seed: int) -> tuple[Floats, Floats]:
    """Points (n, 3) on the outside of the union of the parts, with outward normals (n, 3) of the distance field."""
    hulls = obj.hulls
    areas = np.array([h.area for h in hulls])
    counts = np.maximum(20, (2 * count * areas / areas.sum()).astype(int))
    points = np.concatenate([trimesh.sample.sample_surface(h, c, seed=seed + i)[0] for i, (h, c) in enumerate(zip(hulls, counts, strict=True))])
    outside = np.abs(distance.distances(points)) < 0.0015
    points = points[outside] if outside.sum() > 100 else points
    _, gradient = distance.query(points)
    return points, gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-9)


def _centre(obj: ObjectSpec) -> Floats:
    """Centre of mass of the convex parts, (3,), m."""
    hulls = obj.hulls
    volumes = np.array([h.volume for h in hulls])
    centre: Floats = (np.array([h.center_mass for h in hulls]) * volumes[:, None]).sum(axis=0) / volumes.sum()
    return centre


def _oppose(
    candidates: tuple[Floats, Floats], tips: dict[str, Floats], centre: Floats, config: ContactConfig
) -> tuple[dict[str, Floats], dict[str, Floats], float]:
    """Pick, for every thumb candidate, the best finger candidates, and keep the best set; empty where no finger is far enough from any thumb."""
    points, normals = candidates
    order = sorted((f for f in tips if f != "thumb"), key=lambda f: f != "middle")
    near = {f: _nearest(points, tips[f], config.reach) for f in tips}
    best: tuple[float, dict[str, int]] = (-np.inf, {})
    for t in near["thumb"]:
        cost = config.distance_weight * (np.linalg.norm(points[t] - tips["thumb"]) / 0.015) ** 2
        chosen: dict[str, int] = {"thumb": int(t)}
        gains = []
        for f in order:
            index = near[f]
            axis = points[index] - points[t]
            length = np.linalg.norm(axis, axis=1, keepdims=True)
            unit = axis / np.maximum(length, 1e-6)
            align = (unit * normals[index]).sum(axis=1) - (unit * normals[t]).sum(axis=1)
            score = 2.0 * align - config.distance_weight * (np.linalg.norm(points[index] - tips[f], axis=1) / 0.015) ** 2
            offset = centre - points[t]
            off_axis = np.linalg.norm(offset - (offset @ unit.T)[:, None] * unit, axis=1)
            score -= config.centre_weight * (off_axis / 0.03) ** 2
            for other in chosen.values():
                score = np.where(np.linalg.norm(points[index] - points[other], axis=1) < config.spacing, -np.inf, score)
            k = int(np.argmax(score))
            if np.isfinite(score[k]):
                chosen[f] = int(index[k])
                gains.append(float(score[k]))
        if gains and (total := float(np.mean(gains) - cost)) > best[0]:
            best = (total, chosen)
    chosen = best[1]
    if not chosen:
        return {}, {}, 0.0
    thumb = points[chosen["thumb"]]
    axes = {f: (points[i] - thumb) / np.linalg.norm(points[i] - thumb) for f, i in chosen.items() if f != "thumb"}
    cosines = [0.5 * float(a @ normals[chosen[f]] - a @ normals[chosen["thumb"]]) for f, a in axes.items()]
    return {f: points[i] for f, i in chosen.items()}, {f: normals[i] for f, i in chosen.items()}, float(np.mean(cosines))


def _nearest(points: Floats, to: Floats, reach: float, least: int = 40, most: int = 150) -> NDArray[np.intp]:
    """Indices of the samples within ``reach`` of ``to``, at least ``least`` and at most ``most`` of the nearest."""
    d = np.linalg.norm(points - to, axis=1)
    order = np.argsort(d)
    return order[: int(np.clip((d < d[order[0]] + reach).sum(), least, most))]


def ramp(n: int, first: int, last: int, width: int) -> Floats:
    """Weight that is 1 from step ``first`` to ``last`` and falls smoothly to 0 over ``width`` steps outside."""
    k = np.arange(n)
    outside = np.maximum(np.maximum(first - k, k - last), 0) / width
    ramp: Floats = 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside, 1.0))
    return ramp
