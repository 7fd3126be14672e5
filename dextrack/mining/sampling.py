"""The sampling tracker: annealed sampling (MPPI) over the cumulative residual in a receding horizon, against an ensemble of worlds.

Targets are baseline + residual + gain * squeeze. Between knots, residuals of the fingers and gains are piecewise linear, and those of the wrist
quadratic splines, because an arm must follow them within its acceleration limits. Each stage samples the knots of the horizon, keeps the
softmin-weighted mean, executes one knot interval in every member, and moves on. Where the object is lost on the way it goes back and tries again; if it is
asked to, it looks farther then, with more samples.
Source of the scheme: Williams et al., "Model predictive path integral control", 2017, with the noise annealed over iterations.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dextrack.mining.baseline import Baseline
from dextrack.mining.cost import CostConfig, TrackingCost
from dextrack.mining.ensemble import NOMINAL, Ensemble, Member
from dextrack.objects.distance import SignedDistance
from dextrack.references.reference import Reference
from dextrack.settings import require
from dextrack.sim.arrays import Array
from dextrack.sim.rollouts import Rollouts
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
    """Control steps between knots of fingers and squeeze, and executed per stage. Knots of the wrist, whose residual is a smooth spline because
    an arm has to follow it, are twice as far apart."""
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
    lost: float = 0.06
    """A solution is given up once the object is farther than this from its reference in every member, m, ..."""
    lost_turn: float = 1.5
    """... or turned away by more than this, rad: it has left the hand, and will not come back."""
    good: float = 0.012
    """A stage is left as it is, or ends, once the object stays within this distance of its reference over the horizon in every member, m, ..."""
    good_turn: float = 0.12
    """... and within this angle, rad: what tracks well needs no search."""
    temperature: float = 0.15
    """Softmin temperature, in standard deviations of the costs."""
    force: float = 2.0
    """Pad force of the thumb at a squeeze gain of 1, N."""
    squeeze_first: float = 2.0
    """Squeeze gain that sampling starts from."""
    squeeze_most: float = 6.0
    """Largest squeeze gain."""
    margin: int = 24
    """Control steps before the first contact at which sampling begins; until then the baseline is executed."""
    retries: int = 10
    """How often, in all, a solution that has lost its way goes back and tries again with other samples, ..."""
    retries_each: int = 4
    """... and how often at one place, each time one horizon farther back; then it goes on with what came farthest."""
    farther: float = 0.0
    """Share of the horizon by which it grows with every try at a place, ..."""
    more: int = 0
    """... and multiples of ``samples`` by which these do. With 0.25 and 1, in half as many tries, single searches got farther, and a campaign solved no more
    (tests/bench/README.md)."""
    synergies: int = 0
    """Principal components of the reference's finger motion in whose span a quarter of the samples changes the fingers; 0: none does, since three of them
    got no farther (tests/bench/search_variants.py)."""
    astray: float = 0.03
    """It has lost its way once the object is farther than this from its reference in a member, m, ..."""
    astray_turn: float = 0.5
    """... or turned away by more than this, rad."""
    members: tuple[Member, ...] = (NOMINAL,)
    """The ensemble. In the nominal world alone long motions are tracked to their end; hardening comes after."""
    cost: CostConfig = CostConfig()
    """Weights."""

    def __post_init__(self) -> None:
        """Refuse counts and scales with which nothing could be sampled."""
        usual = "`dextrack mine --help` shows the usual values."
        require(self, "sampling", ("samples",), f"give at least 2, the mean and what differs from it; {usual}", least=2)
        require(self, "sampling", ("iterations", "horizon", "knot"), f"give at least 1; {usual}", least=1)
        scales = ("scale_wrist", "scale_turn", "scale_finger", "scale_squeeze", "decay", "force", "squeeze_first", "squeeze_most", "margin")
        require(
            self,
            "sampling",
            (*scales, "lost", "lost_turn", "good", "good_turn", "retries", "retries_each", "farther", "more", "synergies"),
            f"give a positive number; {usual}",
        )
        require(self, "sampling", ("temperature", "astray", "astray_turn"), f"give a positive number; {usual}", more=True)


@dataclasses.dataclass(frozen=True)
class Knots:
    """Residuals at the knots, where the rollouts are."""

    wrist: Array
    """(K, 6), m and rad."""
    fingers: Array
    """(L, J + F): rad for J joints, squeeze gains of F fingers."""


@dataclasses.dataclass(frozen=True)
class _Mark:
    """Where a solution stands between two stages, so that it can go back there."""

    state: Array
    """Physics states of the members, (E, D)."""
    knots: Knots


@dataclasses.dataclass(frozen=True)
class _Astray:
    """A solution that has lost its way."""

    step: int
    """First step of the stage in which it did."""
    error: float
    """How far it is off, relative to what counts as astray."""
    mark: _Mark
    """After that stage."""
    marks: dict[int, _Mark]
    """Before each stage so far, by first step."""
    lost: bool
    """Whether it is beyond help."""


class SamplingTracker:
    """Solves one tracking task by sampling."""

    def __init__(
        self,
        reference: Reference,
        scene: Scene,
        baseline: Baseline,
        distance: SignedDistance,
        config: SamplingConfig,
        seed: int,
        threads: int = 0,
        rollouts: Rollouts | None = None,
    ) -> None:
        """Set up knots and ensemble; nothing is simulated yet.

        Args:
            reference: what to track.
            scene: the nominal world.
            baseline: of ``reference``.
            distance: to the object.
            config: settings.
            seed: of the samples; each engine's device draws other ones.
            threads: of MuJoCo; 0: all cores.
            rollouts: the engine of ``scene`` that samples; None: MuJoCo. Samples, costs and knots are arrays of its device.
        """
        self._config, self._reference, self._baseline = config, reference, baseline
        self.ensemble = Ensemble(scene, reference, config.members, config.samples, threads, rollouts)
        arrays = self.ensemble.arrays
        self._arrays, self._xp, self._normal = arrays, arrays.xp, arrays.normal(seed)
        self._cost = TrackingCost(scene, reference, baseline, distance, config.cost, arrays)
        self._joints, fingers = scene.hand.dof - 6, len(baseline.fingers)
        bases = smooth_basis(reference.n_steps, 2 * config.knot), linear_basis(reference.n_steps, config.knot)
        self._acts = tuple(basis > 0.0 for basis in bases)
        self._wrist_basis, self._finger_basis = (arrays.array(basis) for basis in bases)
        self._targets, self._squeeze = arrays.array(baseline.targets), arrays.array(baseline.squeeze)
        self._lower, self._upper = (arrays.array(limit) for limit in scene.hand.limits())
        self._wrist_scale = arrays.array(np.array([config.scale_wrist] * 3 + [config.scale_turn] * 3))
        self._finger_scale = arrays.array(np.array([config.scale_finger] * self._joints + [config.scale_squeeze] * fingers))
        motion = reference.hand[:, 6:] - reference.hand[:, 6:].mean(axis=0)
        self._span = arrays.array(np.linalg.svd(motion, full_matrices=False)[2][: config.synergies].T)
        self._drift = arrays.array(np.sqrt(np.arange(1, bases[1].shape[1] + 1)))
        bends = np.zeros((bases[1].shape[1], self._joints + fingers))
        bends[:, self._joints :] = config.squeeze_first
        self._wrist, self._fingers = arrays.array(np.zeros((bases[0].shape[1], 6))), arrays.array(bends)
        self.lost = False
        """Whether ``solve`` gave up: no member had the object near its reference any more."""

    @property
    def knots(self) -> Knots:
        """What was found so far."""
        return Knots(self._wrist, self._fingers)

    def targets(self, wrist: Array, fingers: Array, first: int, last: int) -> Array:
        """Targets (..., last - first, 22) of steps ``first`` .. ``last`` - 1 for knots ``wrist`` (..., K, 6) and ``fingers`` (..., L, J + F)."""
        xp = self._xp
        turn = xp.einsum("nk,...kd->...nd", self._wrist_basis[first:last], wrist)
        bend = xp.einsum("nk,...kd->...nd", self._finger_basis[first:last], fingers)
        residual = xp.concatenate([turn, bend[..., : self._joints]], axis=-1)
        squeeze = xp.einsum("...nf,nfd->...nd", bend[..., self._joints :], self._squeeze[first:last])
        return xp.clip(self._targets[first:last] + residual + squeeze, self._lower, self._upper)

    def solve(self, progress: Callable[[float, float], None] | None = None) -> Floats:
        """Run the receding horizon to the end, going back where the object is lost on the way.

        Args:
            progress: called with (fraction done, object position error of the worst member now, m).

        Returns:
            Targets (N, 22).
        """
        c, n_steps, k = self._config, self._reference.n_steps, self._config.knot
        begin, horizon = self._first_stage(), max(c.horizon, 3 * k)
        marks: dict[int, _Mark] = {}
        farthest: _Astray | None = None
        first, left, tries, resigned = 0, c.retries, 0, False
        while first < n_steps:
            marks[first] = self._mark()
            if first >= begin:
                ahead = horizon + int(horizon * c.farther * tries) // k * k
                self._improve(first, min(first + ahead, n_steps), c.samples * (1 + c.more * tries))
            error = self._execute(first, progress)
            resigned = resigned and error > 1.0
            if error > 1.0 and not resigned and first >= begin:
                if farthest is not None and first > farthest.step + horizon:
                    farthest, tries = None, 0  # what was tried there has worked; this is another place
                if farthest is None or (first, -error) > (farthest.step, -farthest.error):
                    farthest = _Astray(first, error, self._mark(), dict(marks), self.lost)
                if left > 0 and tries < c.retries_each:
                    left, tries = left - 1, tries + 1
                    first = max(begin, first - tries * horizon // k * k)
                    self._go_to(marks[first])
                    continue
                self._go_to(farthest.mark)
                first, marks, self.lost, resigned = farthest.step, farthest.marks, farthest.lost, True
                farthest, tries = None, 0
            if self.lost:
                break
            first += k
        return self._arrays.host(self.targets(self._wrist, self._fingers, 0, n_steps))

    def _execute(self, first: int, progress: Callable[[float, float], None] | None) -> float:
        """Execute the stage that begins at ``first`` in every member; how far the worst is off after it, where more than 1 is astray."""
        c, stop = self._config, min(first + self._config.knot, self._reference.n_steps)
        qpos, _ = self.ensemble.advance(self.targets(self._wrist, self._fingers, first, stop))
        away, turned = (e[:, -1] for e in self._cost.object_errors(qpos, first))
        self.lost = bool(((away > c.lost) | (turned > c.lost_turn)).all())
        if progress:
            progress(stop / self._reference.n_steps, float(away.max()))
        return float(max(away.max() / c.astray, turned.max() / c.astray_turn))

    def _mark(self) -> _Mark:
        return _Mark(self.ensemble.state(), self._copied(self.knots))

    def _go_to(self, mark: _Mark) -> None:
        self.ensemble.set_state(mark.state)
        knots = self._copied(mark.knots)
        self._wrist, self._fingers = knots.wrist, knots.fingers

    def _copied(self, knots: Knots) -> Knots:
        return Knots(self._arrays.array(knots.wrist), self._arrays.array(knots.fingers))

    def _first_stage(self) -> int:
        """First step at which sampling begins, a multiple of the knot interval."""
        touching = np.flatnonzero(self._baseline.weights.max(axis=1) > 0.5) if self._baseline.weights.size else np.zeros(1, dtype=int)
        first = int(touching[0]) if len(touching) else 0
        return max(0, first - self._config.margin) // self._config.knot * self._config.knot

    def _improve(self, first: int, last: int, samples: int) -> None:
        """Sample the knots that act from ``first`` to ``last``, and on no earlier step, and move them to what tracks best.

        The best sequence so far competes in every iteration beside the mean: in a grasp the mean of two good sequences may hold nothing.
        """
        c, xp = self._config, self._xp
        active = (_free(self._acts[0], first, last), _free(self._acts[1], first, last))
        mean = best = (self._wrist[active[0]], self._fingers[active[1]])
        cost, good = self._evaluate(mean[0][None], mean[1][None], active, first, last)
        lowest = float(cost[0])
        if good[0]:
            return
        for iteration in range(c.iterations):
            wrists = mean[0] + self._noise((samples, *mean[0].shape), self._wrist_scale, iteration)
            bends = mean[1] + self._noise((samples, *mean[1].shape), self._finger_scale, iteration)
            if c.synergies:
                bends[2::4, ..., : self._joints] = mean[1][..., : self._joints] + self._together((bends - mean[1])[2::4, ..., : self._joints])
            wrists[1], bends[1] = best
            bends[..., self._joints :] = xp.clip(bends[..., self._joints :], 0.0, c.squeeze_most)
            cost, good = self._evaluate(wrists, bends, active, first, last)
            deviation = xp.sqrt(((cost - cost.mean()) ** 2).mean())
            weight = xp.exp(-(cost - cost.min()) / (c.temperature * deviation + 1e-9))
            weight = weight / weight.sum()
            mean = (xp.einsum("s,skd->kd", weight, wrists), xp.einsum("s,skd->kd", weight, bends))
            k = int(xp.argmin(cost))
            best, lowest = (wrists[k], bends[k]), float(cost[k])
            if good[k]:
                break
        cost, _ = self._evaluate(mean[0][None], mean[1][None], active, first, last)
        chosen = mean if cost[0] <= lowest else best
        # What comes after the horizon continues with the last knot instead of falling back to the baseline.
        for knots, rows, values in zip((self._wrist, self._fingers), active, chosen, strict=True):
            if len(values):
                knots[rows] = values
                knots[rows.stop :] = values[-1]

    def _evaluate(self, wrists: Array, bends: Array, active: tuple[slice, slice], first: int, last: int) -> tuple[Array, Array]:
        """Cost (S,) over the ensemble, and whether it is good enough (S,), of ``active`` knots of the wrist (S, K, 6) and the fingers (S, L, J + F)."""
        xp = self._xp
        all_wrist = xp.tile(self._wrist[None], (len(wrists), 1, 1))
        all_fingers = xp.tile(self._fingers[None], (len(bends), 1, 1))
        all_wrist[:, active[0]], all_fingers[:, active[1]] = wrists, bends
        targets, at_once = self.targets(all_wrist, all_fingers, first, last), self.ensemble.samples
        reached = [self.ensemble.rollout(targets[i : i + at_once]) for i in range(0, len(targets), at_once)]
        qpos, sensors = (xp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0] for parts in zip(*reached, strict=True))
        size = _mean_square(wrists / self._wrist_scale) + _mean_square(bends[..., : self._joints] / self._finger_scale[: self._joints])
        away, turned = self._cost.object_errors(qpos, first)
        good = ((xp.amax(away, axis=-1) < self._config.good) & (xp.amax(turned, axis=-1) < self._config.good_turn)).all(axis=0)
        return self._cost.over_members(self._cost(qpos, sensors, first)) + self._config.cost.residual * size, good

    def _together(self, noise: Array) -> Array:
        """Noise (S, L, J) of the finger joints within the span of the synergies, as large as it was on average."""
        return (noise @ self._span) @ self._span.T * math.sqrt(self._joints / self._span.shape[1])

    def _noise(self, shape: tuple[int, ...], scale: Array, iteration: int) -> Array:
        """Noise (S, K, D): none for the first sample; every second one drifts, so that some samples change course for good."""
        noise = self._normal(shape) * scale * self._config.decay**iteration
        noise[0] = 0.0
        noise[1::2] = self._xp.cumsum(noise[1::2], axis=1) / self._drift[: shape[1], None]
        return noise


def _mean_square(knots: Array) -> Array:
    """Mean square (S,) over knots (S, K, D); 0 near the end, where no knot is free any more."""
    return (knots**2).sum(axis=(1, 2)) / max(1, math.prod(knots.shape[1:]))


def _free(acts: NDArray[np.bool_], first: int, last: int) -> slice:
    """Knots that act on a step from ``first`` to ``last`` - 1 and on none before: a range, as knots act in their order; ``acts`` (N, K)."""
    rows = np.flatnonzero(acts[first:last].any(axis=0) & ~acts[:first].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


def linear_basis(n_steps: int, interval: int) -> Floats:
    """Piecewise linear basis (n_steps, K): step n lies between the knots n // interval and n // interval + 1."""
    n = np.arange(n_steps)
    k, t = n // interval, (n % interval + 1) / interval
    basis = np.zeros((n_steps, int(k.max()) + 2))
    basis[n, k] += 1.0 - t
    basis[n, k + 1] += t
    return basis


def smooth_basis(n_steps: int, interval: int) -> Floats:
    """Quadratic B-spline basis (n_steps, K) over uniform intervals: its curves have continuous velocity and bounded acceleration."""
    n = np.arange(n_steps)
    k, t = n // interval, (n % interval + 1) / interval
    basis = np.zeros((n_steps, int(k.max()) + 3))
    basis[n, k] += 0.5 * (1.0 - t) ** 2
    basis[n, k + 1] += 0.5 + t * (1.0 - t)
    basis[n, k + 2] += 0.5 * t**2
    return basis
