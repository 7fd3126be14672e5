"""The part of retargeting's objective that needs no kinematics: smoothness, limits of angles and speeds, and rest. Its matrix has three diagonals."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.references.objective import LIMIT_SCALE, Problem

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Bands:
    """What a symmetric matrix over theta (T, dof) has on three of its diagonals; entry [t] couples frame t with itself, t + 1 or t + 2."""

    same: Floats
    """(T, dof)."""
    next: Floats
    """(T - 1, dof)."""
    second: Floats
    """(T - 2, dof)."""


class JointTerms:
    """Smoothness, limits and rest of a ``Problem``."""

    def __init__(self, problem: Problem) -> None:
        """Prepare what does not depend on theta."""
        frames = len(problem.human_w)
        self._lower, self._upper = problem.hand.limits()
        self._rest, self._rest_cost = problem.rest, problem.rest_scale() ** -2 / frames
        self._smooth = problem.smooth_scale() ** -2 / max(frames - 2, 1)
        self._stride = problem.stride()
        self._limit_cost = 1.0 / LIMIT_SCALE**2 / frames

    def cost(self, theta: Floats) -> float:
        """Cost of ``theta`` (T, dof)."""
        out = float((self._smooth * np.diff(theta, 2, axis=0) ** 2).sum()) + float((self._rest_cost * (theta[:, 6:] - self._rest) ** 2).sum())
        return out + self._limit_cost * (float((self._beyond(theta) ** 2).sum()) + float((self._hurry(theta) ** 2).sum()))

    def gradient(self, theta: Floats) -> Floats:
        """Half of the derivative of the cost, (T, dof)."""
        out = self._limit_cost * self._beyond(theta)
        out[:, 6:] += self._rest_cost * (theta[:, 6:] - self._rest)
        bend, pull = self._smooth * np.diff(theta, 2, axis=0), self._limit_cost * self._hurry(theta)
        out[2:] += bend
        out[1:-1] -= 2 * bend
        out[:-2] += bend
        out[1:] += pull
        out[:-1] -= pull
        return out

    def bands(self, theta: Floats) -> Bands:
        """J'J, of the residuals that are not zero."""
        t = len(theta)
        same, next_, second = np.zeros_like(theta), np.zeros((t - 1, theta.shape[1])), np.zeros((max(t - 2, 0), theta.shape[1]))
        same += self._limit_cost * (self._beyond(theta) != 0.0)
        same[:, 6:] += self._rest_cost
        hurried = self._limit_cost * (self._hurry(theta) != 0.0)
        same[1:] += hurried
        same[:-1] += hurried
        next_ -= hurried
        same[2:] += self._smooth
        same[1:-1] += 4 * self._smooth
        same[:-2] += self._smooth
        next_[1:] -= 2 * self._smooth
        next_[:-1] -= 2 * self._smooth
        second += self._smooth
        return Bands(same, next_, second)

    def _beyond(self, theta: Floats) -> Floats:
        """How far beyond the limits, (T, dof), signed."""
        out: Floats = np.minimum(theta - self._lower, 0.0) + np.maximum(theta - self._upper, 0.0)
        return out

    def _hurry(self, theta: Floats) -> Floats:
        """By how much steps are longer than a joint's speed allows, (T - 1, dof), signed."""
        step = np.diff(theta, axis=0)
        out: Floats = np.minimum(step + self._stride, 0.0) + np.maximum(step - self._stride, 0.0)
        return out
