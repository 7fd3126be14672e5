"""Read a user's mesh file: triangles in metres that close a volume, or the reason why they do not.

What can be mended without guessing is mended and told: equal vertices become one, triangles without area or given twice are left out, windings are
made to agree, holes of three or four edges are closed, and a mesh turned inside out is turned back.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres of each unit."""
EXTENT = (0.005, 1.0)
"""Largest extent, m, of what a hand can take."""
TYPICAL = 0.12
"""Extent, m, of a common object: of the units that fit, the one that comes nearest is the likely one."""
THINNEST = 5e-5
"""Twice the volume over the surface, m, below which a closed mesh is a sheet rather than a solid."""
MAX_FACES = 200000
"""A finer mesh costs memory in every later stage and adds nothing that a hand could feel."""
SUFFIXES = (".obj", ".stl", ".ply")


@dataclasses.dataclass(frozen=True)
class ClosedMesh:
    """A mesh that closes a volume."""

    vertices: Floats
    """(V, 3), m."""
    faces: Ints
    """(F, 3), counter-clockwise seen from outside."""
    volume: float
    """m3."""
    notes: Tuple[str, ...]
    """What was mended and what is unusual, one line each."""


def read_mesh(path: Path, unit: str = "m") -> ClosedMesh:
    """Read ``path`` (.obj, .stl, .ply), whose numbers are in ``unit`` (m, cm, mm); its origin stays the object's origin.

    Raises:
        InputError: the file is missing, truncated or of another type, holds no triangles or values that are not finite, has an extent that no
            hand-held object has in that unit, or does not close a volume even after mending.
    """
    mesh = _loaded(path)
    _refuse_values(path, mesh)
    scale = _scale(path, mesh, unit)
    mesh.apply_scale(scale)
    notes = _mend(mesh)
    if not mesh.is_watertight:
        raise InputError("%s: the mesh is not closed: %s." % (path, _gaps(mesh, scale, unit)), remedy=_CLOSE)
    if not mesh.is_winding_consistent:
        raise InputError("%s: its triangles do not agree on which side is out (as on a Moebius strip)." % path, remedy=_CLOSE)
    thickness = 2.0 * float(mesh.volume) / float(mesh.area)
    if thickness < THINNEST:
        raise InputError("%s: the mesh is no volume: it is %.3g mm thick on average." % (path, 1e3 * thickness), remedy="give the surface of a solid.")
    bodies = int(mesh.body_count)
    if bodies > 1:
        notes.append("it has %d separate surfaces (bodies that move as one, or cavities)" % bodies)
    far = float(np.linalg.norm(mesh.bounds.mean(axis=0)))
    if far > mesh.extents.max():
        notes.append("its origin, to which a recording's object positions refer, lies %.2f m from its middle" % far)
    return ClosedMesh(np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int32), float(mesh.volume), tuple(notes))


_CLOSE = "close it, for example in MeshLab (Filters > Remeshing > Close Holes) or with Blender's 3D-Print tools, and export it again."


def _loaded(path: Path) -> Any:
    """The triangles of a file as they are, all of its shapes together."""
    import trimesh

    if path.suffix.lower() not in SUFFIXES:
        raise InputError("%s: this is not a %s file." % (path, ", ".join(SUFFIXES)), remedy="export the mesh as one of these.")
    if not path.is_file():
        raise InputError("%s: there is no such file." % path, remedy="check the path.")
    if path.stat().st_size == 0:
        raise InputError("%s: the file is empty." % path, remedy="export or copy it again.")
    _refuse_half(path)
    try:
        mesh = trimesh.load_mesh(str(path), process=False, maintain_order=True, skip_materials=True)
    except Exception as error:  # whatever the library makes of a stranger's bytes, its errors have no common type
        why = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
        raise InputError("%s: the mesh cannot be read; it may be truncated (%s)." % (path, why), remedy="export or copy it again.") from None
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        points = len(getattr(mesh, "vertices", ()))
        raise InputError("%s: it holds no triangles (%d points)." % (path, points), remedy="export a mesh of triangles, not points or curves.")
    return trimesh.Trimesh(np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces), process=False)


def _refuse_half(path: Path) -> None:
    """Refuse an STL that ends early: what is left of it may still look like triangles.

    Raises:
        InputError: it does.
    """
    if path.suffix.lower() != ".stl":
        return
    with open(path, "rb") as f:
        head = f.read(84)
        f.seek(max(path.stat().st_size - 200, 0))
        tail = f.read()
    if len(head) == 84:
        expected = 84 + 50 * int(np.frombuffer(head[80:], dtype="<u4")[0])
        if path.stat().st_size == expected:
            return
    if head.lstrip()[:5].lower() == b"solid" and b"facet" in path.read_bytes()[:4096].lower():
        if b"endsolid" not in tail.lower():
            raise InputError("%s: the file is truncated: it has no endsolid." % path, remedy="export or copy it again.")
        return
    raise InputError("%s: the file is truncated, or no STL: its length is not what its header says." % path, remedy="export or copy it again.")


def _refuse_values(path: Path, mesh: Any) -> None:
    """Refuse vertices that are not finite, faces of other vertices, and too many."""
    bad = np.flatnonzero(~np.isfinite(mesh.vertices).all(axis=1))
    if len(bad):
        raise InputError("%s: %d vertices are not finite numbers, the first is vertex %d." % (path, len(bad), bad[0]), remedy="export the mesh again.")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise InputError("%s: a triangle names a vertex that is not there; the file may be truncated." % path, remedy="export or copy it again.")
    if len(mesh.faces) > MAX_FACES:
        raise InputError(
            "%s: it has %d triangles, more than %d." % (path, len(mesh.faces), MAX_FACES),
            remedy="simplify it, for example in MeshLab (Filters > Remeshing > Quadric Edge Collapse Decimation) to 20,000.",
        )


def _scale(path: Path, mesh: Any, unit: str) -> float:
    """Metres per unit of the file.

    Raises:
        InputError: in this unit no hand could hold it; the remedy names the likely one.
    """
    if unit not in UNITS:
        raise InputError("unit %r is not known." % unit, remedy="choose one of: %s." % ", ".join(UNITS))
    extent = float(np.ptp(mesh.vertices[mesh.faces.ravel()], axis=0).max())
    if EXTENT[0] <= extent * UNITS[unit] <= EXTENT[1]:
        return UNITS[unit]
    fits = [u for u, metres in UNITS.items() if EXTENT[0] <= extent * metres <= EXTENT[1]]
    what = "%s: its largest extent is %.4g %s; objects for a hand have %g mm to %g m." % (path, extent, unit, 1e3 * EXTENT[0], EXTENT[1])
    if not fits:
        raise InputError(what, remedy="scale the mesh; no unit among %s makes it fit." % ", ".join(UNITS))
    likely = min(fits, key=lambda u: abs(np.log(extent * UNITS[u] / TYPICAL)))
    raise InputError(what, remedy="give its unit: --unit %s makes it %.3g m." % (likely, extent * UNITS[likely]))


def _mend(mesh: Any) -> List[str]:
    """Mend ``mesh`` in place without guessing; one line for each thing done."""
    from trimesh import repair

    notes = []
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    f = mesh.faces
    flat = (f[:, 0] == f[:, 1]) | (f[:, 1] == f[:, 2]) | (f[:, 2] == f[:, 0])
    if flat.any():
        mesh.update_faces(~flat)
        notes.append("%d triangles without area left out" % flat.sum())
    unique = mesh.unique_faces()
    if not unique.all():
        mesh.update_faces(unique)
        notes.append("%d triangles given twice left out" % (~unique).sum())
    mesh.remove_unreferenced_vertices()
    if not mesh.is_winding_consistent:
        repair.fix_winding(mesh)
        notes.append("windings made to agree")
    if not mesh.is_watertight:
        before = len(mesh.faces)
        repair.fill_holes(mesh)
        if len(mesh.faces) > before:
            notes.append("small holes closed with %d triangles" % (len(mesh.faces) - before))
    if mesh.is_watertight and mesh.volume < 0.0:
        mesh.invert()
        notes.append("turned inside out: its triangles faced inward")
    return notes


def _gaps(mesh: Any, scale: float, unit: str) -> str:
    """Where a mesh is not closed, in the file's own numbers."""
    _, inverse, counts = np.unique(mesh.edges_sorted, axis=0, return_inverse=True, return_counts=True)
    uses = counts[inverse.ravel()]
    said = []
    for what, wrong in (("%d open edge(s)", uses == 1), ("%d edge(s) with more than two triangles", uses > 2)):
        if wrong.any():
            edges = np.unique(mesh.edges_sorted[wrong], axis=0)
            corners = mesh.vertices[edges.ravel()] / scale
            lower, upper = corners.min(axis=0), corners.max(axis=0)
            where = " to ".join("(%.4g, %.4g, %.4g)" % tuple(corner) for corner in (lower, upper))
            said.append("%s, within %s %s" % (what % len(edges), where, unit))
    return "; ".join(said)
