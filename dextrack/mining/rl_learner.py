"""PPO of rsl-rl-lib on the worlds of one task: networks, the loop of rollout and update, and its state as plain tensors.

The library's runner is left out: it writes pickles, prints, and bootstraps an episode that was cut off with the value of the state before its last.
Here that value, where it is asked for, is of the state that the episode was cut off in. On a CPU, physics and torch take turns on the same threads; on a
GPU, worlds, networks, optimiser and stored transitions are all there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor

from dextrack.mining.rl_config import RLConfig
from dextrack.mining.rl_env import GROUP, RLEnv


class Learner:
    """Networks, optimiser and worlds; the caller seeds torch before it makes one."""

    def __init__(self, env: RLEnv, config: RLConfig, seed: int) -> None:
        """Make the networks; the first policy's mean action is zero everywhere, which is the baseline. A seed gives the same ones on every device."""
        self.env, self._config, self._device = env, config, env.env.device
        p = config.ppo
        observation = TensorDict({GROUP: torch.zeros(env.num_envs, env.observation_size)}, batch_size=[env.num_envs])
        device = str(self._device)
        groups = {"actor": [GROUP], "critic": [GROUP]}
        gaussian = {"class_name": "GaussianDistribution", "init_std": p.std, "std_range": p.std_range, "std_type": "log"}
        self.actor = MLPModel(observation, groups, "actor", env.num_actions, p.hidden, "elu", obs_normalization=True, distribution_cfg=gaussian)
        self.critic = MLPModel(observation, groups, "critic", 1, p.hidden, "elu", obs_normalization=True)
        torch.nn.init.zeros_(self.actor.mlp[-1].weight)
        torch.nn.init.zeros_(self.actor.mlp[-1].bias)
        self.ppo = PPO(
            self.actor, self.critic, RolloutStorage("rl", env.num_envs, p.horizon, observation, [env.num_actions], device), num_learning_epochs=p.epochs,
            num_mini_batches=p.minibatches, clip_param=p.clip, gamma=p.gamma, lam=p.lam, entropy_coef=p.entropy, learning_rate=p.learning_rate,
            use_clipped_value_loss=False, schedule="adaptive", desired_kl=p.desired_kl, device=device,
        )  # fmt: skip
        rng = np.random.default_rng(seed)
        env.env.backend.vary(*(1.0 + rng.uniform(-config.vary, config.vary, (2, env.num_envs))))
        self._begun = False

    def iterate(self, control_steps: int) -> float:
        """Roll all worlds out for one horizon and update, after ``control_steps`` in all worlds so far. Returns the mean reward per step."""
        reward = self.rollout(control_steps)
        self.ppo.update()
        return float(reward)

    def rollout(self, control_steps: int) -> Tensor:
        """The part of ``iterate`` before the update; the mean reward per step, (), where the worlds are: on a GPU, every look at it would wait."""
        if self._config.curriculum.active:
            self.env.end_beyond(self._config.curriculum.error(control_steps))
        observation = self.env.get_observations() if self._begun else self.env.reset()
        self._begun = True
        self.ppo.train_mode()
        mean = torch.zeros((), dtype=torch.float64, device=self._device)
        with torch.no_grad():
            for _ in range(self._config.ppo.horizon):
                observation, rewards, dones, extras = self.env.step(self.ppo.act(observation))
                if self._config.ppo.bootstrap and len(extras["ended_worlds"]):
                    value = self.critic(extras["cut_observations"]).squeeze(1).masked_fill(~extras["cut"], 0.0)
                    rewards.index_add_(0, extras["ended_worlds"], value, alpha=self.ppo.gamma)
                mean += extras["reward"].mean()
                self.ppo.process_env_step(observation, rewards, dones, {})
            self.ppo.compute_returns(observation)
        return mean / self._config.ppo.horizon

    def state(self) -> dict[str, Tensor]:
        """Networks, the optimiser's moments and the random state of torch on the worlds' device, by name; tensors are where they are used."""
        out = {f"{part}.{k}": v.clone() for part in ("actor", "critic") for k, v in getattr(self, part).state_dict().items()}
        for index, moments in self.ppo.optimizer.state_dict()["state"].items():
            out |= {f"adam.{index}.{k}": v.clone() for k, v in moments.items()}
        return {**out, "random": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else torch.get_rng_state()}

    def restore(self, state: Mapping[str, Tensor], learning_rate: float) -> None:
        """Take up what ``state`` gave, wherever its tensors are; episodes begin anew."""
        for part in ("actor", "critic"):
            getattr(self, part).load_state_dict({k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(part + ".")})
        moments: dict[int, dict[str, Any]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
        groups = self.ppo.optimizer.state_dict()["param_groups"]
        self.ppo.optimizer.load_state_dict({"state": moments, "param_groups": [{**g, "lr": learning_rate} for g in groups]})
        self.ppo.learning_rate = learning_rate
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random"], self._device)
        else:
            torch.set_rng_state(state["random"])
