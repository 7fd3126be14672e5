"""Hardening: targets that do a task in one world are changed, in the same way all along the grasp, until they do it in uncertain worlds.

What a receding horizon found in the nominal world works there because each stage corrected what the last one spoilt, and in a world that differs by a few
per cent those corrections come at the wrong time. A firmer hold, or one a few millimetres elsewhere, often makes up for that. So hardening is the tuning of
``dextrack.mining.tuning``, begun not with a planned grasp but with the targets that were found: the covariance matrix adaptation looks at the whole way from
the first generation on, because these targets do come to its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dextrack.mining.audition import Tried
from dextrack.mining.tuning import GraspTuner, TuningConfig
from dextrack.objects.distance import SignedDistance
from dextrack.settings import require
from dextrack.sim.rollouts import Rollouts
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class HardeningConfig:
    """How found targets are hardened; worlds, trials and scales are those of tuning."""

    spread: float = 0.3
    """Standard deviation of the first generation, in units of the scales of tuning: what was found is brittle, and larger changes only break it."""
    budget: int = 600_000
    """No generation begins after this many simulated control steps; 0: nothing is hardened."""
    patience: int = 8
    """Generations after which hardening is given up ..."""
    gain: float = 0.03
    """... where its score and the share of the trials in which it lifts and holds have not risen by this together."""

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be hardened."""
        require(self, "hardening", ("spread",), "give a positive number, usually 0.3.", more=True)
        require(self, "hardening", ("budget", "patience", "gain"), "give a number of at least 0.")


class Hardening:
    """The hardening of one sequence of targets, and what it costs."""

    def __init__(
        self,
        tried: Tried,
        targets: Floats,
        scene: Scene,
        hull_o: Floats,
        distance: SignedDistance,
        config: HardeningConfig,
        tuning: TuningConfig,
        seed: int,
        rollouts: Rollouts,
        hold: float = 0.0,
    ) -> None:
        """Nothing is simulated yet.

        Args:
            tried: the grasp that the targets are of: its fingers squeeze along its plan.
            targets: (N, 22), m and rad, that lift and hold in the nominal world.
            scene: the nominal world.
            hull_o: (H, 3) m, the object's hull.
            distance: to the object.
            config: settings of hardening.
            tuning: worlds, trials and scales.
            seed: of the generations.
            rollouts: the engine.
            hold: what it adds to the score that the object is lifted and held; see ``GraspTuner``.
        """
        self._config, self._scene, self._look = config, scene, tuning.look
        self._asked = (0, 0.0)
        whole = dataclasses.replace(tuning, spread=config.spread, squeeze_first=0.0, least=len(targets))
        start = dataclasses.replace(tried, baseline=dataclasses.replace(tried.baseline, targets=targets), squeeze=0.0)
        self._tuner = GraspTuner(start, scene, hull_o, distance, whole, seed, rollouts, hold)

    @property
    def steps(self) -> int:
        """Control steps simulated so far, over all worlds."""
        return self._tuner.steps

    @property
    def physics_seconds(self) -> float:
        """Wall time spent inside the engine so far."""
        return self._tuner.physics_seconds

    def cost(self) -> dict[str, float]:
        """What hardening has cost since this was asked last, as an attempt tells it."""
        before, self._asked = self._asked, (self.steps, self.physics_seconds)
        return {"control_steps": self.steps - before[0], "physics_seconds": self.physics_seconds - before[1]}

    @property
    def told(self) -> dict[str, float]:
        """Generations so far, and score and share of the trials in which the best targets lift and hold."""
        return {"generations": self._tuner.generations, "score": self._tuner.score, "holds": self._tuner.holds}

    def run(self, progress: Callable[[float], None] | None = None) -> Iterator[Floats]:
        """Harden, and yield targets (N, 22) whenever they are better than before; the caller may stop when they are good enough.

        Args:
            progress: called with the fraction of the budget spent.
        """
        c, tuner = self._config, self._tuner
        if not c.budget:
            return
        tuner.look()
        first = tuner.score + tuner.holds
        while tuner.steps < c.budget and tuner.holds < 1.0:
            before = (tuner.holds, tuner.score)
            for _ in range(self._look):
                tuner.generation()
                if progress:
                    progress(min(1.0, tuner.steps / c.budget))
            tuner.look()
            if (tuner.holds, tuner.score) > before:
                yield self._best()
            if tuner.generations >= c.patience and tuner.score + tuner.holds < first + c.gain:
                break

    def _best(self) -> Floats:
        best = self._tuner.best
        out: Floats = np.clip(best.baseline.squeezed(best.squeeze), *self._scene.hand.limits())
        return out
