"""Worlds that broke are written for reproduction, and their files reproduce it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dextrack import __version__
from dextrack.errors import InputError
from dextrack.files import read_arrays
from dextrack.hands import load_hand
from dextrack.tracking import bad_world
from dextrack.tracking.config import TrackingConfig
from dextrack.tracking.env import TrackingEnv, make_tracking_env
from dextrack.tracking.task import TrackingTask
from tests import synthetic

HAND = load_hand("leap_right")


@pytest.fixture
def task(reference) -> TrackingTask:
    """120 frames; the hand is 30 cm over the table."""
    hand = np.tile(np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], HAND.rest]), (120, 1)) + 0.01 * reference.hand
    return TrackingTask(dataclasses.replace(reference, joint_names=HAND.joint_names, object_name="box", hand=hand), synthetic.box())


def make(task: TrackingTask, dump: Path | None, worlds: int = 3) -> TrackingEnv:
    env = make_tracking_env(task, HAND, n_worlds=worlds, n_threads=1, seed=5, dump=dump)
    env.reset()
    return env


def break_it(env: TrackingEnv, world: int) -> None:
    """Spin a wrist so fast that no engine follows."""
    env.backend._qvel[world, 3:6] = 1e8


def test_a_file_reproduces_what_broke(task, tmp_path):
    env = make(task, tmp_path / "bad")
    actions = 0.2 * torch.ones(3, 22)
    env.step(actions)
    assert not list((tmp_path / "bad").iterdir())
    break_it(env, 1)
    before, baseline = env.state[1].clone(), task.baseline_hand[1]
    env.step(actions)
    env.backend.close()
    header, arrays = read_arrays(tmp_path / "bad" / "bad_world_0.npz")
    assert [p.name for p in (tmp_path / "bad").iterdir()] == ["bad_world_0.npz"]
    assert (header["world"], header["frame"], header["seed"], header["hand"], header["version"]) == (1, 1, 5, "leap_right", __version__)
    assert (header["reference"], header["reference_digest"]) == (task.reference.name, task.reference.digest)
    assert TrackingConfig.from_dict(header["config"]) == env.config and header["joint_names"] == list(HAND.joint_names)
    state = np.concatenate([arrays["hand"], arrays["object_position_w"], arrays["object_quaternion_w"]])
    np.testing.assert_array_equal(state.astype(np.float32), before.numpy())
    np.testing.assert_allclose(arrays["baseline"], baseline)
    np.testing.assert_allclose(arrays["action"], 0.2)
    np.testing.assert_allclose(arrays["target"], baseline + 2 * 0.2 * env._starts.step.numpy(), atol=1e-8)

    again = make(task, None, worlds=1).backend
    velocity = np.concatenate([arrays["object_linear_velocity_w"], arrays["object_angular_velocity_w"]])
    pose = (arrays["object_position_w"][None], arrays["object_quaternion_w"][None])
    again.reset(arrays["hand"][None], *pose, hand_velocity=arrays["hand_velocity"][None], object_velocity_w=velocity[None])
    assert not len(again.bad_worlds())
    again.step(arrays["target"][None])
    assert list(again.bad_worlds()) == [0]
    again.close()


def test_files_are_limited_and_never_replaced(task, tmp_path, monkeypatch):
    monkeypatch.setattr(bad_world, "LIMIT", 3)
    (tmp_path / "bad_world_1.npz").write_text("of an earlier run")
    env = make(task, tmp_path)
    actions = torch.zeros(3, 22)
    actions[[0, 2], 5] = torch.nan
    for _ in range(2):
        _, _, _, info = env.step(actions)
        assert info.bad_worlds.tolist() == [0, 2]
    env.backend.close()
    assert env.bad_count == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"bad_world_{n}.npz" for n in range(4)]
    assert (tmp_path / "bad_world_1.npz").read_text() == "of an earlier run"
    header, arrays = read_arrays(tmp_path / "bad_world_2.npz")
    assert header["world"] == 2 and np.isnan(arrays["action"][5]) and np.isfinite(arrays["target"]).all()


def test_a_folder_that_cannot_be_made_is_refused_at_once(task, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="written"):
        make(task, tmp_path / "file" / "bad")
