"""The paper's solver of retargeting: L-BFGS over pytorch_kinematics (App. A.1), on the whole sequence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dextrack.hands.kinematics import HandKinematics, collision_spheres
from dextrack.objects.distance import PADDING
from dextrack.references.crowding import CROWDING, balls
from dextrack.references.gauss_newton import Solution
from dextrack.references.objective import LIMIT_SCALE, Grasp, Problem

Floats = NDArray[np.float64]

CHUNK = 25
"""Iterations between two restarts, which forget a curvature that contacts have changed."""


class TorchCost:
    """The objective of a ``Problem`` as a torch function, differentiable."""

    def __init__(self, problem: Problem) -> None:
        """Prepare what does not depend on theta."""
        self._problem = problem
        hand = problem.hand
        self._kinematics = HandKinematics(hand, problem.base_quaternion_w)
        bodies, offsets = problem.points()
        spheres, sphere_offsets, radii = collision_spheres(hand)
        if problem.grasp is None:
            spheres, sphere_offsets, radii = (), np.zeros((0, 3)), np.zeros(0)
        self._balls = balls(hand)
        self._counts = [len(bodies), len(spheres), len(self._balls.bodies)]
        self._bodies, self._offsets = bodies + list(spheres) + list(self._balls.bodies), np.concatenate([offsets, sphere_offsets, self._balls.offsets])
        self._radii = torch.as_tensor(radii)
        self._targets, self._target_costs = (torch.as_tensor(a) for a in problem.targets())
        self.lower, self.upper = (torch.as_tensor(a) for a in hand.limits())
        self._rest_scale = torch.as_tensor(problem.rest_scale())
        self._rest, self._smooth = torch.as_tensor(problem.rest), torch.as_tensor(problem.smooth_scale())

    def __call__(self, theta: torch.Tensor) -> torch.Tensor:
        """Scalar cost of ``theta`` (T, dof)."""
        w, grasp = self._problem.weights, self._problem.grasp
        points, spheres, crowd = torch.split(self._kinematics.points(theta, self._bodies, self._offsets), self._counts, dim=1)
        total = (self._target_costs * ((points - self._targets) ** 2).sum(-1)).sum(1).mean()
        if grasp is not None:
            reach = torch.clamp(self._radii + torch.as_tensor(grasp.clearance)[:, None], max=PADDING)
            depth = torch.relu(reach - _distance(grasp, spheres))
            sunk = torch.relu(self._radii + w.margin - spheres[..., 2])
            a, b = self._balls.pairs.T
            meet = torch.relu(torch.as_tensor(self._balls.radii[a] + self._balls.radii[b]) - torch.linalg.vector_norm(crowd[:, a] - crowd[:, b], dim=-1))
            total = total + ((depth**2).sum(1).mean() + (sunk**2).sum(1).mean() + CROWDING * (meet**2).sum(1).mean()) / w.penetration_scale**2
        acceleration = (theta[2:] - 2 * theta[1:-1] + theta[:-2]) / self._smooth
        total = total + (acceleration**2).sum(1).mean()
        beyond = torch.relu(self.lower - theta) + torch.relu(theta - self.upper)
        total = total + (beyond**2).sum(1).mean() / LIMIT_SCALE**2
        return total + (((theta[:, 6:] - self._rest) / self._rest_scale) ** 2).sum(1).mean()


def _distance(grasp: Grasp, points_w: torch.Tensor) -> torch.Tensor:
    """Distance of every point; only those on the grid are looked up, the others count as far."""
    d = grasp.distance
    points_o = torch.einsum("nji,nkj->nki", torch.as_tensor(grasp.rotation_w), points_w - torch.as_tensor(grasp.position_w)[:, None])
    half = torch.as_tensor(0.5 * d.spacing * (np.array(d.values.shape) - 1))
    near = ((points_o - torch.as_tensor(d.origin_o) - half).abs() < half).all(-1)
    out = torch.full(points_o.shape[:-1], 1.0, dtype=points_o.dtype)
    out[near] = d.query_torch(points_o[near])
    return out


def solve(problem: Problem, theta0: Floats, iterations: int = 250, progress: Callable[[float], None] | None = None) -> Solution:
    """Minimise ``problem`` from ``theta0`` (T, dof); ``progress`` is called with the fraction done."""
    cost = TorchCost(problem)
    # Metres and radians are scaled alike, so that one step length fits both.
    scale = torch.tensor([0.05] * 3 + [0.3] * (theta0.shape[1] - 3), dtype=torch.float64)
    x = (torch.as_tensor(theta0) / scale).requires_grad_()
    for done in range(0, iterations, CHUNK):
        optimiser = torch.optim.LBFGS([x], max_iter=CHUNK, max_eval=2 * CHUNK, history_size=12, line_search_fn="strong_wolfe", tolerance_change=1e-9)

        def closure(optimiser: torch.optim.LBFGS = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            value = cost(x * scale)
            value.backward()
            return value

        optimiser.step(closure)
        if progress:
            progress(min(1.0, (done + CHUNK) / iterations))
    theta = (x * scale).detach()
    with torch.no_grad():
        reached = float(cost(theta))
    return Solution(torch.clamp(theta, cost.lower, cost.upper).numpy(), reached, iterations)
