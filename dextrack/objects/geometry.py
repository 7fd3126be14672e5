"""Points of an object: a cloud on its surface, and the height of its lowest point."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.objects.spec import ObjectSpec

Floats = NDArray[np.float64]

CLOUD_POINTS = 1024
"""Points of a cloud that an encoder sees (paper, Sec. 3.2)."""


def point_cloud(spec: ObjectSpec, count: int = CLOUD_POINTS, seed: int = 0) -> Floats:
    """Points (count, 3) in m, object frame, drawn uniformly over the surface of the mesh; the same for the same ``seed``."""
    import trimesh

    mesh = trimesh.Trimesh(spec.vertices, spec.faces, process=False)
    points, _ = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return np.asarray(points, dtype=np.float64)


def lowest_z(points_o: Floats, position_w: ArrayLike, quaternion_w: ArrayLike) -> Floats:
    """Height (...) in m, world frame, of the lowest of ``points_o`` (n, 3), m, at poses ``position_w`` (..., 3) m and ``quaternion_w`` (..., 4) wxyz."""
    third_row = rotations.to_matrix(quaternion_w)[..., 2, :]
    out: Floats = (third_row @ np.asarray(points_o).T).min(axis=-1) + np.asarray(position_w)[..., 2]
    return out
