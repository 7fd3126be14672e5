"""Shapes whose symmetry is known, in a pose that no axis of the world tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from dextrack import rotations
from dextrack.objects import ObjectSpec
from dextrack.objects.symmetry import Symmetry
from dextrack.objects.symmetry_detection import detect, symmetry_of

TURNED = rotations.normalise([0.5, 0.3, -0.7, 0.2])
make = trimesh.creation


def mug() -> trimesh.Trimesh:
    """A cylinder with a handle that is nearer to its brim."""
    return trimesh.util.concatenate([make.cylinder(0.04, 0.1), make.box((0.03, 0.01, 0.05)).apply_translation((0.05, 0, 0.015))])


def tetrahedron() -> trimesh.Trimesh:
    return trimesh.Trimesh(0.03 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]), [[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


SHAPES = {
    "bottle": (make.cone(0.03, 0.09), "z"),
    "mug": (mug(), "none"),
    "box": (make.box((0.03, 0.05, 0.08)), "x2,y2"),
    "ball": (make.icosphere(3, 0.04), "sphere"),
    "cylinder": (make.cylinder(0.03, 0.1), "z,x2"),
}
SLOW = {
    "ring": (make.torus(0.04, 0.01), "z,x2"),
    "square prism": (make.box((0.04, 0.04, 0.1)), "z4,x2"),
    "triangular prism": (make.cylinder(0.03, 0.1, sections=3), "z3,x2"),
    "hexagonal prism": (make.cylinder(0.03, 0.1, sections=6), "z6,x2"),
    "long square bar": (make.box((0.017, 0.017, 0.21)), "z4,x2"),
    "pyramid": (make.cone(0.05, 0.1, sections=4), "z4"),
    "cube": (make.box((0.05, 0.05, 0.05)), "z4,x4"),
    "cylinder of equal moments": (make.cylinder(0.04, 0.04 * 3**0.5), "z,x2"),
}


def check(mesh: trimesh.Trimesh, truth: str) -> None:
    """The rotations of ``truth``, and no others, are found on the mesh as it is and turned."""
    for pose in (np.array([1.0, 0, 0, 0]), TURNED):
        found = detect(rotations.rotate(pose, mesh.vertices) + 0.02, mesh.faces)
        expected = Symmetry.parse(truth)
        assert found.is_sphere == expected.is_sphere and (found.free_axis is None) == (expected.free_axis is None)
        assert len(found.representatives()) == len(expected.representatives())
        group = expected.representatives()
        if expected.free_axis is not None:
            group = rotations.multiply(rotations.from_rotation_vector(np.linspace(0, 6, 7)[:, None] * expected.free_axis), group[:, None]).reshape(-1, 4)
        moved = rotations.multiply(rotations.multiply(pose, group), rotations.conjugate(pose))
        assert np.degrees(found.angle(moved, [1.0, 0, 0, 0])).max() < 2.0


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_known_shapes(name: str) -> None:
    check(*SHAPES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_more_known_shapes(name: str) -> None:
    check(*SLOW[name])


@pytest.mark.slow
def test_a_tetrahedron_turns_in_twelve_ways() -> None:
    found = detect(tetrahedron().vertices, tetrahedron().faces)
    assert len(found.representatives()) == 12
    corners = tetrahedron().vertices
    for q in found.representatives():
        apart = np.linalg.norm(rotations.rotate(q, corners)[:, None] - corners, axis=2)
        assert apart.min(axis=1).max() < 0.03 * np.radians(4.0), "each corner comes to a corner"


def test_its_axes_are_told_by_their_letters() -> None:
    assert str(detect(*_arrays(SHAPES["cylinder"][0]))) == "z,x2"


def _arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)


def test_what_the_object_states_counts_else_the_mesh_and_then_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    v, f = _arrays(SHAPES["box"][0])
    spec = ObjectSpec("box", v, f, ((v, f),), mass=0.1)
    stated = ObjectSpec("box", v, f, ((v, f),), mass=0.1, symmetry=Symmetry.parse("none"))
    assert symmetry_of(stated, tmp_path) == Symmetry() and not list(tmp_path.iterdir())
    found = symmetry_of(spec, tmp_path)
    assert len(found.representatives()) == 4
    (entry,) = tmp_path.iterdir()
    monkeypatch.setattr("dextrack.objects.symmetry_detection.detect", lambda *_: Symmetry.parse("x2"))
    assert symmetry_of(spec, tmp_path) == found, "from the cache"
    entry.write_bytes(b"damaged")
    assert symmetry_of(spec, tmp_path) == Symmetry.parse("x2"), "a damaged entry is made again"
