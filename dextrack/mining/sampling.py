"""The sampling tracker: annealed sampling (MPPI) over the cumulative residual in a receding horizon, against an ensemble of worlds.

Targets are baseline + residual + gain * squeeze. Residual and gains are piecewise linear between knots; each stage samples the knots of the
horizon, keeps the softmin-weighted mean, executes one knot interval in every member, and moves on.
Source of the scheme: Williams et al., "Model predictive path integral control", 2017, with the noise annealed over iterations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dextrack.mining.baseline import Baseline
from dextrack.mining.cost import CostConfig, TrackingCost
from dextrack.mining.ensemble import MEMBERS, Ensemble, Member
from dextrack.objects.distance import SignedDistance
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """Settings of the sampling tracker."""

    samples: int = 32
    """Sequences per iteration, each rolled out in every member."""
    iterations: int = 4
    """Iterations per stage."""
    horizon: int = 36
    """Control steps looked ahead."""
    knot: int = 6
    """Control steps between knots, and executed per stage."""
    scale_wrist: float = 0.008
    """Standard deviation of wrist translation residuals, m."""
    scale_turn: float = 0.06
    """Standard deviation of wrist rotation residuals, rad."""
    scale_finger: float = 0.08
    """Standard deviation of finger residuals, rad."""
    scale_squeeze: float = 0.5
    """Standard deviation of squeeze gains."""
    decay: float = 0.7
    """Noise of an iteration relative to the one before."""
    temperature: float = 0.15
    """Softmin temperature, in standard deviations of the costs."""
    force: float = 2.0
    """Pad force of the thumb at a squeeze gain of 1, N."""
    squeeze_first: float = 1.0
    """Squeeze gain that sampling starts from."""
    squeeze_most: float = 4.0
    """Largest squeeze gain."""
    margin: int = 24
    """Control steps before the first contact at which sampling begins; until then the baseline is executed."""
    members: tuple[Member, ...] = MEMBERS
    """The ensemble."""
    cost: CostConfig = CostConfig()
    """Weights."""


class SamplingTracker:
    """Solves one tracking task by sampling."""

    def __init__(
        self, reference: Reference, scene: Scene, baseline: Baseline, distance: SignedDistance, config: SamplingConfig, seed: int, threads: int = 0
    ) -> None:
        """Set up knots and ensemble; nothing is simulated yet."""
        self._config, self._reference, self._baseline = config, reference, baseline
        self._cost = TrackingCost(scene, reference, baseline, distance, config.cost)
        self._rng = np.random.default_rng(seed)
        self._limits = scene.hand.limits()
        self.ensemble = Ensemble(scene, reference, config.members, config.samples, threads)
        fingers = len(baseline.fingers)
        n_knots = -(-reference.n_steps // config.knot) + 1
        self._scale = np.concatenate([[config.scale_wrist] * 3, [config.scale_turn] * 3, [config.scale_finger] * 16, [config.scale_squeeze] * fingers])
        self._knots = np.zeros((n_knots, len(self._scale)))
        self._knots[:, 22:] = config.squeeze_first
        self._basis = _hat_basis(reference.n_steps, config.knot, n_knots)

    def targets(self, knots: Floats, first: int, last: int) -> Floats:
        """Targets (..., last - first, 22) of steps ``first`` .. ``last`` - 1 for ``knots`` (..., K, 22 + F)."""
        values = np.einsum("nk,...kd->...nd", self._basis[first:last], knots)
        residual = values[..., :22]
        squeeze = np.einsum("...nf,nfd->...nd", values[..., 22:], self._baseline.squeeze[first:last])
        out: Floats = np.clip(self._baseline.targets[first:last] + residual + squeeze, *self._limits)
        return out

    def solve(self, progress: Callable[[float, float], None] | None = None) -> Floats:
        """Run the receding horizon to the end.

        Args:
            progress: called with (fraction done, object position error of the worst member now, m).

        Returns:
            Targets (N, 22).
        """
        n_steps, k = self._reference.n_steps, self._config.knot
        begin = self._first_stage()
        for stage, first in enumerate(range(0, n_steps, k)):
            last = min(first + self._config.horizon, n_steps)
            if first >= begin:
                self._improve(stage, first, last)
            stop = min(first + k, n_steps)
            qpos, _ = self.ensemble.advance(self.targets(self._knots, first, stop))
            if progress:
                o = self.ensemble.scene.object_qpos
                error = np.linalg.norm(qpos[:, -1, o : o + 3] - self._reference.object_position_w[stop], axis=-1)
                progress(stop / n_steps, float(error.max()))
        return self.targets(self._knots, 0, n_steps)

    def _first_stage(self) -> int:
        """First step at which sampling begins, a multiple of the knot interval."""
        touching = np.flatnonzero(self._baseline.weights.max(axis=1) > 0.5) if self._baseline.weights.size else np.zeros(1, dtype=int)
        first = int(touching[0]) if len(touching) else 0
        return max(0, first - self._config.margin) // self._config.knot * self._config.knot

    def _improve(self, stage: int, first: int, last: int) -> None:
        """Sample the knots that act between ``first`` and ``last`` and move their mean."""
        c = self._config
        # The knot at the stage's start is shared with the steps already executed and stays.
        active = np.arange(stage + 1, min(-(-last // c.knot) + 1, len(self._knots)))
        mean = self._knots[active]
        for iteration in range(c.iterations):
            sigma = self._scale * c.decay**iteration
            noise = self._rng.normal(size=(c.samples,) + mean.shape) * sigma
            noise[0] = 0.0
            noise[1::2, :, :22] = np.cumsum(noise[1::2, :, :22], axis=1) / np.sqrt(np.arange(1, len(active) + 1))[:, None]
            candidates = mean + noise
            candidates[..., 22:] = np.clip(candidates[..., 22:], 0.0, c.squeeze_most)
            knots = np.broadcast_to(self._knots, (c.samples,) + self._knots.shape).copy()
            knots[:, active] = candidates
            qpos, tips = self.ensemble.rollout(self.targets(knots, first, last))
            cost = self._cost.over_members(self._cost(qpos, tips, first))
            size = candidates[..., :22] / self._scale[:22]
            cost = cost + c.cost.residual * (size**2).mean(axis=(1, 2))
            weight = np.exp(-(cost - cost.min()) / (c.temperature * cost.std() + 1e-9))
            mean = np.einsum("s,skd->kd", weight / weight.sum(), candidates)
        self._knots[active] = mean
        # What comes after the horizon continues with the last knot instead of falling back to the baseline.
        self._knots[active[-1] + 1 :] = mean[-1] if len(active) else 0.0


def _hat_basis(n_steps: int, knot: int, n_knots: int) -> Floats:
    """Piecewise linear basis (n_steps, n_knots): values of step n are interpolated between knots n // knot and n // knot + 1."""
    n = np.arange(n_steps)
    k, t = n // knot, (n % knot + 1) / knot
    basis = np.zeros((n_steps, n_knots))
    basis[n, k] += 1.0 - t
    basis[n, k + 1] += t
    return basis
