"""Mesh files as users have them: good ones, ones that can be mended, and ones that are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from dextrack.errors import InputError
from dextrack.objects.mesh_file import read_mesh

make = trimesh.creation
SIZE = (0.04, 0.05, 0.06)


def box(scale: float = 1.0) -> trimesh.Trimesh:
    return make.box(tuple(scale * x for x in SIZE)).subdivide().subdivide()


def save(mesh: trimesh.Trimesh, path: Path, **options: str) -> Path:
    mesh.export(path, **options)
    return path


def without(mesh: trimesh.Trimesh, *faces: int) -> trimesh.Trimesh:
    kept = np.ones(len(mesh.faces), dtype=bool)
    kept[list(faces)] = False
    mesh.update_faces(kept)
    return mesh


@pytest.mark.parametrize("options", [{}, {"file_type": "stl_ascii"}, {"encoding": "ascii"}])
@pytest.mark.parametrize("suffix", [".stl", ".obj", ".ply", ".STL"])
def test_a_good_mesh_is_read_as_it_is(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    if (("file_type" in options) and suffix != ".stl") or (("encoding" in options) and suffix != ".ply"):
        options = {}
    read = read_mesh(save(box(), tmp_path / f"box{suffix}", **options))
    assert read.volume == pytest.approx(np.prod(SIZE), rel=1e-6) and read.notes == ()
    np.testing.assert_allclose(np.ptp(read.vertices, axis=0), SIZE, rtol=1e-6)
    assert len(read.vertices) == len(box().vertices), "corners that an STL repeats are one"


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_units(tmp_path: Path, unit: str, scale: float) -> None:
    read = read_mesh(save(box(scale), tmp_path / "box.stl"), unit)
    assert read.volume == pytest.approx(np.prod(SIZE), rel=1e-6)


@pytest.mark.parametrize(
    ("scale", "given", "likely"), [(1000.0, "m", "mm"), (100.0, "m", "cm"), (1.0, "mm", "m"), (1000.0, "cm", "mm"), (100.0, "mm", "cm"), (1.0, "cm", "m")]
)
def test_a_wrong_unit_is_refused_with_the_likely_one(tmp_path: Path, scale: float, given: str, likely: str) -> None:
    path = save(box(scale), tmp_path / "box.stl")
    if 0.005 <= 0.06 * scale * {"m": 1, "cm": 0.01, "mm": 0.001}[given] <= 1.0:
        assert read_mesh(path, given)  # 6 mm of a box meant to be 60: possible, so not refused
    else:
        with pytest.raises(InputError, match=f"--unit {likely} makes it 0.06 m"):
            read_mesh(path, given)


def test_no_unit_fits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unit among m, cm, mm makes it fit"):
        read_mesh(save(box(1e5), tmp_path / "box.stl"))
    with pytest.raises(InputError, match="unit 'inch' is not known"):
        read_mesh(save(box(), tmp_path / "box.stl"), "inch")


def test_what_can_be_mended_is_mended_and_told(tmp_path: Path) -> None:
    inside_out, turned, holed, twice = box(), box(), without(box(), 7), box()
    inside_out.invert()
    faces = turned.faces.copy()
    faces[::3] = faces[::3, ::-1]
    turned = trimesh.Trimesh(turned.vertices, faces, process=False)
    twice = trimesh.Trimesh(twice.vertices, np.concatenate([twice.faces, twice.faces[:5]]), process=False)
    flat = trimesh.Trimesh(box().vertices, np.concatenate([box().faces, [[3, 3, 4]]]), process=False)
    for mesh, words in (
        (inside_out, "inside out"),
        (turned, "windings"),
        (holed, "holes closed with 1"),
        (twice, "5 triangles given twice"),
        (flat, "without area"),
    ):
        read = read_mesh(save(mesh, tmp_path / "box.ply"))
        assert read.volume == pytest.approx(np.prod(SIZE), rel=1e-6), words
        assert any(words in note for note in read.notes)
        assert trimesh.Trimesh(read.vertices, read.faces, process=False).is_volume


def test_what_is_unusual_is_told(tmp_path: Path) -> None:
    two = trimesh.util.concatenate([box(), box().apply_translation((0.1, 0, 0))])
    assert any("2 separate surfaces" in note for note in read_mesh(save(two, tmp_path / "two.stl")).notes)
    assert any("lies 1.00 m from its middle" in note for note in read_mesh(save(box().apply_translation((0, 1, 0)), tmp_path / "far.stl")).notes)


def test_a_cavity_is_no_volume(tmp_path: Path) -> None:
    hole = make.icosphere(2, 0.015)
    hole.invert()
    read = read_mesh(save(trimesh.util.concatenate([box(), hole]), tmp_path / "hollow.stl"))
    assert read.volume == pytest.approx(np.prod(SIZE) - abs(hole.volume), rel=1e-5)


def broken(kind: str, folder: Path) -> Path:
    """A file that is wrong in the way that ``kind`` says."""
    if kind == "hole":
        return save(without(box(1000.0), *range(10, 40)), folder / "hole.stl")
    if kind == "sheet":
        return save(trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]], [[0, 1, 2], [0, 2, 3]]), folder / "sheet.stl")
    if kind == "flat":
        return save(box().apply_transform(np.diag([1, 1, 1e-5, 1])), folder / "flat.ply")
    if kind == "shared edge":
        return save(trimesh.util.concatenate([make.box((0.05,) * 3), make.box((0.05,) * 3).apply_translation((0.05, 0.05, 0))]), folder / "edge.stl")
    if kind == "points":
        trimesh.PointCloud(box().vertices).export(folder / "points.ply")
        return folder / "points.ply"
    mesh = box()
    vertices = np.array(mesh.vertices)
    vertices[3] = np.nan
    return save(trimesh.Trimesh(vertices, mesh.faces, process=False), folder / "nan.ply")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("hole", r"not closed: \d+ open edge\(s\), within \(-20, .* mm"),
        ("sheet", r"not closed: 4 open edge"),
        ("flat", "no volume: it is 0.0006 mm thick"),
        ("shared edge", r"1 edge\(s\) with more than two triangles, within \(0.025, 0.025, -0.025\) to \(0.025, 0.025, 0.025\) m"),
        ("points", "no triangles"),
        ("nan", "1 vertices are not finite numbers, the first is vertex 3"),
    ],
)
def test_a_broken_mesh_is_refused_with_its_reason(tmp_path: Path, kind: str, words: str) -> None:
    path = broken(kind, tmp_path)
    with pytest.raises(InputError, match=words) as error:
        read_mesh(path, "mm" if kind == "hole" else "m")
    assert path.name in error.value.what and error.value.remedy


@pytest.mark.parametrize("name", ["box.stl", "ascii.stl", "box.obj", "box.ply", "ascii.ply"])
def test_a_truncated_file_is_never_taken_for_a_whole_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = {"ascii.stl": {"file_type": "stl_ascii"}, "ascii.ply": {"encoding": "ascii"}}.get(name, {})
    save(box(), path, **options)
    whole = path.read_bytes()
    for length in (0, 10, 90, len(whole) // 3, len(whole) // 2, len(whole) - 60):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_mesh(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.stl", b"", "is empty"),
        ("a.stl", b"hello there" * 20, "truncated, or no STL"),
        ("a.obj", b"<html>404</html>", "no triangles"),
        ("a.obj", b"v 0 0 0\nv .1 0 0\nv 0 .1 0\nf 1 2 9\n", "a.obj"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "a.ply"),
        ("a.step", b"ISO-10303-21;", "not a .obj, .stl, .ply"),
    ],
)
def test_other_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_mesh(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "mug.stl")


def test_too_fine_a_mesh_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fine.obj").write_text("v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\n" + "f 1 3 2\nf 1 4 3\nf 1 2 4\nf 2 3 4\n" * 60000)
    with pytest.raises(InputError, match="240000 triangles"):
        read_mesh(tmp_path / "fine.obj")
