"""The torch side of ``SignedDistance.query``: the same numbers, with the gradient that the grid gives, or on a device and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np
import torch

if TYPE_CHECKING:
    from dextrack.objects.distance import SignedDistance


class _Distance(torch.autograd.Function):
    """Interpolation on the CPU in numpy, as a node of torch's graph."""

    @staticmethod
    def forward(ctx: Any, points_o: torch.Tensor, grid: SignedDistance) -> torch.Tensor:
        d, g = grid.query(points_o.detach().cpu().numpy())
        ctx.save_for_backward(torch.as_tensor(g, dtype=points_o.dtype, device=points_o.device))
        return torch.as_tensor(d, dtype=points_o.dtype, device=points_o.device)

    @staticmethod
    def backward(ctx: Any, *grad: torch.Tensor) -> Tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grad[0].unsqueeze(-1) * gradient, None


def distance(grid: SignedDistance, points_o: torch.Tensor) -> torch.Tensor:
    """Distance (...) in m of ``points_o`` (..., 3), m, object frame; differentiable once."""
    out: torch.Tensor = _Distance.apply(points_o, grid)
    return out


_CORNERS = [[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]


class DeviceDistance:
    """``SignedDistance`` on a device: nothing goes through the host, and no gradient is kept. Single precision is good to a micrometre."""

    def __init__(self, grid: SignedDistance, device: str) -> None:
        """Copy ``grid`` to ``device``."""
        shape = grid.values.shape
        self._values = torch.from_numpy(np.ascontiguousarray(grid.values)).to(device).ravel()
        self._origin = torch.tensor(grid.origin_o, device=device)
        self._top = torch.tensor(shape, device=device) - 1
        self._spacing = grid.spacing
        self._strides = torch.tensor([shape[1] * shape[2], shape[2], 1], device=device)
        corners = torch.tensor(_CORNERS, device=device)
        self._offsets, self._corners = (corners * self._strides).sum(-1), corners.bool()

    @torch.no_grad()
    def __call__(self, points_o: torch.Tensor) -> torch.Tensor:
        """Distance (...), m, at ``points_o`` (..., 3), m, object frame; see ``SignedDistance.query``."""
        local = points_o - self._origin.to(points_o.dtype)
        top = self._top.to(points_o.dtype)
        # A point that is not finite has no cell; its distance is not a number, as its coordinates are.
        u = torch.minimum((local / self._spacing).clamp(min=0.0), top).nan_to_num()
        cell = torch.minimum(u.long(), self._top - 1)
        f = u - cell
        value = self._values[(cell * self._strides).sum(-1, keepdim=True) + self._offsets].to(points_o.dtype)
        weight = torch.where(self._corners, f.unsqueeze(-2), 1.0 - f.unsqueeze(-2))
        distance = (value * weight.prod(-1)).sum(-1)
        # The gradient along an axis: the corners' weights of the other two, and the sign of the corner along it.
        x, y, z = weight.unbind(-1)
        sign = torch.where(self._corners, 1.0, -1.0).to(points_o.dtype).unbind(-1)
        along = ((y * z, sign[0]), (x * z, sign[1]), (x * y, sign[2]))
        gradient = torch.stack([(value * w * s).sum(-1) for w, s in along], dim=-1) / self._spacing
        beyond = local - u * self._spacing
        outside = beyond.abs().amax(-1) > 1e-6
        far = (beyond + distance.unsqueeze(-1) * gradient).norm(dim=-1)
        return torch.where(outside, far, distance) + 0.0 * points_o.sum(-1)
