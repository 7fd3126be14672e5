"""Evaluation of a policy: its mean action from the reference's first state, and what that leads to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from tensordict import TensorDict
from torch import Tensor

from dextrack import rotations
from dextrack.mining.ensemble import Member
from dextrack.mining.rl_env import GROUP, RLEnv
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim.backend import Backend
from dextrack.sim.scene import Scene
from dextrack.sim.tensors import NumpyCalls, WorldTensors, on_tensors
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.verdict import Verdict, judge

Floats = NDArray[np.float64]
Policy = Callable[[TensorDict], Tensor]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """What a policy commanded and reached in W worlds; N steps, in double precision."""

    targets: Floats
    """(W, N, 22)."""
    hand: Floats
    """(W, N + 1, 22)."""
    object_position_w: Floats
    """(W, N + 1, 3), m."""
    object_quaternion_w: Floats
    """(W, N + 1, 4), wxyz."""
    reward: Floats
    """(W, N), unscaled."""


class Recorder(NumpyCalls):
    """A backend that passes everything on to another, and keeps the targets and states of its steps, on its device and in its precision."""

    def __init__(self, backend: Backend) -> None:
        """Record over ``backend``."""
        self._worlds = on_tensors(backend)
        self.n_worlds, self.joint_names, self.period, self.device = backend.n_worlds, backend.joint_names, backend.period, self._worlds.device
        self.vary, self.close, self.tensors, self.bad_mask = backend.vary, backend.close, self._worlds.tensors, self._worlds.bad_mask
        self.reset_tensors = self._worlds.reset_tensors
        """Not recorded."""
        self._targets: list[Tensor] = []
        self._states: list[tuple[Tensor, Tensor, Tensor]] = []

    def step_tensors(self, targets: Tensor) -> None:
        """See ``TensorBackend.step_tensors``."""
        self._worlds.step_tensors(targets)
        self._targets.append(targets.clone())
        self.keep()

    def keep(self) -> None:
        """Record the current state."""
        s: WorldTensors = self.tensors()
        self._states.append((s.hand.clone(), s.object_position_w.clone(), s.object_quaternion_w.clone()))

    def clear(self) -> None:
        """Forget what was recorded."""
        self._targets.clear()
        self._states.clear()

    def recorded(self) -> tuple[Floats, Floats, Floats, Floats]:
        """What ``Rollout`` has of targets, hand, object position and object quaternion; brought to the host at once."""
        hand, position, quaternion = (_finite(_on_host(column)) for column in zip(*self._states, strict=True))
        return _on_host(self._targets), hand, position, quaternion


def _on_host(rows: Sequence[Tensor]) -> Floats:
    """Rows (W, D) of successive steps as (W, N, D), double precision."""
    out: Floats = torch.stack(list(rows), dim=1).double().cpu().numpy()
    return out


class Evaluation:
    """Worlds, one per member, in which policies are rolled out from frame 0 with nothing drawn."""

    def __init__(self, make: Callable[[Recorder], TrackingEnv], backend: Backend, scene: Scene, members: tuple[Member, ...], phase: int) -> None:
        """Set ``members`` up.

        Args:
            make: the environment over a backend.
            backend: with a world per member.
            scene: the nominal world.
            members: friction, mass and the object's first pose of each world; finger gains are the backend's own.
            phase: as the policy was trained.
        """
        self._recorder = Recorder(backend)
        self._env = RLEnv(make(self._recorder), phase, 1.0)
        backend.vary(np.array([m.friction_scale for m in members]), np.array([m.mass_scale for m in members]))
        reference = self._env.env.task.reference
        position, quaternion = settled_pose(scene, reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
        turn = rotations.from_rotation_vector([[0.0, 0.0, m.yaw] for m in members])
        self._pose = (position + np.array([[*m.offset, 0.0] for m in members]), rotations.multiply(turn, quaternion))

    def rollout(self, policy: Policy) -> Rollout:
        """Roll ``policy`` out over the whole reference."""
        self._recorder.clear()
        with torch.no_grad():
            observation = self._env.reset(0, object_pose_w=self._pose)
            self._recorder.keep()
            rewards = []
            for _ in range(self._env.env.n_steps):
                observation, _, _, extras = self._env.step(policy(observation))
                rewards.append(extras["reward"].clone())
        return Rollout(*self._recorder.recorded(), _on_host(rewards))

    def close(self) -> None:
        """Free the worlds."""
        self._recorder.close()


def _finite(states: Floats) -> Floats:
    """States (W, N + 1, D) with the last finite one in place of what is not: a world that diverged begins again, and has failed."""
    out = states.copy()
    for n in range(1, out.shape[1]):
        lost = ~np.isfinite(out[:, n]).all(axis=1)
        out[lost, n] = out[lost, n - 1]
    return out


def zero_action(observation: TensorDict) -> Tensor:
    """The policy that adds no residual: the baseline itself."""
    return torch.zeros(observation.batch_size[0], 22, device=observation[GROUP].device)


def verdicts(reference: Reference, hull_o: ArrayLike, rollout: Rollout) -> list[Verdict]:
    """The verdict on each world of ``rollout``, of which only lifted and held are measured; ``hull_o`` (H, 3) m is the object's hull."""
    return [judge(reference, hull_o, p, q) for p, q in zip(rollout.object_position_w, rollout.object_quaternion_w, strict=True)]
