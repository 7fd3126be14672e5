"""The reward of Eq. 10-14 with bonus and affinity. Every term is a pure function over worlds (leading dimension W); SI units, world frame, wxyz.

What the paper leaves open is decided here, once:

- Eq. 13 prints s[3] for the translation; it means the first three components.
- w_finger stands in Eq. 10 and in Eq. 14; Table 3's 0.05 is applied once, as the release does.
- The affinity term has a name but no formula; it is the release's: -0.3 (d_f [d_p <= 0.12] + 2 d_p).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dextrack import rotations_torch
from dextrack.tracking.config import RewardConfig

NEAR_PALM = 0.12
"""Palm-object distance within which the fingers count, m (release)."""
NEAR_FINGERS = 0.48
"""Sum of the fingertip-object distances within which the hand is near, m (release; four fingers at 12 cm)."""
PALM_CAP = 0.5
"""Largest palm-object distance that counts, m (release)."""
FINGERS_CAP = 2.4
"""Largest sum of fingertip-object distances that counts, m (release)."""


def object_position(distance: Tensor) -> Tensor:
    """Eq. 11: 0.9 - distance (W,) in m between the object and its goal."""
    return 0.9 - distance


def object_rotation(angle: Tensor) -> Tensor:
    """Eq. 12: pi - angle (W,) in rad between the object and its goal."""
    return math.pi - angle


def hand_distance(hand: Tensor, goal_hand: Tensor, weights: Tensor) -> Tensor:
    """Eq. 13 and 14: minus the weighted L1 distance of theta (W, 22) from its goal; ``weights`` (22,) from ``hand_weights``."""
    return -((hand - goal_hand).abs() @ weights)


def hand_weights(config: RewardConfig, dof: int) -> Tensor:
    """Weights (dof,) of theta's components in Eq. 13 and 14: three of translation, three of rotation, the fingers'."""
    return torch.tensor([config.wrist_translation] * 3 + [config.wrist_rotation] * 3 + [config.finger] * (dof - 6))


def bonus(distance: Tensor, angle: Tensor, config: RewardConfig) -> Tensor:
    """1 (W,) where the object is within 5 cm and 5 deg of its goal, else 0 (App. A.2)."""
    return ((distance <= config.bonus_distance) & (angle <= config.bonus_angle)).to(distance.dtype)


def affinity(fingers: Tensor, palm: Tensor) -> Tensor:
    """The release's -(d_f [d_p <= 0.12] + 2 d_p), without its weight, of capped distances d_f and d_p (W,) from ``object_distances``."""
    return -(fingers.clamp(max=FINGERS_CAP) * (palm <= NEAR_PALM) + 2.0 * palm.clamp(max=PALM_CAP))


def released_object_reward(distance: Tensor, fingers: Tensor, palm: Tensor) -> Tensor:
    """The release's object reward (W,): -2 distance + [distance <= 5 cm] / (1 + 10 distance), where the hand is near, else 0."""
    near = (fingers <= NEAR_FINGERS) & (palm <= NEAR_PALM)
    return near * ((distance <= 0.05) / (1.0 + 10.0 * distance) - 2.0 * distance)


def object_distances(tips_w: Tensor, palm_w: Tensor, goal_w: Tensor, object_position_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(sum of fingertip-object distances, palm-object distance, the object's from its goal), (W,) each, m.

    Args:
        tips_w: pad centres, (W, F, 3), m.
        palm_w: the wrist frame's origin, (W, 3), m.
        goal_w: where the object should be, (W, 3), m.
        object_position_w: the object's position, (W, 3), m.
    """
    points = torch.cat([tips_w, palm_w.unsqueeze(1), goal_w.unsqueeze(1)], dim=1) - object_position_w.unsqueeze(1)
    distances = torch.linalg.vector_norm(points, dim=-1)
    return distances[:, :-2].sum(dim=1), distances[:, -2], distances[:, -1]


def reward(
    config: RewardConfig,
    weights: Tensor,
    hand: Tensor,
    goal_hand: Tensor,
    position_w: Tensor,
    goal_position_w: Tensor,
    quaternion_w: Tensor,
    goal_quaternion_w: Tensor,
    tips_w: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 10 on a state s_{n+1} and its goal: (reward (W,), its weighted terms by name (W,) each).

    Args:
        config: weights and options.
        weights: ``hand_weights(config, dof)``.
        hand: theta, (W, 22), wrist first.
        goal_hand: the reference's.
        position_w: the object's, (W, 3).
        goal_position_w: the reference's.
        quaternion_w: the object's, (W, 4).
        goal_quaternion_w: the reference's.
        tips_w: pad centres, (W, F, 3).
    """
    fingers, palm, distance = object_distances(tips_w, hand[:, :3], goal_position_w, position_w)
    angle = rotations_torch.angle(quaternion_w, goal_quaternion_w)
    terms = {"hand": hand_distance(hand, goal_hand, weights)}
    if config.object_form == "paper":
        terms["object_position"] = config.object_position * object_position(distance)
        terms["object_rotation"] = config.object_rotation * object_rotation(angle)
    else:
        terms["object_position"] = config.object_position * released_object_reward(distance, fingers, palm)
    if config.affinity:
        terms["affinity"] = config.affinity * affinity(fingers, palm)
    if config.bonus:
        terms["bonus"] = config.bonus * bonus(distance, angle, config)
    return torch.stack(list(terms.values())).sum(dim=0), terms
