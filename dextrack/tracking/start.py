"""Where episodes start: at the reference's first frame, or mid-sequence with the expert's state and accumulated residual."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands import HandSpec
from dextrack.tracking import action
from dextrack.tracking.config import TrackingConfig
from dextrack.tracking.task import Expert, TrackingTask

Floats = NDArray[np.float64]

RESTING = (2e-3, 0.02)
"""Displacement, m, and turn, rad, from the first pose within which an object has not moved yet."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Starts of n worlds. World frame, SI units, wxyz."""

    frame: Tensor
    """Frame of the reference, (n,)."""
    hand: Floats
    """theta, (n, 22)."""
    hand_velocity: Floats
    """(n, 22)."""
    object_position_w: Floats
    """(n, 3)."""
    object_quaternion_w: Floats
    """(n, 4)."""
    object_velocity_w: Floats
    """Linear and angular velocity, (n, 6)."""
    targets: Floats
    """The target held on arrival, (n, 22): the a of the frame before."""
    delta: Floats
    """The residual accumulated on arrival, (n, 22)."""
    previous: Floats
    """The state one period before, (n, 22 + 7); at frame 0 the same state, because nothing moves."""

    def with_object(self, position_w: Floats, quaternion_w: Floats) -> Start:
        """The same starts, the objects lying still at ``position_w`` (n, 3), m, and ``quaternion_w`` (n, 4), wxyz."""
        previous = self.previous.copy()
        previous[:, -7:-4], previous[:, -4:] = position_w, quaternion_w
        still = np.zeros_like(self.object_velocity_w)
        return dataclasses.replace(self, object_position_w=position_w, object_quaternion_w=quaternion_w, object_velocity_w=still, previous=previous)


class Starts:
    """Draws the starts of a task's episodes, and holds the constants of its residual action."""

    def __init__(self, task: TrackingTask, hand: HandSpec, config: TrackingConfig, expert: Expert | None, seed: int) -> None:
        """Prepare every frame's start.

        Raises:
            InputError: the expert's arrays do not fit the reference.
        """
        reference, period = task.reference, task.reference.period
        lower, upper = hand.limits()
        self.lower, self.upper = torch.as_tensor(lower), torch.as_tensor(upper)
        self.step = action.step_sizes(config.action, hand.joint_names, period)
        self.baseline = action.baseline_rows(torch.as_tensor(task.baseline_hand), self.lower, self.upper, config.action.baseline_lead)
        """Rows (N + 1, 22) that steps add to, double precision."""
        self._config, self._n = config, reference.n_steps
        self._generator = torch.Generator().manual_seed(seed)
        source: Expert | None = expert
        if source is not None and (source.hand.shape != reference.hand.shape or source.targets.shape != reference.hand[1:].shape):
            raise InputError(f"expert of {reference.name}: its arrays do not fit the reference.", remedy="give a demonstration of this reference.")
        rows = self.baseline.numpy()
        targets = rows[:-1] if source is None else np.clip(source.targets, lower, upper)
        states = reference if source is None else source
        self._hand = states.hand
        self._position, self._quaternion = states.object_position_w, states.object_quaternion_w
        self._velocity = np.gradient(reference.hand, period, axis=0) if source is None else source.hand_velocity
        self._object_velocity = np.concatenate([np.gradient(self._position, period, axis=0), _angular_velocity(self._quaternion, period)], axis=1)
        self._targets = np.concatenate([np.clip(self._hand[:1], lower, upper), targets])
        self._delta = np.concatenate([np.zeros((1, hand.dof)), targets - rows[:-1]])
        moved = np.linalg.norm(self._position - self._position[0], axis=1) > RESTING[0]
        moved |= rotations.angle(self._quaternion, self._quaternion[0]) > RESTING[1]
        self._resting = int(np.argmax(moved)) if moved.any() else len(moved)
        """Frames before the object moves; their starts may be displaced."""

    def draw(self, count: int, frames: Tensor | None = None) -> Start:
        """Starts of ``count`` worlds, at ``frames`` (count,) in [0, N), or where the configuration says.

        Raises:
            InputError: a frame is out of range.
        """
        if frames is None:
            frames = self._frames(count)
        elif len(frames) and not 0 <= int(frames.min()) <= int(frames.max()) < self._n:
            raise InputError(f"start frames: they are not all in [0, {self._n}).", remedy="start before the reference's last frame.")
        n = frames.numpy()
        before = np.maximum(n - 1, 0)
        offset, turn = self._displacement(n)
        return Start(
            frame=frames,
            hand=self._hand[n],
            hand_velocity=np.where((n > 0)[:, None], self._velocity[n], 0.0),
            object_position_w=self._position[n] + offset,
            object_quaternion_w=rotations.multiply(turn, self._quaternion[n]),
            object_velocity_w=np.where((n > 0)[:, None], self._object_velocity[n], 0.0),
            targets=self._targets[n],
            delta=self._delta[n],
            previous=np.concatenate([self._hand[before], self._position[before] + offset, rotations.multiply(turn, self._quaternion[before])], axis=1),
        )

    def _frames(self, count: int) -> Tensor:
        """Start frames (count,) as the configuration says."""
        if self._config.start == "first":
            return torch.zeros(count, dtype=torch.int64)
        frames = torch.randint(self._n, (count,), generator=self._generator)
        if self._config.start_first:
            frames[torch.rand(count, generator=self._generator) < self._config.start_first] = 0
        return frames

    def _displacement(self, n: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Displacement (n, 3), m, and turn (n, 4), wxyz, of the object at starts in frames ``n``: over the table, and none once it has moved."""
        c = self._config
        if not (c.start_offset or c.start_turn):
            return np.zeros((len(n), 3)), np.tile([1.0, 0.0, 0.0, 0.0], (len(n), 1))
        drawn = torch.randn(len(n), 3, generator=self._generator, dtype=torch.float64).numpy() * (n < self._resting)[:, None]
        flat = drawn * [c.start_offset, c.start_offset, 0.0]
        return flat, rotations.from_rotation_vector(drawn * [0.0, 0.0, c.start_turn])


def _angular_velocity(quaternion_w: Floats, period: float) -> Floats:
    """Angular velocity (N + 1, 3), rad/s, world frame, of rotations (N + 1, 4): each frame's turn from the one before."""
    turn = rotations.multiply(quaternion_w[1:], rotations.conjugate(quaternion_w[:-1]))
    rate = rotations.to_rotation_vector(turn) / period
    out: Floats = np.concatenate([rate[:1], rate])
    return out
