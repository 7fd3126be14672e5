"""The observation of Eq. 8 and 9 as named slices, for a thousand worlds in training and for the one of the robot.

o_n = { s_n, s'_n, shat_{n+1}, s^b_n, a_n, feat_obj, aux_n },  aux_n = { shat_{n+1}, f_n, shat_{n+1} - s_n }, where

- a state is theta, the object's position and its quaternion; s'_n is a velocity, which is an input here (where it comes from is the caller's to say);
- a_n is the newest target that exists when o_n is made: the one that led to s_n (at an episode's start, the one held then);
- f_n are the centres of the finger pads in the world;
- the difference of states is theta's and the position's difference, and the rotation vector (world axes) that leads from q_n to qhat_{n+1}.

Quaternions are shown with w >= 0: q and -q are one rotation, and must be one observation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dextrack import rotations_torch
from dextrack.tracking.config import ObservationConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which columns of an observation hold what."""

    slices: dict[str, slice]
    """Name of a part -> its columns, in order and without gaps."""
    joint_names: tuple[str, ...]
    """Order of the columns of every part over theta."""
    fingertips: tuple[str, ...]
    """Order of the fingers in ``fingertips_w``."""

    @property
    def size(self) -> int:
        """Length of an observation."""
        return max(int(s.stop) for s in self.slices.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: ``slices`` (name -> [start, stop]), ``joint_names``, ``fingertips``, ``size``."""
        slices = {k: [s.start, s.stop] for k, s in self.slices.items()}
        return {"slices": slices, "joint_names": list(self.joint_names), "fingertips": list(self.fingertips), "size": self.size}


def make_layout(config: ObservationConfig, joint_names: Sequence[str], fingertips: Sequence[str]) -> Layout:
    """The layout for a hand with these joints and fingertips."""
    dof = len(joint_names)
    widths = {
        "hand": dof, "object_position_w": 3, "object_quaternion_w": 4,
        "hand_velocity": dof, "object_linear_velocity_w": 3, "object_angular_velocity_w": 3,
        "goal_hand": dof, "goal_object_position_w": 3, "goal_object_quaternion_w": 4,
        "baseline": dof, "target": dof, "object_feature": config.object_feature,
        "aux_goal": dof + 7 if config.repeat_goal else 0, "fingertips_w": 3 * len(fingertips),
        "difference_hand": dof, "difference_position_w": 3, "difference_rotation_w": 3,
    }  # fmt: skip
    slices, at = {}, 0
    for name, width in widths.items():
        if width:
            slices[name] = slice(at, at + width)
            at += width
    return Layout(slices, tuple(joint_names), tuple(fingertips))


@dataclasses.dataclass(frozen=True)
class Sensed:
    """What is known at frame n, over worlds (leading dimension W; the robot's is 1). SI units, world frame, wxyz."""

    state: Tensor
    """s_n: theta, object position, object quaternion, (W, 22 + 7)."""
    velocity: Tensor
    """s'_n: theta's, the object's linear and angular velocity, (W, 22 + 6)."""
    goal: Tensor
    """shat_{n+1}: as ``state``."""
    baseline: Tensor
    """s^b_n, (W, 22)."""
    target: Tensor
    """a_n, (W, 22): see the module's docstring."""
    tips_w: Tensor
    """f_n: pad centres, (W, F, 3)."""
    feature: Tensor
    """feat_obj, (W, config.object_feature)."""


def observe(config: ObservationConfig, sensed: Sensed, out: Tensor | None = None) -> Tensor:
    """The observation (W, ``layout.size``), its columns as ``make_layout(config, ...)`` says; written to ``out`` where that is given."""
    at, turned, goal_at, goal_turned = sensed.state[:, :-4], _upper(sensed.state[:, -4:]), sensed.goal[:, :-4], _upper(sensed.goal[:, -4:])
    rotation = rotations_torch.to_rotation_vector(rotations_torch.difference_w(goal_turned, turned))
    goal = [goal_at, goal_turned]
    parts = [at, turned, sensed.velocity, *goal, sensed.baseline, sensed.target, sensed.feature]
    parts += goal if config.repeat_goal else []
    parts += [sensed.tips_w.flatten(1), goal_at - at, rotation]
    return torch.cat(parts, dim=1) if out is None else torch.cat(parts, dim=1, out=out)


def canonical(state: Tensor) -> Tensor:
    """States (W, 22 + 7) whose quaternion has w >= 0."""
    return torch.cat([state[:, :-4], _upper(state[:, -4:])], dim=1)


def _upper(quaternion: Tensor) -> Tensor:
    """The one of q and -q (W, 4) whose w has no minus sign."""
    return torch.where(quaternion[:, :1].signbit(), -quaternion, quaternion)


def velocity_between(previous: Tensor, state: Tensor, period: float) -> Tensor:
    """Velocity (W, 22 + 6) by finite difference of states (W, 22 + 7) that are ``period`` s apart; the angular one is about world axes, rad/s."""
    turned = rotations_torch.to_rotation_vector(rotations_torch.difference_w(state[:, -4:], previous[:, -4:]))
    return torch.cat([state[:, :-4] - previous[:, :-4], turned], dim=1) / period
