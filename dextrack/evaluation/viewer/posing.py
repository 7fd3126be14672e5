"""Posing: where the bodies and pads of a robot hand are, in every frame of a motion."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.evaluation.motion import HandMotion
from dextrack.hands import HandSpec
from dextrack.hands.kinematics import HandKinematics, collision_spheres

Floats = NDArray[np.float64]


def body_poses(hand: HandSpec, motion: HandMotion, bodies: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Positions (T, n, 3), m, and quaternions (T, n, 4), wxyz, of ``bodies`` in the world."""
    with torch.no_grad():
        rotation, position = HandKinematics(hand, motion.base_quaternion_w).bodies(_theta(hand, motion), bodies)
    return position.transpose(0, 1).numpy(), rotations.from_matrix(rotation.transpose(0, 1).numpy())


def pad_centres(hand: HandSpec, motion: HandMotion) -> Floats:
    """Centres (T, F, 3), m, of the pads of ``hand.fingertips`` in the world."""
    return _points(hand, motion, tuple(tip.body for tip in hand.fingertips), np.array([tip.offset for tip in hand.fingertips]))


def hand_balls(hand: HandSpec, motion: HandMotion) -> tuple[Floats, Floats]:
    """Centres (T, S, 3), m, and radii (S,), m, of balls that cover the hand."""
    bodies, offsets, radii = collision_spheres(hand)
    return _points(hand, motion, bodies, offsets), radii


def _points(hand: HandSpec, motion: HandMotion, bodies: tuple[str, ...], offsets: Floats) -> Floats:
    with torch.no_grad():
        points: Floats = HandKinematics(hand, motion.base_quaternion_w).points(_theta(hand, motion), bodies, offsets).numpy()
    return points


def _theta(hand: HandSpec, motion: HandMotion) -> torch.Tensor:
    """Theta (T, 22) of ``motion`` in the order of the hand's joints."""
    order = [motion.joint_names.index(name) for name in hand.joint_names]
    return torch.as_tensor(np.ascontiguousarray(motion.theta[:, order]))
