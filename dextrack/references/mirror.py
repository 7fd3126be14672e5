"""Mirror images of recordings and objects, so that what a right hand did can be asked of a left one.

The world is mirrored at its vertical plane y = 0, and the object's mesh at the plane y = 0 of its own frame: with M = diag(1, -1, 1), points
become M p and rotations M R M, which are rotations again. A mirrored thing is another thing, and is called so: ``apple_mirrored``. Mirroring
it again gives back the original, bit by bit.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.objects.spec import Floats, Ints, ObjectSpec
from dextrack.objects.symmetry import Symmetry
from dextrack.references.recording import Recording

SUFFIX = "_mirrored"
"""What the name of a mirror image ends with."""
POINT = np.array([1.0, -1.0, 1.0])
"""Factors of a point's coordinates."""
QUATERNION = np.array([1.0, -1.0, 1.0, -1.0])
"""Factors of a quaternion's components, wxyz: those of M R M."""


def mirrored_name(name: str) -> str:
    """Name of the mirror image of ``name``; of a mirror image, the original's."""
    return name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name + SUFFIX


def mirror_recording(recording: Recording) -> Recording:
    """Mirror image of ``recording``: the other hand moves the mirrored object (see ``mirror_object``). Its provenance names the original."""
    provenance = {k: v for k, v in recording.provenance.items() if k != "mirrored"}
    if "mirrored" not in recording.provenance:
        provenance["mirrored"] = {"name": recording.name, "digest": recording.digest}
    return dataclasses.replace(
        recording,
        name=mirrored_name(recording.name),
        object_name=mirrored_name(recording.object_name),
        side="left" if recording.side == "right" else "right",
        keypoints_w=recording.keypoints_w * POINT,
        object_position_w=recording.object_position_w * POINT,
        object_quaternion_w=recording.object_quaternion_w * QUATERNION,
        provenance=provenance,
    )


def mirror_object(obj: ObjectSpec) -> ObjectSpec:
    """Mirror image of ``obj``; triangles are wound the other way, so that they face outwards again."""
    symmetry = obj.symmetry
    if symmetry is not None:
        symmetry = Symmetry(tuple(((x, -y, z), order) for (x, y, z), order in symmetry.generators))
    vertices, faces = _mirror_mesh(obj.vertices, obj.faces)
    parts = tuple(_mirror_mesh(v, f) for v, f in obj.parts)
    return dataclasses.replace(obj, name=mirrored_name(obj.name), vertices=vertices, faces=faces, parts=parts, symmetry=symmetry)


def _mirror_mesh(vertices: Floats, faces: Ints) -> tuple[Floats, Ints]:
    points: NDArray[np.float64] = vertices * POINT
    return points, np.ascontiguousarray(faces[:, ::-1])
