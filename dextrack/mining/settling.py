"""Where an object comes to rest: a trial begins with an object that lies still, so mining has to as well.

A recording's first pose may balance a little off its rest; released there, an apple rolls while the hand approaches, and targets that were mined
for the rolling apple miss the one that lies on a real table.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]

LONGEST = 3.0
"""Simulated seconds after which an object counts as settled even if it still creeps."""
STILL = (1e-3, 1e-2)
"""Speeds below which it lies still, m/s and rad/s."""


def settled_pose(scene: Scene, hand: ArrayLike, position_w: ArrayLike, quaternion_w: ArrayLike) -> tuple[Floats, Floats]:
    """Let the object come to rest while the hand stays at ``hand`` (22,).

    Args:
        scene: hand, object and table.
        hand: theta at which the hand is held; it should not touch the object.
        position_w: (3,), m.
        quaternion_w: (4,) wxyz.

    Returns:
        (position (3,), quaternion (4,)) at rest, or after three simulated seconds.
    """
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(hand, position_w, quaternion_w)
    data.ctrl[:] = np.asarray(hand)
    k, d, quiet = scene.object_qpos, scene.object_dof, 0
    for _ in range(int(LONGEST / scene.model.opt.timestep)):
        mujoco.mj_step(scene.model, data)
        still = np.linalg.norm(data.qvel[d : d + 3]) < STILL[0] and np.linalg.norm(data.qvel[d + 3 : d + 6]) < STILL[1]
        quiet = quiet + 1 if still else 0
        if quiet >= 20:
            break
    return data.qpos[k : k + 3].copy(), data.qpos[k + 3 : k + 7].copy()
