"""Centre of mass and inertia of an object as a simulator has them: of its convex parts, each with its share of the mass by volume."""

from __future__ import annotations

import dataclasses
from typing import Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.objects.spec import ObjectSpec

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class MassProperties:
    """Mass and how it is spread."""

    mass: float
    """kg."""
    volume: float
    """m3, the sum over the parts; where parts overlap, twice counted."""
    centre_o: Floats
    """Centre of mass (3,), m, object frame."""
    inertia_o: Floats
    """Moments of inertia (3, 3) about the centre of mass, kg m2, axes of the object frame."""

    @property
    def principal(self) -> Floats:
        """Principal moments (3,), kg m2, the smallest first."""
        out: Floats = np.asarray(np.linalg.eigvalsh(self.inertia_o), dtype=np.float64)
        return out


def mass_properties(spec: ObjectSpec) -> MassProperties:
    """Mass properties of ``spec``, whose parts are of one density."""
    bodies = [_moments(np.asarray(vertices, dtype=np.float64)) for vertices, _ in spec.parts]
    volume = sum(v for v, _, _ in bodies)
    density = spec.mass / volume
    centre: Floats = np.sum([v * c for v, c, _ in bodies], axis=0) / volume
    second = density * sum(s for _, _, s in bodies) - spec.mass * np.outer(centre, centre)
    return MassProperties(spec.mass, volume, centre, np.trace(second) * np.eye(3) - second)


def _moments(vertices: Floats) -> Tuple[float, Floats, Floats]:
    """Volume, m3, centre (3,), m, and second moment (3, 3) about the origin, m5, of the convex hull of ``vertices`` (P, 3).

    Here and not trimesh's, because an Isaac Gym server has no trimesh.
    """
    from scipy.spatial import ConvexHull

    inside = vertices.mean(axis=0)
    triangles = vertices[ConvexHull(vertices).simplices]
    # The hull is the sum of tetrahedra from a point inside it; none has a negative volume.
    volumes = np.abs(np.linalg.det(triangles - inside)) / 6.0
    corners = np.concatenate([triangles, np.broadcast_to(inside, (len(triangles), 1, 3))], axis=1)
    total = corners.sum(axis=1)
    volume = float(volumes.sum())
    centre = (volumes[:, None] * total).sum(axis=0) / (4.0 * volume)
    second = np.einsum("t,tij->ij", volumes / 20.0, np.einsum("tci,tcj->tij", corners, corners) + np.einsum("ti,tj->tij", total, total))
    return volume, centre, second
