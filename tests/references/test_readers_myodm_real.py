"""The real MyoDM, fetched with pip: its figures against those that are known of it. Slow: it needs the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dextrack.cli.data import main
from dextrack.objects import ObjectSpec, lowest_z
from dextrack.objects.remarks import remarks
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack.references import splits
from dextrack.references.readers import faults
from dextrack.references.readers.installation import Checked, check

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    folder: Path = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DEXTRACK_DATA", str(folder))
        assert main(["install", "myodm"]) == 0
        assert main(["check", "myodm"]) == 0
    return check(folder / "myodm")


@pytest.fixture(scope="module")
def objects(checked: Checked) -> dict[str, ObjectSpec]:
    return {o.name: o for o in checked.objects}


def test_all_of_it_is_there(checked: Checked) -> None:
    assert len(checked.recordings) == 95 and len(checked.objects) == 55 and checked.problems == []
    dropped = sum(r.provenance["frames_dropped"] for r in checked.recordings)
    assert sum(len(r.time) for r in checked.recordings) + dropped == 8380


def test_frame_0_jumps_by_more_than_5_mm_in_26(checked: Checked) -> None:
    jumps = [float(f.split("jumps ")[1].split(" ")[0]) for r in checked.recordings for f in r.flags if f.startswith("frame 0 dropped")]
    assert sum(j >= 5.0 for j in jumps) == 26 and max(jumps) == pytest.approx(29.1)


def test_hand_and_object_are_together(checked: Checked, objects: dict[str, ObjectSpec]) -> None:
    """The fingers touch what moves; were the object's offset of 35 mm forgotten, the gap would be several times larger."""
    gaps = {}
    for r in checked.recordings:
        on_the_move = faults.moving(r)
        gaps[r.name] = float(np.median(faults.fingertip_gap(r, objects[r.object_name])[on_the_move]))
    assert 0.002 < np.median(list(gaps.values())) < 0.005
    assert {name for name, gap in gaps.items() if gap > faults.GAP} == {"fryingpan_cook2", "hammer_use1"}
    assert {r.name for r in checked.recordings if any(f.startswith("bad input") for f in r.flags)} == {"fryingpan_cook2", "hammer_use1"}


def test_the_object_begins_on_the_table(checked: Checked, objects: dict[str, ObjectSpec]) -> None:
    for r in checked.recordings:
        assert abs(lowest_z(objects[r.object_name].vertices, r.object_position_w[0], r.object_quaternion_w[0])) < 1e-9, r.name


def test_it_is_a_right_hand_of_rigid_bones(checked: Checked) -> None:
    """Lengths against an adult's phalanges; the cross product of the rays of index and little finger comes out of a right palm, and fingers curl that way."""
    adult = {"index": (39.8, 22.4, 15.8), "middle": (44.6, 26.3, 17.4), "ring": (41.4, 25.7, 17.3), "little": (32.7, 18.1, 16.0)}  # mm, Buryanov & Kotiuk 2010
    for r in checked.recordings:
        k = r.keypoints_w
        for i, lengths in enumerate(adult.values()):
            bones = 1e3 * np.linalg.norm(np.diff(k[:, 5 + 4 * i : 9 + 4 * i], axis=1), axis=2)
            assert np.ptp(bones, axis=0).max() < 1e-6
            np.testing.assert_allclose(bones[0], lengths, atol=5.0)
        palm = np.cross(k[:, 5] - k[:, 0], k[:, 17] - k[:, 0])
        assert np.einsum("tfi,ti->tf", k[:, 8::4] - k[:, 5::4], palm).mean() > 0, r.name
        assert np.einsum("ti,ti->t", r.object_position_w - k[:, 0], palm)[len(k) // 3 :].mean() > 0, f"{r.name}: the object lies on the palm's side"


def test_the_split_follows_from_what_is_installed(checked: Checked) -> None:
    assert splits.derive("myodm", {r.name: r.flags for r in checked.recordings}) == splits.load("myodm")


def test_shapes_under_two_names_are_known_to_the_split(objects: dict[str, ObjectSpec]) -> None:
    same: dict[bytes, list[str]] = {}
    for name, obj in objects.items():
        same.setdefault(obj.vertices.tobytes(), []).append(name)
    assert {frozenset(names) for names in same.values() if len(names) > 1} == {frozenset(names) for names in splits.SAME_SHAPE}


def test_parts_and_closedness_of_the_objects(objects: dict[str, ObjectSpec]) -> None:
    said = {name: " ".join(remarks(obj)) for name, obj in objects.items()}
    assert {name for name, words in said.items() if "slow" in words} == {"fryingpan", "teapot", "wineglass"}
    assert {name for name, words in said.items() if "not closed" in words} == {"bowl", "camera", "headphones", "phone", "stapler", "waterbottle"}
    assert not any("uncovered" in words for words in said.values())


def test_symmetries_of_solids_that_are_known(objects: dict[str, ObjectSpec], tmp_path: Path) -> None:
    for name, (free, size) in {
        "cylindersmall": (True, 2), "torussmall": (True, 2), "wineglass": (True, 1), "spheresmall": (True, 1), "cubesmall": (False, 24),
        "pyramidsmall": (False, 4), "mug": (False, 1), "duck": (False, 1),
    }.items():  # fmt: skip
        found = symmetry_of(objects[name], tmp_path)
        assert ((found.free_axis is not None), len(found.representatives())) == (free, size), f"{name} (the spheres have a flat foot)"
