"""rsl-rl-lib's view of the environment, and PPO on it, over a backend without physics: the hand is where its target is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from dextrack.hands import load_hand
from dextrack.mining.rl_config import TASK, CurriculumConfig, PPOConfig, RLConfig
from dextrack.mining.rl_env import GROUP, RLEnv
from dextrack.mining.rl_learner import Learner
from dextrack.references.reference import Reference
from dextrack.sim import WorldState
from dextrack.tracking.config import RewardConfig, TerminationConfig, TrackingConfig
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.task import TrackingTask
from tests import synthetic

HAND = load_hand("leap_right")
MIDDLE = np.array(HAND.limits()).mean(axis=0)
STEPS = 6


class Teleport:
    """The hand is where its target is; the object stays."""

    period, joint_names = 1 / 60, HAND.joint_names

    def __init__(self, n_worlds: int) -> None:
        self.n_worlds = n_worlds
        self.hand, self.position = np.zeros((n_worlds, 22)), np.zeros((n_worlds, 3))
        self.quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (n_worlds, 1))

    def reset(self, hand, object_position_w, object_quaternion_w, worlds=None, hand_velocity=None, targets=None, object_velocity_w=None):
        worlds = slice(None) if worlds is None else worlds
        self.hand[worlds], self.position[worlds], self.quaternion[worlds] = hand, object_position_w, object_quaternion_w

    def step(self, targets):
        self.hand = targets.copy()

    def state(self):
        w = self.n_worlds
        return WorldState(
            self.hand, np.zeros((w, 22)), self.position, self.quaternion, np.zeros((w, 3)), np.zeros((w, 3)), np.repeat(self.hand[:, None, :3], 4, axis=1)
        )

    def vary(self, friction_scale, mass_scale):
        self.varied = (friction_scale, mass_scale)

    def bad_worlds(self):
        return np.flatnonzero(~np.isfinite(self.hand).all(axis=1))

    def close(self):
        pass


def still(frames: int = STEPS + 1) -> Reference:
    """A hand that rests in the middle of its range over a box at the origin."""
    quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    return Reference(
        "still",
        "leap_right",
        "box",
        HAND.joint_names,
        quaternion[0],
        np.tile(MIDDLE, (frames, 1)),
        np.zeros((frames, 3)),
        quaternion,
        np.zeros((frames, 21, 3)),
    )


def make(worlds: int, phase: int = 2, scale: float = 0.1, config: TrackingConfig = TASK, baseline: np.ndarray | None = None) -> RLEnv:
    return RLEnv(TrackingEnv(TrackingTask(still(), synthetic.box(), baseline), HAND, Teleport(worlds), config), phase, scale)


def test_observations_carry_the_phase_and_outlive_the_next_step():
    env = make(3, config=dataclasses.replace(TASK, start="first"))
    first = env.reset()[GROUP]
    kept = first.clone()
    for n in range(1, 4):
        observation, *_ = env.step(torch.ones(3, 22))
        x = math.pi * n / STEPS
        expected = torch.tensor([math.sin(x), math.sin(2 * x), math.cos(x), math.cos(2 * x)])
        torch.testing.assert_close(observation[GROUP][:, -4:], expected.expand(3, 4))
        assert (observation[GROUP][:, : env.env.layout.size] == env.env._observation).all()
    assert (first == kept).all() and not torch.equal(first, observation[GROUP])


def test_rewards_are_scaled_and_cut_off_episodes_show_what_they_saw_last():
    env = make(2, config=dataclasses.replace(TASK, start="first"))
    env.reset(torch.tensor([0, 2]))
    for n in range(STEPS - 2):
        observation, reward, done, extras = env.step(torch.zeros(2, 22))
        torch.testing.assert_close(reward, 0.1 * extras["reward"])
        assert done.tolist() == extras["time_outs"].tolist() == [False, n == STEPS - 3]
    assert extras["ended_worlds"].tolist() == [1] and extras["cut"].tolist() == [True]
    last, new = extras["cut_observations"][GROUP], observation[GROUP][1:]
    torch.testing.assert_close(last[:, -2:], torch.tensor([[-1.0, 1.0]]), atol=1e-6, rtol=0.0)  # cos(pi), cos(2 pi): the phase of the last frame
    torch.testing.assert_close(new[:, -2:], torch.ones(1, 2))


def test_the_value_of_a_cut_off_episode_is_that_of_its_last_state():
    """The stored return of an episode's last step is the reward plus gamma times what the critic thinks of the state it was cut off in."""
    config = RLConfig(worlds=2, phase=2, ppo=PPOConfig(hidden=(8,), horizon=STEPS, minibatches=1, epochs=1, bootstrap=True), threads=1, vary=0.0)
    torch.manual_seed(0)
    env = make(2, config=dataclasses.replace(TASK, start="first"), scale=config.ppo.reward_scale)
    learner = Learner(env, config, 0)
    seen = []
    step = env.step
    env.step = lambda actions: seen.append(step(actions)) or seen[-1]  # type: ignore[method-assign]
    kept = {}
    update = learner.ppo.update
    learner.ppo.update = lambda: kept.update(rewards=learner.ppo.storage.rewards.clone(), critic=dict(learner.critic.state_dict())) or update()
    value = {}
    before = learner.critic.forward
    learner.critic.forward = lambda o, **k: value.setdefault("last", before(o, **k)) if o.batch_size[0] == 2 and len(seen) == STEPS else before(o, **k)
    learner.iterate(0)
    extras = seen[-1][3]
    assert extras["ended_worlds"].tolist() == [0, 1] and extras["cut"].all()
    expected = config.ppo.reward_scale * extras["reward"] + config.ppo.gamma * value["last"].squeeze(1)
    torch.testing.assert_close(kept["rewards"][-1].squeeze(1), expected)
    torch.testing.assert_close(kept["rewards"][0].squeeze(1), config.ppo.reward_scale * seen[0][3]["reward"])


def test_the_curriculum_tightens_the_bound_that_ends_episodes():
    curriculum = CurriculumConfig(first=0.2, last=0.1, steps=1000)
    assert [curriculum.error(n) for n in (0, 500, 1000, 9000)] == pytest.approx([0.2, 0.15, 0.1, 0.1])
    env = make(2)
    env.reset(0)
    env.env.backend.position[:, 0] += 0.15
    assert not env.step(torch.zeros(2, 22))[2].any()
    env.end_beyond(0.1)
    assert env.env.config.termination == TerminationConfig(object_error=0.1)
    _, _, done, extras = env.step(torch.zeros(2, 22))
    assert done.all() and not extras["time_outs"].any()


def test_training_worlds_have_frictions_and_masses_of_their_own():
    env = make(64)
    Learner(env, RLConfig(worlds=64, phase=2, vary=0.3), 5)
    for scale in env.env.backend.varied:
        assert scale.shape == (64,) and 0.7 <= scale.min() < 0.75 and 1.25 < scale.max() <= 1.3


def test_a_policy_learns_to_undo_a_wrong_baseline():
    """The baseline is 0.1 rad off in every finger joint; the hand's reward alone teaches the residual that brings it back."""
    torch.manual_seed(1)
    task = dataclasses.replace(TASK, reward=RewardConfig(finger=1.0, bonus=0.0, affinity=0.0), start="first")
    wrong = np.tile(MIDDLE + np.array([0.0] * 6 + [0.1] * 16), (STEPS + 1, 1))
    ppo = PPOConfig(hidden=(16,), horizon=12, minibatches=2, learning_rate=3e-3, desired_kl=0.05, std=0.3, reward_scale=0.05)
    learner = Learner(make(32, config=task, baseline=wrong, scale=0.05), RLConfig(worlds=32, phase=2, ppo=ppo, vary=0.0), 0)
    rewards = [learner.iterate(0) for _ in range(20)]
    # Without residual, 16 joints times 0.1 rad cost 1.6 per step; two thirds of that can be won back in six steps from the first frame.
    assert rewards[-1] > rewards[0] + 0.6
