"""The environment over worlds that speak tensors: what a step does on a GPU, checked without one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dextrack.sim.tensors import TensorBackend, on_tensors
from dextrack.tracking.config import ObservationConfig, TerminationConfig, TrackingConfig
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.task import TrackingTask
from tests import synthetic
from tests.tracking.on_device import HAND, WORLDS, OnTheDevice, StandIn, forbid_the_host, without_memory


@pytest.fixture
def task(reference) -> TrackingTask:
    """120 frames."""
    middle = np.array(HAND.limits()).mean(axis=0)
    return TrackingTask(dataclasses.replace(reference, joint_names=HAND.joint_names, object_name="box", hand=middle + 0.02 * reference.hand), synthetic.box())


CONFIG = TrackingConfig(start="uniform", start_first=0.3, start_offset=0.01, start_turn=0.1, termination=TerminationConfig(object_error=0.2, horizon=9))


@pytest.mark.parametrize("velocity", ["finite difference", "engine"])
def test_a_step_stays_on_the_device_and_waits_for_it_once(task, monkeypatch, velocity):
    config = dataclasses.replace(CONFIG, observation=ObservationConfig(velocity=velocity))
    worlds = StandIn()
    env = TrackingEnv(task, HAND, worlds, config)
    env.reset()
    env.step(torch.zeros(WORLDS, 22))  # the constants of the rotations are made once per device
    actions = 0.1 * torch.randn(20, WORLDS, 22, generator=torch.Generator().manual_seed(0))
    actions[4, 2, 7] = torch.nan
    seen, ended = [], []
    with monkeypatch.context() as patch, OnTheDevice() as device:
        forbid_the_host(patch)
        for n in range(20):
            if n == 11:
                worlds.broken.index_fill_(0, torch.ones(1, dtype=torch.int64), True)
            observation, total, done, info = env.step(actions[n])
            seen += [observation.clone(), total, info.final_observation]
            ended.append((done, info))
    assert device.counts["nonzero"] == 20
    assert [n for n, (_, info) in enumerate(ended) if len(info.bad_worlds)] == [4, 11] and env.bad_count == 2
    assert ended[4][1].bad_worlds.tolist() == [2] and ended[11][1].bad_worlds.tolist() == [1]
    assert sum(int(done.sum()) for done, _ in ended) >= 2 * WORLDS
    assert all(torch.isfinite(values).all() for values in seen)


def test_the_checks_see_what_they_look_for():
    values = torch.arange(3.0)
    for wait in (lambda: values[values > 1.0], lambda: float(values[0]), lambda: values.masked_select(values > 1.0)):
        with pytest.raises(AssertionError, match="device"), OnTheDevice():
            wait()


def test_worlds_in_single_precision_get_double_targets_and_keep_their_own_numbers(task):
    worlds = StandIn()
    assert isinstance(worlds, TensorBackend) and on_tensors(worlds) is worlds
    env = TrackingEnv(task, HAND, worlds, CONFIG)
    assert env.backend is worlds and env.device == torch.device("cpu")
    env.reset(3)
    for _ in range(4):
        observation, *_ = env.step(0.3 * torch.ones(WORLDS, 22))
    part = env.layout.slices
    assert torch.equal(observation[:, part["hand"]], observation[:, part["target"]])
    assert torch.equal(env.state, torch.cat([worlds.hand, worlds.position, worlds.quaternion], dim=1))


def test_every_tensor_is_where_the_worlds_are(task, monkeypatch):
    without_memory(monkeypatch)
    env = TrackingEnv(task, HAND, StandIn("meta"), CONFIG)
    tensors = [env.reset(object_pose_w=(np.zeros((WORLDS, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (WORLDS, 1))))]
    observation, total, done, info = env.step(torch.zeros(WORLDS, 22, device="meta"))
    tensors += [observation, total, done, info.time_outs, info.bad, info.final_worlds, info.final_observation, *info.terms.values(), env.frame, env.state]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
