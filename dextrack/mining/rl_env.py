"""The tracking environment as rsl-rl-lib's ``VecEnv``: the phase beside observations, rewards in the learner's scale, what cut off episodes saw last."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import Tensor

from dextrack.tracking.env import TrackingEnv

GROUP = "policy"
"""Name of the one group of observations."""


class RLEnv(VecEnv):
    """Worlds of a ``TrackingEnv`` for rsl-rl-lib, on their device. Nothing is drawn or stepped until ``reset``; a step waits only where theirs does."""

    def __init__(self, env: TrackingEnv, phase: int, reward_scale: float) -> None:
        """Wrap ``env``; ``phase`` is the number of sines and cosines of n / N that observations get beside their own."""
        self.env, self.cfg, self.device = env, env.config.as_dict(), env.device
        self.num_envs, self.num_actions, self.max_episode_length = env.n_worlds, env.action_size, env.n_steps
        self.episode_length_buf = torch.zeros(env.n_worlds, dtype=torch.int64, device=env.device)
        self._scale = reward_scale
        n = torch.arange(env.n_steps + 1)[:, None] / env.n_steps
        angles = math.pi * n * torch.arange(1, phase + 1)
        self._phase = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).to(env.device)
        """Rows (N + 1, 2 phase)."""
        self._observation = torch.zeros(env.n_worlds, env.observation_size + 2 * phase, device=env.device)

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return int(self._observation.shape[1])

    def reset(self, frames: Tensor | int | None = None, **more: Any) -> TensorDict:
        """Begin every world's episode; arguments as ``TrackingEnv.reset``."""
        self._observation = self.with_phase(self.env.reset(frames, **more), self.env.frame)
        self.episode_length_buf.zero_()
        return self.get_observations()

    def get_observations(self) -> TensorDict:
        """The newest observations; later steps do not overwrite them."""
        return TensorDict({GROUP: self._observation}, batch_size=[len(self._observation)])

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Advance every world by one control period.

        Returns:
            (observations; rewards (W,) in the learner's scale; done flags (W,); extras: ``time_outs`` (W,), and beside what rsl-rl-lib knows ``reward`` (W,),
            unscaled, ``ended_worlds`` (n,), whose episode ended, ``cut`` (n,), whether it was cut off, and ``cut_observations`` (n, size), what those that
            were saw last: a row whose flag is not set means nothing, but to leave it out would wait for the device).
        """
        observation, reward, done, info = self.env.step(actions)
        self._observation = self.with_phase(observation, self.env.frame)
        self.episode_length_buf = torch.where(done, 0, self.episode_length_buf + 1)
        # Episodes are cut off at the reference's last frame and nowhere else; ``RLConfig`` sees to it.
        last = torch.full_like(info.final_worlds, self.env.n_steps)
        extras = {
            "time_outs": info.time_outs,
            "reward": reward,
            "ended_worlds": info.final_worlds,
            "cut": info.time_outs[info.final_worlds],
            "cut_observations": TensorDict({GROUP: self.with_phase(info.final_observation, last)}, batch_size=[len(last)]),
        }
        return self.get_observations(), self._scale * reward, done, extras

    def with_phase(self, observation: Tensor, frame: Tensor) -> Tensor:
        """Observations (n, size) beside the phase of their frames (n,): always a copy."""
        return torch.cat([observation, self._phase[frame]], dim=1)

    def end_beyond(self, error: float) -> None:
        """From now on, episodes end where the object is farther than ``error`` m from its goal."""
        config = self.env.config
        self.env.config = dataclasses.replace(config, termination=dataclasses.replace(config.termination, object_error=error))
