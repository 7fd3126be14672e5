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
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.mining.baseline import Baseline, make_baseline
from dextrack.mining.ensemble import Ensemble, Member
from dextrack.mining.grasps import other_grasp
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
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
    """... or turned away by more than this, rad."""
    spread: float = 0.7
    """Multiplies the offsets of the worlds' objects."""

    def __post_init__(self) -> None:
        """Refuse no grasps, no squeezes and what cannot be measured."""
        for field in ("grasps", "ahead", "encores"):
            if getattr(self, field) < 1:
                raise InputError(f"audition: {field} is {getattr(self, field)}.", remedy="give at least 1.")
        if not self.squeezes or not all(0.0 <= s < float("inf") for s in self.squeezes):
            raise InputError(f"audition: squeezes is {self.squeezes}.", remedy="give one or more gains, usually 1.5 to 6.")
        for field in ("worthy", "away", "turned", "spread", "least"):
            if not 0.0 <= getattr(self, field) < float("inf"):
                raise InputError(f"audition: {field} is {getattr(self, field)}.", remedy="give a positive number; `dextrack mine --help` shows the usual one.")


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

    @property
    def targets(self) -> Floats:
        """(N, 22) unclipped targets: the baseline with its constant squeeze."""
        return squeezed(self.baseline, self.squeeze)


def squeezed(baseline: Baseline, gain: float) -> Floats:
    """Targets (N, 22), not clipped, of ``baseline`` with the same squeeze ``gain`` of all fingers."""
    out: Floats = baseline.targets + gain * baseline.squeeze.sum(axis=1)
    return out


class Auditions:
    """The auditions of one task, and what they cost."""

    def __init__(
        self, reference: Reference, obj: ObjectSpec, scene: Scene, members: tuple[Member, ...], config: AuditionConfig, force: float, seed: int, threads: int
    ) -> None:
        """Nothing is tried yet; ``members`` are the worlds, the nominal one first, and ``force`` the pad force of a squeeze of 1, N."""
        self._reference, self._obj, self._scene, self._config = reference, obj, scene, config
        self._members = tuple(m.spread(config.spread) for m in members)
        self._force, self._seed, self._threads = force, seed, threads
        self._onset = int(reference.diagnosis["onset"])
        self.steps = 0
        """Control steps simulated so far, over all worlds."""
        self.physics_seconds = 0.0
        """Wall time spent inside the engine so far."""
        self.first: dict[int, float] = {}
        """Share of the first part that each grasp carried the object, by number."""
        self.whole: dict[int, float] = {}
        """Share of the way that those which were tried to the end did."""

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
            if self.first[number] >= c.worthy and len(self.whole) <= c.encores and (tried := self._encore(number)):
                yield tried
        for number in sorted(self.first, key=lambda k: -self.first[k]):
            if len(self.whole) > c.least:
                break
            if number not in self.whole and (tried := self._encore(number)):
                yield tried

    def _encore(self, number: int) -> Tried | None:
        """Try the grasp to the end; None where its contacts are not found again, which only a changed object could do."""
        guide = other_grasp(self._reference, self._obj, number, self._seed)
        return None if guide is None else self._to_the_end(number, guide)

    def _to_the_end(self, number: int, guide: Reference) -> Tried:
        baseline = make_baseline(guide, self._scene, self._force)
        squeeze, carried, nominal = self._carried(guide, baseline)
        self.whole[number] = carried
        return Tried(number, guide, baseline, squeeze, carried, nominal)

    def _carried(self, guide: Reference, baseline: Baseline) -> tuple[float, float, float]:
        """(squeeze, share of the way, mean over worlds, share in the nominal one) of the gain that carries farthest, the gentlest among equals."""
        c, gains = self._config, sorted(self._config.squeezes)
        targets = np.clip(np.array([squeezed(baseline, gain) for gain in gains]), *self._scene.hand.limits())
        ensemble = Ensemble(self._scene, guide, self._members, len(gains), self._threads)
        qpos, _ = ensemble.rollout(targets)
        self.steps, self.physics_seconds = self.steps + ensemble.steps, self.physics_seconds + ensemble.physics_seconds
        k = self._scene.object_qpos
        away = np.linalg.norm(qpos[..., k : k + 3] - guide.object_position_w[1:], axis=-1)
        turned = rotations.angle(qpos[..., k + 3 : k + 7], guide.object_quaternion_w[1:])
        off = ~((away <= c.away) & (turned <= c.turned))  # what is not finite is off
        count = off.shape[-1]
        until = np.where(off.any(axis=-1), off.argmax(axis=-1), count)
        share = np.clip((until - self._onset) / max(1, count - self._onset), 0.0, 1.0)
        mean = share.mean(axis=0)
        best = int(np.argmax(np.round(mean, 2)))
        return float(gains[best]), float(mean[best]), float(share[0, best])
