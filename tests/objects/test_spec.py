from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from dextrack.errors import InputError
from dextrack.objects import ObjectSpec


@pytest.fixture
def cube() -> ObjectSpec:
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec("cube", v, f, ((v, f), (v * 0.5, f)), mass=0.123, friction=0.7, source="a test")


def test_comes_back_as_it_was(cube: ObjectSpec, tmp_path: Path) -> None:
    cube.save(tmp_path / "cube.npz")
    again = ObjectSpec.load(tmp_path / "cube.npz")
    assert again.digest == cube.digest
    assert (again.name, again.mass, again.friction, again.source, len(again.parts)) == ("cube", 0.123, 0.7, "a test", 2)
    np.testing.assert_array_equal(again.parts[1][0], cube.parts[1][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mass": 0.2}, None),
        ({"friction": 0.8}, None),
        ({"name": "../cube"}, "file name"),
        ({"mass": float("nan")}, "mass"),
        ({"mass": 0.0}, "mass"),
        ({"friction": -1.0}, "friction"),
        ({"parts": ()}, "no convex parts"),
        ({"vertices": np.zeros((8, 2))}, "vertices of the mesh"),
        ({"vertices": np.full((8, 3), np.nan)}, "vertices of the mesh"),
        ({"faces": np.array([[0, 1, 99]] * 4, dtype=np.int32)}, "faces of the mesh"),
        ({"faces": np.zeros((0, 3), dtype=np.int32)}, "faces of the mesh"),
    ],
)
def test_a_change_changes_the_digest_or_is_refused(cube: ObjectSpec, change: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert dataclasses.replace(cube, **change).digest != cube.digest
    else:
        with pytest.raises(InputError, match=words):
            dataclasses.replace(cube, **change)


def test_millimetres_for_metres_are_named(cube: ObjectSpec) -> None:
    with pytest.raises(InputError, match="millimetres"):
        dataclasses.replace(cube, vertices=cube.vertices * 1000.0)


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    plain = tmp_path / "cube.npz"
    plain.write_bytes(pickle.dumps(Bomb(trap)))
    inside = tmp_path / "inside.npz"
    np.savez(inside, vertices=np.array([Bomb(trap)], dtype=object), allow_pickle=True)
    as_npy = tmp_path / "cube.npy"
    np.save(as_npy, np.array([Bomb(trap)], dtype=object), allow_pickle=True)
    for path in (plain, inside, as_npy):
        with pytest.raises(InputError, match="not a readable"):
            ObjectSpec.load(path)
    assert not trap.exists()


def test_missing_truncated_and_foreign_files(cube: ObjectSpec, tmp_path: Path) -> None:
    path = tmp_path / "cube.npz"
    with pytest.raises(InputError, match="no such file"):
        ObjectSpec.load(path)
    cube.save(path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            ObjectSpec.load(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(InputError, match="not an object file"):
        ObjectSpec.load(path)
