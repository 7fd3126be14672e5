"""What is wrong with a reference, measured: shown when it is made and kept with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from dextrack import rotations
from dextrack.hands.kinematics import HandKinematics, collision_spheres
from dextrack.hands.spec import KEYPOINTS, HandSpec
from dextrack.objects.distance import SignedDistance
from dextrack.objects.geometry import lowest_z
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD

if TYPE_CHECKING:
    from dextrack.references.contacts import ContactPlan
    from dextrack.references.resample import Resampled

Floats = NDArray[np.float64]


def lowest_points(obj: ObjectSpec, position_w: Floats, quaternion_w: Floats) -> Floats:
    """Height of the object's lowest point at poses (n, 3), (n, 4): (n,), m."""
    vertices = np.concatenate([v for v, _ in obj.parts])
    hull = vertices[ConvexHull(vertices).vertices]
    return lowest_z(hull, position_w, quaternion_w)


def hand_penetration(hand: HandSpec, base: Floats, theta: Floats, position_w: Floats, quaternion_w: Floats, distance: SignedDistance) -> Floats:
    """Deepest penetration of the hand into the object at each state, (n,), m, at least 0.

    Measured by the spheres that cover the hand and the object's signed distance; shapes as in ``Reference``.
    """
    bodies, offsets, radii = collision_spheres(hand)
    with torch.no_grad():
        points = HandKinematics(hand, base).points(torch.as_tensor(theta), bodies, offsets).numpy()
    inverse = rotations.conjugate(quaternion_w)[:, None]
    points_o = rotations.rotate(np.broadcast_to(inverse, points.shape[:-1] + (4,)), points - position_w[:, None])
    depth = radii - distance.distances(points_o)
    deepest: Floats = np.maximum(depth.max(axis=1), 0.0)
    return deepest


def planned(plan: ContactPlan) -> dict[str, Any]:
    """The contact plan as a diagnosis has it."""
    return {
        "onset": plan.onset,
        "release": plan.release,
        "fingers": list(plan.fingers),
        "contact_points_o": plan.points_o.tolist(),
        "contact_normals_o": plan.normals_o.tolist(),
        "opposition": plan.opposition,
    }


def diagnose(hand: HandSpec, base: Floats, theta: Floats, motion: Resampled, plan: ContactPlan, distance: SignedDistance, obj: ObjectSpec) -> dict[str, Any]:
    """Measure a retargeted motion.

    Returns:
        Keypoint and contact errors (m), penetration into object and table (m), least height of the wrist (m), speeds and jumps (also of the
        fingers as a part of their motors' speed), the contact plan, and ``warnings`` in words.
    """
    kinematics = HandKinematics(hand, base)
    tips = {f.finger: f for f in hand.fingertips}
    with torch.no_grad():
        keys = kinematics.points(torch.as_tensor(theta), [k.body for k in hand.keypoints], [k.offset for k in hand.keypoints]).numpy()
        pads = kinematics.points(torch.as_tensor(theta), [tips[f].body for f in plan.fingers], [tips[f].offset for f in plan.fingers]).numpy()
        bodies, offsets, radii = collision_spheres(hand)
        heights = kinematics.points(torch.as_tensor(theta), bodies, offsets).numpy()[..., 2] - radii
    human = motion.keypoints_w[:, [KEYPOINTS.index(k.human) for k in hand.keypoints]]
    keypoint_error = np.linalg.norm(keys - human, axis=-1)
    tip_columns = [i for i, k in enumerate(hand.keypoints) if k.human.endswith("_tip")]
    held = slice(plan.onset, plan.release + 1)
    inverse = rotations.conjugate(motion.object_quaternion_w)[:, None]
    pads_o = rotations.rotate(np.broadcast_to(inverse, pads.shape[:-1] + (4,)), pads - motion.object_position_w[:, None])
    gap = np.abs(distance.distances(pads_o[held]) - np.array([tips[f].radius for f in plan.fingers]))
    penetration = hand_penetration(hand, base, theta, motion.object_position_w, motion.object_quaternion_w, distance)
    steps = np.abs(np.diff(theta[:, 6:], axis=0))
    wrist_speed = np.linalg.norm(np.diff(theta[:, :3], axis=0), axis=1) / CONTROL_PERIOD
    lowest = lowest_points(obj, motion.object_position_w, motion.object_quaternion_w)
    out: dict[str, Any] = {
        "steps": len(theta) - 1,
        "duration_s": (len(theta) - 1) * CONTROL_PERIOD,
        **planned(plan),
        "keypoint_error_m": float(keypoint_error.mean()),
        "fingertip_error_m": float(keypoint_error[:, tip_columns].mean()),
        "contact_gap_m": {f: float(gap[:, i].mean()) for i, f in enumerate(plan.fingers)},
        "penetration_max_m": float(penetration.max()),
        "penetration_first_m": float(penetration[0]),
        "table_clearance_m": float(heights.min()),
        "jump_max_rad": float(steps.max()),
        "finger_speed_share": float(hand.finger_speed(theta, CONTROL_PERIOD).max()),
        "wrist_speed_max_m_s": float(wrist_speed.max()),
        "wrist_hinge_ry_max_rad": float(np.abs(theta[:, 4]).max()),
        "lift_m": float(lowest.max()),
    }
    out["warnings"] = _warnings(out)
    return out


def _warnings(d: dict[str, Any]) -> list[str]:
    """The diagnosis in words: what will probably make tracking fail."""
    rules = [
        (d["opposition"] < 0.7, f"thumb and fingers do not oppose each other (cosine {d['opposition']:.2f}): the grasp will probably slip"),
        (any(g > 0.006 for g in d["contact_gap_m"].values()), "a fingertip does not reach its contact point (gap over 6 mm)"),
        (d["penetration_max_m"] > 0.008, f"the hand is {1e3 * d['penetration_max_m']:.0f} mm inside the object somewhere"),
        (d["penetration_first_m"] > 0.001, "the hand touches the object in the first frame"),
        (d["table_clearance_m"] < -0.003, f"the hand is {-1e3 * d['table_clearance_m']:.0f} mm inside the table somewhere"),
        (d["jump_max_rad"] > 0.3, f"a finger joint jumps by {d['jump_max_rad']:.2f} rad in one step"),
        (d["finger_speed_share"] > 1.0, f"a finger joint asks for {d['finger_speed_share']:.1f} times its motor's speed, and comes late"),
        (d["wrist_hinge_ry_max_rad"] > 1.05, "the wrist's middle hinge passes 60 degrees, near its singularity"),
        (d["lift_m"] < 0.03, "the object is never lifted by 3 cm"),
    ]
    return [text for wrong, text in rules if wrong]
