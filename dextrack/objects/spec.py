"""ObjectSpec: a rigid object with its mesh, convex parts, mass and friction, and the file that holds it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, write_arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

DENSITY = 500.0
"""Density of an object that says nothing else, kg/m3 (the authors' release)."""
MASS_RANGE = (0.03, 0.4)
"""Masses that follow from a density are kept in this range, kg: a solid of 500 kg/m3 is heavier than most real hollow objects."""


@dataclasses.dataclass(frozen=True)
class ObjectSpec:
    """A rigid object. Its frame (suffix ``_o``) is the frame of the mesh."""

    name: str
    vertices: Floats
    """Vertices of the mesh, (V, 3), m."""
    faces: Ints
    """Triangles of the mesh, (F, 3)."""
    parts: Tuple[Tuple[Floats, Ints], ...]
    """Convex parts for collision: (vertices (P, 3) m, faces (Q, 3)) each."""
    mass: float
    """kg."""
    friction: float = 1.0
    """Coulomb coefficient of sliding friction."""
    source: str = ""
    """Where the mesh came from, with its licence."""

    def __post_init__(self) -> None:
        """Refuse what no simulator accepts: NaN, wrong shapes, no parts, implausible size."""
        for label, v in [("vertices", self.vertices)] + [("part %d" % i, p[0]) for i, p in enumerate(self.parts)]:
            if v.ndim != 2 or v.shape[1] != 3 or len(v) < 4 or not np.isfinite(v).all():
                raise InputError("object %s: %s is not a finite (n >= 4, 3) array." % (self.name, label), remedy="export the mesh again.")
        if not self.parts:
            raise InputError("object %s: it has no convex parts." % self.name, remedy="decompose the mesh first.")
        size = float(np.ptp(self.vertices, axis=0).max())
        if not 0.005 <= size <= 1.5:
            raise InputError(
                "object %s: its largest extent is %.4g m." % (self.name, size),
                remedy="scale the mesh to metres (a mesh in millimetres is 1000 times too large).",
            )
        if not (np.isfinite(self.mass) and 0.0 < self.mass < 20.0):
            raise InputError("object %s: mass %r kg is not plausible." % (self.name, self.mass), remedy="give a mass in kilograms.")

    @property
    def digest(self) -> str:
        """SHA-256 of geometry, mass and friction."""
        return digest_arrays(self._arrays())

    def _arrays(self) -> Dict[str, Any]:
        arrays: Dict[str, Any] = {"vertices": self.vertices, "faces": self.faces, "mass": np.float64(self.mass), "friction": np.float64(self.friction)}
        for i, (v, f) in enumerate(self.parts):
            arrays["part_%d_vertices" % i] = v
            arrays["part_%d_faces" % i] = f
        return arrays

    def save(self, path: Path) -> None:
        """Write the object as an ``.npz``."""
        write_arrays(path, {"kind": "object", "version": 1, "name": self.name, "source": self.source, "parts": len(self.parts)}, self._arrays())

    @staticmethod
    def load(path: Path) -> "ObjectSpec":
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is not an object file, or its content is implausible.
        """
        header, a = read_arrays(path)
        if header.get("kind") != "object":
            raise InputError("%s: this is not an object file." % path, remedy="give a file that `dextrack data install` made.")
        try:
            return ObjectSpec(
                name=str(header["name"]),
                vertices=a["vertices"].astype(np.float64),
                faces=a["faces"].astype(np.int32),
                parts=tuple((a["part_%d_vertices" % i].astype(np.float64), a["part_%d_faces" % i].astype(np.int32)) for i in range(int(header["parts"]))),
                mass=float(a["mass"]),
                friction=float(a["friction"]),
                source=str(header.get("source", "")),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InputError("%s: field %s is missing or wrong." % (path, error), remedy="make the object file again.") from None


def mass_from_density(parts: Tuple[Tuple[Floats, Ints], ...], density: float = DENSITY, limits: Optional[Tuple[float, float]] = MASS_RANGE) -> float:
    """Mass in kg of convex ``parts`` at ``density`` kg/m3, clipped to ``limits`` (None: not clipped)."""
    import trimesh

    volume = sum(trimesh.Trimesh(v, f).convex_hull.volume for v, f in parts)
    mass = float(density * volume)
    return mass if limits is None else float(np.clip(mass, *limits))
