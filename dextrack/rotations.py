"""Unit quaternions (wxyz) and rotations about the axes, vectorised over leading dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def normalise(q: ArrayLike) -> Array:
    """Return ``q`` (..., 4) scaled to unit length."""
    q = np.asarray(q, dtype=np.float64)
    out: Array = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return out


def multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product of quaternions ``a`` and ``b`` (..., 4): rotate by ``b``, then by ``a``."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a, dtype=np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b, dtype=np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate(q: ArrayLike) -> Array:
    """Inverse of unit quaternions ``q`` (..., 4)."""
    out: Array = np.asarray(q, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0])
    return out


def rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors ``v`` (..., 3) by unit quaternions ``q`` (..., 4)."""
    q = np.asarray(q, dtype=np.float64)
    v = np.asarray(v, dtype=np.float64)
    w, u = q[..., :1], q[..., 1:]
    uv = 2.0 * _cross(u, v)
    out: Array = v + w * uv + _cross(u, uv)
    return out


def _cross(a: Array, b: Array) -> Array:
    """``np.cross`` of (..., 3), bit for bit, without its preparations, which cost more than a few hundred products."""
    (a0, a1, a2), (b0, b1, b2) = (tuple(m[..., i] for i in range(3)) for m in (a, b))
    out: Array = np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)
    return out


def angle(a: ArrayLike, b: ArrayLike) -> Array:
    """Geodesic angle 2 acos |<a, b>| in rad, in [0, pi]; shape (...)."""
    # The half angle is taken with atan2, because acos loses half of the digits near zero.
    d = multiply(conjugate(a), b)
    out: Array = 2.0 * np.arctan2(np.linalg.norm(d[..., 1:], axis=-1), np.abs(d[..., 0]))
    return out


def to_matrix(q: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of unit quaternions ``q`` (..., 4)."""
    w, x, y, z = np.moveaxis(np.asarray(q, dtype=np.float64), -1, 0)
    m = np.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        axis=-1,
    )  # fmt: skip
    return m.reshape(*m.shape[:-1], 3, 3)


def from_matrix(m: ArrayLike) -> Array:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices ``m`` (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    m = np.asarray(m, dtype=np.float64)
    q = Rotation.from_matrix(m.reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
    return np.asarray(q, dtype=np.float64).reshape(*m.shape[:-2], 4)


def from_rotation_vector(r: ArrayLike) -> Array:
    """Unit quaternions (..., 4) of rotation vectors ``r`` (..., 3) in rad."""
    r = np.asarray(r, dtype=np.float64)
    half = 0.5 * np.linalg.norm(r, axis=-1, keepdims=True)
    out: Array = np.concatenate([np.cos(half), 0.5 * r * np.sinc(half / np.pi)], axis=-1)
    return out


def to_rotation_vector(q: ArrayLike) -> Array:
    """Rotation vectors (..., 3) in rad, of length at most pi, of unit quaternions ``q`` (..., 4)."""
    q = np.asarray(q, dtype=np.float64)
    q = np.where(q[..., :1] < 0.0, -q, q)
    n = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    scale = np.where(n > 1e-12, 2.0 * np.arctan2(n, q[..., :1]) / np.maximum(n, 1e-300), 2.0)
    out: Array = scale * q[..., 1:]
    return out


def from_hinges(angles: ArrayLike) -> Array:
    """Unit quaternions (..., 4) of hinges about x, then y, then z (``angles`` (..., 3), rad): Rx Ry Rz."""
    half = 0.5 * np.asarray(angles, dtype=np.float64)
    zero = np.zeros_like(half[..., 0])
    c, s = np.cos(half), np.sin(half)
    qx = np.stack([c[..., 0], s[..., 0], zero, zero], axis=-1)
    qy = np.stack([c[..., 1], zero, s[..., 1], zero], axis=-1)
    qz = np.stack([c[..., 2], zero, zero, s[..., 2]], axis=-1)
    return multiply(qx, multiply(qy, qz))


def to_hinges(q: ArrayLike) -> Array:
    """Angles (..., 3) in rad of hinges about x, y, z whose product Rx Ry Rz is ``q`` (..., 4); |ry| <= pi/2."""
    m = to_matrix(q)
    rx = np.arctan2(-m[..., 1, 2], m[..., 2, 2])
    ry = np.arcsin(np.clip(m[..., 0, 2], -1.0, 1.0))
    rz = np.arctan2(-m[..., 0, 1], m[..., 0, 0])
    return np.stack([rx, ry, rz], axis=-1)


def mean(q: ArrayLike) -> Array:
    """Mean rotation (4,) of quaternions ``q`` (n, 4): the principal eigenvector of the sum of outer products.

    Source: Markley et al., "Averaging quaternions", J. Guidance, Control and Dynamics 30(4), 2007.
    """
    q = normalise(q)
    _, vectors = np.linalg.eigh(q.T @ q)
    v: Array = vectors[:, -1]
    return v if v[0] >= 0.0 else -v


def continuous(q: ArrayLike) -> Array:
    """Flip signs along the first axis of ``q`` (n, 4) so that neighbours lie on the same hemisphere."""
    q = np.asarray(q, dtype=np.float64)
    flips = np.where(np.sum(q[1:] * q[:-1], axis=-1) < 0.0, -1.0, 1.0)
    signs = np.concatenate([np.ones(1), np.cumprod(flips)])
    out: Array = q * signs[:, None]
    return out


def slerp(times: ArrayLike, q: ArrayLike, at: ArrayLike) -> Array:
    """Interpolate quaternions ``q`` (n, 4) given at increasing ``times`` (n,) s, at times ``at`` (m,); shape (m, 4)."""
    from scipy.spatial.transform import Rotation, Slerp

    q = np.asarray(q, dtype=np.float64)
    if len(q) == 1:
        return np.repeat(q, len(np.asarray(at)), axis=0)
    r = Slerp(np.asarray(times), Rotation.from_quat(q, scalar_first=True))(np.asarray(at))
    return continuous(r.as_quat(scalar_first=True))
