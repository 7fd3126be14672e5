"""Mining: from a reference to a demonstration with its verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import __version__
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.hands.spec import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.mining.replays import EVALUATION_SEED, replay, survivals
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.objects.distance import signed_distance
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.scene import Physics, Scene, build_scene
from dextrack.tracking.metrics import measure
from dextrack.tracking.verdict import hull_vertices, judge


@dataclasses.dataclass(frozen=True)
class MineConfig:
    """Settings of mining one task."""

    sampling: SamplingConfig = SamplingConfig()
    """The sampling tracker."""
    physics: Physics = Physics()
    """The nominal world."""
    spreads: tuple[float, ...] = (0.7, 1.0)
    """One attempt each, until a verdict passes; the best is kept. The offsets of the ensemble's members are multiplied by it: a wide ensemble
    survives worse errors of the object's pose, but tall things are knocked over before anything is learnt. Attempt k uses seed + k."""
    threads: int = 0
    """Threads of the simulation; 0: all cores."""

    def __post_init__(self) -> None:
        """Refuse spreads that are negative or not finite, and fewer threads than none."""
        if not all(0.0 <= s < float("inf") for s in self.spreads):
            raise InputError(f"mining: spreads is {self.spreads}.", remedy="give factors of 0 or more, usually 0.7 to 1.")
        if self.threads < 0:
            raise InputError(f"mining: threads is {self.threads}.", remedy="give a number of threads, or 0 for all cores.")


Progress = Callable[[int, float, float], None]
"""Called with (attempt, fraction done, object position error of the worst member, m)."""


def mine(reference: Reference, obj: ObjectSpec, config: MineConfig | None = None, seed: int = 0, progress: Progress | None = None) -> Demonstration:
    """Solve the tracking task of ``reference`` and ``obj`` by sampling.

    Args:
        reference: what to track.
        obj: its object.
        config: settings; the measured defaults when None.
        seed: of the first attempt; the same seed gives the same demonstration at any number of threads.
        progress: called as work goes on.

    Returns:
        The best demonstration found, whether or not its verdict passes.

    Raises:
        InputError: the object or its hand's joints are not the reference's, the seed is negative, or the configuration asks for no attempt.
    """
    config = config or MineConfig()
    if seed < 0:
        raise InputError(f"mining: seed is {seed}.", remedy="give a seed of 0 or more.")
    expected = reference.provenance.get("object")
    if expected is not None and expected != obj.digest:
        why = f"object {obj.name}: its digest differs from the one that {reference.name} was retargeted with."
        raise InputError(why, remedy="retarget the recording again.")
    hand = load_hand(reference.hand_name)
    if reference.joint_names != hand.joint_names:
        raise InputError(f"reference {reference.name}: its joint_names are not those of {hand.name}.", remedy="retarget the recording again.")
    best: Demonstration | None = None
    for attempt, spread in enumerate(config.spreads):
        tell = None if progress is None else (lambda done, error, attempt=attempt: progress(attempt, done, error))
        found = _attempt(reference, obj, config, spread, seed + attempt, tell)
        if best is None or _rank(found) > _rank(best):
            best = found
        if best.verdict["passed"]:
            break
    if best is None:
        raise InputError("mining: field spreads is empty.", remedy="give one spread per attempt.")
    return best


def _attempt(
    reference: Reference, obj: ObjectSpec, config: MineConfig, spread: float, seed: int, progress: Callable[[float, float], None] | None
) -> Demonstration:
    began = time.monotonic()
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, obj, config.physics)
    baseline = make_baseline(reference, scene, config.sampling.force)
    members = tuple(member.spread(spread) for member in config.sampling.members)
    sampling = dataclasses.replace(config.sampling, members=members)
    tracker = SamplingTracker(reference, scene, baseline, signed_distance(obj), sampling, seed, config.threads)
    targets = tracker.solve(progress)
    provenance = {
        "tracker": "sampling",
        "config": dataclasses.asdict(dataclasses.replace(config, threads=0)),
        "seed": seed,
        "spread": spread,
        "control_steps": tracker.ensemble.steps,
    }
    return demonstrate(scene, reference, obj, targets, provenance, began, config.threads)


def demonstrate(
    scene: Scene, reference: Reference, obj: ObjectSpec, targets: NDArray[np.float64], provenance: dict[str, Any], began: float, threads: int = 0
) -> Demonstration:
    """Replay a tracker's targets and judge them: the way of every tracker from targets to a demonstration.

    Args:
        scene: the nominal world.
        reference: what was to be tracked.
        obj: its object.
        targets: (N, 22), m and rad.
        provenance: what the tracker says of itself; digests, version and seconds are added.
        began: ``time.monotonic()`` when the work began.
        threads: of the perturbed replays; 0: all cores.

    Raises:
        SimulationError: the replay left the range of finite numbers.
    """
    reached = replay(scene, reference, targets)
    hull = hull_vertices(obj.vertices)
    survived = survivals(scene, reference, hull, targets, threads)
    verdict = judge(reference, hull, reached.object_position_w, reached.object_quaternion_w, reached.penetration, survived)
    common = {"reference": reference.digest, "object": obj.digest, "evaluation_seed": EVALUATION_SEED, "version": __version__}
    return Demonstration(
        reference=reference,
        targets=targets,
        hand=reached.hand,
        hand_velocity=reached.hand_velocity,
        object_position_w=reached.object_position_w,
        object_quaternion_w=reached.object_quaternion_w,
        metrics=measure(reference, reached.hand, reached.object_position_w, reached.object_quaternion_w).as_dict(),
        verdict=verdict.as_dict(),
        provenance={**provenance, **common, "seconds": time.monotonic() - began},
    )


def _rank(demonstration: Demonstration) -> tuple[int, float, float]:
    """Order of attempts: parts of the verdict, then perturbed replays survived, then small errors."""
    verdict, metrics = demonstration.verdict, demonstration.metrics
    parts = [verdict[part]["state"] in ("passed", "not applicable") for part in ("lifted", "held", "clean", "robust")]
    return sum(parts), float(verdict["robust"]["numbers"]["survived"]), -float(np.hypot(metrics["t_err_m"] / 0.05, metrics["r_err_rad"]))
