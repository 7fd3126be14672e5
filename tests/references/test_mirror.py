"""Mirror images of recordings and objects: an involution that keeps every distance, and can be found by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.cli import retarget as verb
from dextrack.errors import InputError
from dextrack.objects import ObjectSpec
from dextrack.objects.symmetry import Symmetry
from dextrack.references.library import find_object, find_recording
from dextrack.references.mirror import mirror_object, mirror_recording, mirrored_name
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference
from tests import synthetic


def _random(seed: int) -> Recording:
    """The synthetic recording, everything about it shaken."""
    rng = np.random.default_rng(seed)
    made = synthetic.recording()
    n = made.time.size
    return dataclasses.replace(
        made,
        side=("left", "right")[seed % 2],
        keypoints_w=made.keypoints_w + rng.normal(scale=0.003, size=(n, 21, 3)),
        object_position_w=made.object_position_w + rng.normal(scale=0.01, size=3),
        object_quaternion_w=Rotation.random(n, rng=rng).as_quat(scalar_first=True),
        provenance={"file": "a.npy"},
    )


def _wedge() -> ObjectSpec:
    """A body that is not its own mirror image: the hull of a few points."""
    hull = trimesh.convex.convex_hull(np.array([[0, 0, 0], [0.06, 0, 0], [0, 0.04, 0], [0, 0, 0.09], [0.05, 0.05, 0.01]]))
    v, f = np.array(hull.vertices), np.array(hull.faces, dtype=np.int32)
    return ObjectSpec("wedge", v, f, ((v, f), (v * 0.5, f)), 0.1, symmetry=Symmetry((((0.6, 0.8, 0.0), 2),)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_mirroring_twice_is_the_identity(seed: int) -> None:
    recording = _random(seed)
    image = mirror_recording(recording)
    assert image.digest != recording.digest and image.side != recording.side
    again = mirror_recording(image)
    assert again.digest == recording.digest
    assert (again.name, again.object_name, again.side, again.provenance) == (recording.name, recording.object_name, recording.side, recording.provenance)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_every_point_of_hand_and_object_is_reflected(seed: int) -> None:
    """Reflection of the scene's points, computed point by point in the world, whatever the object's frame does."""
    recording, obj = _random(seed), _wedge()
    image, other = mirror_recording(recording), mirror_object(obj)
    for a, b in zip(recording.keypoints_w.reshape(-1, 3), image.keypoints_w.reshape(-1, 3), strict=True):
        assert (b[0], b[1], b[2]) == (a[0], -a[1], a[2])
    for n in (0, len(recording.time) // 2):
        r, s = (Rotation.from_quat(x.object_quaternion_w[n], scalar_first=True) for x in (recording, image))
        before = r.apply(obj.vertices) + recording.object_position_w[n]
        after = s.apply(other.vertices) + image.object_position_w[n]
        np.testing.assert_allclose(after, before * (1.0, -1.0, 1.0), atol=1e-12)


def test_a_mirrored_object_is_a_body_of_its_own() -> None:
    obj = _wedge()
    other = mirror_object(obj)
    assert other.name == "wedge_mirrored" and other.digest != obj.digest
    assert trimesh.Trimesh(other.vertices, other.faces).volume == pytest.approx(trimesh.Trimesh(obj.vertices, obj.faces).volume)  # outwards: not negative
    assert (other.mass, other.friction) == (obj.mass, obj.friction)
    assert other.symmetry is not None and other.symmetry.generators == (((0.6, -0.8, 0.0), 2),)
    again = mirror_object(other)
    assert (again.name, again.digest, again.symmetry) == (obj.name, obj.digest, obj.symmetry)


def test_names() -> None:
    assert mirrored_name("apple") == "apple_mirrored" and mirrored_name("apple_mirrored") == "apple"


def test_found_by_name(data_folder: Path) -> None:
    synthetic.recording().save(data_folder / "zoo" / "recordings" / "box_lift.npz")
    synthetic.box().save(data_folder / "zoo" / "objects" / "box.npz")
    for name in ("box_lift_mirrored", "zoo/box_lift_mirrored"):
        recording = find_recording(name)
        assert (recording.name, recording.object_name, recording.side) == ("box_lift_mirrored", "box_mirrored", "left")
        assert recording.provenance["mirrored"] == {"name": "box_lift", "digest": synthetic.recording().digest}
    assert find_object(recording).digest == find_object("box_mirrored").digest == mirror_object(synthetic.box()).digest
    for name in ("mug_lift_mirrored", "box_lift_mirrored_mirrored"):
        with pytest.raises(InputError, match="not installed"):
            find_recording(name)
    with pytest.raises(InputError, match="mug_mirrored"):
        find_object("mug_mirrored")


@pytest.mark.slow
def test_a_left_hand_does_what_a_right_one_did(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthetic.recording().save(data_folder / "zoo" / "recordings" / "box_lift.npz")
    synthetic.box().save(data_folder / "zoo" / "objects" / "box.npz")
    arguments = ["box_lift", "--hand", "leap_left", "--mirror", "--iterations", "25", "--out", str(tmp_path)]
    assert verb.main(arguments) == 0
    reference = Reference.load(tmp_path / "box_lift_mirrored.npz")
    assert (reference.hand_name, reference.object_name) == ("leap_left", "box_mirrored")
    assert find_object(reference).digest == reference.provenance["object"]
    assert verb.main(arguments) == 0 and "already there" in " ".join(capsys.readouterr().out.split())
