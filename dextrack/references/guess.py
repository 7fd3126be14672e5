"""Where the solvers begin: the wrist laid on the person's palm, the fingers half closed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands.kinematics import HandKinematics
from dextrack.hands.spec import KEYPOINTS, HandSpec

Floats = NDArray[np.float64]

PALM = ("wrist", "index_1", "middle_1", "ring_1")
"""Keypoints that move as one body with the wrist."""


def first_guesses(keypoints_w: Floats, hand: HandSpec) -> tuple[Floats, tuple[Floats, Floats]]:
    """Lay ``hand`` on a person's keypoints (T, 21, 3), m.

    Returns:
        (base, guesses): base quaternion (4,) wxyz; theta (T, dof) with the fingers half closed, and with the fingers open.
    """
    position, quaternion = _wrist(keypoints_w, hand)
    base = rotations.mean(quaternion)
    hinges = np.unwrap(rotations.to_hinges(rotations.multiply(rotations.conjugate(base), quaternion)), axis=0)
    wrist = np.concatenate([position, hinges], axis=1)
    wide = np.clip(np.asarray(hand.rest) - 0.2, hand.lower, hand.upper)
    closed, opened = (np.concatenate([wrist, np.tile(fingers, (len(wrist), 1))], axis=1) for fingers in (half_closed(hand), wide))
    return base, (closed, opened)


def half_closed(hand: HandSpec) -> Floats:
    """Fingers between rest and a light fist: a solver then bends them the right way."""
    closed: Floats = np.clip(np.asarray(hand.rest) + 0.15, hand.lower, hand.upper)
    return closed


def _wrist(keypoints_w: Floats, hand: HandSpec) -> tuple[Floats, Floats]:
    """Wrist pose per frame, (n, 3) and (n, 4), that best lays the robot's palm points on the human's (Kabsch)."""
    rigid = [k for k in hand.keypoints if k.human in PALM]
    human = keypoints_w[:, [KEYPOINTS.index(k.human) for k in rigid]]
    kinematics = HandKinematics(hand, [1.0, 0.0, 0.0, 0.0])
    zero = torch.zeros((1, hand.dof), dtype=torch.float64)
    robot = kinematics.points(zero, [k.body for k in rigid], [k.offset for k in rigid])[0].numpy()
    h0, r0 = human.mean(axis=1, keepdims=True), robot.mean(axis=0)
    u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", human - h0, robot - r0))
    flip = np.linalg.det(u @ vt)
    u[:, :, 2] *= flip[:, None]
    rotation = u @ vt
    position = h0[:, 0] - rotation @ r0
    return position, rotations.continuous(rotations.from_matrix(rotation))
