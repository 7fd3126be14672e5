"""A box that a hand carries up, small and fast to draw."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference

SIZE = (0.05, 0.07, 0.09)


@pytest.fixture(scope="module")
def box() -> ObjectSpec:
    mesh = trimesh.creation.box(SIZE)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces, dtype=np.int32)
    return ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """60 frames: still for ten, then 12 cm up until frame 40, then down."""
    hand = load_hand("leap_right")
    up = 0.12 * np.interp(np.arange(60), [10, 40, 59], [0.0, 1.0, 0.0])
    position = np.stack([0.0 * up, 0.0 * up, SIZE[2] / 2 + up], axis=1)
    theta = np.zeros((60, 22))
    theta[:, :3] = position + [0.0, -0.12, 0.06]
    theta[:, 6:] = hand.rest
    keypoints = position[:, None] + np.linspace([-0.12, 0.0, 0.08], [-0.03, 0.0, 0.02], 21)
    base = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])
    return Reference("up", hand.name, "box", hand.joint_names, base, theta, position, np.tile([1.0, 0.0, 0.0, 0.0], (60, 1)), keypoints)
