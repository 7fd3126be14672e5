"""The RL tracker where the backend's worlds are: what an iteration does on a GPU, checked without one, and a training in MuJoCo Warp's worlds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dextrack.cli import main
from dextrack.errors import InputError
from dextrack.mining import rl_checkpoint, rl_tracker
from dextrack.mining.rl_config import TASK, CurriculumConfig, PPOConfig, RLConfig, comparable
from dextrack.mining.rl_env import RLEnv
from dextrack.mining.rl_evaluation import Recorder, zero_action
from dextrack.mining.rl_learner import Learner
from dextrack.mining.rl_tracker import track_by_rl
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.sim.tensors import TensorBackend
from dextrack.tracking.config import TerminationConfig
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.task import TrackingTask
from tests import synthetic
from tests.devices import DEVICES
from tests.tracking.on_device import HAND, WORLDS, OnTheDevice, StandIn, forbid_the_host, without_memory

PPO = PPOConfig(hidden=(8,), horizon=12, minibatches=2, epochs=1, bootstrap=True)
CONFIG = RLConfig(worlds=WORLDS, phase=2, ppo=PPO, curriculum=CurriculumConfig(active=False), threads=1)
STEPS = 6


class Worlds(StandIn):
    """With friction and mass that are not looked at."""

    def vary(self, friction_scale, mass_scale):
        """Made once, before training."""


def task() -> TrackingTask:
    """A hand that rests in the middle of its range over a box that it never reaches."""
    frames, quaternion = STEPS + 1, np.tile([1.0, 0.0, 0.0, 0.0], (STEPS + 1, 1))
    hand = np.tile(np.array(HAND.limits()).mean(axis=0), (frames, 1))
    still = Reference("still", "leap_right", "box", HAND.joint_names, quaternion[0], hand, np.zeros((frames, 3)), quaternion, np.zeros((frames, 21, 3)))
    return TrackingTask(still, synthetic.box())


def learner(device: str = "cpu") -> Learner:
    torch.manual_seed(0)
    config = dataclasses.replace(TASK, termination=TerminationConfig(object_error=0.03))
    return Learner(RLEnv(TrackingEnv(task(), HAND, Worlds(device), config), CONFIG.phase, CONFIG.ppo.reward_scale), CONFIG, 0)


def test_a_rollout_waits_for_the_device_once_a_step(monkeypatch):
    """Episodes end in it by time and by the object's error, and the value of those that were cut off is bootstrapped."""
    learning, ended = learner(), []
    step = learning.env.step

    def watched(actions):
        out = step(actions)
        ended.append(out[3])
        return out

    learning.env.step = watched  # type: ignore[method-assign]
    learning.rollout(0)  # begins the episodes
    learning.ppo.storage.clear()
    ended.clear()
    with monkeypatch.context() as patch, OnTheDevice() as device:
        forbid_the_host(patch)
        reward = learning.rollout(0)
    assert device.counts["nonzero"] == CONFIG.ppo.horizon
    assert float(reward) == pytest.approx(sum(float(extras["reward"].mean()) for extras in ended) / CONFIG.ppo.horizon)
    flags = torch.cat([extras["cut"] for extras in ended])
    assert flags.any() and not flags.all()


def test_a_rollout_and_its_storage_are_where_the_worlds_are(monkeypatch):
    without_memory(monkeypatch)
    learning = learner("meta")
    reward = learning.rollout(0)
    stored = learning.ppo.storage
    tensors = [reward, stored.rewards, stored.actions, stored.returns, stored.advantages, *stored.observations.values(), *learning.actor.parameters()]
    tensors += [*learning.critic.parameters(), *(v for k, v in learning.state().items() if k != "random")]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_what_a_recorder_keeps_stays_on_the_device_until_it_is_asked_for(monkeypatch):
    worlds = Worlds()
    recorder = Recorder(worlds)
    assert isinstance(recorder, TensorBackend) and recorder.device == "cpu"
    env = RLEnv(TrackingEnv(task(), HAND, recorder, TASK), 2, 1.0)
    observation = env.reset(0)
    recorder.keep()
    hands, targets = [worlds.hand.clone()], []
    with monkeypatch.context() as patch:
        forbid_the_host(patch)
        for n in range(3):
            observation, *_ = env.step(zero_action(observation) + 0.1 * n)
            hands.append(worlds.hand.clone())
            targets.append(env.env._target.clone())
    kept_targets, kept_hand, position, quaternion = recorder.recorded()
    np.testing.assert_allclose(kept_targets, torch.stack(targets, dim=1), atol=1e-6)
    np.testing.assert_array_equal(kept_hand, torch.stack(hands, dim=1))
    assert kept_targets.dtype == kept_hand.dtype == np.float64 and position.shape == (WORLDS, 4, 3) and quaternion.shape == (WORLDS, 4, 4)
    recorder.clear()
    recorder.keep()
    with pytest.raises(RuntimeError):
        recorder.recorded()  # no step since


@pytest.mark.parametrize("device", DEVICES)
def test_a_checkpoint_goes_to_the_host_and_back(tmp_path, device):
    """What it holds is of no device."""
    trained, fresh = learner(device), learner(device)
    trained.iterate(0)
    rl_checkpoint.save(tmp_path / "a.safetensors", trained.state(), {})
    state, _ = rl_checkpoint.load(tmp_path / "a.safetensors")
    fresh.restore(state, 1e-3)
    assert all(torch.equal(value, fresh.state()[name]) for name, value in trained.state().items()) and fresh.ppo.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"backend": "remote"}, "remote"),
        ({"device": "cuda:0"}, "mujoco runs on the CPU"),
        ({"contacts_per_world": 100}, "contacts_per_world is 100 of backend mujoco"),
        ({"backend": "mujoco_warp", "constraints_per_world": 0}, "constraints_per_world is 0"),
    ],
)
def test_backends_and_devices_that_do_not_go_together_are_refused(settings, cause):
    with pytest.raises(InputError, match=cause):
        RLConfig(**settings)


def test_room_is_given_to_the_worlds_and_does_not_change_what_is_learnt(lift, monkeypatch):
    given = {}
    monkeypatch.setattr(rl_tracker, "make_backend", lambda name, *args, **options: given.update(options, name=name))
    wide = RLConfig(backend="mujoco_warp", device="cpu", contacts_per_world=200, constraints_per_world=500)
    rl_tracker._make_worlds(build_scene(HAND, lift.base_quaternion_w, synthetic.box()), lift, synthetic.box(), wide, 3)
    assert (given["name"], given["n_worlds"], given["contacts_per_world"], given["constraints_per_world"]) == ("mujoco_warp", 3, 200, 500)
    # What was learnt with less room, and its checkpoint, stay good.
    assert comparable(wide) == comparable(dataclasses.replace(wide, contacts_per_world=None, constraints_per_world=None))


@pytest.fixture
def lift() -> Reference:
    """10 steps in which a box is lifted."""
    whole = Reference.load(Path(__file__).parent / "box_lift.npz")
    arrays = {k: getattr(whole, k)[40:51] for k in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")}
    return dataclasses.replace(whole, **arrays, provenance={})


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_command_refuses_a_gpu_that_is_not_there(lift, tmp_path, data_folder, capsys):
    pytest.importorskip("mujoco_warp")
    (tmp_path / "references").mkdir()
    lift.save(tmp_path / "references" / "lift.npz")
    (tmp_path / "objects").mkdir()
    synthetic.box().save(tmp_path / "objects" / "box.npz")
    command = ["mine", str(tmp_path / "references" / "lift.npz"), "--tracker", "rl", "--out", str(tmp_path / "rl.h5")]
    assert main([*command, "--rl.backend", "mujoco_warp", "--rl.device", "cuda:0"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "device cuda:0 is not there" in said and "Remedy" in said and not list(tmp_path.glob("*.h5"))
    assert main([*command, "--rl.device", "cuda:0"]) == 2
    assert "mujoco runs on the CPU" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.timeout(600)  # Warp's CPU device takes seconds per engine, of which there are six here
@pytest.mark.parametrize("device", DEVICES)
def test_a_training_in_mujoco_warps_worlds_is_mujocos_within_single_precision(lift, tmp_path, device):
    """The baseline alone goes the same way in both engines; training begins, is saved and goes on."""
    pytest.importorskip("mujoco_warp")
    tiny = RLConfig(worlds=2, budget=12, evaluate_every=1, phase=1, ppo=PPOConfig(hidden=(16,), horizon=6, minibatches=2, epochs=2), threads=1)
    warp = dataclasses.replace(tiny, backend="mujoco_warp", device=device)
    made = track_by_rl(lift, synthetic.box(), None, warp, 3, checkpoint=tmp_path / "a.safetensors").provenance
    of_mujoco = track_by_rl(lift, synthetic.box(), None, dataclasses.replace(tiny, budget=0), 3).provenance
    assert made["zero"]["t_err_m"] == pytest.approx(of_mujoco["zero"]["t_err_m"], abs=1e-3)
    assert made["zero"]["return_per_step"] == pytest.approx(of_mujoco["zero"]["return_per_step"], abs=0.1)  # a bonus of 1 may begin a step later
    assert [e["control_steps"] for e in made["curve"]] == [0, 12] and made["config"]["backend"] == "mujoco_warp"
    more = track_by_rl(lift, synthetic.box(), None, dataclasses.replace(warp, budget=24), 3, checkpoint=tmp_path / "a.safetensors").provenance
    assert more["curve"][:2] == made["curve"] and more["control_steps"] == 24
