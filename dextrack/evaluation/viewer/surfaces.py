"""Surfaces: the triangles that the viewer draws, of a robot hand's bodies and of an object."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands import HandSpec
from dextrack.objects import ObjectSpec

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

SHARP = float(np.deg2rad(35.0))
"""Faces that meet at a larger angle than this, rad, are shaded as an edge."""
_NOT_DRAWN = 3
"""Models keep collision geoms that are not drawn in groups from this one on."""


@dataclasses.dataclass(frozen=True)
class Surface:
    """Triangles of one colour in the frame of the body that carries them."""

    vertices: Floats
    """(V, 3), m."""
    faces: NDArray[np.int64]
    """(F, 3)."""
    colour: Colour


def of_object(obj: ObjectSpec, colour: Colour) -> Surface:
    """The mesh of ``obj`` in the object frame."""
    return _surface(trimesh.Trimesh(obj.vertices, obj.faces), colour)


def of_hand(hand: HandSpec, ghost: Colour | None = None) -> dict[str, tuple[Surface, ...]]:
    """Surfaces of each body of ``hand`` that has any, in the bodies' frames.

    Args:
        hand: the hand; what its MJCF draws is drawn, one surface for each colour of a body.
        ghost: where given, each body is its convex hull in this colour: seen through, the many small shapes of a hand would be a tangle.

    Raises:
        InputError: the MJCF has a shape that cannot be drawn.
    """
    model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
    pieces: dict[str, dict[Colour, list[Any]]] = {}
    for g in range(model.ngeom):
        if model.geom_group[g] >= _NOT_DRAWN or not (rgba := _rgba(model, g))[3]:
            continue
        red, green, blue = (round(255 * float(c)) for c in rgba[:3])
        pieces.setdefault(model.body(model.geom_bodyid[g]).name, {}).setdefault(ghost or (red, green, blue), []).append(_placed(model, g))
    merged: dict[str, dict[Colour, Any]] = {
        body: {c: trimesh.util.concatenate(meshes) for c, meshes in by_colour.items()} for body, by_colour in pieces.items()
    }
    if ghost is not None:
        merged = {body: {c: mesh.convex_hull for c, mesh in by_colour.items()} for body, by_colour in merged.items()}
    return {body: tuple(_surface(mesh, c) for c, mesh in by_colour.items()) for body, by_colour in merged.items()}


def _placed(model: mujoco.MjModel, g: int) -> Any:
    """The triangles of geom ``g`` in its body's frame."""
    mesh = _shape(model, g)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotations.to_matrix(model.geom_quat[g]), model.geom_pos[g]
    mesh.apply_transform(pose)
    return mesh


def _rgba(model: mujoco.MjModel, g: int) -> Floats:
    """Colour (4,), 0 to 1, of geom ``g``: its material's where it has one."""
    material = int(model.geom_matid[g])
    colour: Floats = model.geom_rgba[g] if material < 0 else model.mat_rgba[material]
    return colour


def _shape(model: mujoco.MjModel, g: int) -> Any:
    """The triangles of geom ``g`` in the geom's own frame."""
    size, kind = model.geom_size[g], mujoco.mjtGeom(model.geom_type[g])
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return trimesh.creation.box(2.0 * size)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return trimesh.creation.icosphere(subdivisions=3, radius=size[0])
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        mesh = trimesh.creation.icosphere(subdivisions=3)
        mesh.apply_scale(size)
        return mesh
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return trimesh.creation.cylinder(radius=size[0], height=2.0 * size[1], sections=32)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return trimesh.creation.capsule(radius=size[0], height=2.0 * size[1], count=(24, 24))
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.mesh(int(model.geom_dataid[g]))
        first, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
        begin, faces = int(mesh.faceadr[0]), int(mesh.facenum[0])
        return trimesh.Trimesh(model.mesh_vert[first : first + count], model.mesh_face[begin : begin + faces])
    raise InputError(f"the model of the hand: geom {g} is a {kind.name}, which the viewer cannot draw.", remedy="use boxes, capsules, cylinders or meshes.")


def _surface(mesh: Any, colour: Colour) -> Surface:
    """``mesh`` with its vertices split at sharp edges, for renderers average the normals of faces that share a vertex."""
    split = trimesh.graph.smooth_shade(mesh, angle=SHARP)
    return Surface(np.asarray(split.vertices, dtype=np.float64), np.asarray(split.faces, dtype=np.int64), colour)
