"""Positions of points fixed to a hand, and their derivatives over theta, for many frames at once (numpy).

A joint's column of the derivative of a point p is axis x p + moment, moment = anchor x axis; a slide's is its axis. Axes and anchors are
read off the bodies' poses, which come from ``HandKinematics``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands.kinematics import HandKinematics
from dextrack.hands.spec import HandSpec

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Pose:
    """A hand at T frames. World frame."""

    rotation: Floats
    """(B, T, 3, 3), of the bodies."""
    position: Floats
    """(B, T, 3), m."""
    axes: Floats
    """(T, 3, H): of the hinges, the wrist's three first; zero columns for none."""
    moments: Floats
    """(T, 3, H): anchor x axis, m."""


@functools.lru_cache(maxsize=8)
def _model(hand: HandSpec) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(hand.mjcf))


def body_names(hand: HandSpec) -> list[str]:
    """Bodies of ``hand``, in the order of ``Pose``."""
    return [_model(hand).body(i).name for i in range(1, _model(hand).nbody)]


def body_parents(hand: HandSpec) -> dict[str, str]:
    """For each body of ``hand`` but its root, the one that carries it."""
    model = _model(hand)
    return {model.body(i).name: model.body(int(model.body_parentid[i])).name for i in range(2, model.nbody)}


class HandJacobians:
    """Kinematics of one hand on its floating base, with derivatives."""

    def __init__(self, hand: HandSpec, base_quaternion_w: Floats) -> None:
        """Read joints and tree of ``hand`` from its MJCF; ``base_quaternion_w`` (4,) wxyz turns the wrist's hinges."""
        model = _model(hand)
        self.bodies = body_names(hand)
        self._kinematics = HandKinematics(hand, base_quaternion_w)
        self._base = rotations.to_matrix(base_quaternion_w)
        joints = [model.joint(name) for name in hand.finger_joints]
        self._joint_body = np.array([int(j.bodyid[0]) - 1 for j in joints])
        self._axis, self._anchor = np.array([j.axis for j in joints]), np.array([j.pos for j in joints])
        moved = np.zeros((model.nbody, len(joints)))
        for body in range(1, model.nbody):
            moved[body] = moved[int(model.body_parentid[body])]
            moved[body, self._joint_body == body - 1] = 1.0
        self.moves = np.concatenate([np.ones((len(self.bodies), 3)), moved[1:]], axis=1)
        """(B, H): 1 where a hinge moves a body."""

    def index(self, bodies: Sequence[str]) -> NDArray[np.intp]:
        """Places of ``bodies`` in ``self.bodies``."""
        return np.array([self.bodies.index(b) for b in bodies], dtype=np.intp)

    def pose(self, theta: Floats) -> Pose:
        """Bodies and hinges at ``theta`` (T, dof)."""
        with torch.no_grad():
            rotation, position = (x.numpy() for x in self._kinematics.bodies(torch.as_tensor(theta), self.bodies))
        # Axes of rx, ry, rz in the base frame: those of the frames that the hinges before have turned.
        cx, cy, sx, sy = np.cos(theta[:, 3]), np.cos(theta[:, 4]), np.sin(theta[:, 3]), np.sin(theta[:, 4])
        one, none = np.ones(len(theta)), np.zeros(len(theta))
        wrist = np.array([[one, none, none], [none, cx, sx], [sy, -sx * cy, cx * cy]]).transpose(0, 2, 1) @ self._base.T
        r = rotation[self._joint_body]
        fingers = (r @ self._axis[:, None, :, None])[..., 0]
        anchors = (r @ self._anchor[:, None, :, None])[..., 0] + position[self._joint_body]
        axes = np.concatenate([wrist, fingers])
        anchors = np.concatenate([np.broadcast_to(theta[:, :3], (3, len(theta), 3)), anchors])
        return Pose(rotation, position, np.ascontiguousarray(axes.transpose(1, 2, 0)), np.ascontiguousarray(np.cross(anchors, axes).transpose(1, 2, 0)))

    def points(self, pose: Pose, bodies: NDArray[np.intp], offsets: Floats) -> Floats:
        """World positions (T, P, 3), m, of points at ``offsets`` (P, 3) on ``bodies`` (P)."""
        moved = (pose.rotation[bodies] @ offsets[:, None, :, None])[..., 0] + pose.position[bodies]
        return np.ascontiguousarray(moved.transpose(1, 0, 2))

    def jacobian(self, pose: Pose, bodies: NDArray[np.intp], points_w: Floats) -> Floats:
        """Derivatives (T, P, 3, dof) of ``points_w`` (T, P, 3) on ``bodies`` (P)."""
        t, p = points_w.shape[:2]
        out = np.zeros((t, p, 3, 3 + pose.axes.shape[2]))
        out[..., :3] = np.eye(3)
        x, y, z = (points_w[..., i : i + 1] for i in range(3))
        ax, ay, az = (pose.axes[:, None, i] for i in range(3))
        moves = self.moves[bodies]
        out[:, :, 0, 3:] = (ay * z - az * y + pose.moments[:, None, 0]) * moves
        out[:, :, 1, 3:] = (az * x - ax * z + pose.moments[:, None, 1]) * moves
        out[:, :, 2, 3:] = (ax * y - ay * x + pose.moments[:, None, 2]) * moves
        return out

    def along(self, pose: Pose, frames: NDArray[np.intp], bodies: NDArray[np.intp], points_w: Floats, directions_w: Floats) -> Floats:
        """Derivatives (A, dof) along ``directions_w`` (A, 3) of single points (A, 3), each at its frame (A) on its body (A)."""
        arm = np.cross(points_w, directions_w)
        turn = (arm[:, None] @ pose.axes[frames])[:, 0] + (directions_w[:, None] @ pose.moments[frames])[:, 0]
        return np.concatenate([directions_w, turn * self.moves[bodies]], axis=1)
