"""ObjectSpec: a rigid object with its mesh, convex parts, mass and friction, and the file that holds it.

The file is an ``.npz`` of plain arrays, object frame throughout:

=====================  ==========  ======================================================================================
``vertices``           (V, 3)      m, of the mesh that is shown and measured
``faces``              (F, 3)      its triangles
``part_<i>_vertices``  (P, 3)      m, of convex part i = 0, 1, ...; collision and signed distance use the parts
``part_<i>_faces``     (Q, 3)      its triangles
``mass``               ()          kg
``friction``           ()          Coulomb coefficient of sliding friction
``symmetry``           (k, 4)      optional: axes x, y, z of the rotations that leave the shape as it is, and their orders (0: any
                                   angle); see ``dextrack.objects.symmetry``. Without it, it is detected from the mesh
``header``             (n,) uint8  UTF-8 JSON: ``kind`` ("object"), ``name``, ``parts`` (their number), ``source``
=====================  ==========  ======================================================================================

``ObjectSpec(...).save(path)`` writes one; ``dextrack data object FILE`` makes one from a mesh.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, usable_name, write_arrays
from dextrack.objects.symmetry import Symmetry

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
    symmetry: Optional[Symmetry] = None
    """Rotations that leave its shape as it is; None: not stated, ``symmetry_detection.symmetry_of`` finds them."""

    def __post_init__(self) -> None:
        """Refuse what no simulator accepts: NaN, wrong shapes, no parts, implausible size."""
        if not usable_name(self.name):
            raise InputError("object %r: its name cannot be part of a file name." % self.name, remedy="correct the header.")
        for label, (v, f) in [("the mesh", (self.vertices, self.faces))] + [("part %d" % i, p) for i, p in enumerate(self.parts)]:
            if v.ndim != 2 or v.shape[1] != 3 or len(v) < 4 or not np.isfinite(v).all():
                raise InputError("object %s: vertices of %s are not a finite (n >= 4, 3) array." % (self.name, label), remedy="export the mesh again.")
            if f.ndim != 2 or f.shape[1] != 3 or len(f) < 4 or f.min() < 0 or f.max() >= len(v):
                raise InputError("object %s: faces of %s are not (n >= 4, 3) indices of its vertices." % (self.name, label), remedy="export the mesh again.")
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
        if not (np.isfinite(self.friction) and 0.0 <= self.friction <= 10.0):
            raise InputError("object %s: friction %r is not plausible." % (self.name, self.friction), remedy="give a Coulomb coefficient, usually 0.3 to 1.5.")

    @functools.cached_property
    def hulls(self) -> Tuple[Any, ...]:
        """Convex hulls of the parts, ``trimesh.Trimesh`` each. They are made once, and not to be changed."""
        import trimesh

        return tuple(trimesh.Trimesh(v, f).convex_hull for v, f in self.parts)

    @property
    def digest(self) -> str:
        """SHA-256 of geometry, mass and friction: all that a simulator sees. The symmetry is a way to read results, and not part of it."""
        return digest_arrays(self._arrays())

    def _arrays(self) -> Dict[str, Any]:
        arrays: Dict[str, Any] = {"vertices": self.vertices, "faces": self.faces, "mass": np.float64(self.mass), "friction": np.float64(self.friction)}
        for i, (v, f) in enumerate(self.parts):
            arrays["part_%d_vertices" % i] = v
            arrays["part_%d_faces" % i] = f
        return arrays

    def save(self, path: Path) -> None:
        """Write the object as an ``.npz``."""
        symmetry = {} if self.symmetry is None else {"symmetry": self.symmetry.as_array()}
        header = {"kind": "object", "version": 1, "name": self.name, "source": self.source, "parts": len(self.parts)}
        write_arrays(path, header, {**self._arrays(), **symmetry})

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
                symmetry=Symmetry.from_array(a["symmetry"]) if "symmetry" in a else None,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InputError("%s: field %s is missing or wrong." % (path, error), remedy="make the object file again.") from None


def mass_from_density(parts: Tuple[Tuple[Floats, Ints], ...], density: float = DENSITY, limits: Optional[Tuple[float, float]] = MASS_RANGE) -> float:
    """Mass in kg of convex ``parts`` at ``density`` kg/m3, clipped to ``limits`` (None: not clipped)."""
    import trimesh

    volume = sum(trimesh.Trimesh(v, f).convex_hull.volume for v, f in parts)
    mass = float(density * volume)
    return mass if limits is None else float(np.clip(mass, *limits))
