"""Jacobians of the finger pads, from the engine: mining needs these and no torch, whose import costs each worker 200 MB and seconds."""

from __future__ import annotations

from typing import Dict

import mujoco
import numpy as np

from dextrack.hands.spec import HandSpec


def finger_jacobians(hand: HandSpec, scene_model: mujoco.MjModel, data: mujoco.MjData) -> Dict[str, np.ndarray]:
    """Jacobians (3, 16) of the pad centres over the finger joints in motor-id order, at ``data``'s current kinematics."""
    dofs = [int(scene_model.joint(n).dofadr[0]) for n in hand.finger_joints]
    out: Dict[str, np.ndarray] = {}
    for finger in hand.fingertips:
        full = np.zeros((3, scene_model.nv))
        mujoco.mj_jacSite(scene_model, data, full, None, scene_model.site(finger.finger + "_tip").id)
        out[finger.finger] = full[:, dofs]
    return out
