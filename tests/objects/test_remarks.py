from __future__ import annotations

import numpy as np
import pytest
import trimesh

from dextrack.objects import ObjectSpec
from dextrack.objects.distance import depth_in_parts
from dextrack.objects.remarks import remarks

Part = tuple[np.ndarray, np.ndarray]


def part(mesh: trimesh.Trimesh) -> Part:
    return np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)


def spec(mesh: trimesh.Trimesh, *parts: Part) -> ObjectSpec:
    return ObjectSpec("thing", *part(mesh), parts or (part(mesh),), mass=0.1)


def test_a_plain_box_is_nothing_unusual() -> None:
    assert remarks(spec(trimesh.creation.box((0.05, 0.05, 0.05)))) == ()


def test_many_parts_are_slow() -> None:
    slices = [part(trimesh.creation.box((0.05, 0.05, 0.05 / 24)).apply_translation((0, 0, 0.05 * ((i + 0.5) / 24 - 0.5)))) for i in range(24)]
    (remark,) = remarks(spec(trimesh.creation.box((0.05, 0.05, 0.05)), *slices))
    assert remark == "24 convex parts: slow to simulate"


def test_an_open_mesh() -> None:
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    whole = part(mesh)
    mesh.update_faces(np.arange(12) != 5)
    (remark,) = remarks(spec(mesh, whole))
    assert "not closed (3 edges)" in remark


def test_a_part_that_is_missing() -> None:
    """Of a box 80 mm tall the upper 10 mm belong to no part."""
    lower = trimesh.creation.box((0.05, 0.05, 0.07)).apply_translation((0, 0, -0.005))
    (remark,) = remarks(spec(trimesh.creation.box((0.05, 0.05, 0.08)), part(lower)))
    assert remark == "the convex parts leave up to 10.0 mm of it uncovered"


def test_depth_in_two_parts() -> None:
    parts = (part(trimesh.creation.box((0.02, 0.02, 0.02))), part(trimesh.creation.box((0.02, 0.02, 0.02)).apply_translation((0.05, 0, 0))))
    depth = depth_in_parts(parts, np.array([[0.0, 0, 0], [0.05, 0, 0.004], [0.02, 0, 0], [0.5, 0, 0]]))
    assert depth == pytest.approx([-0.01, -0.006, 0.01, 0.44])
