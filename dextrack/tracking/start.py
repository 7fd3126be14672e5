"""Where episodes start: at the reference's first frame, or mid-sequence with the expert's state and accumulated residual.

Starts are prepared once, in numpy. Drawing them is a matter of the device that the worlds are on, its random generator included: nothing comes from the
host or waits for it. A seed draws other starts on a GPU than on a CPU.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dextrack import rotations, rotations_torch
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
    """Starts of n worlds, in double precision. World frame, SI units, wxyz."""

    frame: Tensor
    """Frame of the reference, (n,)."""
    hand: Tensor
    """theta, (n, 22)."""
    hand_velocity: Tensor
    """(n, 22)."""
    object_position_w: Tensor
    """(n, 3)."""
    object_quaternion_w: Tensor
    """(n, 4)."""
    object_velocity_w: Tensor
    """Linear and angular velocity, (n, 6)."""
    targets: Tensor
    """The target held on arrival, (n, 22): the a of the frame before."""
    delta: Tensor
    """The residual accumulated on arrival, (n, 22)."""
    previous: Tensor
    """The state one period before, (n, 22 + 7); at frame 0 the same state, because nothing moves."""

    def with_object(self, position_w: Tensor, quaternion_w: Tensor) -> Start:
        """The same starts, the objects lying still at ``position_w`` (n, 3), m, and ``quaternion_w`` (n, 4), wxyz."""
        previous = torch.cat([self.previous[:, :-7], position_w, quaternion_w], dim=1)
        still = torch.zeros_like(self.object_velocity_w)
        return dataclasses.replace(self, object_position_w=position_w, object_quaternion_w=quaternion_w, object_velocity_w=still, previous=previous)


class Starts:
    """Draws the starts of a task's episodes, and holds the constants of its residual action."""

    def __init__(
        self, task: TrackingTask, hand: HandSpec, config: TrackingConfig, expert: Expert | None, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        """Prepare every frame's start on ``device``.

        Raises:
            InputError: the expert's arrays do not fit the reference.
        """

        def table(values: Floats) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        reference, period = task.reference, task.reference.period
        lower, upper = hand.limits()
        self.lower, self.upper = table(lower), table(upper)
        self.step = action.step_sizes(config.action, hand.joint_names, period).to(device)
        baseline = torch.tensor(task.baseline_hand, dtype=torch.float64)
        rows = action.baseline_rows(baseline, torch.as_tensor(lower), torch.as_tensor(upper), config.action.baseline_lead).numpy()
        self.baseline = table(rows)
        """Rows (N + 1, 22) that steps add to, double precision."""
        self._config, self._n, self._device = config, reference.n_steps, torch.device(device)
        self._generator = torch.Generator(device).manual_seed(seed)
        source: Expert | None = expert
        if source is not None and (source.hand.shape != reference.hand.shape or source.targets.shape != reference.hand[1:].shape):
            raise InputError(f"expert of {reference.name}: its arrays do not fit the reference.", remedy="give a demonstration of this reference.")
        targets = rows[:-1] if source is None else np.clip(source.targets, lower, upper)
        states = reference if source is None else source
        position, quaternion = states.object_position_w, states.object_quaternion_w
        velocity = np.gradient(reference.hand, period, axis=0) if source is None else source.hand_velocity
        object_velocity = np.concatenate([np.gradient(position, period, axis=0), _angular_velocity(quaternion, period)], axis=1)
        still = np.arange(len(position))[:, None] == 0
        self._state = table(np.concatenate([states.hand, position, quaternion], axis=1))
        self._velocity, self._object_velocity = table(np.where(still, 0.0, velocity)), table(np.where(still, 0.0, object_velocity))
        self._targets = table(np.concatenate([np.clip(states.hand[:1], lower, upper), targets]))
        self._delta = table(np.concatenate([np.zeros((1, hand.dof)), targets - rows[:-1]]))
        moved = np.linalg.norm(position - position[0], axis=1) > RESTING[0]
        moved |= rotations.angle(quaternion, quaternion[0]) > RESTING[1]
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
        state, previous = self._state[frames], self._state[(frames - 1).clamp(min=0)]
        self._displace(frames, state, previous)
        return Start(
            frame=frames,
            hand=state[:, :-7],
            hand_velocity=self._velocity[frames],
            object_position_w=state[:, -7:-4],
            object_quaternion_w=state[:, -4:],
            object_velocity_w=self._object_velocity[frames],
            targets=self._targets[frames],
            delta=self._delta[frames],
            previous=previous,
        )

    def _frames(self, count: int) -> Tensor:
        """Start frames (count,) as the configuration says."""
        if self._config.start == "first":
            return torch.zeros(count, dtype=torch.int64, device=self._device)
        frames = torch.randint(self._n, (count,), generator=self._generator, device=self._device)
        if self._config.start_first:
            frames.masked_fill_(torch.rand(count, generator=self._generator, device=self._device) < self._config.start_first, 0)
        return frames

    def _displace(self, frames: Tensor, *states: Tensor) -> None:
        """Move and turn the objects in ``states`` (n, 22 + 7) over the table, in each alike, where an episode starts before its object has moved."""
        c = self._config
        if not (c.start_offset or c.start_turn):
            return
        drawn = torch.randn(len(frames), 3, generator=self._generator, dtype=torch.float64, device=self._device) * (frames < self._resting).unsqueeze(1)
        turn = _about_vertical(drawn[:, 2] * c.start_turn)
        for state in states:
            state[:, -7:-5] += drawn[:, :2] * c.start_offset
            state[:, -4:] = rotations_torch.multiply(turn, state[:, -4:])


def _about_vertical(angle: Tensor) -> Tensor:
    """Quaternions (n, 4) of turns about the vertical by ``angle`` (n,), rad."""
    half, zero = 0.5 * angle, torch.zeros_like(angle)
    # On a CPU the cosine of polar is the C library's, as numpy's is; torch's own is vectorised, and differs now and then in the last bit.
    return torch.stack([torch.polar(torch.ones_like(half), half).real, zero, zero, half * torch.sinc(half / torch.pi)], dim=1)


def _angular_velocity(quaternion_w: Floats, period: float) -> Floats:
    """Angular velocity (N + 1, 3), rad/s, world frame, of rotations (N + 1, 4): each frame's turn from the one before."""
    turn = rotations.multiply(quaternion_w[1:], rotations.conjugate(quaternion_w[:-1]))
    rate = rotations.to_rotation_vector(turn) / period
    out: Floats = np.concatenate([rate[:1], rate])
    return out
