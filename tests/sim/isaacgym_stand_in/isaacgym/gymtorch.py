"""Stand-in for isaacgym.gymtorch: torch tensors over the descriptors of gymapi, and back."""

from __future__ import annotations

import weakref

import torch

from . import gymapi

_DTYPES = {
    torch.float32: gymapi.DTYPE_FLOAT32,
    torch.uint8: gymapi.DTYPE_UINT8,
    torch.int16: gymapi.DTYPE_INT16,
    torch.int32: gymapi.DTYPE_UINT32,
    torch.int64: gymapi.DTYPE_UINT64,
}


def wrap_tensor(gym_tensor: gymapi.Tensor, offsets=None, counts=None) -> torch.Tensor:
    """A torch tensor on the descriptor's own memory."""
    return torch.from_numpy(gym_tensor.memory())


def unwrap_tensor(torch_tensor: torch.Tensor) -> gymapi.Tensor:
    """A descriptor of the tensor's memory; it does not keep the tensor alive, as an address does not."""
    if not torch_tensor.is_contiguous():
        raise Exception("Input tensor must be contiguous")
    if torch_tensor.dtype not in _DTYPES:
        raise Exception("Unsupported Gym tensor dtype")
    reference = weakref.ref(torch_tensor)

    def memory():
        alive = reference()
        if alive is None:
            raise RuntimeError("stand-in: the tensor was freed before the engine read it.")
        return alive.detach().numpy()

    return gymapi.Tensor.of(memory, _DTYPES[torch_tensor.dtype], tuple(torch_tensor.shape))
