"""Mining: from a reference to a demonstration with its verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import __version__
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.hands.motors import FingerMotors
from dextrack.hands.spec import load_hand
from dextrack.mining.again import AgainConfig, best_of
from dextrack.mining.audition import AuditionConfig, Auditions, Tried
from dextrack.mining.demonstrating import demonstrate
from dextrack.mining.engine import MUJOCO, Engine
from dextrack.mining.hardening import Hardening, HardeningConfig
from dextrack.mining.polishing import Polishing, PolishingConfig
from dextrack.mining.replays import SELECTION_SEED, Spent, selection
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.mining.tuning import Tuning, TuningConfig
from dextrack.objects.distance import signed_distance
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.settings import require
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import OK, hull_vertices


@dataclasses.dataclass(frozen=True)
class MineConfig:
    """Settings of mining one task."""

    sampling: SamplingConfig = SamplingConfig()
    """The sampling tracker."""
    physics: Physics = Physics()
    """The nominal world."""
    audition: AuditionConfig = AuditionConfig()
    """How grasps are tried out before anything is searched."""
    tuning: TuningConfig = TuningConfig()
    """How grasps are tuned where none passes its audition."""
    hardening: HardeningConfig = HardeningConfig()
    """How targets that do the task in the nominal world are hardened."""
    polishing: PolishingConfig = PolishingConfig()
    """How the best targets are polished where they lift and hold, and not in enough worlds."""
    again: AgainConfig = AgainConfig()
    """When all of this is done again from another seed."""
    grasps: int = 2
    """Grasps searched with where none passed its audition or was tuned until it did, those that carried the object farthest first; the best result is kept."""
    surviving: float = 0.9
    """Share of the perturbed replays of an attempt from which nothing better is sought: more than a verdict asks for, since that asks in other worlds."""
    budget: int = 300_000
    """No search begins after this many simulated control steps of searches and hardening; auditions and tuning do not count."""
    threads: int = 0
    """Threads of the simulation; 0: all cores."""

    def __post_init__(self) -> None:
        """Refuse no grasp, no budget, a share that is none, and fewer threads than none."""
        require(self, "mining", ("grasps", "budget"), "give at least 1.", least=1)
        if not 0.0 <= self.surviving <= 1.0:
            raise InputError(f"mining: surviving is {self.surviving}.", remedy="give a share from 0 to 1, usually 0.9.")
        require(self, "mining", ("threads",), "give a number of threads, or 0 for all cores.")


Progress = Callable[[int, float, float], None]
"""Called with (attempt, fraction done, object position error of the worst member, m); attempt 0 are the auditions, whose error is not a number."""


def mine(
    reference: Reference,
    obj: ObjectSpec,
    config: MineConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Engine = MUJOCO,
    motors: FingerMotors | None = None,
) -> Demonstration:
    """Solve the tracking task of ``reference`` and ``obj``: try grasps out and tune them, and where none does it alone, search and harden; if need be, again.

    Args:
        reference: what to track.
        obj: its object.
        config: settings; the measured defaults when None.
        seed: of the first try. On one machine the same seed gives the same demonstration at any number of threads of MuJoCo; another processor may round
            otherwise, and a grasp that is touch and go then ends otherwise.
        progress: called as work goes on.
        motors: measured ones, instead of the hand's own; the demonstration keeps them.
        engine: what rolls out. Whatever it is, hold tests, the replay and the verdict are MuJoCo's on the CPU, so that verdicts compare.

    Returns:
        The best demonstration found, whether or not its verdict passes.

    Raises:
        InputError: the object or its hand's joints are not the reference's, the seed is negative, or the engine is not there.
        SimulationError: no attempt could be replayed.
    """
    config = config or MineConfig()
    _refuse_mismatch(reference, obj, seed)
    return best_of(lambda own: _once(reference, obj, config, own, progress, engine, motors), config.again, seed)


def _once(
    reference: Reference, obj: ObjectSpec, config: MineConfig, seed: int, progress: Progress | None, engine: Engine, motors: FingerMotors | None
) -> Demonstration:
    """One try."""
    with contextlib.closing(_Work(reference, obj, config, seed, progress, engine, motors)) as work:
        work.audition()
        work.tune()
        for tried in work.best_grasps():
            if work.finished:
                break
            work.search(tried)
        return work.polished(work.result())


def go_on(
    demonstration: Demonstration,
    obj: ObjectSpec,
    config: MineConfig | None = None,
    progress: Progress | None = None,
    engine: Engine = MUJOCO,
    motors: FingerMotors | None = None,
) -> Demonstration:
    """Go on from a demonstration that was mined without polishing, or in one try: what comes of it is what ``mine`` makes with the same settings and seed.

    Args:
        demonstration: by the sampling tracker, as read from a store.
        obj: its object.
        config: settings; the measured defaults when None.
        progress: see ``mine``.
        engine: see ``mine``.
        motors: see ``mine``.

    Raises:
        InputError: the object is not the demonstration's, its motors are others, another tracker has found it, or it took several tries.
    """
    config, p = config or MineConfig(), demonstration.provenance
    if p.get("tracker") != "sampling" or len(p.get("tries", ())) > 1:
        what = f"demonstration {demonstration.reference.name}: it was found by another tracker than sampling, or in several tries."
        raise InputError(what, remedy="mine it anew.")
    if p.get("motors") != (None if motors is None else json.loads(json.dumps(dataclasses.asdict(motors)))):  # as it comes back from a store: JSON has no tuples
        raise InputError(f"demonstration {demonstration.reference.name}: it was mined with other motors.", remedy="give the same --motors.")
    reference, seed = demonstration.reference, int(p["seed"])
    _refuse_mismatch(reference, obj, seed)
    if "polishing" not in p:
        with contextlib.closing(_Work(reference, obj, config, seed, progress, engine, motors)) as work:
            demonstration = work.polished(demonstration)
    found = best_of(lambda own: _once(reference, obj, config, own, progress, engine, motors), config.again, seed, demonstration)
    settings = dataclasses.asdict(dataclasses.replace(config, threads=0))
    return dataclasses.replace(found, provenance={**found.provenance, "config": settings, "version": __version__})


def _refuse_mismatch(reference: Reference, obj: ObjectSpec, seed: int) -> None:
    if seed < 0:
        raise InputError(f"mining: seed is {seed}.", remedy="give a seed of 0 or more.")
    expected = reference.provenance.get("object")
    if expected is not None and expected != obj.digest:
        why = f"object {obj.name}: its digest differs from the one that {reference.name} was retargeted with."
        raise InputError(why, remedy="retarget the recording again.")
    hand = load_hand(reference.hand_name)
    if reference.joint_names != hand.joint_names:
        raise InputError(f"reference {reference.name}: its joint_names are not those of {hand.name}.", remedy="retarget the recording again.")


class _Work:
    """The attempts at one task, the best of them, and what they cost together."""

    def __init__(
        self,
        reference: Reference,
        obj: ObjectSpec,
        config: MineConfig,
        seed: int,
        progress: Progress | None,
        engine: Engine,
        motors: FingerMotors | None,
    ) -> None:
        self._reference, self._obj, self._config, self._seed, self._progress = reference, obj, config, seed, progress
        self._began = time.monotonic()
        self._motors, own = motors, load_hand(reference.hand_name)
        self._scene = build_scene(own if motors is None else motors.on(own), reference.base_quaternion_w, obj, config.physics)
        self._distance, self._hull = signed_distance(obj), hull_vertices(obj.vertices)
        self._engine = engine
        self._rollouts = engine.rollouts(self._scene, config.threads)
        self._auditions = Auditions(reference, obj, self._scene, self._hull, config.audition, config.sampling.force, seed, config.threads, self._rollouts)
        self._tuning = Tuning(self._scene, self._hull, self._distance, config.tuning, seed, self._rollouts)
        self._tried: dict[tuple[int, bool], Tried] = {}
        self._lifting: dict[tuple[int, bool], NDArray[np.float64]] = {}
        self._attempts: list[dict[str, Any]] = []
        self._judging = Spent()
        self._best: Demonstration | None = None

    def close(self) -> None:
        """Free the engine's worlds."""
        self._rollouts.close()

    @property
    def finished(self) -> bool:
        """Whether an attempt is good enough, or the budget is spent."""
        return self._passed or bool(sum(a["control_steps"] for a in self._attempts) >= self._config.budget)

    @property
    def _passed(self) -> bool:
        """Whether the best attempt meets all parts of the verdict within the paper's threshold of 20 degrees, in more perturbed replays than are asked for."""
        if self._best is None:
            return False
        verdict, robust = self._best.verdict, self._best.verdict["robust"]["numbers"]
        enough = robust["survived"] >= self._config.surviving * robust["replays"]
        return bool(verdict["passed"]) and bool(self._best.metrics["success_20"]) and bool(enough)

    def audition(self) -> None:
        """Try grasps out, judge those that carry the object all the way in the nominal world, and stop when one passes."""
        for tried in self._auditions.run(self._tell_auditions):
            self._tried[_key(tried)] = tried
            if tried.nominal == 1.0:
                self._replay(tried)
            if self.finished:
                break

    def _tell_auditions(self, done: float) -> None:
        self._tell(0, done)

    def _tell(self, attempt: int, done: float) -> None:
        if self._progress is not None:
            self._progress(attempt, done, float("nan"))

    def tune(self) -> None:
        """Tune the most promising grasps, unless one passed as it was, and stop when one passes."""
        if self.finished:
            return
        for tried in self._tuning.run(self._auditions.promising(), self._tell_auditions):
            self._tried[_key(tried)] = tried
            if tried.nominal == 1.0:
                self._replay(tried)
            if self.finished:
                break

    def best_grasps(self) -> list[Tried]:
        """The grasps to search with, best first: those whose replay lifted and held, then those that carried the object farthest."""
        ranked = sorted(self._tried.values(), key=lambda t: (_key(t) not in self._lifting, -t.carried, t.number))
        return ranked[: self._config.grasps]

    def _replay(self, tried: Tried) -> None:
        """Judge the grasp with its constant squeeze as it is."""
        began = time.monotonic()
        targets = np.clip(tried.baseline.squeezed(tried.squeeze), *self._scene.hand.limits())
        attempt = {"by": "replay", "grasp": tried.number, "tuned": tried.tuned, "seed": self._seed, "control_steps": 0, "physics_seconds": 0.0}
        if self._judge(targets, began, attempt):
            self._lifting[_key(tried)] = targets

    def search(self, tried: Tried) -> None:
        """Search in the nominal world, unless the replay did the task already, then harden."""
        targets = self._lifting.get(_key(tried))
        if targets is None:
            targets = self._searched(tried)
        if targets is not None and not self._passed:
            self._harden(tried, targets)

    def _searched(self, tried: Tried) -> NDArray[np.float64] | None:
        """What a search with a grasp found, if that lifts and holds."""
        number, began, c = len(self._attempts), time.monotonic(), self._config
        sampling = dataclasses.replace(c.sampling, squeeze_first=min(tried.squeeze, c.sampling.squeeze_most))
        seed = self._seed + number
        tracker = SamplingTracker(tried.guide, self._scene, tried.baseline, self._distance, sampling, seed, c.threads, self._rollouts)
        targets = tracker.solve(None if self._progress is None else functools.partial(self._progress, number + 1))
        cost = {"control_steps": tracker.ensemble.steps, "physics_seconds": tracker.ensemble.physics_seconds}
        holds = self._judge(targets, began, {"by": "search", "grasp": tried.number, "tuned": tried.tuned, "seed": seed, "lost": tracker.lost, **cost})
        return targets if holds else None

    def _harden(self, tried: Tried, targets: NDArray[np.float64]) -> None:
        """Harden ``targets`` of a grasp and judge what that gives, until it is good enough."""
        number, c, began = len(self._attempts), self._config, time.monotonic()
        made = (self._scene, self._hull, self._distance, c.hardening, c.tuning)
        hardening = Hardening(tried, targets, *made, seed=self._seed + number, rollouts=self._rollouts)
        attempt = {"by": "hardening", "grasp": tried.number, "tuned": tried.tuned, "seed": self._seed + number}
        for found in hardening.run(lambda done: self._tell(number + 1, done)):
            self._judge(found, began, {**attempt, **hardening.told, **hardening.cost()})
            began = time.monotonic()
            if self._passed:
                return
        cost = hardening.cost()
        if cost["control_steps"]:
            self._attempts.append({**attempt, **hardening.told, **cost, "given_up": True, "seconds": time.monotonic() - began})

    def _judge(self, targets: NDArray[np.float64], began: float, attempt: dict[str, Any]) -> bool:
        """Judge an attempt in the worlds that are there to choose by, keep its record, and the demonstration if it is the best; whether it lifts and holds."""
        try:
            found = demonstrate(self._scene, self._reference, self._obj, targets, {}, began, self._config.threads, selection(), self._judging)
        except SimulationError as error:  # of this attempt: others may do, and have done
            self._attempts.append({**attempt, "lifts_and_holds": False, "survived": 0.0, "diverged": str(error), "seconds": time.monotonic() - began})
            return False
        outcome = {"lifts_and_holds": found.verdict["lifts_and_holds"], "survived": found.verdict["robust"]["numbers"]["survived"]}
        self._attempts.append({**attempt, **outcome, "seconds": time.monotonic() - began})
        if self._best is None or _rank(found) > _rank(self._best):
            self._best = dataclasses.replace(found, provenance={**found.provenance, "attempt": len(self._attempts) - 1})
        return bool(found.verdict["lifts_and_holds"])

    def polished(self, found: Demonstration) -> Demonstration:
        """``found`` with its targets polished, where they lift and hold, judged again if that changed them, and with what it cost."""
        c, p, began = self._config, found.provenance, time.monotonic()
        if not c.polishing.rounds or not found.verdict["lifts_and_holds"]:
            return found
        made = (self._reference, self._obj, self._scene, self._hull, self._distance, c.polishing, c.tuning, c.sampling.force)
        polishing = Polishing(*made, seed=self._seed, rollouts=self._rollouts, threads=c.threads)
        number = len(p["attempts"])
        best = polishing.run(found.targets, int(p["attempts"][p["attempt"]]["grasp"]), lambda done: self._tell(number + 1, done))
        if best.targets is not found.targets:
            found = demonstrate(self._scene, self._reference, self._obj, best.targets, {}, began, c.threads, None, polishing.spent)
        cost = {field: p[field] + sum(a[field] for a in polishing.attempts) for field in ("control_steps", "physics_seconds")}
        cost["control_steps"] += polishing.spent.steps
        cost["physics_seconds"] += polishing.spent.physics_seconds
        told = {"held": best.held, "attempts": polishing.attempts, "surveys": dataclasses.asdict(polishing.spent)}
        seconds = p["seconds"] + time.monotonic() - began
        return dataclasses.replace(found, provenance={**p, "polishing": told, **cost, "seconds": seconds})

    def result(self) -> Demonstration:
        """The best demonstration, judged in the worlds of verdicts, with the cost of all attempts.

        Raises:
            SimulationError: the replays of all attempts diverged.
        """
        if self._best is None:
            why = f"mining {self._reference.name}: the replays of all {len(self._attempts)} attempts left the range of finite numbers."
            raise SimulationError(why, remedy="mine again with another seed, or look at the object's mass and mesh.")
        chosen = self._best.verdict["robust"]["numbers"]
        of_best = (self._best.targets, self._best.provenance)
        found = demonstrate(self._scene, self._reference, self._obj, *of_best, self._began, self._config.threads, None, self._judging)
        work = (self._auditions, self._tuning, self._judging)
        return dataclasses.replace(
            found,
            provenance={
                **found.provenance,
                "selection": {"seed": SELECTION_SEED, "survived": chosen["survived"], "replays": chosen["replays"]},
                "tracker": "sampling",
                "backend": self._engine.backend,
                **({} if self._motors is None else {"motors": dataclasses.asdict(self._motors)}),
                "config": dataclasses.asdict(dataclasses.replace(self._config, threads=0)),
                "seed": self._seed,
                "auditions": {"first": list(self._auditions.first.items()), "whole": list(self._auditions.whole.items())},
                "tuning": self._tuning.told,
                "attempts": self._attempts,
                "judging": dataclasses.asdict(self._judging),
                "control_steps": sum(w.steps for w in work) + sum(a["control_steps"] for a in self._attempts),
                "physics_seconds": sum(w.physics_seconds for w in work) + sum(a["physics_seconds"] for a in self._attempts),
                "seconds": time.monotonic() - self._began,
            },
        )


def _key(tried: Tried) -> tuple[int, bool]:
    """What tells grasps apart: one that was tuned is another than the one it was."""
    return tried.number, tried.tuned


def _rank(demonstration: Demonstration) -> tuple[bool, int, float, float]:
    """Order of attempts: the whole verdict, its parts and the paper's threshold of 20 degrees, perturbed replays survived, small errors."""
    verdict, metrics = demonstration.verdict, demonstration.metrics
    parts = [verdict[part]["state"] in OK for part in ("lifted", "held", "clean", "robust")]
    met = sum(parts) + int(metrics["success_20"])
    return bool(verdict["passed"]), met, float(verdict["robust"]["numbers"]["survived"]), -float(np.hypot(metrics["t_err_m"] / 0.05, metrics["r_err_rad"]))
