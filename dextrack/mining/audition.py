"""Auditions: which of many grasps carries the object by itself, before anything is searched.

Two grasps that look alike to a contact planner may differ in everything: one follows the whole motion with a constant squeeze in four uncertain worlds, the
other drops the object at once, and no search makes it firm. To look costs seconds: a grasp is solved for and simulated until a while after the object
is lifted, and to the end if it holds until then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.mining.baseline import Baseline, make_baseline
from dextrack.mining.ensemble import MEMBERS, Ensemble
from dextrack.mining.grasps import other_grasp
from dextrack.mining.lifting import Lift
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.settings import require
from dextrack.sim import make_rollouts
from dextrack.sim.rollouts import Rollouts
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class AuditionConfig:
    """How grasps are tried out."""

    grasps: int = 24
    """Grasps tried at most, the reference's own first."""
    ahead: int = 150
    """Control steps after the object is first moved until which a grasp is tried, before it may show the rest."""
    squeezes: tuple[float, ...] = (1.5, 2.5, 4.0, 6.0)
    """Constant squeeze gains that are tried with each."""
    worthy: float = 0.9
    """Share of that first part, on average over the worlds, from which it is tried to the end."""
    encores: int = 6
    """Grasps tried to the end at most. Where fewer are worthy, the best ``least`` are."""
    least: int = 2
    """Grasps, beside the reference's own, that are tried to the end in any case: one is what a search begins with."""
    away: float = 0.04
    """The object is carried until it is farther than this from its reference, m, ..."""
    turned: float = 0.7
    """... or turned away by more than this, rad, or left on the table where the verdict wants it up."""
    spread: float = 0.7
    """Multiplies the offsets of the objects in the worlds, which are ``ensemble.MEMBERS``."""

    def __post_init__(self) -> None:
        """Refuse no grasps, no squeezes and what cannot be measured."""
        require(self, "audition", ("grasps", "ahead", "encores"), "give at least 1.", least=1)
        if not self.squeezes or not all(0.0 <= s < float("inf") for s in self.squeezes):
            raise InputError(f"audition: squeezes is {self.squeezes}.", remedy="give one or more gains, usually 1.5 to 6.")
        require(self, "audition", ("worthy", "away", "turned", "spread", "least"), "give a positive number; `dextrack mine --help` shows the usual one.")


@dataclasses.dataclass(frozen=True)
class Tried:
    """A grasp that was tried to the end."""

    number: int
    guide: Reference
    """The reference with this grasp."""
    baseline: Baseline
    squeeze: float
    """The gain with which it carried farthest."""
    carried: float
    """Share of the way from the first movement to the end, mean over the worlds, in [0, 1]."""
    nominal: float
    """The same in the nominal world."""
    tuned: bool = False
    """Whether it was changed since it was planned."""


def is_off(guide: Reference, position_w: Floats, quaternion_w: Floats, first: int, away: float, turned: float, lift: Lift | None = None) -> NDArray[np.bool_]:
    """Whether the object is off, (..., H), after steps ``first`` .. ``first`` + H - 1 of ``guide``.

    Args:
        guide: a reference of N steps.
        position_w: of the object after each of these steps, (..., H, 3), m.
        quaternion_w: likewise, (..., H, 4) wxyz.
        first: the first of these steps.
        away: it is off where it is farther than this from its reference, m, or its pose is not finite, ...
        turned: ... or turned away by more than this, rad, ...
        lift: ... or left on the table where this wants it up; None: wherever it is.
    """
    at = slice(first + 1, first + 1 + position_w.shape[-2])
    error = np.linalg.norm(position_w - guide.object_position_w[at], axis=-1)
    off: NDArray[np.bool_] = ~((error <= away) & (rotations.angle(quaternion_w, guide.object_quaternion_w[at]) <= turned))
    if lift is not None:
        off |= lift.grounded(position_w, quaternion_w, first)
    return off


def share_until(guide: Reference, until: ArrayLike) -> Floats:
    """Share (...) of the way from the first movement to the end of ``guide``, in [0, 1], until the step ``until`` (...) after which the object is off."""
    onset, count = int(guide.diagnosis["onset"]), guide.n_steps
    share: Floats = np.clip((np.asarray(until) - onset) / max(1, count - onset), 0.0, 1.0)
    return share


class Auditions:
    """The auditions of one task, and what they cost."""

    def __init__(
        self,
        reference: Reference,
        obj: ObjectSpec,
        scene: Scene,
        hull_o: Floats,
        config: AuditionConfig,
        force: float,
        seed: int,
        threads: int,
        rollouts: Rollouts | None = None,
    ) -> None:
        """Nothing is tried yet.

        ``hull_o`` (H, 3) m is the object's hull, ``force`` is the pad force of a squeeze of 1, N.

        They are tried on ``rollouts``; where that is None, on ``threads`` threads of MuJoCo.
        """
        self._reference, self._obj, self._scene, self._config = reference, obj, scene, config
        self._hull = hull_o
        self._members = tuple(m.spread(config.spread) for m in MEMBERS)
        self._force, self._seed = force, seed
        self._rollouts = rollouts or make_rollouts("mujoco", scene, threads)
        self._onset = int(reference.diagnosis["onset"])
        self.steps = 0
        """Control steps simulated so far, over all worlds."""
        self.physics_seconds = 0.0
        """Wall time spent inside the engine so far."""
        self.first: dict[int, float] = {}
        """Share of the first part that each grasp carried the object, by number."""
        self.whole: dict[int, float] = {}
        """Share of the way that those which were tried to the end did."""
        self._guides = {0: reference}

    def run(self, progress: Callable[[float], None] | None = None) -> Iterator[Tried]:
        """Try grasps and yield those that were tried to the end as soon as they were; the caller may stop when one is good enough.

        Args:
            progress: called with the fraction done.
        """
        c, reference = self._config, self._reference
        last = min(self._onset + c.ahead, reference.n_steps)
        yield self._to_the_end(0, reference)
        known: list[Any] = [reference.diagnosis["contact_points_o"]]
        for number in range(1, c.grasps):
            if progress:
                progress(number / c.grasps)
            guide = other_grasp(reference, self._obj, number, self._seed, last, known)
            if guide is None:
                continue
            known.append(guide.diagnosis["contact_points_o"])
            self.first[number] = self._carried(guide, make_baseline(guide, self._scene, self._force))[1]
            if self.first[number] >= c.worthy and len(self.whole) <= c.encores:
                yield self._encore(number)
        for number in sorted(self.first, key=lambda k: -self.first[k]):
            if len(self.whole) > c.least:
                break
            if number not in self.whole:
                yield self._encore(number)

    def promising(self) -> Iterator[Tried]:
        """Every grasp of ``run``, those that carried the object farthest first, but the reference's own among the first four; nothing is simulated."""
        ranked = sorted(self.first, key=lambda k: -(2.0 * self.whole.get(k, 0.0) + self.first[k]))
        for number in [*ranked[:3], 0, *ranked[3:]]:
            guide = self._guide(number)
            yield Tried(number, guide, make_baseline(guide, self._scene, self._force), 0.0, self.whole.get(number, 0.0), 0.0)

    def _encore(self, number: int) -> Tried:
        """Try the grasp, whose beginning was tried, to the end."""
        return self._to_the_end(number, self._guide(number))

    def _guide(self, number: int) -> Reference:
        """The reference with a grasp whose beginning was tried, to its end."""
        if number not in self._guides:
            guide = other_grasp(self._reference, self._obj, number, self._seed)
            assert guide is not None  # it is planned as its beginning was
            self._guides[number] = guide
        return self._guides[number]

    def _to_the_end(self, number: int, guide: Reference) -> Tried:
        baseline = make_baseline(guide, self._scene, self._force)
        squeeze, carried, nominal = self._carried(guide, baseline)
        self.whole[number] = carried
        return Tried(number, guide, baseline, squeeze, carried, nominal)

    def _carried(self, guide: Reference, baseline: Baseline) -> tuple[float, float, float]:
        """(squeeze, share of the way, mean over worlds, share in the nominal one) of the gain that carries farthest, the gentlest among equals."""
        c, gains = self._config, sorted(self._config.squeezes)
        targets = np.clip(np.array([baseline.squeezed(gain) for gain in gains]), *self._scene.hand.limits())
        ensemble = Ensemble(self._scene, guide, self._members, len(gains), rollouts=self._rollouts)
        lift, k = Lift(guide, self._hull), self._scene.object_qpos

        def off(qpos: Floats, first: int) -> NDArray[np.bool_]:
            return is_off(guide, qpos[..., k : k + 3], qpos[..., k + 3 : k + 7], first, c.away, c.turned, lift)

        # Until the hand squeezes, all gains do the same.
        _, _, until = ensemble.carry(targets, off, baseline.free_steps)
        self.steps, self.physics_seconds = self.steps + ensemble.steps, self.physics_seconds + ensemble.physics_seconds
        share = share_until(guide, until)
        mean = share.mean(axis=0)
        best = int(np.argmax(np.round(mean, 2)))
        return float(gains[best]), float(mean[best]), float(share[0, best])
