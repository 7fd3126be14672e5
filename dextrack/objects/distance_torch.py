"""The torch side of ``SignedDistance.query``: the same numbers, with the gradient that the grid gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

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
