"""Arrays where worlds are: numpy on the host, torch on a device, under the names that both have. What computes with rollouts is written once, over these.

On the host nothing but numpy is called, in double precision, so that what was computed before is computed again to the last bit. ``xp`` is numpy or torch;
torch understands numpy's ``axis``, and its functions have numpy's names or aliases of them. What differs between the two is here.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Protocol

from dextrack.sim.backend import Floats

Array = Any
"""A numpy array, or a torch tensor on a device."""


class Arrays(Protocol):
    """Makes arrays where the worlds are."""

    xp: Any
    """numpy or torch."""
    device: Optional[str]
    """torch's name of the device; None: the host, where arrays are numpy's."""

    def array(self, values: ArrayLike) -> Array:
        """A new array of floating-point numbers, from the host or from there."""

    def index(self, values: ArrayLike) -> Array:
        """Indices, from the host."""

    def host(self, array: Array) -> Floats:
        """``array`` as numpy's, in double precision."""

    def normal(self, seed: int) -> Callable[[Tuple[int, ...]], Array]:
        """A generator of standard normal numbers: called with a shape, it draws them there."""


class HostArrays:
    """numpy in double precision."""

    xp: Any = np
    device: Optional[str] = None

    def array(self, values: ArrayLike) -> Array:
        """See ``Arrays.array``."""
        return np.array(values, dtype=np.float64)

    def index(self, values: ArrayLike) -> Array:
        """See ``Arrays.index``."""
        return np.asarray(values, dtype=np.intp)

    def host(self, array: Array) -> Floats:
        """See ``Arrays.host``; nothing is copied."""
        out: Floats = array
        return out

    def normal(self, seed: int) -> Callable[[Tuple[int, ...]], Array]:
        """See ``Arrays.normal``."""
        rng = np.random.default_rng(seed)
        return lambda shape: rng.normal(size=shape)


class DeviceArrays:
    """torch in single precision, the engine's on a GPU."""

    def __init__(self, device: str) -> None:
        """Arrays of ``device``: ``cuda:0``, ``cpu``."""
        import torch

        self.xp: Any = torch
        self.device: Optional[str] = device

    def array(self, values: ArrayLike) -> Array:
        """See ``Arrays.array``."""
        torch = self.xp
        given = values.detach() if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values, dtype=np.float64))
        return given.to(device=self.device, dtype=torch.float32, copy=True)

    def index(self, values: ArrayLike) -> Array:
        """See ``Arrays.index``."""
        return self.xp.as_tensor(np.asarray(values, dtype=np.int64), device=self.device)

    def host(self, array: Array) -> Floats:
        """See ``Arrays.host``."""
        out: Floats = array.double().cpu().numpy()
        return out

    def normal(self, seed: int) -> Callable[[Tuple[int, ...]], Array]:
        """See ``Arrays.normal``; other numbers than numpy's for the same seed, and other ones on another kind of device."""
        generator = self.xp.Generator(device=self.device).manual_seed(seed)
        return lambda shape: self.xp.randn(shape, generator=generator, device=self.device)
