"""The cumulative residual action (paper, Sec. 3.1): a_n = baseline_n + sum of the residuals up to n.

One action component in [-1, 1] changes the accumulated residual Delta by at most ``step`` = rate * period. Two bounds:

- The target is clamped to the joint limits.
- Delta is set back to what the clamped target really holds. Without that, a policy that pushes against a limit winds Delta up
  and has to unwind it before the joint moves again. A baseline beyond the limits is clamped first, so that Delta stays the policy's own.

Everything is a pure function of tensors, the same for a thousand worlds and for the robot; arithmetic is in double precision, because targets
add up hundreds of residuals and physics in contact repeats itself only for equal bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from dextrack.hands.spec import WRIST_JOINTS
from dextrack.tracking.config import ActionConfig


def step_sizes(config: ActionConfig, joint_names: Sequence[str], period: float) -> Tensor:
    """Change of the residual at action 1, per control step of ``period`` s: (22,), m and rad, in the order of ``joint_names``."""
    rates = dict.fromkeys(WRIST_JOINTS[:3], config.wrist_translation_rate) | dict.fromkeys(WRIST_JOINTS[3:], config.wrist_rotation_rate)
    return torch.tensor([rates.get(name, config.finger_rate) * period for name in joint_names], dtype=torch.float64)


def accumulate(delta: Tensor, action: Tensor, baseline: Tensor, step: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Add an action to the residual and make the target.

    Args:
        delta: accumulated residual before this step, (..., 22).
        action: policy's output, (..., 22); components beyond [-1, 1] count as the nearest of the two.
        baseline: the baseline's row of this step, (..., 22), within limits.
        step: ``step_sizes``, (22,).
        lower: joint limits, (22,).
        upper: joint limits, (22,).

    Returns:
        (target, delta): the clamped target, and the residual that it holds, (..., 22).
    """
    target = torch.addcmul(baseline + delta, action.clamp(-1.0, 1.0).to(delta.dtype), step).clamp(lower, upper)
    return target, target - baseline


def towards(target: Tensor, delta: Tensor, baseline: Tensor, step: Tensor) -> Tensor:
    """The action (..., 22), in [-1, 1], that brings the residual as near to ``target`` - ``baseline`` as one step can.

    Computed on the current ``delta``, it corrects what earlier steps missed: imitating it is DAgger-like, as in the release.
    """
    return ((target - baseline - delta) / step).clamp(-1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Projection:
    """An expert's targets as residual actions."""

    actions: Tensor
    """(N, 22), in [-1, 1]."""
    targets: Tensor
    """(N, 22): what these actions really command."""
    delta: Tensor
    """(N, 22): the accumulated residual after each step; an episode that starts at frame n > 0 starts with row n - 1."""
    worst: Tensor
    """(22,): largest |target - expert's target| per joint, m and rad; 0 where the expert stays within the action scale and the limits."""


def project(targets: Tensor, baseline: Tensor, step: Tensor, lower: Tensor, upper: Tensor, lead: int = 0) -> Projection:
    """Project an expert's targets (N, 22) to residual actions on ``baseline`` (N + 1, 22), from a residual of zero.

    Where the expert is faster than the action scale, the residual follows at full action and catches up.
    """
    targets, rows = targets.double(), baseline_rows(baseline, lower, upper, lead)
    delta = torch.zeros_like(targets[0])
    actions, reached, deltas = torch.empty_like(targets), torch.empty_like(targets), torch.empty_like(targets)
    for n in range(len(targets)):
        actions[n] = towards(targets[n], delta, rows[n], step)
        reached[n], delta = accumulate(delta, actions[n], rows[n], step, lower, upper)
        deltas[n] = delta
    return Projection(actions, reached, deltas, (reached - targets).abs().amax(dim=0))


def baseline_rows(baseline: Tensor, lower: Tensor, upper: Tensor, lead: int) -> Tensor:
    """The rows (N + 1, 22) that steps n = 0 .. N add to: baseline[min(n + lead, N)], clamped to the limits, in double precision."""
    n = torch.arange(len(baseline), device=baseline.device)
    return baseline.double()[(n + lead).clamp(max=len(baseline) - 1)].clamp(lower, upper)
