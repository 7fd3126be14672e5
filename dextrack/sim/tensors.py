"""Backends as torch tensors on the device of their worlds: what an environment steps, whether physics runs on the CPU or on a GPU.

An engine on a GPU offers ``TensorBackend`` itself, and nothing goes through the host. For any other ``on_tensors`` lends the same calls to a
``Backend``: its arrays and the tensors are the same memory.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, Optional

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Protocol, runtime_checkable

from dextrack.sim.backend import Backend, Floats, Ints, WorldState


@dataclasses.dataclass(frozen=True)
class WorldTensors:
    """``WorldState`` as tensors, in the engine's precision; the next step may overwrite them."""

    hand: Tensor
    """theta, (W, 22)."""
    hand_velocity: Tensor
    """(W, 22)."""
    object_position_w: Tensor
    """(W, 3)."""
    object_quaternion_w: Tensor
    """(W, 4), wxyz."""
    object_linear_velocity_w: Tensor
    """(W, 3)."""
    object_angular_velocity_w: Tensor
    """(W, 3)."""
    tips_w: Tensor
    """(W, F, 3)."""


@runtime_checkable
class TensorBackend(Backend, Protocol):
    """A backend whose calls also take and give tensors of ``device``."""

    device: str
    """torch's name of where the worlds are: ``cpu``, ``cuda:0``."""

    def reset_tensors(
        self,
        hand: Tensor,
        object_position_w: Optional[Tensor] = None,
        object_quaternion_w: Optional[Tensor] = None,
        worlds: Optional[Tensor] = None,
        hand_velocity: Optional[Tensor] = None,
        targets: Optional[Tensor] = None,
        object_velocity_w: Optional[Tensor] = None,
    ) -> None:
        """``Backend.reset``; ``worlds`` are indices (n,), int64."""

    def step_tensors(self, targets: Tensor) -> None:
        """``Backend.step``."""

    def tensors(self) -> WorldTensors:
        """``Backend.state``."""

    def bad_mask(self) -> Tensor:
        """``Backend.bad_worlds`` as flags (W,), bool."""


class NumpyCalls:
    """The calls of a ``Backend`` for a class that has those of a ``TensorBackend``; arrays go to its device, and come back in double precision."""

    reset_tensors: Callable[..., None]
    step_tensors: Callable[[Tensor], None]
    tensors: Callable[[], WorldTensors]
    bad_mask: Callable[[], Tensor]

    def reset(
        self,
        hand: Floats,
        object_position_w: Optional[Floats] = None,
        object_quaternion_w: Optional[Floats] = None,
        worlds: Optional[Ints] = None,
        hand_velocity: Optional[Floats] = None,
        targets: Optional[Floats] = None,
        object_velocity_w: Optional[Floats] = None,
    ) -> None:
        """See ``Backend.reset``."""
        given = (object_position_w, object_quaternion_w, worlds, hand_velocity, targets, object_velocity_w)
        self.reset_tensors(torch.as_tensor(hand), *(None if array is None else torch.as_tensor(array) for array in given))

    def step(self, targets: Floats) -> None:
        """See ``Backend.step``."""
        self.step_tensors(torch.as_tensor(targets))

    def state(self) -> WorldState:
        """See ``Backend.state``."""
        return WorldState(**{name: value.double().cpu().numpy() for name, value in vars(self.tensors()).items()})

    def bad_worlds(self) -> Ints:
        """See ``Backend.bad_worlds``."""
        return np.flatnonzero(self.bad_mask().cpu().numpy())


class HostTensors:
    """A ``Backend`` on the CPU lent the calls of a ``TensorBackend``."""

    device = "cpu"

    def __init__(self, backend: Backend) -> None:
        """Lend them to ``backend``, which stays whose it is."""
        self._backend = backend
        self.n_worlds = backend.n_worlds
        self.joint_names = backend.joint_names
        self.period = backend.period
        self.reset, self.step, self.state = backend.reset, backend.step, backend.state
        self.vary, self.bad_worlds, self.close = backend.vary, backend.bad_worlds, backend.close

    def reset_tensors(
        self,
        hand: Tensor,
        object_position_w: Optional[Tensor] = None,
        object_quaternion_w: Optional[Tensor] = None,
        worlds: Optional[Tensor] = None,
        hand_velocity: Optional[Tensor] = None,
        targets: Optional[Tensor] = None,
        object_velocity_w: Optional[Tensor] = None,
    ) -> None:
        """See ``TensorBackend.reset_tensors``."""
        given = (object_position_w, object_quaternion_w, worlds, hand_velocity, targets, object_velocity_w)
        self._backend.reset(hand.numpy(), *(None if tensor is None else tensor.numpy() for tensor in given))

    def step_tensors(self, targets: Tensor) -> None:
        """See ``TensorBackend.step_tensors``."""
        self._backend.step(targets.numpy())

    def tensors(self) -> WorldTensors:
        """See ``TensorBackend.tensors``."""
        s, lent = self._backend.state(), torch.from_numpy
        # Views of an engine's memory stay views; what the engine computed is a new array.
        return WorldTensors(
            lent(s.hand),
            lent(s.hand_velocity),
            lent(s.object_position_w),
            lent(s.object_quaternion_w),
            lent(s.object_linear_velocity_w),
            lent(s.object_angular_velocity_w),
            lent(s.tips_w),
        )

    def bad_mask(self) -> Tensor:
        """See ``TensorBackend.bad_mask``."""
        mask = np.zeros(self.n_worlds, dtype=bool)
        mask[self._backend.bad_worlds()] = True
        return torch.from_numpy(mask)


def on_tensors(backend: Backend) -> TensorBackend:
    """``backend`` itself where it is a ``TensorBackend``; else its ``HostTensors``."""
    return backend if isinstance(backend, TensorBackend) else HostTensors(backend)
