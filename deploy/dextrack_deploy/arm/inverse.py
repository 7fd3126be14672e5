"""Inverse kinematics of the arm for many poses at once: damped least squares with the spare joint near a posture."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.rotations import to_matrix
from dextrack_deploy.arm.kinematics import ArmKinematics, jacobian, rotation_error
from dextrack_deploy.cell import CellConfig

Floats = NDArray[np.float64]

DAMPING = 1e-4
"""Added to J J^T (m2 and rad2): bounds the step in a singularity and costs no accuracy, because the error itself is iterated away."""
STEP = 0.35
"""Largest change of a joint in one iteration, rad."""
POSTURE_GAIN = 0.1
"""Part of the way to the posture that the spare joint goes in one iteration."""


@dataclasses.dataclass(frozen=True)
class Solutions:
    """Joint positions for poses, and what is left between the two."""

    q: Floats
    """(..., 7), rad."""
    position_error: Floats
    """(...), m."""
    rotation_error: Floats
    """(...), rad."""


class InverseKinematics:
    """Joint positions of the cell's arm within its limits less the cell's margin."""

    def __init__(self, cell: CellConfig) -> None:
        """Take limits, margin and home from ``cell``."""
        self.kinematics = ArmKinematics(cell)
        arm, margin = self.kinematics.arm, cell.arm.limit_margin
        self.lower, self.upper = arm.lower + margin, arm.upper - margin
        self.home = np.clip(np.array(cell.arm.home), self.lower, self.upper)

    def refine(self, q: ArrayLike, position_w: ArrayLike, matrix_w: ArrayLike, iterations: int, posture: ArrayLike | None = None) -> Solutions:
        """Move ``q`` (B, 7) towards the poses ``position_w`` (B, 3), ``matrix_w`` (B, 3, 3) of the hand's root body.

        Args:
            q: where to start, rad.
            position_w: m, world frame.
            matrix_w: rotations, world frame.
            iterations: steps of damped least squares.
            posture: (7,) or (B, 7) that the spare joint is drawn to; default is home.
        """
        q = np.asarray(np.clip(np.asarray(q, dtype=np.float64), self.lower, self.upper), dtype=np.float64)
        position_w, matrix_w = np.asarray(position_w), np.asarray(matrix_w)
        rest = self.home if posture is None else np.asarray(posture)
        for _ in range(iterations):
            positions, matrices = self.kinematics.frames(q)
            j = jacobian(positions, matrices)
            error = self._error(positions, matrices, position_w, matrix_w)
            spare = POSTURE_GAIN * (rest - q)
            a = j @ np.swapaxes(j, -1, -2) + DAMPING * np.eye(6)
            step = spare + np.einsum("bji,bj->bi", j, np.linalg.solve(a, (error - np.einsum("bij,bj->bi", j, spare))[..., None])[..., 0])
            step *= np.minimum(1.0, STEP / np.maximum(np.abs(step).max(axis=-1, keepdims=True), 1e-12))
            q = np.asarray(np.clip(q + step, self.lower, self.upper), dtype=np.float64)
        positions, matrices = self.kinematics.frames(q)
        error = self._error(positions, matrices, position_w, matrix_w)
        return Solutions(q, np.linalg.norm(error[..., :3], axis=-1), np.linalg.norm(error[..., 3:], axis=-1))

    @staticmethod
    def _error(positions: Floats, matrices: Floats, position_w: Floats, matrix_w: Floats) -> Floats:
        hand = ArmKinematics.HAND
        return np.concatenate([position_w - positions[..., hand, :], rotation_error(matrices[..., hand, :, :], matrix_w)], axis=-1)

    def solve(self, position_w: ArrayLike, quaternion_w: ArrayLike, restarts: int = 16, seed: int = 0) -> Solutions:
        """Best joint positions for one pose: from home and from ``restarts`` random starts, the reached one nearest to home.

        Args:
            position_w: (3,) m, world frame, of the hand's root body.
            quaternion_w: (4,), world frame.
            restarts: random starts beside home.
            seed: of the random starts; equal seeds give equal answers.

        Returns:
            Solutions without leading dimension. Where no start reached the pose, the one with the smallest error.
        """
        starts = self.starts(restarts, seed)
        n = len(starts)
        position, matrix = np.tile(np.asarray(position_w), (n, 1)), np.tile(to_matrix(quaternion_w), (n, 1, 1))
        found = self.refine(starts, position, matrix, iterations=60)
        found = self.refine(found.q, position, matrix, iterations=10, posture=found.q)
        error = found.position_error + 0.1 * found.rotation_error
        cost = np.where(error < 1e-5, np.linalg.norm(found.q - self.home, axis=-1), 1e3 + 1e3 * error)
        best = int(np.argmin(cost))
        return Solutions(found.q[best], found.position_error[best], found.rotation_error[best])

    def starts(self, restarts: int, seed: int) -> Floats:
        """(1 + restarts, 7): home, then random joint positions within the limits."""
        rng = np.random.default_rng(seed)
        return np.concatenate([self.home[None], rng.uniform(self.lower, self.upper, size=(restarts, 7))])
