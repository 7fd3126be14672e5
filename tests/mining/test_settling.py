"""Objects begin at rest."""

from __future__ import annotations

import numpy as np
import pytest

from dextrack import rotations
from dextrack.hands import load_hand
from dextrack.mining.settling import settled_pose
from dextrack.sim.scene import build_scene
from tests import synthetic

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def test_a_tilted_box_falls_back_on_its_face_and_a_resting_one_stays() -> None:
    hand = load_hand("leap_right")
    scene = build_scene(hand, IDENTITY, synthetic.box())
    away = np.concatenate([[0.5, 0.5, 0.4, 0.0, 0.0, 0.0], hand.rest])
    tilted = rotations.from_rotation_vector([0.15, 0.0, 0.0])
    position, quaternion = settled_pose(scene, away, [0.0, 0.0, 0.045], tilted)
    assert position[2] == pytest.approx(synthetic.SIZE[2] / 2, abs=1e-3)
    assert rotations.angle(quaternion, IDENTITY) < 0.01
    position, quaternion = settled_pose(scene, away, [0.0, 0.0, 0.04], IDENTITY)
    assert position == pytest.approx([0.0, 0.0, 0.04], abs=3e-4) and rotations.angle(quaternion, IDENTITY) < 1e-3
