"""Forward kinematics, Jacobian and manipulability of the cell's arm, for one joint position or many at once."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.rotations import from_matrix, to_matrix
from dextrack_deploy.arm.model import MOUNT, arm_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig

Floats = NDArray[np.float64]


class ArmKinematics:
    """The chain from the arm's base in the world to the hand's root body, with figures taken from the arm's MJCF.

    Frames are numbered 0..6 for the links that the seven joints move, ``FLANGE`` and ``HAND``.
    """

    FLANGE = 7
    HAND = 8

    def __init__(self, cell: CellConfig) -> None:
        """Read the fixed transforms of the chain from the arm model of ``cell``."""
        self.arm = load_arm(cell.arm.model)
        model = arm_spec(cell).compile()
        self._base = self._offset(model, model.body(self.arm.base_body).id)
        bodies = [int(model.jnt_bodyid[model.joint(n).id]) for n in self.arm.joint_names]
        chain = [*bodies, model.body(self.arm.flange).id, model.body(MOUNT).id]
        parents = [int(model.body_parentid[b]) for b in chain]
        axes = np.array([model.jnt_axis[model.joint(n).id] for n in self.arm.joint_names])
        if parents[1:] != chain[:-1] or np.abs(axes - [0.0, 0.0, 1.0]).max() > 0.0:
            raise ValueError("arm model: its joints do not form one chain of hinges about the links' z axes")
        self._offsets = [self._offset(model, b) for b in chain]

    @staticmethod
    def _offset(model: mujoco.MjModel, body: int) -> tuple[Floats, Floats]:
        return model.body_pos[body].copy(), to_matrix(model.body_quat[body])

    def frames(self, q: ArrayLike) -> tuple[Floats, Floats]:
        """Poses of all frames for joint positions ``q`` (..., 7) rad: positions (..., 9, 3) m and matrices (..., 9, 3, 3), world frame."""
        q = np.asarray(q, dtype=np.float64)
        cos, sin = np.cos(q), np.sin(q)
        p, r = self._base
        positions, matrices = np.empty((*q.shape[:-1], 9, 3)), np.empty((*q.shape[:-1], 9, 3, 3))
        for i, (offset, turn) in enumerate(self._offsets):
            p = p + r @ offset
            r = r @ turn
            positions[..., i, :], matrices[..., i, :, :] = p, r
            if i < 7:
                c, s = cos[..., i, None], sin[..., i, None]
                turned = matrices[..., i, :, :]
                turned[..., 0] = c * r[..., 0] + s * r[..., 1]
                turned[..., 1] = c * r[..., 1] - s * r[..., 0]
                r = turned
        return positions, matrices

    def palm_pose(self, q: ArrayLike) -> tuple[Floats, Floats]:
        """Pose of the hand's root body for ``q`` (..., 7): position (..., 3) m and quaternion (..., 4), world frame."""
        positions, matrices = self.frames(q)
        if matrices.ndim > 3:
            return positions[..., self.HAND, :], from_matrix(matrices[..., self.HAND, :, :])
        # For one pose, as every sample of the arm asks for, scipy takes longer to begin than all of the chain does.
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, matrices[self.HAND].ravel())
        return positions[self.HAND], -quaternion if quaternion[0] < 0.0 else quaternion

    def flange_pose(self, q: ArrayLike) -> tuple[Floats, Floats]:
        """Pose of the flange for ``q`` (..., 7): position (..., 3) m and quaternion (..., 4), world frame."""
        positions, matrices = self.frames(q)
        return positions[..., self.FLANGE, :], from_matrix(matrices[..., self.FLANGE, :, :])

    def jacobian(self, q: ArrayLike) -> Floats:
        """Jacobian (..., 6, 7) of the hand's root body, world frame: linear velocity of its origin above angular velocity."""
        return jacobian(*self.frames(q))

    def manipulability(self, q: ArrayLike) -> Floats:
        """Yoshikawa's measure sqrt(det J J^T) (...) of the hand's Jacobian; 0 in a singularity, about 0.1 in the middle of an FR3's reach."""
        j = self.jacobian(q)
        return np.sqrt(np.maximum(0.0, np.linalg.det(j @ np.swapaxes(j, -1, -2))))


def jacobian(positions: Floats, matrices: Floats) -> Floats:
    """Jacobian (..., 6, 7) of the hand's origin from all frames as ``ArmKinematics.frames`` gives them."""
    axes = matrices[..., :7, :, 2]
    arms = positions[..., ArmKinematics.HAND, None, :] - positions[..., :7, :]
    return np.swapaxes(np.concatenate([np.cross(axes, arms), axes], axis=-1), -1, -2)


def rotation_error(have: Floats, want: Floats) -> Floats:
    """Rotation vectors (..., 3) rad, world axes, that turn the matrices ``have`` (..., 3, 3) into ``want``."""
    e = want @ np.swapaxes(have, -1, -2)
    v = 0.5 * np.stack([e[..., 2, 1] - e[..., 1, 2], e[..., 0, 2] - e[..., 2, 0], e[..., 1, 0] - e[..., 0, 1]], axis=-1)
    sine = np.linalg.norm(v, axis=-1)
    angle = np.arctan2(sine, 0.5 * (np.trace(e, axis1=-2, axis2=-1) - 1.0))
    return np.asarray(v * (angle / np.maximum(sine, 1e-12))[..., None])
