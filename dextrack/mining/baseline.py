"""The baseline of mining: the retargeted reference with velocity lead, and the squeeze that presses the pads onto the object.

PD controllers lag behind a moving target and press only where the target lies beyond the surface; a plain replay therefore
arrives late and holds nothing. Lead removes the lag; the squeeze turns a chosen pad force into joint offsets, J^T f / kp.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands.jacobians import finger_jacobians
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """Targets without residual, and how they answer to one unit of squeeze per finger."""

    targets: Floats
    """(N, 22): theta towards which step n drives, the reference one step ahead plus lead."""
    squeeze: Floats
    """(N, F, 22): joint offsets of a pad force of ``force`` N along the inward normal, zero without contact."""
    fingers: tuple[str, ...]
    """F names, thumb first."""
    weights: Floats
    """(N + 1, F): contact weights of the plan, in [0, 1]."""
    contacts_o: Floats
    """(F, 3), m: where pad centres belong, object frame."""

    @property
    def free_steps(self) -> int:
        """Steps before the first in which a finger is to touch the object; 0 where none ever is."""
        touching = np.flatnonzero(self.weights[1:].max(axis=1, initial=0.0) > 0.0)
        return int(touching[0]) if len(touching) else 0

    def squeezed(self, gain: float) -> Floats:
        """Targets (N, 22) in which every finger squeezes with the same ``gain`` all along; they may lie beyond the joints' limits."""
        out: Floats = self.targets + gain * self.squeeze.sum(axis=1)
        return out


def make_baseline(reference: Reference, scene: Scene, force: float) -> Baseline:
    """Compute the baseline of ``reference`` in ``scene``; ``force`` is the thumb's pad force in N, which the fingers share.

    Raises:
        InputError: the reference carries no contact plan (its diagnosis was lost).
    """
    plan = reference.diagnosis
    if "contact_points_o" not in plan:
        raise InputError(f"reference {reference.name}: field diagnosis has no contact plan.", remedy="retarget the recording again.")
    hand = scene.hand
    kp, kv, _ = hand.gains()
    theta = reference.hand
    velocity = np.gradient(theta, reference.period, axis=0)
    lead = theta[1:] + lag_time(kp, kv, scene.physics) * velocity[1:]
    fingers = tuple(plan["fingers"])
    normals = np.array(plan["contact_normals_o"], dtype=np.float64).reshape(-1, 3)
    radius = {f.finger: f.radius for f in hand.fingertips}
    centres = np.array(plan["contact_points_o"], dtype=np.float64).reshape(-1, 3) + np.array([[radius[f]] for f in fingers]) * normals
    weights = _weights(reference, len(fingers))
    squeeze = np.zeros((reference.n_steps, len(fingers), len(kp)))
    data = mujoco.MjData(scene.model)
    share = [1.0 if f == "thumb" else 1.0 / max(1, len(fingers) - 1) for f in fingers]
    for n in range(reference.n_steps):
        if weights[n + 1].max() < 1e-3:
            continue
        data.qpos[:] = scene.qpos(theta[n + 1], reference.object_position_w[n + 1], reference.object_quaternion_w[n + 1])
        mujoco.mj_kinematics(scene.model, data)
        mujoco.mj_comPos(scene.model, data)
        jacobians = finger_jacobians(hand, scene.model, data)
        inward = -rotations.rotate(reference.object_quaternion_w[n + 1], normals)
        for i, f in enumerate(fingers):
            torque = jacobians[f].T @ (force * share[i] * inward[i])
            squeeze[n, i, 6:] = weights[n + 1, i] * torque / kp[6:]
    lower, upper = hand.limits()
    return Baseline(np.clip(lead, lower, upper), squeeze, fingers, weights, centres)


def lag_time(kp: Floats, kv: Floats, physics: Physics) -> Floats:
    """Seconds by which PD joints trail a target that moves at constant velocity, seen at the end of each control period; shape of ``kp``.

    In continuous time it is kv / kp. The engine's substeps h shrink the error by 1 - h kp / kv each, and the target is held for a period.
    """
    shrink: Floats = (1.0 - physics.period / physics.substeps * kp / kv) ** physics.substeps
    return physics.period * shrink / (1.0 - shrink)


def _weights(reference: Reference, count: int) -> Floats:
    """Contact weights (N + 1, F): full from a few steps before the object moves until it is released, as retargeting planned."""
    from dextrack.references.contacts import ContactConfig, ramp

    config = ContactConfig(**reference.provenance.get("config", {}).get("contact", {}))
    onset, release = int(reference.diagnosis["onset"]), int(reference.diagnosis["release"])
    line = ramp(len(reference.hand), onset - config.early_frames, release, config.ramp_frames)
    return np.repeat(line[:, None], count, axis=1)
