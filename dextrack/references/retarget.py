"""Retargeting: a recording's human hand becomes a robot hand that grasps (paper, App. A.1, Eq. 5 to 7, with contact added).

The whole sequence is one problem, solved by L-BFGS over pytorch_kinematics: keypoints near the human's, fingertips on chosen contact points,
nothing inside the object or the table, smooth, within limits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dextrack import __version__, rotations
from dextrack.errors import InputError, RefusedError
from dextrack.hands.kinematics import HandKinematics, collision_spheres
from dextrack.hands.spec import KEYPOINTS, HandSpec
from dextrack.objects.distance import SignedDistance, signed_distance
from dextrack.objects.spec import ObjectSpec
from dextrack.references.contacts import ContactConfig, ContactPlan, plan_contacts
from dextrack.references.diagnosis import diagnose, lowest_points
from dextrack.references.recording import Recording
from dextrack.references.reference import CONTROL_PERIOD, Reference
from dextrack.references.resample import Resampled, resample

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class RetargetConfig:
    """Weights of the objective; each residual is divided by its scale, squared and averaged over frames."""

    speed_limit: float = 0.5
    """Motions whose object or wrist is faster than this are slowed down, m/s (0: never). The factor is recorded."""
    acceleration_limit: float = 2.0
    """Likewise for accelerations, m/s2: what a Franka's joints allow at the wrist, with some room for corrections."""
    contact: ContactConfig = ContactConfig()
    """How contact points are chosen."""
    keypoint_scale: float = 0.02
    """m."""
    contact_scale: float = 0.002
    """m."""
    penetration_scale: float = 0.002
    """m."""
    margin: float = 0.002
    """Distance that links other than the touching pads keep from object and table, m."""
    smooth_scale: tuple[float, float, float] = (6.0, 20.0, 60.0)
    """Accelerations of wrist translation, m/s2, wrist rotation and fingers, rad/s2, that cost 1."""
    rest_scale: float = 1.5
    """Finger angle away from the rest pose that costs 1, rad."""
    iterations: int = 250
    """Iterations of L-BFGS."""

    def __post_init__(self) -> None:
        """Refuse limits that are negative or not finite, and no iterations."""
        for field in ("speed_limit", "acceleration_limit"):
            if not 0.0 <= getattr(self, field) < float("inf"):
                raise InputError(f"retargeting: {field} is {getattr(self, field)}.", remedy="give a positive number, or 0 for no limit.")
        if self.iterations < 1:
            raise InputError(f"retargeting: iterations is {self.iterations}.", remedy="give at least 1; 250 are usual.")


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
    if seed < 0:
        raise InputError(f"retargeting: seed is {seed}.", remedy="give a seed of 0 or more.")
    if recording.side != hand.side:
        why = f"recording {recording.name}: it is of a {recording.side} hand, {hand.name} is a {hand.side} one."
        raise RefusedError(why, remedy="choose a hand of that side.")
    distance = signed_distance(obj)
    motion = resample(recording, CONTROL_PERIOD, config.speed_limit, config.acceleration_limit)
    lowest = lowest_points(obj, motion.object_position_w, motion.object_quaternion_w)
    plan = plan_contacts(hand, obj, distance, motion.keypoints_w, motion.object_position_w, motion.object_quaternion_w, lowest, config.contact, seed)
    _refuse_hopeless(recording, plan)
    wrist_position, wrist_quaternion = _wrist_guess(motion.keypoints_w, hand)
    base = rotations.mean(wrist_quaternion)
    hinges = np.unwrap(rotations.to_hinges(rotations.multiply(rotations.conjugate(base), wrist_quaternion)), axis=0)
    theta0 = np.concatenate([wrist_position, hinges, np.tile(_half_closed(hand), (len(lowest), 1))], axis=1)
    problem = _Problem(hand, base, distance, motion, plan, config)
    theta = problem.solve(theta0, progress)
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
        diagnosis=diagnose(hand, base, theta, motion, plan, distance, obj),
        provenance={
            "recording": recording.digest,
            "object": obj.digest,
            "dataset": recording.dataset,
            "licence": recording.licence,
            "flags": list(recording.flags),
            "config": dataclasses.asdict(config),
            "seed": seed,
            "version": __version__,
        },
    )


def _refuse_hopeless(recording: Recording, plan: ContactPlan) -> None:
    if plan.onset > plan.release:
        raise RefusedError(f"recording {recording.name}: the object never moves.", remedy="choose a recording in which the hand moves the object.")
    if not plan.fingers:
        raise RefusedError(
            f"recording {recording.name}: thumb and finger are not both within reach of the object while it moves.",
            remedy="check that hand and object share one frame and that the object's mesh is in metres.",
        )


def _half_closed(hand: HandSpec) -> Floats:
    """Fingers between rest and a light fist: L-BFGS then bends them the right way."""
    closed: Floats = np.clip(np.asarray(hand.rest) + 0.15, hand.lower, hand.upper)
    return closed


def _wrist_guess(keypoints_w: Floats, hand: HandSpec) -> tuple[Floats, Floats]:
    """Wrist pose per frame, (n, 3) and (n, 4), that best lays the robot's palm points on the human's (Kabsch)."""
    rigid = [k for k in hand.keypoints if k.human in ("wrist", "index_1", "middle_1", "ring_1")]
    human = keypoints_w[:, [KEYPOINTS.index(k.human) for k in rigid]]
    kinematics = HandKinematics(hand, [1.0, 0.0, 0.0, 0.0])
    zero = torch.zeros((1, hand.dof), dtype=torch.float64)
    robot = kinematics.points(zero, [k.body for k in rigid], [k.offset for k in rigid])[0].numpy()
    h0, r0 = human.mean(axis=1, keepdims=True), robot.mean(axis=0)
    u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", human - h0, robot - r0))
    flip = np.linalg.det(u @ vt)
    u[:, :, 2] *= flip[:, None]
    rotation = u @ vt
    position = h0[:, 0] - rotation @ r0
    return position, rotations.continuous(rotations.from_matrix(rotation))


class _Problem:
    """The objective over theta (N + 1, 22), and its solution."""

    def __init__(self, hand: HandSpec, base: Floats, distance: SignedDistance, motion: Resampled, plan: ContactPlan, config: RetargetConfig) -> None:
        self._config, self._hand, self._distance = config, hand, distance
        self._kinematics = HandKinematics(hand, base)
        self._base = torch.as_tensor(rotations.to_matrix(base))
        tips = {f.finger: f for f in hand.fingertips}
        spheres, offsets, radii = collision_spheres(hand)
        self._bodies = [k.body for k in hand.keypoints] + [tips[f].body for f in plan.fingers] + list(spheres)
        self._offsets = np.concatenate([[k.offset for k in hand.keypoints], [tips[f].offset for f in plan.fingers], offsets])
        self._counts = (len(hand.keypoints), len(plan.fingers), len(spheres))
        self._radii = torch.as_tensor(radii)
        self._human = torch.as_tensor(motion.keypoints_w[:, [KEYPOINTS.index(k.human) for k in hand.keypoints]])
        self._rotation = torch.as_tensor(rotations.to_matrix(motion.object_quaternion_w))
        self._position = torch.as_tensor(motion.object_position_w)
        centres = np.array([p + tips[f].radius * m for f, p, m in zip(plan.fingers, plan.points_o, plan.normals_o, strict=True)])
        self._contacts = torch.as_tensor(centres)
        self._contact_weights = torch.as_tensor(plan.weights)
        weight = torch.tensor([k.weight for k in hand.keypoints], dtype=torch.float64).repeat(len(motion.keypoints_w), 1)
        for i, k in enumerate(hand.keypoints):
            finger = k.human.rsplit("_", 1)[0]
            if finger in plan.fingers:
                # Where the finger touches, the contact decides; the keypoints only keep its posture human.
                weight[:, i] *= 1.0 - 0.9 * self._contact_weights[:, plan.fingers.index(finger)]
        self._keypoint_weights = weight
        lower, upper = hand.limits()
        self._lower, self._upper = torch.as_tensor(lower), torch.as_tensor(upper)
        self._rest = torch.as_tensor(_half_closed(hand))
        s = config.smooth_scale
        self._smooth = torch.tensor([s[0]] * 3 + [s[1]] * 3 + [s[2]] * (hand.dof - 6), dtype=torch.float64) * CONTROL_PERIOD**2

    def cost(self, theta: torch.Tensor) -> torch.Tensor:
        """Scalar cost of ``theta``."""
        c = self._config
        points = self._kinematics.points(theta, self._bodies, self._offsets)
        keys, pads, spheres = torch.split(points, list(self._counts), dim=1)
        total = (self._keypoint_weights * ((keys - self._human) ** 2).sum(-1)).sum(1).mean() / c.keypoint_scale**2
        pads_o = self._to_object(pads)
        total = total + (self._contact_weights * ((pads_o - self._contacts) ** 2).sum(-1)).sum(1).mean() / c.contact_scale**2
        depth = torch.relu(self._radii - self._object_distance(spheres))
        total = total + (depth**2).sum(1).mean() / c.penetration_scale**2
        sunk = torch.relu(self._radii + c.margin - spheres[..., 2])
        total = total + (sunk**2).sum(1).mean() / c.penetration_scale**2
        acceleration = (theta[2:] - 2 * theta[1:-1] + theta[:-2]) / self._smooth
        total = total + (acceleration**2).sum(1).mean()
        beyond = torch.relu(self._lower - theta) + torch.relu(theta - self._upper)
        total = total + (beyond**2).sum(1).mean() / 0.01**2
        return total + ((theta[:, 6:] - self._rest) ** 2).sum(1).mean() / c.rest_scale**2

    def _to_object(self, points_w: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nji,nkj->nki", self._rotation, points_w - self._position[:, None])

    def _object_distance(self, points_w: torch.Tensor) -> torch.Tensor:
        """Distance of every point; only those near the object are looked up, the others count as far."""
        points_o = self._to_object(points_w)
        near = ((points_o - self._centre()) ** 2).sum(-1) < self._radius() ** 2
        out = torch.full(points_o.shape[:-1], 1.0, dtype=points_o.dtype)
        out[near] = self._distance.query_torch(points_o[near])
        return out

    def _centre(self) -> torch.Tensor:
        d = self._distance
        return torch.as_tensor(d.origin_o + 0.5 * d.spacing * (np.array(d.values.shape) - 1))

    def _radius(self) -> float:
        d = self._distance
        return float(0.5 * d.spacing * np.linalg.norm(np.array(d.values.shape) - 1))

    def solve(self, theta0: Floats, progress: Callable[[float], None] | None) -> Floats:
        """Minimise from ``theta0``; returns theta within limits."""
        # Metres and radians are scaled alike, so that one step length fits both.
        scale = torch.tensor([0.05] * 3 + [0.3] * (theta0.shape[1] - 3), dtype=torch.float64)
        x = (torch.as_tensor(theta0) / scale).requires_grad_()
        chunk = 25
        for done in range(0, self._config.iterations, chunk):
            optimiser = torch.optim.LBFGS([x], max_iter=chunk, max_eval=2 * chunk, history_size=12, line_search_fn="strong_wolfe", tolerance_change=1e-9)

            def closure(optimiser: torch.optim.LBFGS = optimiser) -> torch.Tensor:
                optimiser.zero_grad()
                value = self.cost(x * scale)
                value.backward()
                return value

            optimiser.step(closure)
            if progress:
                progress(min(1.0, (done + chunk) / self._config.iterations))
        theta: Floats = torch.clamp((x * scale).detach(), self._lower, self._upper).numpy()
        return theta
