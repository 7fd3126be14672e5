"""Worlds that speak tensors, and a watch over what is done with them: a GPU's rules, checked without one."""

from __future__ import annotations

import collections

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dextrack.hands import load_hand
from dextrack.sim.tensors import WorldTensors

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

    def __init__(self) -> None:
        super().__init__()
        self.counts: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "masked_select", "equal"), f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), "an index of flags waits for the device"
        self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def no_host(*_, **__):
    raise AssertionError("the step went through the host")


def forbid_the_host(patch: pytest.MonkeyPatch) -> None:
    """Refuse every call that brings a tensor's values to the host, or the host's values to a tensor, until ``patch`` is undone."""
    for name in ("numpy", "cpu", "item", "tolist", "__array__", "__bool__", "__int__", "__float__", "__index__"):
        patch.setattr(torch.Tensor, name, no_host)
    for name in ("tensor", "as_tensor", "from_numpy"):
        patch.setattr(torch, name, no_host)


class NoGenerator:
    """Stands for ``torch.Generator`` on torch's device without memory, which has none: None is the default one."""

    def __init__(self, device: torch.device) -> None:
        assert device == torch.device("meta")

    def manual_seed(self, seed: int) -> None:
        """Nothing to seed."""


def without_memory(patch: pytest.MonkeyPatch) -> None:
    """Make do on torch's device without memory, where an operation that mixes devices fails as it does on a GPU, and a copy to the host does too."""
    patch.setattr(torch, "Generator", NoGenerator)
    # How many worlds ended is data, which that device has none of.
    patch.setattr(torch.Tensor, "nonzero", lambda self: torch.zeros(2, 1, dtype=torch.int64, device=self.device))
