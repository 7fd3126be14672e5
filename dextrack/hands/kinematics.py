"""Differentiable forward kinematics of a hand on its floating base, by pytorch_kinematics (paper, Eq. 6 and 7)."""

from __future__ import annotations

import itertools
from typing import Sequence, Tuple

import mujoco
import numpy as np
import pytorch_kinematics
import torch
from numpy.typing import ArrayLike
from pytorch_kinematics.frame import Frame, Joint, Link
from pytorch_kinematics.transforms import Transform3d

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec

MIN_SPHERE = 0.006
"""Thin plates are covered by spheres of this radius at least, m: smaller ones would be many and change nothing."""


def hinge_rotation(angles: torch.Tensor) -> torch.Tensor:
    """Rx Ry Rz, (..., 3, 3), of hinge angles (..., 3), rad."""
    cx, cy, cz = torch.cos(angles).unbind(-1)
    sx, sy, sz = torch.sin(angles).unbind(-1)
    rows = [
        cy * cz, -cy * sz, sy,
        cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy,
        sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy,
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(angles.shape[:-1] + (3, 3))


def _chain(hand: HandSpec) -> pytorch_kinematics.Chain:
    """The hand's bodies as frames of pytorch_kinematics (whose own MJCF reader does not know MuJoCo 4's joint types)."""
    model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
    frames = [Frame("world", link=Link("world"), joint=Joint())]
    for i in range(1, model.nbody):
        body = model.body(i)
        if body.jntnum[0] == 1:
            joint = model.joint(int(body.jntadr[0]))
            hinge = Joint(joint.name, offset=Transform3d(pos=joint.pos, dtype=torch.float64), joint_type="revolute", axis=joint.axis, limits=tuple(joint.range))
        else:
            hinge = Joint(body.name + "_fixed")
        link = Link(body.name, offset=Transform3d(rot=body.quat, pos=body.pos, dtype=torch.float64))
        frames.append(Frame(body.name, link=link, joint=hinge))
        frames[int(body.parentid[0])].children.append(frames[i])
    return pytorch_kinematics.Chain(frames[0], dtype=torch.float64)


class HandKinematics:
    """World poses of a hand's bodies, and of points fixed to them, as torch functions of theta."""

    def __init__(self, hand: HandSpec, base_quaternion_w: ArrayLike, dtype: torch.dtype = torch.float64) -> None:
        """Build the chain of ``hand`` from its MJCF; ``base_quaternion_w`` (4,) wxyz turns the hinges."""
        from dextrack import rotations

        self.hand = hand
        self._chain = _chain(hand).to(dtype=dtype)
        names = self._chain.get_joint_parameter_names()
        self._order = torch.tensor([hand.finger_joints.index(n) for n in names])
        self._base = torch.as_tensor(rotations.to_matrix(np.asarray(base_quaternion_w)), dtype=dtype)
        self._dtype = dtype

    def bodies(self, theta: torch.Tensor, names: Sequence[str]) -> Tuple[torch.Tensor, torch.Tensor]:
        """Rotations (B, N, 3, 3) and positions (B, N, 3), m, in the world of the bodies ``names`` at ``theta`` (N, 22)."""
        matrices = self._chain.forward_kinematics_tensor(theta[:, 6:][:, self._order])
        indices = [int(self._chain.frame_to_idx[n]) for n in names]
        local = matrices[indices]
        wrist = self._base @ hinge_rotation(theta[:, 3:6])
        rotation = wrist @ local[..., :3, :3]
        position = (wrist @ local[..., :3, 3:]).squeeze(-1) + theta[:, :3]
        return rotation, position

    def points(self, theta: torch.Tensor, bodies: Sequence[str], offsets: ArrayLike) -> torch.Tensor:
        """World positions (N, P, 3), m, of P points at ``offsets`` (P, 3) in the frames of ``bodies`` (P names)."""
        unique = sorted(set(bodies))
        rotation, position = self.bodies(theta, unique)
        which = torch.tensor([unique.index(b) for b in bodies])
        local = torch.as_tensor(np.asarray(offsets), dtype=self._dtype)
        moved = (rotation[which] @ local[:, None, :, None]).squeeze(-1) + position[which]
        return moved.transpose(0, 1)


def collision_spheres(hand: HandSpec) -> Tuple[Tuple[str, ...], np.ndarray, np.ndarray]:
    """Cover the hand's collision geometry by spheres, and the corners of its boxes by points: spheres of radius 0.

    Returns:
        (bodies, offsets, radii): body names (S,), centres in the bodies' frames (S, 3) m, radii (S,) m.

    Raises:
        InputError: the hand has a geom that is no box, capsule or sphere.
    """
    model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
    bodies, offsets, radii = [], [], []
    for g in range(model.ngeom):
        size, kind = model.geom_size[g], model.geom_type[g]
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            radius, grid = float(size[0]), np.zeros((1, 3))
        elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            radius = float(size[0])
            grid = np.stack([np.zeros(3), np.zeros(3), np.linspace(-size[1], size[1], 3)], axis=1)
        elif kind != mujoco.mjtGeom.mjGEOM_BOX:
            raise InputError("hand %s: geom %d of the model is no box, capsule or sphere." % (hand.name, g), remedy="cover it by such shapes.")
        else:
            radius = max(float(size.min()), MIN_SPHERE)
            axes = [np.linspace(-1, 1, max(1, int(np.ceil(s / radius)))) * max(s - radius, 0.0) if s > radius else np.zeros(1) for s in size]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[g])
        parts = [(p, radius) for p in grid]
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            # Spheres leave the corners of a box bare, by up to 6 mm; those are what a hand puts into a table.
            parts += [(size * corner, 0.0) for corner in itertools.product((-1.0, 1.0), repeat=3)]
        for p, r in parts:
            bodies.append(model.body(model.geom_bodyid[g]).name)
            offsets.append(model.geom_pos[g] + rotation.reshape(3, 3) @ p)
            radii.append(r)
    return tuple(bodies), np.array(offsets), np.array(radii)
