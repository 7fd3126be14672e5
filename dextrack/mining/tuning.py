"""Tuning of a grasp: a constant change of how the hand holds the object, sought until the grasp carries the object in uncertain worlds by itself.

A receding horizon finds targets that work in one world because each stage corrects what the last one spoilt; in a world that differs by a few per cent they
drop the object. What survives is a grasp that is firm: tuned are the wrist's place and turn relative to the object, the closure of each finger joint and
each finger's squeeze, all constant while the hand holds the object, so that nothing corrects anything. Covariance matrix adaptation (CMA-ES) maximises how far
the object is carried, on average over the worlds; a generation looks as far ahead as the grasp has come, and a little farther.
Source of the scheme: Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies", 2001, as in the package cmaes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from cmaes import CMA
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.mining.audition import Tried, is_off
from dextrack.mining.baseline import Baseline
from dextrack.mining.ensemble import NOMINAL, Ensemble, Member
from dextrack.mining.lifting import Lift
from dextrack.mining.settling import settled_pose
from dextrack.objects.distance import SignedDistance
from dextrack.settings import require
from dextrack.sim.rollouts import Rollouts
from dextrack.sim.scene import Scene
from dextrack.tracking.verdict import judge

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """How grasps are tuned."""

    worlds: int = 6
    """Worlds of a generation: the nominal one, and others that are drawn anew for each, so that a grasp is tuned to none of them."""
    trials: int = 16
    """Worlds, always the same, that tell how good a grasp is."""
    enough: float = 0.8
    """Share of these in which it lifts and holds, from which its verdict is asked for."""
    friction: float = 0.25
    """Largest difference of the object's friction from the nominal one, as a share of it; ..."""
    mass: float = 0.25
    """... of its mass; ..."""
    gain: float = 0.15
    """... of the fingers' gains, which are at most nominal."""
    offset: float = 0.006
    """Standard deviation of the object's place in x and in y, m."""
    yaw: float = 0.06
    """Standard deviation of the object's turn about the vertical, rad."""
    grasps: int = 5
    """Grasps that are begun with, those of the auditions that carried the object farthest first, and the reference's own."""
    kept: int = 2
    """Grasps that are tuned on after ``first`` generations, and one alone after ``long``."""
    first: int = 4
    """Generations of every grasp."""
    long: int = 14
    """Generations after which only the best goes on."""
    population: int = 20
    """Samples per generation."""
    spread: float = 0.7
    """Standard deviation of the first generation, in units of the scales."""
    scale_wrist: float = 0.006
    """Unit of the wrist's displacement, m."""
    scale_turn: float = 0.06
    """Unit of the wrist's turn, rad."""
    scale_finger: float = 0.1
    """Unit of a finger joint's closure, rad."""
    squeeze_first: float = 2.5
    """Squeeze gain of every finger to begin with; its unit is 1."""
    squeeze_most: float = 6.0
    """Largest squeeze gain."""
    schedule: int = 1
    """Times, evenly spread over the grasp, at which each finger has a squeeze gain of its own; between them it changes linearly. Three did no better than one
    (tests/bench/search_variants.py)."""
    away: float = 0.04
    """The object is carried until it is farther than this from its reference, m, ..."""
    turned: float = 0.7
    """... or turned away by more than this, rad, or left on the table where the verdict wants it up."""
    error: float = 0.2
    """What an error as large as those allowed costs, beside a share of the way of 1."""
    depth: float = 0.005
    """A pad that is this much deeper in the object than 2 mm, m, counts as such an error."""
    least: int = 120
    """Control steps after the object is first moved that are always looked at, ..."""
    farther: int = 90
    """... and steps beyond where the better quarter of the last generation has come."""
    look: int = 2
    """Generations between two looks at how good the grasp has become."""
    approach: int = 60
    """Control steps over which the wrist goes over to its changed place before contact, and back after: an arm has to follow."""
    budget: int = 300_000
    """No generation begins after this many simulated control steps; 0: nothing is tuned."""

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be tuned."""
        require(
            self, "tuning", ("worlds", "trials", "grasps", "kept", "first", "least", "farther", "approach", "look", "schedule"), "give at least 1.", least=1
        )
        require(self, "tuning", ("population",), "give at least 4, usually 20.", least=4)
        usual = "give a positive number; `dextrack mine --help` shows the usual one."
        require(self, "tuning", ("spread", "scale_wrist", "scale_turn", "scale_finger", "squeeze_most", "away", "turned", "depth"), usual, more=True)
        require(self, "tuning", ("squeeze_first", "error", "long", "budget", "offset", "yaw", "enough"), "give a number of at least 0.")
        for field in ("friction", "mass", "gain"):
            if not 0.0 <= getattr(self, field) < 1.0:
                raise InputError(f"tuning: {field} is {getattr(self, field)}.", remedy="give a share of at least 0 and less than 1.")


def drawn(config: TuningConfig, count: int, seed: Sequence[int]) -> tuple[Member, ...]:
    """The nominal world and ``count`` - 1 that are drawn."""
    rng, c, out = np.random.default_rng(seed), config, [NOMINAL]
    for _ in range(count - 1):
        friction, mass = 1.0 + c.friction * rng.uniform(-1, 1), 1.0 + c.mass * rng.uniform(-1, 1)
        offset = (c.offset * rng.normal(), c.offset * rng.normal())
        out.append(Member(friction, mass, 1.0 - c.gain * rng.uniform(), offset, c.yaw * rng.normal()))
    return tuple(out)


def adjusted(baseline: Baseline, base_quaternion_w: ArrayLike, config: TuningConfig, change: Floats) -> tuple[Baseline, float]:
    """``baseline`` with a changed grasp, and the squeeze gain that belongs to it.

    Args:
        baseline: of N steps and F fingers.
        base_quaternion_w: (4,) wxyz, the frame of the wrist's hinges, the reference's.
        config: scales.
        change: (6 + J + F K,) for J finger joints and a schedule of K times, in units of the scales: displacement and turn (rotation vector) of the wrist
            in its own frame, closure of the joints, squeeze gains above ``squeeze_first`` by time and finger.
    """
    joints = baseline.targets.shape[1] - 6
    held = baseline.weights[1:].max(axis=1) if baseline.weights.size else np.ones(len(baseline.targets))
    near = smooth(held, config.approach)[:, None]
    targets = baseline.targets.copy()
    wrist = Rotation.from_euler("XYZ", targets[:, 3:6])
    # The slides are along the world's axes, the hinges about those of the base.
    slides = Rotation.from_quat(np.asarray(base_quaternion_w), scalar_first=True) * wrist
    targets[:, :3] += near * slides.apply(config.scale_wrist * change[:3])
    turned = (wrist * Rotation.from_rotvec(near * config.scale_turn * change[3:6])).as_euler("XYZ")
    # The hinges are unwrapped; what as_euler gives is not.
    targets[:, 3:6] += (turned - targets[:, 3:6] + math.pi) % (2.0 * math.pi) - math.pi
    targets[:, 6:] += held[:, None] * config.scale_finger * change[6 : 6 + joints]
    gains = np.clip(config.squeeze_first + change[6 + joints :], 0.0, config.squeeze_most).reshape(config.schedule, -1)
    mean = float(gains.mean()) if gains.size else 0.0
    share = scheduled(held, gains / mean if mean > 0.0 else gains)
    return dataclasses.replace(baseline, targets=targets, squeeze=baseline.squeeze * share[..., None]), mean


def scheduled(held: Floats, gains: Floats) -> Floats:
    """Gains (N, F) over time of ``gains`` (K, F) at K times that are spread evenly from the first to the last step at which ``held`` (N,) is above 0."""
    touching = np.flatnonzero(held > 0.0)
    first, last = (touching[0], touching[-1]) if len(touching) else (0, len(held) - 1)
    at = np.clip((np.arange(len(held)) - first) / max(1, last - first), 0.0, 1.0) * (len(gains) - 1)
    before = np.minimum(at.astype(int), max(0, len(gains) - 2))
    after, part = np.minimum(before + 1, len(gains) - 1), (at - before)[:, None]
    out: Floats = (1.0 - part) * gains[before] + part * gains[after]
    return out


def smooth(held: Floats, width: int) -> Floats:
    """A weight (N,) that is 1 wherever ``held`` (N,) is above 0, and rises to that and falls from it smoothly over ``width`` steps.

    Where less is left before the first such step, it rises from 0 within that: a motion begins where its reference does.
    """
    touching = np.flatnonzero(held > 0.0)
    if not len(touching):
        return held
    k = np.arange(len(held))
    after = touching[np.clip(np.searchsorted(touching, k), 0, len(touching) - 1)]
    before = touching[np.clip(np.searchsorted(touching, k, side="right") - 1, 0, len(touching) - 1)]
    widths = np.where(k < touching[0], max(1, min(width, touching[0])), width)
    outside = np.clip(np.minimum(np.abs(after - k), np.abs(k - before)) / widths, 0.0, 1.0)
    out: Floats = 1.0 - outside**2 * (3.0 - 2.0 * outside)
    return out


class GraspTuner:
    """Tunes one grasp."""

    def __init__(
        self,
        tried: Tried,
        scene: Scene,
        hull_o: Floats,
        distance: SignedDistance,
        config: TuningConfig,
        seed: int,
        rollouts: Rollouts,
        hold: float = 0.0,
    ) -> None:
        """Nothing is simulated yet; ``hull_o`` (H, 3) m is the object's hull.

        ``hold`` is what it adds to the score that the object is lifted and held in all worlds: a grasp that comes to the end is asked for no more than
        that, and for one that does not yet it would be nothing.

        The worlds of ``rollouts`` are used while a method runs, and are anybody's between.
        """
        self._tried, self._scene, self._hull, self._distance, self._config, self._rollouts = tried, scene, hull_o, distance, config, rollouts
        self._hold = hold
        guide, fingers = tried.guide, tried.baseline.fingers
        self._size = 6 + len(scene.hand.finger_joints) + len(fingers) * config.schedule
        self._lift = Lift(guide, hull_o)
        # Until the hand reaches out, all changes do the same: that part is simulated once.
        self._shared = max(0, tried.baseline.free_steps - config.approach)
        self._onset, self._last = int(guide.diagnosis["onset"]), guide.n_steps
        names = [f.finger for f in scene.hand.fingertips]
        self._columns = [names.index(f) for f in fingers]
        self._radii = np.array([scene.hand.fingertips[i].radius for i in self._columns])
        self._search = CMA(mean=np.zeros(self._size), sigma=config.spread, seed=seed, population_size=config.population)
        self._candidates = [np.zeros(self._size)]
        self._best, self._seed = self._candidates[0], seed
        self._trials = drawn(config, config.trials, [seed, 0])
        self._rest = settled_pose(scene, guide.hand[0], guide.object_position_w[0], guide.object_quaternion_w[0])
        self.steps = 0
        """Control steps simulated so far, over all worlds."""
        self.physics_seconds = 0.0
        """Wall time spent inside the engine so far."""
        self.generations = 0
        """Generations so far."""
        self.score = -math.inf
        """Of the best grasp so far: share of the way that it carries the object, mean over the worlds, less its errors."""
        self.shares: Floats = np.zeros(config.trials)
        """Share of the way by trial, of the best grasp so far."""
        self.holds = 0.0
        """Share of the trials in which the best grasp so far lifts and holds."""
        self._reached = self._onset

    @property
    def best(self) -> Tried:
        """The best grasp so far."""
        baseline, squeeze = self._adjusted(self._best)
        return dataclasses.replace(
            self._tried, baseline=baseline, squeeze=squeeze, carried=float(self.shares.mean()), nominal=float(self.shares[0]), tuned=True
        )

    def generation(self) -> None:
        """Sample one generation, as far as is worth looking."""
        c = self._config
        changes = [self._search.ask() for _ in range(c.population)]
        if self.generations == 0:
            changes[0] = np.zeros(self._size)
        worlds = drawn(c, c.worlds, [self._seed, 1 + self.generations])
        last = min(self._last, max(self._onset + c.least, self._reached + c.farther))
        score, share, _ = self._evaluate(worlds, changes, last)
        self._search.tell([(change, -float(value)) for change, value in zip(changes, score, strict=True)])
        self._candidates = [np.array(self._search.mean), changes[int(np.argmax(score))]]
        self._reached = int(self._onset + np.quantile(share.mean(axis=0), 0.75) * (last - self._onset))
        self.generations += 1

    def _adjusted(self, change: Floats) -> tuple[Baseline, float]:
        return adjusted(self._tried.baseline, self._tried.guide.base_quaternion_w, self._config, change)

    def look(self) -> None:
        """Simulate the mean and the best of the last generation to the end in all trials, and keep the better one if it is the best so far."""
        score, shares, holds = self._evaluate(self._trials, self._candidates, self._last)
        for candidate, value, share, held in zip(self._candidates, score, shares.T, holds, strict=True):
            if (held, value) > (self.holds, self.score):
                self._best, self.score, self.shares, self.holds = candidate, float(value), share, float(held)

    def _evaluate(self, worlds: tuple[Member, ...], changes: list[Floats], last: int) -> tuple[Floats, Floats, Floats]:
        """Score (S,), share of the way to ``last`` by world (E, S), and share of the worlds in which each lifts and holds (S,), which is 0 before the end."""
        c, guide, scene = self._config, self._tried.guide, self._scene
        built = [self._adjusted(change) for change in changes]
        targets = np.clip(np.array([baseline.squeezed(gain)[:last] for baseline, gain in built]), *scene.hand.limits())
        ensemble = Ensemble(scene, guide, worlds, len(changes), rollouts=self._rollouts, rest=self._rest)
        start = ensemble.qpos()
        qpos, sensors, until = ensemble.carry(targets, self._off, min(self._shared, last - 1))
        self.steps, self.physics_seconds = self.steps + ensemble.steps, self.physics_seconds + ensemble.physics_seconds
        k = scene.object_qpos
        away, turned = self._errors(qpos, 0)
        kept = np.arange(last) < until[..., None]
        error = np.where(kept, (away / c.away + turned / c.turned) / 2.0, 0.0).sum(axis=-1) / np.maximum(until, 1)
        # Pads sink in slowly: to look at every sixth step is enough, and costs less than the physics.
        outside = self._distance.distances(sensors[..., ::6, self._columns, :]) - self._radii
        deep = np.maximum(-outside - 0.002, 0.0).max(axis=-1, initial=0.0)
        error += np.where(kept[..., ::6], deep / c.depth, 0.0).sum(axis=-1) / np.maximum(kept[..., ::6].sum(axis=-1), 1)
        share = np.clip((until - self._onset) / max(1, last - self._onset), 0.0, 1.0)
        holds = np.zeros((len(worlds), len(changes)))
        for e, i in np.argwhere((share >= 1.0) & (last == self._last)):
            q = np.concatenate([start[e][None], qpos[e, i]])
            holds[e, i] = judge(guide, self._hull, q[:, k : k + 3], q[:, k + 3 : k + 7]).lifts_and_holds
        score: Floats = (share - c.error * error).mean(axis=0) + self._hold * holds.mean(axis=0)
        return score, share, holds.mean(axis=0)

    def _errors(self, qpos: Floats, first: int) -> tuple[Floats, Floats]:
        """Distance, m, and angle, rad, of the object from its reference, (..., H) each, after steps ``first`` .. ``first`` + H - 1."""
        k, at, guide = self._scene.object_qpos, slice(first + 1, first + 1 + qpos.shape[-2]), self._tried.guide
        away = np.linalg.norm(qpos[..., k : k + 3] - guide.object_position_w[at], axis=-1)
        return away, rotations.angle(qpos[..., k + 3 : k + 7], guide.object_quaternion_w[at])

    def _off(self, qpos: Floats, first: int) -> NDArray[np.bool_]:
        """Whether the object is off (..., H) in the states after steps ``first`` .. ``first`` + H - 1."""
        c, k = self._config, self._scene.object_qpos
        return is_off(self._tried.guide, qpos[..., k : k + 3], qpos[..., k + 3 : k + 7], first, c.away, c.turned, self._lift)


class Tuning:
    """The tuning of one task, and what it costs."""

    def __init__(self, scene: Scene, hull_o: Floats, distance: SignedDistance, config: TuningConfig, seed: int, rollouts: Rollouts) -> None:
        """Nothing is tuned yet."""
        self._made = (scene, hull_o, distance, config)
        self._config, self._seed, self._rollouts = config, seed, rollouts
        self._tuners: list[GraspTuner] = []

    @property
    def told(self) -> list[dict[str, float]]:
        """By grasp that was begun with: its number, generations, score and mean share of the way."""
        return [
            {"grasp": t.best.number, "generations": t.generations, "score": t.score, "holds": t.holds, "carried": float(t.shares.mean())} for t in self._tuners
        ]

    @property
    def steps(self) -> int:
        """Control steps simulated so far, over all worlds."""
        return sum(t.steps for t in self._tuners)

    @property
    def physics_seconds(self) -> float:
        """Wall time spent inside the engine so far."""
        return sum(t.physics_seconds for t in self._tuners)

    def run(self, grasps: Iterable[Tried], progress: Callable[[float], None] | None = None) -> Iterator[Tried]:
        """Tune ``grasps``, the most promising first, and yield what lifts and holds in enough trials, and again whenever in more.

        The caller may stop when it is good enough.
        Where none does, the best is yielded at the end.

        Args:
            grasps: asked for one after the other, at most as many as are begun with.
            progress: called with the fraction of the budget spent.
        """
        c, told = self._config, -1.0
        for tried in itertools.islice(grasps, c.grasps):
            if self.steps >= c.budget:
                break
            tuner = GraspTuner(tried, *self._made, seed=self._seed, rollouts=self._rollouts)
            self._tuners.append(tuner)
            self._go_on(tuner, c.first, progress)
            if tuner.holds >= c.enough:
                break
        live = self._ranked()[: c.kept]
        while live:
            best = self._ranked()[0]
            if best.holds >= c.enough and best.holds > told:
                told = best.holds
                yield best.best
            if self.steps >= c.budget or (best.holds == 1.0 and best.generations >= c.long):
                break
            if best.holds >= c.enough or best.generations >= c.long:
                live = [best]
            for tuner in live:
                self._go_on(tuner, c.look, progress)
        if self._tuners and told < 0.0:
            yield self._ranked()[0].best

    def _go_on(self, tuner: GraspTuner, generations: int, progress: Callable[[float], None] | None) -> None:
        for _ in range(generations):
            tuner.generation()
            if progress:
                progress(min(1.0, self.steps / self._config.budget))
        tuner.look()

    def _ranked(self) -> list[GraspTuner]:
        return sorted(self._tuners, key=lambda t: (-t.holds, -t.score))
