"""When an episode ends. A termination is the task's own end, with no value after it; a time-out only stops looking, and its value is bootstrapped.

Rewards are positive, so an episode that ended without bootstrapping at the reference's end would teach that the last frames are worth little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dextrack.tracking.config import TerminationConfig


def terminated(config: TerminationConfig, position_w: Tensor, goal_position_w: Tensor) -> Tensor | None:
    """Flags (W,) of worlds whose object (W, 3) is farther from its goal (W, 3) than the configuration allows; None where it allows anything."""
    if config.object_error is None:
        return None
    distance: Tensor = torch.linalg.vector_norm(position_w - goal_position_w, dim=-1)
    return distance > config.object_error


def timed_out(config: TerminationConfig, frame: Tensor, age: Tensor, last: int) -> Tensor:
    """Flags (W,) of worlds at the reference's ``last`` frame N, or at the horizon; ``frame`` and ``age`` in steps, (W,)."""
    out = frame >= last
    return out if config.horizon is None else out | (age >= config.horizon)
