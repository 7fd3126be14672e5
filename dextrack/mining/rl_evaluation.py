"""Evaluation of a policy: its mean action from the reference's first state, and what that leads to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from tensordict import TensorDict
from torch import Tensor

from dextrack import rotations
from dextrack.mining.ensemble import Member
from dextrack.mining.rl_env import RLEnv
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim.backend import Backend, Ints, WorldState
from dextrack.sim.scene import Scene
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


class Recorder:
    """A backend that passes everything on to another, and keeps the targets and states of its steps."""

    def __init__(self, backend: Backend) -> None:
        """Record over ``backend``."""
        self._backend = backend
        self.n_worlds, self.joint_names, self.period = backend.n_worlds, backend.joint_names, backend.period
        self.targets: list[Floats] = []
        self.states: list[tuple[Floats, Floats, Floats]] = []

    def reset(
        self,
        hand: Floats,
        object_position_w: Floats | None = None,
        object_quaternion_w: Floats | None = None,
        worlds: Ints | None = None,
        hand_velocity: Floats | None = None,
        targets: Floats | None = None,
        object_velocity_w: Floats | None = None,
    ) -> None:
        """See ``Backend.reset``; not recorded."""
        self._backend.reset(hand, object_position_w, object_quaternion_w, worlds, hand_velocity, targets, object_velocity_w)

    def step(self, targets: Floats) -> None:
        """See ``Backend.step``."""
        self._backend.step(targets)
        self.targets.append(targets.copy())
        self.keep()

    def keep(self) -> None:
        """Record the current state."""
        s = self._backend.state()
        self.states.append((s.hand.copy(), s.object_position_w.copy(), s.object_quaternion_w.copy()))

    def clear(self) -> None:
        """Forget what was recorded."""
        self.targets.clear()
        self.states.clear()

    def state(self) -> WorldState:
        """See ``Backend.state``."""
        return self._backend.state()

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """See ``Backend.vary``."""
        self._backend.vary(friction_scale, mass_scale)

    def bad_worlds(self) -> Ints:
        """See ``Backend.bad_worlds``."""
        return self._backend.bad_worlds()

    def close(self) -> None:
        """See ``Backend.close``."""
        self._backend.close()


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
        hand, position, quaternion = (_finite(np.stack(column, axis=1)) for column in zip(*self._recorder.states, strict=True))
        return Rollout(np.stack(self._recorder.targets, axis=1), hand, position, quaternion, torch.stack(rewards, dim=1).double().numpy())

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
    return torch.zeros(observation.batch_size[0], 22)


def verdicts(reference: Reference, hull_o: ArrayLike, rollout: Rollout) -> list[Verdict]:
    """The verdict on each world of ``rollout``, of which only lifted and held are measured; ``hull_o`` (H, 3) m is the object's hull."""
    return [judge(reference, hull_o, p, q) for p, q in zip(rollout.object_position_w, rollout.object_quaternion_w, strict=True)]
