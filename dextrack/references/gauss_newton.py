"""Second-order solver of retargeting: Levenberg-Marquardt over the whole sequence.

The objective is a sum of squares in which frames meet only through second differences, so J'J is block-pentadiagonal: dense blocks of dof x dof on
the diagonal, diagonal ones beside it. A banded Cholesky factorisation solves each step in time linear in the number of frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import solveh_banded

from dextrack.references.crowding import CROWDING, Crowding, Meetings
from dextrack.references.jacobians import HandJacobians
from dextrack.references.objective import LIMIT_SCALE, Problem
from dextrack.references.spheres import Overlaps, cover

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


COARSE = 4
"""Frames from one that is solved for first to the next."""
GOOD = 1.5
"""The next guess is not tried when a solid object costs less than this times what air does."""
FIRST_DAMPING = 1e-3
"""Part of the diagonal that is added to it at first."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Stages of ``solve``."""

    softness: tuple[float, ...]
    """Factors on the depth that costs 1, before the object is solid."""
    soft_tolerance: float
    """A stage before that ends when a step saves less than this part of the cost, ..."""
    tolerance: float
    """... and the others when it saves less than this part."""


THOROUGH = Schedule((np.inf, 20.0, 5.0, 2.0), 1e-2, 1e-3)
"""For a reference."""
ROUGH = Schedule((np.inf, 5.0), 3e-2, 1e-2)
"""For a grasp that is tried out and tuned: in simulation as good, on average over many, in half of the time."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a solver found."""

    theta: Floats
    """(T, dof), within limits."""
    cost: float
    """Of ``theta``."""
    iterations: int
    """Steps tried."""


class SumOfSquares:
    """The objective of a ``Problem``: its cost, gradient and Gauss-Newton matrix at any theta."""

    def __init__(self, problem: Problem, kinematics: HandJacobians | None = None) -> None:
        """Prepare what does not depend on theta; ``kinematics`` of the problem's hand and base are made where they are not given."""
        self._problem = problem
        hand, weights = problem.hand, problem.weights
        self._kinematics = kinematics or HandJacobians(hand, problem.base_quaternion_w)
        bodies, self._offsets = problem.points()
        self._bodies = self._kinematics.index(bodies)
        self._targets, self._target_costs = problem.targets()
        self._lower, self._upper = hand.limits()
        frames = len(self._targets)
        self._frames, self._smooth = frames, problem.smooth_scale() ** -2 / max(frames - 2, 1)
        self._rest_cost = problem.rest_scale() ** -2 / frames
        self._limit_cost = 1.0 / LIMIT_SCALE**2 / frames
        self._depth_cost = 1.0 / weights.penetration_scale**2 / frames
        self._spheres = cover(hand)
        self._crowding = Crowding(hand, self._kinematics)

    def __call__(self, theta: Floats) -> tuple[float, Callable[[], tuple[Floats, Floats]]]:
        """Cost at ``theta`` (T, dof), and a function that gives (gradient / 2 (T, dof), diagonal blocks of J'J without smoothness (T, dof, dof))."""
        pose = self._kinematics.pose(theta)
        points = self._kinematics.points(pose, self._bodies, self._offsets)
        error = points - self._targets
        cost = float((self._target_costs * (error**2).sum(-1)).sum()) / self._frames
        near: list[Overlaps] = []
        crowd: Meetings | None = None
        if self._problem.grasp and self._depth_cost > 0.0:
            near = [self._spheres.in_object(pose, self._problem.grasp), self._spheres.in_table(pose, self._problem.weights.margin)]
            crowd = self._crowding(pose)
            cost += self._depth_cost * (sum(float((n.depths**2).sum()) for n in near) + CROWDING * float((crowd.depths**2).sum()))
        bend = theta[2:] - 2 * theta[1:-1] + theta[:-2]
        cost += float((self._smooth * bend**2).sum())
        beyond = np.minimum(theta - self._lower, 0.0) + np.maximum(theta - self._upper, 0.0)
        cost += self._limit_cost * float((beyond**2).sum())
        relaxed = theta[:, 6:] - self._problem.rest
        cost += float((self._rest_cost * relaxed**2).sum())

        def linearise() -> tuple[Floats, Floats]:
            gradient = self._limit_cost * beyond
            gradient[:, 6:] += self._rest_cost * relaxed
            force = self._smooth * bend
            gradient[2:] += force
            gradient[1:-1] -= 2 * force
            gradient[:-2] += force
            blocks = np.zeros((*theta.shape, theta.shape[1]))
            diagonal = np.einsum("tii->ti", blocks)
            diagonal += self._limit_cost * (beyond != 0.0)
            diagonal[:, 6:] += self._rest_cost
            root = np.sqrt(self._target_costs / self._frames)[..., None]
            j = (self._kinematics.jacobian(pose, self._bodies, points) * root[..., None]).reshape(len(theta), -1, theta.shape[1])
            blocks += j.transpose(0, 2, 1) @ j
            gradient += ((error * root).reshape(len(theta), 1, -1) @ j)[:, 0]
            for n in near:
                rows = self._kinematics.along(pose, n.frames, n.bodies, n.points_w, n.inward_w)
                _add(gradient, blocks, n.frames, rows, n.depths, self._depth_cost)
            if crowd is not None:
                rows = self._kinematics.along(pose, crowd.frames, crowd.bodies[:, 1], crowd.points_w[:, 1], crowd.apart_w)
                rows = rows - self._kinematics.along(pose, crowd.frames, crowd.bodies[:, 0], crowd.points_w[:, 0], crowd.apart_w)
                _add(gradient, blocks, crowd.frames, rows, crowd.depths, CROWDING * self._depth_cost)
            return gradient, blocks

        return cost, linearise

    def step(self, gradient: Floats, blocks: Floats, damping: float) -> tuple[Floats, float]:
        """The Levenberg-Marquardt step (T, dof), and by how much it should lower the cost."""
        t, d = gradient.shape
        band = np.zeros((t, d, 2 * d + 1))  # of the lower triangle: [frame, column, row - column]
        a, b = np.tril_indices(d)
        band[:, b, a - b] = blocks[:, a, b]
        if t > 2:
            second = np.array([1.0, 5.0, *[6.0] * (t - 4), 5.0, 1.0]) if t > 3 else np.array([1.0, 4.0, 1.0])
            first = np.array([-2.0, *[-4.0] * (t - 3), -2.0])
            band[:, :, 0] += second[:, None] * self._smooth
            band[:-1, :, d] += first[:, None] * self._smooth
            band[:-2, :, 2 * d] += self._smooth
        damp = damping * band[:, :, 0]
        band[:, :, 0] += damp
        flat: Floats = solveh_banded(band.reshape(t * d, -1).T, -gradient.ravel(), lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)
        step = flat.reshape(t, d)
        return step, float((step * (damp * step - gradient)).sum())


def _add(gradient: Floats, blocks: Floats, frames: Ints, rows: Floats, residuals: Floats, cost: float) -> None:
    """Add residuals (A), their derivatives (A, dof) and frames (A, ascending) to gradient and blocks."""
    if not len(frames):
        return
    counts = np.bincount(frames, minlength=len(gradient))
    starts = np.cumsum(counts) - counts
    padded = np.zeros((len(gradient), counts.max(), rows.shape[1] + 1))
    padded[frames, np.arange(len(frames)) - starts[frames]] = np.concatenate([rows, residuals[:, None]], axis=1)
    j = padded[..., :-1]
    product = cost * (j.transpose(0, 2, 1) @ padded)
    blocks += product[..., :-1]
    gradient += product[..., -1]


def solve(
    problem: Problem,
    guesses: Sequence[Floats],
    iterations: int = 40,
    progress: Callable[[float], None] | None = None,
    refine: bool = True,
    schedule: Schedule = THOROUGH,
) -> Solution:
    """Minimise ``problem`` from coarse to fine.

    First every fourth frame, as if the object were air, then softer, then as it is: a hand that starts inside the object would else be pushed
    out of the nearest side, which need not be the one it came from. Where that ends badly the next of ``guesses`` is tried; the best end is
    refined over all frames.

    Args:
        problem: what to minimise.
        guesses: where to begin, (T, dof) each.
        iterations: steps tried at most in each of the stages.
        progress: called with the fraction done.
        refine: whether all frames are solved for at the end; else those between every fourth are interpolated, for a quick look, and the cost is that of
            every fourth.
        schedule: stages before the object is solid, and how soon each ends.
    """
    count = len(problem.human_w)
    kinematics = HandJacobians(problem.hand, problem.base_quaternion_w)
    coarse, frames = problem.every(COARSE if count >= 8 * COARSE else 1)
    ends: list[Solution] = []
    for guess in guesses:
        theta, free = guess[frames], np.inf
        for softness in schedule.softness if problem.grasp else ():
            soft = dataclasses.replace(coarse.weights, penetration_scale=coarse.weights.penetration_scale * softness)
            end = descend(dataclasses.replace(coarse, weights=soft), theta, iterations, schedule.soft_tolerance, kinematics)
            theta, free = end.theta, min(free, end.cost)
        ends.append(descend(coarse, theta, iterations, schedule.tolerance, kinematics))
        if progress:
            progress(len(ends) / (len(guesses) + 1))
        if ends[-1].cost < GOOD * free:
            break
    best = min(ends, key=lambda s: s.cost)
    whole = between(frames, best.theta, count)
    if refine:
        solution = descend(problem, whole, iterations, schedule.tolerance, kinematics)
    else:
        solution = dataclasses.replace(best, theta=np.clip(whole, *problem.hand.limits()))
    if progress:
        progress(1.0)
    return solution


def between(frames: Ints, theta: Floats, count: int) -> Floats:
    """States at all ``count`` frames from those at ``frames``; after the last of them the hand rests."""
    if len(frames) == count:
        return theta
    out: Floats = CubicSpline(frames, theta)(np.minimum(np.arange(count), frames[-1]))
    return out


def descend(problem: Problem, theta0: Floats, iterations: int, tolerance: float, kinematics: HandJacobians | None = None) -> Solution:
    """Levenberg-Marquardt from ``theta0`` (T, dof) until a step lowers the cost by less than the part ``tolerance`` of it."""
    squares = SumOfSquares(problem, kinematics)
    lower, upper = problem.hand.limits()
    theta, damping, growth = theta0, FIRST_DAMPING, 2.0
    cost, linearise = squares(theta)
    gradient, blocks = linearise()
    tried = 0
    while tried < iterations:
        tried += 1
        step, predicted = squares.step(gradient, blocks, damping)
        after, linearise_there = squares(theta + step)
        if after >= cost:
            damping, growth = damping * growth, 2.0 * growth
            continue
        # The better the model foresaw the gain, the less damping (Nielsen's rule).
        damping, growth = damping * max(0.2, 1.0 - (2.0 * (cost - after) / predicted - 1.0) ** 3), 2.0
        gained = (cost - after) / cost
        theta, cost = theta + step, after
        if gained < tolerance:
            break
        gradient, blocks = linearise_there()
    return Solution(np.clip(theta, lower, upper), cost, tried)
