"""From a tracker's targets to a demonstration: the way of every tracker."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import __version__
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.mining.ensemble import Member
from dextrack.mining.replays import EVALUATION_SEED, Spent, replay, survivals
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene
from dextrack.tracking.metrics import measure
from dextrack.tracking.verdict import hull_vertices, judge


def demonstrate(
    scene: Scene,
    reference: Reference,
    obj: ObjectSpec,
    targets: NDArray[np.float64],
    provenance: dict[str, Any],
    began: float,
    threads: int = 0,
    members: tuple[Member, ...] | None = None,
    spent: Spent | None = None,
) -> Demonstration:
    """Replay a tracker's targets and judge them.

    Args:
        scene: the nominal world.
        reference: what was to be tracked.
        obj: its object.
        targets: (N, 22), m and rad.
        provenance: what the tracker says of itself; digests, version and seconds are added.
        began: ``time.monotonic()`` when the work began.
        threads: of the perturbed replays; 0: all cores.
        members: worlds of the perturbed replays, where they are not those of verdicts.
        spent: what the replays cost is added to it.

    Raises:
        SimulationError: the replay left the range of finite numbers.
    """
    reached = replay(scene, reference, targets, spent)
    hull = hull_vertices(obj.vertices)
    survived = survivals(scene, reference, hull, targets, threads, members, spent)
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
