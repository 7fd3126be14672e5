"""Retargeting: a recording's human hand becomes a robot hand that grasps (paper, App. A.1, Eq. 5 to 7, with contact added).

The whole sequence is one problem: keypoints near the human's, fingertips on chosen contact points, nothing inside the object or the table,
smooth, within limits. A second-order solver minimises it, or the paper's L-BFGS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import __version__, rotations
from dextrack.errors import InputError, RefusedError
from dextrack.hands.spec import KEYPOINTS, HandSpec, load_hand
from dextrack.objects.distance import SignedDistance, signed_distance
from dextrack.objects.spec import ObjectSpec
from dextrack.references import gauss_newton, lbfgs
from dextrack.references.contacts import ContactConfig, ContactPlan, departure, plan_contacts, ramp
from dextrack.references.diagnosis import diagnose, lowest_points, planned
from dextrack.references.guess import first_guesses, half_closed
from dextrack.references.objective import Grasp, Problem, Weights
from dextrack.references.recording import Recording
from dextrack.references.reference import ALGORITHM, CONTROL_PERIOD, Reference
from dextrack.references.resample import Resampled, keep_up, pause, resample, retime
from dextrack.references.wrist_frame import away_from_gimbal_lock
from dextrack.settings import require

Floats = NDArray[np.float64]

SOLVERS = {"gauss-newton": 40, "lbfgs": 250}
"""Solvers and their default iterations."""
SAME_POINT = 0.003
"""Contact points nearer to each other than this are the same, m."""


@dataclasses.dataclass(frozen=True)
class RetargetConfig(Weights):
    """Weights of the objective, limits of the motion, and the solver."""

    speed_limit: float = 0.5
    """Motions whose object or wrist is faster than this for more than 2 % of the time are slowed down, m/s (0: never). The factor is recorded."""
    acceleration_limit: float = 2.0
    """Likewise for accelerations, m/s2: what a Franka's joints allow at the wrist, with some room for corrections."""
    contact: ContactConfig = ContactConfig()
    """How contact points are chosen."""
    dwell: float = 0.5
    """Seconds that are added where the object is about to move, for the fingers to close and press."""
    opening: float = 0.015
    """Distance that the hand keeps from the object until it closes, m: what lies a little elsewhere is not knocked over."""
    solver: Literal["gauss-newton", "lbfgs"] = "gauss-newton"
    """Second order, or the paper's."""
    iterations: int = 0
    """Iterations at most; 0: the solver's default, which is 250 of L-BFGS or 40 in each stage of Gauss-Newton."""

    def __post_init__(self) -> None:
        """Refuse limits that are negative or not finite, and no iterations."""
        require(self, "retargeting", ("speed_limit", "acceleration_limit", "dwell", "opening"), "give a positive number, or 0 for no limit.")
        require(self, "retargeting", ("iterations",), "give a positive number, or 0 for the solver's default.")
        if self.solver not in SOLVERS:
            raise InputError(f"retargeting: solver is {self.solver!r}.", remedy=f"choose one of: {', '.join(SOLVERS)}.")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A recording made ready for a solver."""

    motion: Resampled
    """The recording at the control period, slowed down where it must be."""
    distance: SignedDistance
    """Of the object."""
    plan: ContactPlan
    """Where the fingers touch."""
    problem: Problem
    """What the solver minimises."""
    guesses: tuple[Floats, Floats]
    """Where it may begin, (N + 1, dof) each."""


def retarget(
    recording: Recording, obj: ObjectSpec, hand: HandSpec, config: RetargetConfig | None = None, seed: int = 0, progress: Callable[[float], None] | None = None
) -> Reference:
    """Retarget ``recording`` to ``hand``.

    Args:
        recording: human hand and object.
        obj: the object.
        hand: the robot hand.
        config: weights; the defaults when None.
        seed: of the surface samples among which contacts are chosen.
        progress: called with the fraction done.

    Returns:
        The reference, with its diagnosis.

    Raises:
        RefusedError: the recording is hopeless: wrong side, a jump, no contact, no motion.
        InputError: the seed is negative.
    """
    config = config or RetargetConfig()
    p = prepare(recording, obj, hand, config, seed)
    solution = _solve(p, config, progress)
    base, theta = away_from_gimbal_lock(p.problem.base_quaternion_w, solution.theta)
    motion, plan, theta, slowest = _within_motor_speed(p.motion, p.plan, theta, hand)
    return Reference(
        name=recording.name,
        hand_name=hand.name,
        object_name=obj.name,
        joint_names=hand.joint_names,
        base_quaternion_w=base,
        hand=theta,
        object_position_w=motion.object_position_w,
        object_quaternion_w=motion.object_quaternion_w,
        keypoints_w=motion.keypoints_w,
        time_scale=motion.time_scale,
        diagnosis={**diagnose(hand, base, theta, motion, plan, p.distance, obj), "finger_slowdown": slowest},
        provenance={
            "recording": recording.digest,
            "object": obj.digest,
            "dataset": recording.dataset,
            "licence": recording.licence,
            "flags": list(recording.flags),
            "config": dataclasses.asdict(config),
            "cost": solution.cost,
            "seed": seed,
            "algorithm": ALGORITHM,
            "version": __version__,
        },
    )


def regrasp(
    reference: Reference, obj: ObjectSpec, contact: ContactConfig, seed: int = 0, last: int | None = None, unlike: Sequence[ArrayLike] = ()
) -> Reference | None:
    """Retarget the motion of ``reference`` again, roughly, beginning from its hand, with contacts that ``contact`` chooses.

    Args:
        reference: whose object motion, time scale and base frame are kept.
        obj: its object.
        contact: how contact points are chosen.
        seed: of that choice.
        last: last frame that is wanted, for a quick look; the whole motion when None.
        unlike: contact points (F, 3), m, that are known already.

    Returns:
        None where thumb and finger find no contact, or one with the points of ``unlike``, each to ``SAME_POINT``. Its diagnosis is the contact plan alone.
    """
    config, hand, base = RetargetConfig(contact=contact), load_hand(reference.hand_name), reference.base_quaternion_w
    whole = Resampled(reference.keypoints_w, reference.object_position_w, reference.object_quaternion_w, reference.time_scale)
    distance = signed_distance(obj)
    plan = _plan(whole, obj, hand, distance, config, seed)
    if not plan.fingers or any(_same_points(plan.points_o, np.asarray(points, dtype=np.float64)) for points in unlike):
        return None
    n = reference.n_steps + 1 if last is None else min(last, reference.n_steps) + 1
    motion = Resampled(whole.keypoints_w[:n], whole.object_position_w[:n], whole.object_quaternion_w[:n], whole.time_scale)
    plan = dataclasses.replace(plan, weights=plan.weights[:n], release=min(plan.release, n - 1))
    problem = _problem(hand, base, distance, motion, plan, config)
    solution = gauss_newton.solve(problem, (reference.hand[:n],), SOLVERS["gauss-newton"], refine=last is None, schedule=gauss_newton.ROUGH)
    return dataclasses.replace(
        reference,
        keypoints_w=motion.keypoints_w,
        object_position_w=motion.object_position_w,
        object_quaternion_w=motion.object_quaternion_w,
        hand=solution.theta,
        diagnosis=planned(plan),
        provenance={**reference.provenance, "config": dataclasses.asdict(config), "contact_seed": seed, "cost": solution.cost},
    )


def _within_motor_speed(motion: Resampled, plan: ContactPlan, theta: Floats, hand: HandSpec) -> tuple[Resampled, ContactPlan, Floats, float]:
    """All of them slowed down where a finger joint asks for more than its motor's speed, and by how much where it is slowest; as they are where none does."""
    share = hand.finger_speed(theta, CONTROL_PERIOD)
    if share.max() <= 1.0:
        return motion, plan, theta, 1.0
    at, frames = keep_up(share), np.arange(len(theta), dtype=np.float64)
    weights, slowed = (np.stack([np.interp(at, frames, column) for column in rows.T], axis=1) for rows in (plan.weights, theta))
    # The first frame at which it moves, the last at which it is held.
    onset, release = int(np.searchsorted(at, plan.onset)), int(np.searchsorted(at, plan.release, side="right")) - 1
    plan = dataclasses.replace(plan, weights=weights, onset=min(onset, len(at) - 1), release=release)
    return retime(motion, at), plan, slowed, float(1.0 / np.diff(at).min())


def _same_points(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and bool((np.linalg.norm(one - other, axis=1) < SAME_POINT).all())


def _solve(prepared: Prepared, config: RetargetConfig, progress: Callable[[float], None] | None) -> gauss_newton.Solution:
    iterations = config.iterations or SOLVERS[config.solver]
    if config.solver == "lbfgs":
        return lbfgs.solve(prepared.problem, prepared.guesses[0], iterations, progress)
    return gauss_newton.solve(prepared.problem, prepared.guesses, iterations, progress)


def prepare(recording: Recording, obj: ObjectSpec, hand: HandSpec, config: RetargetConfig, seed: int) -> Prepared:
    """Resample ``recording``, plan its contacts and pose the problem; arguments and errors as of ``retarget``."""
    if seed < 0:
        raise InputError(f"retargeting: seed is {seed}.", remedy="give a seed of 0 or more.")
    if recording.side != hand.side:
        why = f"recording {recording.name}: it is of a {recording.side} hand, {hand.name} is a {hand.side} one."
        raise RefusedError(why, remedy="choose a hand of that side, or take the mirror image with --mirror.")
    motion = resample(recording, CONTROL_PERIOD, config.speed_limit, config.acceleration_limit)
    begins = departure(motion.object_position_w, motion.object_quaternion_w)
    prepared = _pose(pause(motion, begins, config.dwell, CONTROL_PERIOD), obj, hand, config, seed)
    _refuse_hopeless(recording, prepared.plan)
    return prepared


def _pose(motion: Resampled, obj: ObjectSpec, hand: HandSpec, config: RetargetConfig, seed: int) -> Prepared:
    distance = signed_distance(obj)
    plan = _plan(motion, obj, hand, distance, config, seed)
    base, guesses = first_guesses(motion.keypoints_w, hand)
    return Prepared(motion, distance, plan, _problem(hand, base, distance, motion, plan, config), guesses)


def _plan(motion: Resampled, obj: ObjectSpec, hand: HandSpec, distance: SignedDistance, config: RetargetConfig, seed: int) -> ContactPlan:
    lowest = lowest_points(obj, motion.object_position_w, motion.object_quaternion_w)
    return plan_contacts(hand, obj, distance, motion.keypoints_w, motion.object_position_w, motion.object_quaternion_w, lowest, config.contact, seed)


def _refuse_hopeless(recording: Recording, plan: ContactPlan) -> None:
    if plan.onset > plan.release:
        raise RefusedError(f"recording {recording.name}: the object never moves.", remedy="choose a recording in which the hand moves the object.")
    if not plan.fingers:
        raise RefusedError(
            f"recording {recording.name}: thumb and finger are not both within reach of the object while it moves.",
            remedy="check that hand and object share one frame and that the object's mesh is in metres.",
        )


def _problem(hand: HandSpec, base: Floats, distance: SignedDistance, motion: Resampled, plan: ContactPlan, config: RetargetConfig) -> Problem:
    tips = {f.finger: f for f in hand.fingertips}
    weights = np.tile([k.weight for k in hand.keypoints], (len(motion.keypoints_w), 1))
    for i, k in enumerate(hand.keypoints):
        finger = k.human.rsplit("_", 1)[0]
        if finger in plan.fingers:
            # Where the finger touches, the contact decides; the keypoints only keep its posture human.
            weights[:, i] *= 1.0 - 0.9 * plan.weights[:, plan.fingers.index(finger)]
    pads = np.array([p + tips[f].radius * m for f, p, m in zip(plan.fingers, plan.points_o, plan.normals_o, strict=True)])
    rotation = rotations.to_matrix(motion.object_quaternion_w)
    closed = ramp(len(rotation), plan.onset - config.contact.early_frames, plan.release, config.contact.ramp_frames)
    grasp = Grasp(distance, rotation, motion.object_position_w, plan.fingers, pads, plan.weights, config.opening * (1.0 - closed))
    human = motion.keypoints_w[:, [KEYPOINTS.index(k.human) for k in hand.keypoints]]
    return Problem(hand, base, human, weights, half_closed(hand), config, grasp)
