"""The environment over a backend without physics, so that every number is known; then over MuJoCo, for what only physics can break."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dextrack import rotations
from dextrack.errors import DexTrackError, InputError
from dextrack.hands import load_hand
from dextrack.objects import ObjectSpec
from dextrack.sim import WorldState
from dextrack.tracking import observation, reward
from dextrack.tracking.config import ActionConfig, ObservationConfig, TerminationConfig, TrackingConfig
from dextrack.tracking.env import TrackingEnv, make_tracking_env
from dextrack.tracking.task import TrackingTask

HAND = load_hand("leap_right")
LOWER, UPPER = HAND.limits()


class Teleport:
    """A backend whose hand is where its target is, and whose object moves 1 mm along x and turns 0.01 rad about z per step."""

    def __init__(self, n_worlds: int) -> None:
        self.n_worlds, self.joint_names, self.period = n_worlds, HAND.joint_names, 1 / 60
        self.hand, self.position = np.zeros((n_worlds, 22)), np.zeros((n_worlds, 3))
        self.quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (n_worlds, 1))
        self.broken = np.zeros(n_worlds, dtype=bool)
        self.resets: list[dict] = []

    def reset(self, hand, object_position_w, object_quaternion_w, worlds=None, hand_velocity=None, targets=None, object_velocity_w=None):
        self.hand[worlds], self.position[worlds], self.quaternion[worlds] = hand, object_position_w, object_quaternion_w
        self.broken[worlds] = False
        self.resets.append({"worlds": np.array(worlds), "hand_velocity": hand_velocity, "targets": targets})

    def step(self, targets):
        self.hand = targets.copy()
        self.position[:, 0] += 1e-3
        self.quaternion = rotations.multiply(rotations.from_rotation_vector([0.0, 0.0, 0.01]), self.quaternion)
        self.hand[self.broken] = np.nan

    def state(self):
        w = self.n_worlds
        tips = self.hand[:, None, :3] + 0.01 * np.arange(4)[:, None]
        return WorldState(self.hand, np.full((w, 22), 7.0), self.position, self.quaternion, np.full((w, 3), 8.0), np.full((w, 3), 9.0), tips)

    def vary(self, friction_scale, mass_scale):
        raise NotImplementedError

    def bad_worlds(self):
        return np.flatnonzero(~np.isfinite(self.hand).all(axis=1))

    def close(self):
        pass


@pytest.fixture
def task(make_reference) -> TrackingTask:
    """20 steps; hand within limits."""
    reference = make_reference(np.linspace(0.0, 0.1, 21))
    middle = 0.5 * (LOWER + UPPER)
    reference = dataclasses.replace(reference, hand=middle + 0.02 * reference.hand)
    v = 0.02 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    f = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
    f = f.astype(np.int32)
    return TrackingTask(reference, ObjectSpec("cube", v, f, ((v, f),), mass=0.06))


def part(env: TrackingEnv, o: torch.Tensor, name: str) -> np.ndarray:
    return o[:, env.layout.slices[name]].numpy()


def test_reset_shows_frame_zero_and_the_goal_of_frame_one(task):
    env = TrackingEnv(task, HAND, Teleport(3))
    o, r = env.reset(), task.reference
    np.testing.assert_allclose(part(env, o, "hand"), np.tile(r.hand[0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(part(env, o, "goal_hand"), np.tile(r.hand[1], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(part(env, o, "baseline"), np.tile(r.hand[0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(part(env, o, "target"), np.tile(r.hand[0], (3, 1)), atol=1e-6)
    for name in ("hand_velocity", "object_linear_velocity_w", "object_angular_velocity_w"):
        assert (part(env, o, name) == 0.0).all()


def test_targets_are_baseline_plus_accumulated_residual(task):
    env = TrackingEnv(task, HAND, Teleport(2))
    env.reset()
    actions = 0.1 * torch.randn(8, 2, 22, generator=torch.Generator().manual_seed(0))
    step = np.array([0.5 / 60] * 6 + [20 / 60] * 16)
    for n in range(8):
        o, *_ = env.step(actions[n])
        expected = task.reference.hand[n] + actions[: n + 1].double().sum(dim=0).numpy() * step
        np.testing.assert_allclose(env.backend.hand, expected, atol=1e-12)
        np.testing.assert_allclose(part(env, o, "target"), expected, atol=1e-6)


def test_a_step_is_rewarded_on_the_next_state_against_the_next_goal(task):
    env = TrackingEnv(task, HAND, Teleport(2))
    env.reset()
    for n in range(5):
        _, total, _, info = env.step(torch.zeros(2, 22))
        b, r = env.backend, task.reference
        expected, terms = reward.reward(
            env.config.reward, reward.hand_weights(env.config.reward, 22).double(), torch.as_tensor(b.hand), torch.as_tensor(r.hand[[n + 1] * 2]),
            torch.as_tensor(b.position), torch.as_tensor(r.object_position_w[[n + 1] * 2]), torch.as_tensor(b.quaternion),
            torch.as_tensor(r.object_quaternion_w[[n + 1] * 2]), torch.as_tensor(b.state().tips_w),
        )  # fmt: skip
        np.testing.assert_allclose(total, expected, atol=1e-5)
        assert set(info.terms) == set(terms)


@pytest.mark.parametrize("source", ["finite difference", "engine"])
def test_velocities_come_from_where_the_configuration_says(task, source):
    env = TrackingEnv(task, HAND, Teleport(1), TrackingConfig(observation=ObservationConfig(velocity=source)))
    env.reset()
    for _ in range(3):
        before = env.backend.hand.copy()
        o, *_ = env.step(torch.zeros(1, 22))
    if source == "engine":
        expected = [7.0, 8.0, 9.0]
    else:
        expected = [(env.backend.hand - before) * 60, [[0.06, 0.0, 0.0]], [[0.0, 0.0, 0.6]]]
    for name, value in zip(("hand_velocity", "object_linear_velocity_w", "object_angular_velocity_w"), expected, strict=True):
        np.testing.assert_allclose(part(env, o, name), np.broadcast_to(value, part(env, o, name).shape), atol=2e-4)


def test_the_references_end_is_a_time_out_and_a_new_episode(task):
    env = TrackingEnv(task, HAND, Teleport(2))
    first = env.reset(frames=torch.tensor([0, 15])).clone()
    for n in range(1, 21):
        o, _, done, info = env.step(torch.zeros(2, 22))
        assert torch.equal(done, info.time_outs)
        assert done.tolist() == [n == 20, n == 5]
        if n == 5:
            assert info.final_worlds.tolist() == [1] and env.frame.tolist() == [5, 0]
            # The last observation is of frame 20; the one returned is of the next episode's frame 0.
            last = info.final_observation[:, env.layout.slices["object_position_w"]].numpy()
            np.testing.assert_allclose(last[0], task.reference.object_position_w[15] + [5e-3, 0.0, 0.0], atol=1e-6)
            np.testing.assert_allclose(o[1], first[0], atol=1e-6)
        if n == 20:
            break
    # World 1 has come to frame 15 of its second episode.
    assert env.frame.tolist() == [0, 15]


def test_object_error_terminates_and_the_horizon_times_out(task):
    config = TrackingConfig(termination=TerminationConfig(object_error=0.02, horizon=3))
    env = TrackingEnv(task, HAND, Teleport(2), config)
    env.reset()
    env.backend.position[1] += 0.03
    _, _, done, info = env.step(torch.zeros(2, 22))
    assert done.tolist() == [False, True] and info.time_outs.tolist() == [False, False]
    env.step(torch.zeros(2, 22))
    _, _, done, info = env.step(torch.zeros(2, 22))
    assert done.tolist() == [True, False] and info.time_outs.tolist() == [True, False]


@dataclasses.dataclass
class MadeExpert:
    targets: np.ndarray
    hand: np.ndarray
    hand_velocity: np.ndarray
    object_position_w: np.ndarray
    object_quaternion_w: np.ndarray


def expert_of(task: TrackingTask) -> MadeExpert:
    r, rng = task.reference, np.random.default_rng(5)
    return MadeExpert(
        r.hand[:-1] + 0.01 * rng.normal(size=(20, 22)), r.hand + 0.01, rng.normal(size=(21, 22)), r.object_position_w + 0.01, r.object_quaternion_w
    )


def test_an_episode_that_starts_mid_sequence_starts_with_the_experts_state_and_residual(task):
    expert = expert_of(task)
    env = TrackingEnv(task, HAND, Teleport(2), expert=expert)
    o = env.reset(frames=torch.tensor([7, 0]))
    np.testing.assert_allclose(part(env, o, "hand")[0], expert.hand[7], atol=1e-6)
    np.testing.assert_allclose(part(env, o, "object_position_w")[0], expert.object_position_w[7], atol=1e-6)
    np.testing.assert_allclose(part(env, o, "target")[0], expert.targets[6], atol=1e-6)
    np.testing.assert_allclose(part(env, o, "hand_velocity")[0], (expert.hand[7] - expert.hand[6]) * 60, atol=1e-3)
    np.testing.assert_array_equal(env.backend.resets[0]["hand_velocity"], [expert.hand_velocity[7], np.zeros(22)])
    env.step(torch.zeros(2, 22))
    np.testing.assert_allclose(env.backend.hand[0], task.reference.hand[7] + expert.targets[6] - task.reference.hand[6], atol=1e-12)
    np.testing.assert_allclose(env.backend.hand[1], task.reference.hand[0], atol=1e-12)


def test_an_experts_actions_replay_its_targets(task):
    from dextrack.tracking import action

    expert = expert_of(task)
    env = TrackingEnv(task, HAND, Teleport(1), TrackingConfig(action=ActionConfig(wrist_translation_rate=9.0, wrist_rotation_rate=9.0)))
    starts = env._starts
    p = action.project(torch.as_tensor(expert.targets), torch.as_tensor(task.reference.hand), starts.step, starts.lower, starts.upper)
    env.reset()
    for n in range(20):
        env.step(p.actions[n : n + 1])
        if n < 19:
            np.testing.assert_allclose(env.backend.hand[0], expert.targets[n], atol=1e-12)


def test_uniform_starts_are_spread_and_repeat_for_a_seed(task):
    def frames(seed: int) -> list[int]:
        env = TrackingEnv(task, HAND, Teleport(200), TrackingConfig(start="uniform"), seed=seed)
        env.reset()
        return env.frame.tolist()

    assert set(frames(0)) == set(range(20)) and frames(0) == frames(0) != frames(1)


@pytest.mark.parametrize("cause", ["physics", "action"])
def test_a_bad_world_is_contained_and_reported(task, cause):
    """World 1 breaks at the third step; the others see what they see without it."""
    runs = []
    for broken in (False, True):
        env = TrackingEnv(task, HAND, Teleport(3))
        env.reset()
        seen = []
        for n in range(5):
            actions = 0.1 * torch.ones(3, 22)
            if broken and n == 2:
                if cause == "physics":
                    env.backend.broken[1] = True
                else:
                    actions[1, 4] = float("nan")
            o, total, done, info = env.step(actions)
            assert torch.isfinite(o).all() and torch.isfinite(total).all()
            assert info.bad_worlds.tolist() == ([1] if broken and n == 2 else [])
            if broken and n == 2:
                assert total[1] == 0.0 and done.tolist() == [False, True, False] and not info.time_outs.any() and env.frame[1] == 0
                assert torch.isfinite(info.final_observation).all() and info.final_worlds.tolist() == [1]
            seen.append(o[[0, 2]].clone())
        assert env.bad_count == int(broken)
        runs.append(torch.stack(seen))
    assert torch.equal(*runs)


def test_misuse_is_refused(task):
    with pytest.raises(DexTrackError, match="before reset"):
        TrackingEnv(task, HAND, Teleport(1)).step(torch.zeros(1, 22))
    with pytest.raises(InputError, match="start frames"):
        TrackingEnv(task, HAND, Teleport(1)).reset(frames=20)
    with pytest.raises(InputError, match="object feature"):
        TrackingEnv(task, HAND, Teleport(1), object_feature=torch.zeros(3))
    with pytest.raises(InputError, match="period"):
        slow = Teleport(1)
        slow.period = 1 / 30
        TrackingEnv(task, HAND, slow)
    with pytest.raises(InputError, match="joints"):
        other = dataclasses.replace(task.reference, joint_names=tuple(reversed(task.reference.joint_names)))
        TrackingEnv(TrackingTask(other, task.object), HAND, Teleport(1))
    with pytest.raises(InputError, match="expert"):
        TrackingEnv(task, HAND, Teleport(1), expert=dataclasses.replace(expert_of(task), targets=np.zeros((5, 22))))
    with pytest.raises(InputError, match="object"):
        TrackingTask(task.reference, dataclasses.replace(task.object, name="ball"))


def test_mujoco_repeats_itself_and_worlds_do_not_touch(task):
    def run(threads: int, worlds: int) -> torch.Tensor:
        env = make_tracking_env(task, HAND, n_worlds=worlds, n_threads=threads)
        env.reset()
        generator = torch.Generator().manual_seed(0)
        out = [env.step(0.3 * torch.randn(4, 22, generator=generator)[:worlds])[0].clone()[:2] for _ in range(10)]
        env.backend.close()
        return torch.stack(out)

    one = run(1, 4)
    assert torch.equal(one, run(2, 4)) and torch.equal(one, run(1, 2))


def test_a_diverging_mujoco_world_is_contained(task):
    env = make_tracking_env(task, HAND, n_worlds=3, n_threads=1)
    env.reset()
    env.step(torch.zeros(3, 22))
    env.backend._qpos[1, 0] = np.nan
    o, total, done, info = env.step(torch.zeros(3, 22))
    assert info.bad_worlds.tolist() == [1] and done.tolist() == [False, True, False] and total[1] == 0.0
    assert torch.isfinite(o).all() and env.frame.tolist() == [2, 0, 2]
    _, _, done, info = env.step(torch.zeros(3, 22))
    assert not done.any() and len(info.bad_worlds) == 0


def test_observation_module_and_env_agree_on_the_layout(task):
    env = TrackingEnv(task, HAND, Teleport(1))
    assert env.reset().shape == (1, env.observation_size) == (1, observation.make_layout(env.config.observation, HAND.joint_names, "1234").size)
