"""Framing: everything is in the picture, and nothing is wasted."""

from __future__ import annotations

import numpy as np
import pytest

from dextrack.evaluation.framing import MARGIN, fit, follow


@pytest.mark.parametrize("azimuth", [0.0, 1.1, 3.9])
@pytest.mark.parametrize("elevation", [-0.2, -0.9])
def test_fit_is_the_nearest_camera_that_has_every_point_in_its_picture(azimuth: float, elevation: float) -> None:
    points = np.random.default_rng(0).normal(size=(200, 3)) * [0.2, 0.05, 0.1] + [0.3, -0.2, 0.4]
    camera = fit(points, azimuth, elevation)
    pixels, depth = camera.project(points)
    assert (depth > 0.0).all()
    reach = np.abs(pixels - [320.0, 240.0]) / [320.0, 240.0]
    assert reach.max() == pytest.approx(MARGIN, abs=1e-6)
    # The axis that decides the distance touches both of its sides.
    axis = int(np.argmax(reach.max(axis=0)))
    signed = (pixels[:, axis] - [320.0, 240.0][axis]) / [320.0, 240.0][axis]
    assert [signed.min(), signed.max()] == pytest.approx([-MARGIN, MARGIN], abs=1e-6)


def test_cameras_that_follow_share_direction_and_distance() -> None:
    near = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    far = near * 3.0 + [0.0, 1.0, 0.5]
    cameras = follow([near, far], 0.4, -0.5)
    assert len({(c.azimuth, c.elevation, c.distance) for c in cameras}) == 1
    for camera, points in zip(cameras, (near, far), strict=True):
        pixels, _ = camera.project(points)
        assert (np.abs(pixels - [320.0, 240.0]) <= MARGIN * np.array([320.0, 240.0]) + 1e-6).all()
