from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from dextrack.errors import InputError
from dextrack.objects import ObjectSpec
from dextrack.references.library import find_object, find_recording, objects, own_objects, recordings
from dextrack.references.mirror import mirror_object
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference


def put_object(folder: Path, name: str, mass: float = 0.1) -> None:
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    ObjectSpec(name, v, f, ((v, f),), mass=mass).save(folder / "objects" / f"{name}.npz")


def put_recording(folder: Path, name: str, dataset: str = "", flags: tuple[str, ...] = ()) -> Path:
    n = 6
    keypoints = np.zeros((n, 21, 3))
    keypoints[:, 1:, 0] = 0.09
    path = folder / "recordings" / f"{name}.npz"
    still = np.tile([1.0, 0, 0, 0], (n, 1))
    Recording(name, name.split("_")[0], "right", np.arange(n) / 50, keypoints, np.zeros((n, 3)), still, dataset=dataset, flags=flags).save(path)
    return path


def test_by_name_by_data_set_and_by_path(data_folder: Path, tmp_path: Path) -> None:
    put_recording(data_folder / "myodm", "mug_lift", flags=("installed",))
    put_recording(data_folder / "zoo", "mug_lift", flags=("other",))
    mine = put_recording(tmp_path / "mine", "mug_lift", flags=("mine",))
    assert find_recording("mug_lift").flags == ("installed",)
    assert find_recording("zoo/mug_lift").flags == ("other",)
    assert find_recording(mine).flags == find_recording(str(mine)).flags == ("mine",)
    assert list(recordings()) == ["mug_lift"]


def test_a_half_written_file_is_no_recording(data_folder: Path) -> None:
    path = put_recording(data_folder / "myodm", "mug_lift")
    path.with_name(".mug_pass.npz.x7.npz").write_bytes(b"half")
    assert list(recordings()) == ["mug_lift"]


def test_the_nearest_object_wins(data_folder: Path, tmp_path: Path) -> None:
    put_object(data_folder / "myodm", "mug", mass=0.11)
    put_object(data_folder / "abc", "mug", mass=0.12)
    put_object(tmp_path / "mine", "mug", mass=0.13)
    assert find_object(find_recording(put_recording(tmp_path / "mine", "mug_lift"))).mass == 0.13
    assert find_object(find_recording(put_recording(tmp_path / "bare", "mug_lift", dataset="myodm"))).mass == 0.11
    assert find_object("mug").mass == 0.12, "of equals, the first by name of the data set"
    assert find_object("mug", near=tmp_path / "mine" / "recordings").mass == 0.13


def test_the_users_own_come_before_other_data_sets(data_folder: Path, tmp_path: Path) -> None:
    put_object(data_folder, "mug", mass=0.14)
    put_object(data_folder / "abc", "mug", mass=0.12)
    assert find_object("mug").mass == 0.14 and objects()["mug"].parent == own_objects()
    assert find_object(find_recording(put_recording(tmp_path / "bare", "mug_lift", dataset="abc"))).mass == 0.12


def test_a_reference_gets_the_object_that_it_was_made_with(data_folder: Path) -> None:
    """Of several that have its name; where none is the one, none: its picture, its replay and its chances would be those of another."""
    put_object(data_folder, "mug", mass=0.14)
    put_object(data_folder / "abc", "mug", mass=0.12)
    (data_folder / "aaa" / "objects").mkdir(parents=True)
    (data_folder / "aaa" / "objects" / "mug.npz").write_bytes(b"damaged")
    wanted = ObjectSpec.load(data_folder / "abc" / "objects" / "mug.npz").digest
    assert find_object(reference("mug", wanted)).mass == 0.12
    with pytest.raises(InputError, match="not the one that the reference was retargeted with"):
        find_object(reference("mug", "0" * 64))
    assert find_object(reference("mug", None)).mass == 0.14
    image = mirror_object(ObjectSpec.load(data_folder / "abc" / "objects" / "mug.npz"))
    assert find_object(reference("mug_mirrored", image.digest)).mass == 0.12
    with pytest.raises(InputError, match="not the one that the reference was retargeted with"):
        find_object(reference("mug_mirrored", "0" * 64))


def reference(name: str, digest: str | None) -> Reference:
    names = tuple(f"j{i}" for i in range(22))
    still = np.tile([1.0, 0, 0, 0], (3, 1))
    provenance = {} if digest is None else {"object": digest}
    return Reference(
        f"{name}_lift", "leap_right", name, names, still[0], np.zeros((3, 22)), np.zeros((3, 3)), still, np.zeros((3, 21, 3)), provenance=provenance
    )


def test_unknown_names_list_close_ones(data_folder: Path) -> None:
    for name in ("apple_lift", "apple_pass1", "mug_lift"):
        put_recording(data_folder / "myodm", name)
    for name in ("apple", "mug", "teapot"):
        put_object(data_folder / "myodm", name)
    with pytest.raises(InputError, match="'aple_lift' is not installed.*did you mean apple_lift"):
        find_recording("aple_lift")
    with pytest.raises(InputError, match="did you mean apple_lift"):
        find_recording("recordings/aple_lift.npz")
    with pytest.raises(InputError, match="object 'teepot' is not known.*did you mean teapot"):
        find_object("teepot")
    with pytest.raises(InputError, match="dextrack data list"):
        find_recording("qqqqqqq")


def test_nothing_installed_says_how_to_install(data_folder: Path) -> None:
    with pytest.raises(InputError, match="dextrack data install myodm"):
        find_recording("apple_lift")


@pytest.mark.parametrize("name", ["", "*", "../../x", "/etc/passwd", "a/b/c", "mug_*", "[!.]*"])
def test_strange_names_are_only_unknown(data_folder: Path, name: str) -> None:
    put_recording(data_folder / "myodm", "mug_lift")
    with pytest.raises(InputError):
        find_recording(name)


def test_objects_without_any_folder(data_folder: Path) -> None:
    assert set(objects()) == set(objects(near=data_folder / "nowhere"))
