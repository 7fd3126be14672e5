"""Unit quaternions (wxyz) as torch functions over leading dimensions: ``dextrack.rotations`` for the batched core.

Few, large operations: with a thousand small worlds the cost of a torch call is the call, not the arithmetic. Products of two quaternions are
therefore one outer product and one matrix product with a constant table of signs. A number of Python in an operation costs as much as the operation
itself, which makes a tensor of it; hence sums where a product with 2 is meant.
"""

from __future__ import annotations

import functools
from typing import Dict, List

import torch
from torch import Tensor


def _table(entries: Dict[int, str], columns: int) -> List[List[float]]:
    """Rows (i, j) of the outer product of wxyz with wxyz, columns of the result; ``entries`` maps a column to terms like ``+ww -xx``."""
    rows = [[0.0] * columns for _ in range(16)]
    for column, terms in entries.items():
        for term in terms.split():
            sign, factor = (-1.0 if term[0] == "-" else 1.0), (2.0 if term[1] == "2" else 1.0)
            i, j = ("wxyz".index(c) for c in term[-2:])
            rows[4 * i + j][column] += sign * factor
    return rows


_PRODUCT = _table({0: "+ww -xx -yy -zz", 1: "+wx +xw +yz -zy", 2: "+wy -xz +yw +zx", 3: "+wz +xy -yx +zw"}, 4)
# conj(a) b and a conj(b): the same with the signs of one factor's vector part turned.
_RELATIVE_LEFT = _table({0: "+ww +xx +yy +zz", 1: "+wx -xw -yz +zy", 2: "+wy +xz -yw -zx", 3: "+wz -xy +yx -zw"}, 4)
_RELATIVE_RIGHT = _table({0: "+ww +xx +yy +zz", 1: "-wx +xw -yz +zy", 2: "-wy +xz +yw -zx", 3: "-wz -xy +yx +zw"}, 4)
_MATRIX = _table(
    {
        0: "+ww +xx -yy -zz", 1: "+2xy -2wz", 2: "+2xz +2wy",
        3: "+2xy +2wz", 4: "+ww -xx +yy -zz", 5: "+2yz -2wx",
        6: "+2xz -2wy", 7: "+2yz +2wx", 8: "+ww -xx -yy +zz",
    },
    9,
)  # fmt: skip
_TABLES = {"product": _PRODUCT, "left": _RELATIVE_LEFT, "right": _RELATIVE_RIGHT, "matrix": _MATRIX}


@functools.lru_cache(maxsize=None)
def _constant(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(_TABLES[name], dtype=dtype, device=device)


def _bilinear(name: str, a: Tensor, b: Tensor) -> Tensor:
    outer = (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2)
    out: Tensor = outer @ _constant(name, outer.dtype, outer.device)
    return out


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of ``a`` and ``b`` (..., 4): rotate by ``b``, then by ``a``."""
    return _bilinear("product", a, b)


def conjugate(q: Tensor) -> Tensor:
    """Inverse of unit quaternions ``q`` (..., 4)."""
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def difference_w(a: Tensor, b: Tensor) -> Tensor:
    """``a`` times the inverse of ``b`` (..., 4): the rotation about world axes that leads from ``b`` to ``a``."""
    return _bilinear("right", a, b)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Geodesic angle 2 acos |<a, b>| in rad, in [0, pi]; shape (...)."""
    # The half angle is taken with atan2, because acos loses half of the digits near zero.
    d = _bilinear("left", a, b)
    half = torch.atan2(torch.linalg.vector_norm(d[..., 1:], dim=-1), d[..., 0].abs())
    return half + half


def to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions ``q`` (..., 4)."""
    return _bilinear("matrix", q, q).reshape(q.shape[:-1] + (3, 3))


def rotate(q: Tensor, v: Tensor) -> Tensor:
    """Rotate vectors ``v`` (..., 3) by unit quaternions ``q`` (..., 4)."""
    return (to_matrix(q) @ v.unsqueeze(-1)).squeeze(-1)


def from_rotation_vector(r: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of rotation vectors ``r`` (..., 3) in rad."""
    half = 0.5 * r.norm(dim=-1, keepdim=True)
    return torch.cat([torch.cos(half), 0.5 * r * torch.sinc(half / torch.pi)], dim=-1)


def to_rotation_vector(q: Tensor) -> Tensor:
    """Rotation vectors (..., 3) in rad, of length at most pi, of unit quaternions ``q`` (..., 4)."""
    w, v = q[..., :1], q[..., 1:]
    n: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    # At the identity atan2(n, |w|) / n is 0 / 0 for a limit of 1; times v = 0 any finite number will do.
    half = torch.atan2(n, w.abs())
    return torch.copysign((half + half) / n.clamp(min=torch.finfo(q.dtype).tiny), w) * v


def from_hinges(angles: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of hinges about x, then y, then z (``angles`` (..., 3), rad): Rx Ry Rz."""
    zero = torch.zeros_like(angles[..., :1])
    c, s = torch.cos(0.5 * angles), torch.sin(0.5 * angles)
    qx = torch.cat([c[..., 0:1], s[..., 0:1], zero, zero], dim=-1)
    qy = torch.cat([c[..., 1:2], zero, s[..., 1:2], zero], dim=-1)
    qz = torch.cat([c[..., 2:3], zero, zero, s[..., 2:3]], dim=-1)
    return multiply(qx, multiply(qy, qz))
