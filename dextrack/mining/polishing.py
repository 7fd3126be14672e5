"""Polishing: what lifts and holds in the nominal world, and not in enough others, is raised and hardened by turns until it does.

It looks at targets as the verdict does, at worlds in which all that a verdict varies is off by a little more, and at whole motions. Two things it then
does: the hand is raised where the object hangs too low (``dextrack.mining.raising``, some replays), and the grasp is hardened
(``dextrack.mining.hardening``) by a score that counts, other than that of a grasp still to be found, the worlds in which the object is lifted and held.
It needs nothing of mining but the targets and which grasp they are of: what an earlier version has mined can be polished as well.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError, SimulationError
from dextrack.mining.audition import Tried
from dextrack.mining.baseline import make_baseline
from dextrack.mining.grasps import other_grasp
from dextrack.mining.hardening import Hardening, HardeningConfig
from dextrack.mining.raising import Raising, RaisingConfig
from dextrack.mining.replays import Spent, replay, replays
from dextrack.mining.tuning import TuningConfig, drawn
from dextrack.objects.distance import SignedDistance
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.settings import require
from dextrack.sim.rollouts import Rollouts
from dextrack.sim.scene import Scene
from dextrack.tracking.metrics import measure
from dextrack.tracking.verdict import judge

Floats = NDArray[np.float64]

PARTS = 4
"""What ``Surveyed.parts`` counts."""
SURVEY_SEED = 20261130
"""Seed of the worlds by which polishing chooses: neither those of verdicts nor those that mining has chosen by."""
SEEDS = 1000
"""Hardening of polishing draws from the task's seed plus this and more: other generations than mining's own hardening."""


@dataclasses.dataclass(frozen=True)
class PolishingConfig:
    """How found targets are polished."""

    rounds: int = 2
    """Hardenings at most, with the hand raised before and after each; 0: nothing is polished."""
    worlds: int = 24
    """Worlds that tell how good targets are; fingers there are as strong as nominal, as in a verdict."""
    enough: float = 0.9
    """Share of these in which targets lift and hold, from which they are left as they are, if their nominal replay has nothing against it either."""
    hopeless: float = 0.3
    """Share below which they are raised, and not hardened: mining has done that in vain."""
    hold: float = 1.0
    """What it adds to the score of hardening that the object is lifted and held, beside a share of the way of 1."""
    away: float = 0.05
    """In hardening, the object is carried until it is farther than this from its reference, m, ..."""
    turned: float = 1.2
    """... or turned away by more than this, rad: a verdict asks for no more."""
    hardening: HardeningConfig = HardeningConfig(budget=600_000)
    """Of each round."""
    raising: RaisingConfig = RaisingConfig()
    """How the hand is raised."""

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be polished."""
        require(self, "polishing", ("worlds",), "give at least 1, usually 24.", least=1)
        require(self, "polishing", ("rounds", "hold"), "give a number of at least 0.")
        require(self, "polishing", ("away", "turned"), "give a positive number; `dextrack mine --help` shows the usual one.", more=True)
        for field in ("enough", "hopeless"):
            if not 0.0 <= getattr(self, field) <= 1.0:
                raise InputError(f"polishing: {field} is {getattr(self, field)}.", remedy="give a share from 0 to 1.")


@dataclasses.dataclass(frozen=True)
class Surveyed:
    """Targets, and what became of them."""

    targets: Floats
    """(N, 22), m and rad."""
    parts: int
    """Of the nominal replay: lifted, held and clean, and the paper's threshold of 20 degrees."""
    held: float
    """Share of the worlds in which they lift and hold."""
    position_w: Floats
    """Of the object after each step in each world, (E, N, 3), m."""
    quaternion_w: Floats
    """Likewise, (E, N, 4) wxyz."""

    @property
    def rank(self) -> tuple[int, float]:
        """Larger is better."""
        return self.parts, self.held


class Polishing:
    """The polishing of the targets of one task, and what it costs."""

    def __init__(
        self,
        reference: Reference,
        obj: ObjectSpec,
        scene: Scene,
        hull_o: Floats,
        distance: SignedDistance,
        config: PolishingConfig,
        tuning: TuningConfig,
        force: float,
        seed: int,
        rollouts: Rollouts,
        threads: int = 0,
    ) -> None:
        """Nothing is simulated yet.

        Args:
            reference: what is to be tracked.
            obj: its object.
            scene: the nominal world.
            hull_o: (H, 3) m, the object's hull.
            distance: to the object.
            config: settings.
            tuning: worlds and scales of hardening.
            force: pad force of a squeeze of 1, N.
            seed: the task's.
            rollouts: the engine of hardening; surveys are MuJoCo's, as verdicts are.
            threads: of MuJoCo; 0: all cores.
        """
        self._reference, self._obj, self._scene, self._hull, self._distance = reference, obj, scene, hull_o, distance
        self._config, self._force, self._seed, self._rollouts, self._threads = config, force, seed, rollouts, threads
        self._tuning = dataclasses.replace(tuning, away=config.away, turned=config.turned, trials=config.worlds)
        self._worlds = drawn(dataclasses.replace(tuning, gain=0.0), config.worlds, [SURVEY_SEED])
        self._raising = Raising(reference, hull_o, config.raising)
        self.spent = Spent()
        """What surveys have cost."""
        self.attempts: list[dict[str, Any]] = []
        """What was done, in its order, each with what came of it and what it cost beside surveys."""

    def run(self, targets: Floats, grasp: int, progress: Callable[[float], None] | None = None) -> Surveyed:
        """Polish ``targets`` (N, 22), which are of the grasp with the number ``grasp``; the best of all, which may be ``targets`` themselves.

        Args:
            targets: m and rad.
            grasp: see ``dextrack.mining.grasps``.
            progress: called with the fraction done.

        Raises:
            InputError: there is no such grasp.
            SimulationError: the nominal replay of ``targets`` left the range of finite numbers.
        """
        c = self._config
        best = self._raised(self._survey(targets))
        for number in range(c.rounds):
            if self._good(best) or best.held < c.hopeless:
                break

            def tell(done: float, number: int = number) -> None:
                if progress is not None:
                    progress((number + done) / c.rounds)

            for found in self._hardened(best, grasp, number, tell):
                best = max(best, found, key=lambda s: s.rank)
                if self._good(best):
                    break
            best = self._raised(best)
        return best

    def _good(self, surveyed: Surveyed) -> bool:
        """Whether it is left as it is."""
        return surveyed.parts == PARTS and surveyed.held >= self._config.enough

    def _survey(self, targets: Floats) -> Surveyed:
        """Replay ``targets`` in the nominal world and in the uncertain ones."""
        reference, hull = self._reference, self._hull
        reached = replay(self._scene, reference, targets, self.spent)
        verdict = judge(reference, hull, reached.object_position_w, reached.object_quaternion_w, reached.penetration)
        near = measure(reference, reached.hand, reached.object_position_w, reached.object_quaternion_w).success_20
        held, *poses = replays(self._scene, reference, hull, targets, self._threads, self._worlds, self.spent)
        parts = verdict.lifted.ok + verdict.held.ok + verdict.clean.ok + near
        return Surveyed(targets, int(parts), float(np.mean(held)), *poses)

    def _raised(self, surveyed: Surveyed) -> Surveyed:
        """What raising the hand makes of it, as long as that makes it better."""
        c, limits = self._config, self._scene.hand.limits()
        best = surveyed
        for _ in range(c.raising.times):
            rise = self._raising.rise(best.position_w, best.quaternion_w)
            if best.held >= c.enough or not rise.any():
                break
            began, targets = time.monotonic(), best.targets.copy()
            targets[:, 2] += rise
            try:
                found = self._survey(np.clip(targets, *limits))
            except SimulationError:  # what was not raised does not diverge
                break
            self._record(found, began, {"by": "raising", "highest_m": float(rise.max()), "control_steps": 0, "physics_seconds": 0.0})
            if found.rank <= best.rank:
                break
            best = found
        return best

    def _hardened(self, surveyed: Surveyed, grasp: int, number: int, progress: Callable[[float], None]) -> Iterator[Surveyed]:
        """Harden, and survey what is better by the worlds of hardening; the caller may stop when one is good enough."""
        c, seed = self._config, self._seed + SEEDS + number
        guide = other_grasp(self._reference, self._obj, grasp, self._seed)
        if guide is None:
            raise InputError(f"polishing {self._reference.name}: there is no grasp {grasp}.", remedy="mine it again.")
        tried = Tried(grasp, guide, make_baseline(guide, self._scene, self._force), 0.0, 0.0, 0.0)
        made = (self._scene, self._hull, self._distance, c.hardening, self._tuning)
        hardening = Hardening(tried, surveyed.targets, *made, seed=seed, rollouts=self._rollouts, hold=c.hold)
        began = time.monotonic()
        attempt = {"by": "polishing", "grasp": grasp, "seed": seed}
        for targets in hardening.run(progress):
            try:
                found = self._survey(targets)
            except SimulationError:  # of these targets: others may do
                continue
            self._record(found, began, {**attempt, **hardening.told, **hardening.cost()})
            began = time.monotonic()
            yield found
        cost = hardening.cost()
        if cost["control_steps"]:
            self.attempts.append({**attempt, **hardening.told, **cost, "given_up": True, "seconds": time.monotonic() - began})

    def _record(self, found: Surveyed, began: float, attempt: dict[str, Any]) -> None:
        self.attempts.append({**attempt, "parts": found.parts, "held": found.held, "seconds": time.monotonic() - began})
