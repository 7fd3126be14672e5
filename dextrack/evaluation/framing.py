"""Framing: the cameras of a strip, close, and from where the object is not hidden by the hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dextrack.evaluation.motion import Motion
from dextrack.evaluation.rendering import Camera
from dextrack.evaluation.stage import Stage

Floats = NDArray[np.float64]

Row = tuple[Motion, Sequence[int]]
"""A motion and its frames at the key frames."""

MARGIN = 0.90
"""Share of the picture's half width and half height that the outline may fill."""
REACH = 0.15
"""A row that strays further than this from the leading row is cut off, m."""
AZIMUTHS = tuple(np.deg2rad(np.arange(0.0, 360.0, 30.0)))
ELEVATIONS = tuple(np.deg2rad([-22.0, -42.0]))
_WORTH = {"object": 1.0, "fingers": 0.4, "tips": 1.0, "palm": -0.35, "arm": -0.5}
"""What it is worth to see something: weights of the square roots of its share of a picture."""


def fit(points_w: Floats, azimuth: float, elevation: float, width: int = 640, height: int = 480) -> Camera:
    """The nearest camera with this direction of view, rad, that has all ``points_w`` (n, 3), m, in its picture."""
    camera = Camera((0.0, 0.0, 0.0), 1.0, azimuth, elevation, width=width, height=height)
    right, up, into = camera.axes_w()
    slope_y = MARGIN * np.tan(0.5 * camera.fovy)
    slope_x = slope_y * width / height
    # A point is inside when |lateral| <= slope * depth. Each side of the picture bounds the camera by a plane through the outermost point, so
    # the camera lies where opposite planes meet; the axis that needs the larger distance decides, the other one is centred.
    sides: list[tuple[float, float]] = []
    for axis, slope in ((right, slope_x), (up, slope_y)):
        lateral, depths = points_w @ axis, points_w @ into
        high, low = float((lateral - slope * depths).max()), float((-lateral - slope * depths).max())
        sides.append((0.5 * (high - low), -0.5 * (high + low) / slope))
    (x, depth_x), (y, depth_y) = sides
    depth = min(depth_x, depth_y)
    position: Floats = x * right + y * up + depth * into
    distance = max(0.1, float(np.median(points_w @ into)) - depth)
    target = position + distance * into
    return dataclasses.replace(camera, target_w=(float(target[0]), float(target[1]), float(target[2])), distance=distance)


def choose(stage: Stage, rows: Sequence[Row], width: int = 640, height: int = 480) -> tuple[Camera, ...]:
    """One camera per key frame for all ``rows``: the same direction and distance everywhere, following the motion from key frame to key frame.

    Each candidate direction is judged by small pictures: what counts is how much of the object, of the fingers and of their tips is seen, because
    the back of a hand hides just that.
    """
    points = [_outline(stage, rows, key) for key in range(len(rows[0][1]))]
    best: tuple[Camera, ...] = ()
    best_score = -np.inf
    # Shadows are no part of what is counted, and a map of full size costs more than all these pictures.
    small = Stage(stage.object, tuple(m for m, _ in rows), 96, 72, shadows=64)
    try:
        for azimuth in AZIMUTHS:
            for elevation in ELEVATIONS:
                cameras = follow(points, azimuth, elevation, width, height)
                score = _score(small, rows, cameras)
                if score > best_score:
                    best, best_score = cameras, score
    finally:
        small.close()
    return best


def follow(points_w: Sequence[Floats], azimuth: float, elevation: float, width: int = 640, height: int = 480) -> tuple[Camera, ...]:
    """Cameras of one direction and one distance, each with its own ``points_w`` (n, 3), m, in the picture."""
    cameras = [fit(p, azimuth, elevation, width, height) for p in points_w]
    distance = max(c.distance for c in cameras)
    return tuple(dataclasses.replace(c, distance=distance) for c in cameras)


def _outline(stage: Stage, rows: Sequence[Row], key: int) -> Floats:
    """Points (n, 3), m, that the pictures of a key frame should contain.

    These are all of the leading row, the first with a robot hand, and what others have within ``REACH`` of it.
    """
    lead = next((i for i, (motion, _) in enumerate(rows) if motion.hand is not None), 0)
    outlines = [stage.outline(motion, frames[key]) for motion, frames in rows]
    low, high = outlines[lead].min(axis=0) - REACH, outlines[lead].max(axis=0) + REACH
    points = np.concatenate(outlines)
    kept: Floats = points[((points >= low) & (points <= high)).all(axis=1)]
    return kept


def _score(stage: Stage, rows: Sequence[Row], cameras: Sequence[Camera]) -> float:
    total = 0.0
    for motion, frames in rows:
        for frame, camera in zip(frames, cameras, strict=True):
            stage.show(motion, frame)
            small = dataclasses.replace(camera, width=96, height=72)
            keypoints = None if motion.keypoints_w is None else motion.keypoints_w[frame]
            total += sum(_WORTH[part] * float(np.sqrt(share)) for part, share in stage.shares(small, keypoints).items())
    return total
