"""The environment over worlds that speak tensors: what a step does on a GPU, checked without one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dextrack.hands import load_hand
from dextrack.sim.tensors import TensorBackend, WorldTensors, on_tensors
from dextrack.tracking.config import ObservationConfig, TerminationConfig, TrackingConfig
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.task import TrackingTask
from tests import synthetic

HAND = load_hand("leap_right")
WORLDS = 6


class StandIn:
    """A ``TensorBackend`` without physics, in single precision: the hand is where its target is, the object drifts, worlds in ``broken`` break."""

    def __init__(self, device: str = "cpu") -> None:
        self.n_worlds, self.joint_names, self.period, self.device = WORLDS, HAND.joint_names, 1 / 60, device
        self.hand, self.position = torch.zeros(WORLDS, 22, device=device), torch.zeros(WORLDS, 3, device=device)
        self.quaternion = torch.zeros(WORLDS, 4, device=device)
        self.drift = torch.linspace(0.0, 1e-2, WORLDS, device=device)
        self.broken = torch.zeros(WORLDS, dtype=torch.bool, device=device)

    def reset_tensors(self, hand, object_position_w, object_quaternion_w, worlds, hand_velocity, targets, object_velocity_w):
        for column, values in ((self.hand, hand), (self.position, object_position_w), (self.quaternion, object_quaternion_w)):
            column.index_copy_(0, worlds, values.float())
        self.broken.index_fill_(0, worlds, False)

    def step_tensors(self, targets):
        self.hand.copy_(targets).masked_fill_(self.broken.unsqueeze(1), torch.nan)
        self.position[:, 1] += self.drift

    def tensors(self):
        still = torch.zeros_like(self.position)
        return WorldTensors(self.hand, torch.zeros_like(self.hand), self.position, self.quaternion, still, still, self.hand[:, None, :3].repeat(1, 4, 1))

    def bad_mask(self):
        return self.hand.isnan().any(dim=1)

    def of_the_host(self, *_, **__):
        raise AssertionError("arrays of the host were asked of worlds that speak tensors")

    reset = step = state = bad_worlds = vary = close = of_the_host


class OnTheDevice(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU, and counts ``nonzero``, which does too."""

    waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "masked_select", "equal"), f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), "an index of flags waits for the device"
        self.waits += name == "nonzero"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def task(reference) -> TrackingTask:
    """120 frames."""
    middle = np.array(HAND.limits()).mean(axis=0)
    return TrackingTask(dataclasses.replace(reference, joint_names=HAND.joint_names, object_name="box", hand=middle + 0.02 * reference.hand), synthetic.box())


CONFIG = TrackingConfig(start="uniform", start_first=0.3, start_offset=0.01, start_turn=0.1, termination=TerminationConfig(object_error=0.2, horizon=9))


def no_host(*_, **__):
    raise AssertionError("the step went through the host")


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
        for name in ("numpy", "cpu", "item", "tolist", "__array__", "__bool__", "__int__", "__float__", "__index__"):
            patch.setattr(torch.Tensor, name, no_host)
        for name in ("tensor", "as_tensor", "from_numpy"):
            patch.setattr(torch, name, no_host)
        for n in range(20):
            if n == 11:
                worlds.broken.index_fill_(0, torch.ones(1, dtype=torch.int64), True)
            observation, total, done, info = env.step(actions[n])
            seen += [observation.clone(), total, info.final_observation]
            ended.append((done, info))
        waits = device.waits
    assert waits == 20
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
    """On torch's device without memory, where an operation that mixes devices fails as it does on a GPU."""

    class NoGenerator:
        def __init__(self, device: torch.device) -> None:
            assert device == torch.device("meta")

        def manual_seed(self, seed: int) -> None:
            """That device has no generator: None is the default one."""

    monkeypatch.setattr(torch, "Generator", NoGenerator)
    # How many worlds ended is data, which that device has none of.
    monkeypatch.setattr(torch.Tensor, "nonzero", lambda self: torch.zeros(2, 1, dtype=torch.int64, device=self.device))
    env = TrackingEnv(task, HAND, StandIn("meta"), CONFIG)
    tensors = [env.reset(object_pose_w=(np.zeros((WORLDS, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (WORLDS, 1))))]
    observation, total, done, info = env.step(torch.zeros(WORLDS, 22, device="meta"))
    tensors += [observation, total, done, info.time_outs, info.bad, info.final_worlds, info.final_observation, *info.terms.values(), env.frame, env.state]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
