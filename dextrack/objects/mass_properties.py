"""Centre of mass and inertia of an object as a simulator has them: of its convex parts, each with its share of the mass by volume."""

from __future__ import annotations

import dataclasses

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
    import trimesh

    hulls = [trimesh.Trimesh(v, f, process=False).convex_hull for v, f in spec.parts]
    volume = np.array([h.volume for h in hulls])
    masses = spec.mass * volume / volume.sum()
    centres = np.array([h.center_mass for h in hulls])
    centre = masses @ centres / spec.mass
    inertia = np.zeros((3, 3))
    for hull, m, v, c in zip(hulls, masses, volume, centres):
        d = c - centre
        # Steiner's theorem; trimesh gives the moments of a body of density 1 about its own centre.
        inertia += hull.moment_inertia * m / v + m * (d @ d * np.eye(3) - np.outer(d, d))
    return MassProperties(spec.mass, float(volume.sum()), centre, inertia)
