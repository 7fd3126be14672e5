"""What the residuals of the RL tracker are added to, and the states that its episodes start from.

The baseline is the reference itself (kinematics), the targets of a demonstration of the same reference (a sampling result), or those of a
demonstration of another one (a parent, as the paper's homotopy paths need), stretched to this reference's length.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import digest_arrays
from dextrack.hands import load_hand
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene
from dextrack.tracking.start import RESTING
from dextrack.tracking.task import Expert

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class States:
    """Targets and states that episodes start from: an ``Expert`` that is no demonstration. Shapes as there."""

    targets: Floats
    hand: Floats
    hand_velocity: Floats
    object_position_w: Floats
    object_quaternion_w: Floats


@dataclasses.dataclass(frozen=True)
class RLBaseline:
    """A baseline with the starts that suit it."""

    rows: Floats
    """(N + 1, 22): what a step from frame n adds to."""
    starts: Expert
    """Where episodes start."""
    lead: int
    """Frames by which steps read ahead in ``rows``."""
    origin: dict[str, Any]
    """See ``origin``."""


def rl_baseline(reference: Reference, scene: Scene, source: Demonstration | None, lead: int) -> RLBaseline:
    """The baseline that ``source`` gives for ``reference``.

    Args:
        reference: what is to be tracked.
        scene: the nominal world; the object's first pose settles in it.
        source: None for the reference itself; a demonstration of it; or one of another reference, its parent.
        lead: ``baseline_lead`` of a baseline that is the reference; targets of a demonstration are those of their own step already.

    Raises:
        InputError: the demonstration is of another hand, other motors or another control period.
    """
    if source is None:
        return RLBaseline(reference.hand, _kinematic(reference, scene, reference.hand, lead), lead, origin(reference, None))
    theirs = source.reference
    if theirs.joint_names != reference.joint_names or abs(theirs.period - reference.period) > 1e-9:
        raise InputError(
            f"baseline {theirs.name}: its hand or its control period is not that of {reference.name}.",
            remedy="give a demonstration of the same hand and period.",
        )
    if source.hand_spec != load_hand(theirs.hand_name):
        what = f"baseline {theirs.name}: it was mined with measured motors, which training does not have."
        raise InputError(what, remedy="mine it without --motors.")
    if theirs.digest == reference.digest:
        return RLBaseline(np.concatenate([source.targets, source.targets[-1:]]), source, 0, origin(reference, source))
    rows = stretched(source.targets, theirs.base_quaternion_w, len(reference.hand), reference.base_quaternion_w)
    return RLBaseline(rows, _kinematic(reference, scene, rows, 0), 0, origin(reference, source))


def origin(reference: Reference, source: Demonstration | None) -> dict[str, Any]:
    """Where a baseline comes from, JSON-able: ``kind``, and of a demonstration the reference, tracker and digest of its targets."""
    if source is None:
        return {"kind": "reference"}
    theirs = source.reference
    kind = "demonstration" if theirs.digest == reference.digest else "parent"
    tracker = source.provenance.get("tracker", "unknown")
    return {"kind": kind, "name": theirs.name, "reference": theirs.digest, "tracker": tracker, "targets": digest_arrays({"targets": source.targets})}


def stretched(targets: Floats, base_w: Floats, frames: int, new_base_w: Floats) -> Floats:
    """Targets (N, 22) as rows (``frames``, 22) of the same motion over another time, the wrist's hinges about another base (4,) wxyz."""
    before, after = np.linspace(0.0, 1.0, len(targets)), np.linspace(0.0, 1.0, frames)
    rows = np.stack([np.interp(after, before, column) for column in targets.T], axis=1)
    if abs(float(np.dot(base_w, new_base_w))) < 1.0 - 1e-12:
        turned = rotations.multiply(rotations.conjugate(new_base_w), rotations.multiply(base_w, rotations.from_hinges(rows[:, 3:6])))
        rows[:, 3:6] = np.unwrap(rotations.to_hinges(turned), axis=0)
    return rows


def _kinematic(reference: Reference, scene: Scene, rows: Floats, lead: int) -> States:
    """The reference's states with the object at rest until it moves, as a trial finds it, and the targets that a residual of zero gives."""
    position, quaternion = reference.object_position_w.copy(), reference.object_quaternion_w.copy()
    moved = np.linalg.norm(position - position[0], axis=1) > RESTING[0]
    moved |= rotations.angle(quaternion, quaternion[0]) > RESTING[1]
    resting = int(np.argmax(moved)) if moved.any() else len(moved)
    position[:resting], quaternion[:resting] = settled_pose(scene, reference.hand[0], position[0], quaternion[0])
    lower, upper = scene.hand.limits()
    n = np.minimum(np.arange(reference.n_steps) + lead, reference.n_steps)
    velocity: Floats = np.gradient(reference.hand, reference.period, axis=0)
    return States(np.clip(rows[n], lower, upper), reference.hand, velocity, position, quaternion)
