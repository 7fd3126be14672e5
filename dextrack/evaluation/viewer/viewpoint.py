"""Viewpoint: from where to look at a motion, so that the hand does not hide what it does. No picture is rendered for it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.evaluation import framing
from dextrack.evaluation.rendering import Camera

Floats = NDArray[np.float64]

AZIMUTHS = tuple(np.deg2rad(np.arange(0.0, 360.0, 20.0)))
ELEVATIONS = tuple(np.deg2rad([-14.0, -26.0]))
GRAZE = 0.8
"""A ball hides what lies behind this share of its radius."""


@dataclasses.dataclass(frozen=True)
class Balls:
    """A frame of the motion as balls: what may hide, and what should be seen."""

    centres_w: Floats
    """(B, 3), m."""
    radii: Floats
    """(B,), m."""
    wanted_w: Floats
    """Points (W, 3), m, that should be visible: fingertips and the object's surface."""


def choose(frames: tuple[Balls, ...], points_w: Floats) -> Camera:
    """The camera that sees most of what is wanted in ``frames``, with all ``points_w`` (n, 3), m, in a picture as upright as the page is between its panels."""
    best, best_score = None, -np.inf
    for azimuth in AZIMUTHS:
        for elevation in ELEVATIONS:
            camera = framing.fit(points_w, azimuth, elevation, 360, 480)
            eye = camera.position_w()
            score = float(np.mean([visible(eye, balls).mean() for balls in frames]))
            if score > best_score:
                best, best_score = camera, score
    assert best is not None
    return best


def visible(eye_w: Floats, balls: Balls) -> NDArray[np.bool_]:
    """Which of the wanted points (W,) are seen from ``eye_w`` (3,), m: those that no ball stands before."""
    ray = balls.wanted_w - eye_w
    length = np.linalg.norm(ray, axis=1, keepdims=True)
    unit = ray / length
    to_ball = balls.centres_w - eye_w
    along = unit @ to_ball.T
    aside = np.sqrt(np.maximum((to_ball**2).sum(axis=1) - along**2, 0.0))
    hidden = (aside < GRAZE * balls.radii) & (along < length - balls.radii)
    seen: NDArray[np.bool_] = ~hidden.any(axis=1)
    return seen
