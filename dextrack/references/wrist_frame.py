"""The base frame of a wrist's hinges, kept away from gimbal lock.

Hinges about x, y and z lose a degree of freedom at ry = +-pi/2, where the wrist's z axis lies along the base frame's x axis: rx and rz turn without end for
the smallest turn of the wrist, and the inertia that an engine has in their coordinates is singular: a simulated wrist that is led through it blows up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations

Floats = NDArray[np.float64]

MARGIN = 0.7
"""Angle from gimbal lock, rad, that a reference keeps where a base frame allows it: tuning turned wrists by up to 0.4 rad of it."""
_NEARLY = 0.05
"""Of bases that are as good as the best one, up to this difference of a cosine, the one that is turned least is taken."""
_DIRECTIONS = 2000
_WRIST = slice(3, 6)
_MOST = 1.75 * np.pi
"""Most that a hinge may turn, rad: its limit is 2 pi, and mining needs room."""


def gimbal_distance(base_quaternion_w: Floats, quaternion_w: Floats) -> float:
    """Least angle, rad, of wrist rotations ``quaternion_w`` (T, 4) from gimbal lock in the frame ``base_quaternion_w`` (4,)."""
    return float(np.arccos(np.clip(np.abs(_z_axes(quaternion_w) @ _x_axis(base_quaternion_w)).max(), 0.0, 1.0)))


def away_from_gimbal_lock(base_quaternion_w: Floats, theta: Floats) -> tuple[Floats, Floats]:
    """The same motion ``theta`` (T, dof) in a base frame in which it keeps ``MARGIN`` from gimbal lock, or as much as there is.

    Returns:
        (base (4,), theta (T, dof)): what was given where that keeps the margin already, or where no other frame is better.
    """
    quaternion = rotations.multiply(base_quaternion_w, rotations.from_hinges(theta[:, _WRIST]))
    if gimbal_distance(base_quaternion_w, quaternion) >= MARGIN:
        return base_quaternion_w, theta
    x, along = _x_axis(base_quaternion_w), _z_axes(quaternion)
    directions = _half_sphere(x)
    nearest = np.abs(directions @ along.T).max(axis=1)
    good = directions[nearest <= nearest.min() + _NEARLY]
    base = np.asarray(rotations.multiply(_between(x, good[np.argmax(good @ x)]), base_quaternion_w))
    hinges = np.unwrap(rotations.to_hinges(rotations.multiply(rotations.conjugate(base), quaternion)), axis=0)
    # Whole turns change nothing, and in the middle of their range hinges are farthest from their limits.
    hinges -= 2.0 * np.pi * np.round((hinges.max(axis=0) + hinges.min(axis=0)) / (4.0 * np.pi))
    if np.abs(hinges).max() > _MOST or gimbal_distance(base, quaternion) <= gimbal_distance(base_quaternion_w, quaternion):
        return base_quaternion_w, theta
    turned = theta.copy()
    turned[:, _WRIST] = hinges
    return base, turned


def _x_axis(quaternion: Floats) -> Floats:
    return rotations.rotate(quaternion, np.array([1.0, 0.0, 0.0]))


def _z_axes(quaternions: Floats) -> Floats:
    return rotations.rotate(quaternions, np.array([0.0, 0.0, 1.0]))


def _half_sphere(about: Floats) -> Floats:
    """Unit vectors (n, 3), 4 degrees apart on a Fibonacci lattice, at most a right angle from ``about``: of an axis both senses do."""
    n = np.arange(_DIRECTIONS) + 0.5
    height, turn = 1.0 - 2.0 * n / _DIRECTIONS, np.pi * (1.0 + np.sqrt(5.0)) * n
    ring = np.sqrt(1.0 - height**2)
    directions = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    return directions[directions @ about >= 0.0]


def _between(a: Floats, b: Floats) -> Floats:
    """The smallest rotation (4,) that turns unit vector ``a`` to ``b``, less than a half turn from it."""
    axis = np.cross(a, b)
    length = float(np.linalg.norm(axis))
    return rotations.from_rotation_vector(np.arctan2(length, float(a @ b)) * axis / max(length, 1e-12))
