"""The scene of ``throughput.py``: a LEAP hand that holds a cube, so that contacts cost what they cost in a grasp; and the bare engine in it."""

from __future__ import annotations

import mujoco
import mujoco.batch
import numpy as np

from dextrack import rotations
from dextrack.hands import HandSpec
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.tracking.env import TrackingEnv


def cube(size: float = 0.05) -> ObjectSpec:
    """A cube of ``size`` m and 60 g."""
    corners = 0.5 * size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
    return ObjectSpec("cube", corners, faces.astype(np.int32), ((corners, faces.astype(np.int32)),), mass=0.06)


def held_cube(hand: HandSpec, frames: int) -> Reference:
    """A reference at rest: palm up 20 cm over the table, fingers curled over a cube that lies on the palm."""
    along, out = (np.array(a, dtype=np.float64) for a in hand.palm_axes_h)
    # Rows are the world's axes in the wrist frame: the palm's normal becomes z.
    base = rotations.from_matrix(np.stack([along, np.cross(out, along), out]))
    curl = np.array(hand.rest) + 0.45 * (np.array(hand.upper) - np.array(hand.rest))
    theta = np.concatenate([[0.0, 0.0, 0.2, 0.0, 0.0, 0.0], curl])
    position = np.array([-0.05, 0.04, 0.255])  # behind the knuckles, where the frame's origin is, and under the fingertips
    return Reference(
        name="held_cube", hand_name=hand.name, object_name="cube", joint_names=hand.joint_names, base_quaternion_w=base, hand=np.tile(theta, (frames, 1)),
        object_position_w=np.tile(position, (frames, 1)), object_quaternion_w=np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)), keypoints_w=np.zeros((frames, 21, 3)),
    )  # fmt: skip


def raw_batch(env: TrackingEnv, threads: int) -> tuple[mujoco.batch.Batch, np.ndarray]:
    """The bare engine at the environment's start, and its controls."""
    scene = build_scene(env.hand, env.task.reference.base_quaternion_w, env.task.object)
    batch = mujoco.batch.Batch(scene.model, env.n_worlds, threads, persistent=True)
    reference = env.task.reference
    batch.bind("qpos")[:] = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    control = batch.bind("ctrl")
    control[:] = reference.hand[0]
    batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL.value)
    return batch, control
