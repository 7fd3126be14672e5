"""Film strips: the right moments, the right poses, and pictures that show them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import dextrack_assets
import mujoco
import numpy as np
import pytest
import torch
from PIL import Image

from dextrack import rotations
from dextrack.evaluation import motion
from dextrack.evaluation.film_strip import FilmStrip, film_strip, key_frames
from dextrack.evaluation.motion import ArmMotion, Motion
from dextrack.evaluation.rendering import Camera
from dextrack.evaluation.stage import OBJECT_COLOUR, Stage
from dextrack.hands import HandSpec, load_hand
from dextrack.hands.kinematics import HandKinematics
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference

SIZE = (160, 120)


def drop(reference: Reference) -> Motion:
    """The hand does its part, but the box stays on the table."""
    stays = np.tile(reference.object_position_w[0], (len(reference.hand), 1))
    return motion.reached(reference, reference.hand, stays, reference.object_quaternion_w, "trial")


@pytest.fixture(scope="module")
def strip(reference: Reference, box: ObjectSpec) -> FilmStrip:
    return film_strip([*motion.of_reference(reference), drop(reference)], box, size=SIZE)


def test_key_frames_are_the_moments_of_a_lift(reference: Reference, box: ObjectSpec) -> None:
    keys = key_frames(motion.of_reference(reference)[1], box)
    assert [k.label for k in keys] == ["start", "contact", "lift", "mid", "peak", "end"]
    frames = [round(k.time * 60) for k in keys]
    # Up 4 mm a frame from frame 10 on: 5 mm are exceeded at frame 12, 3 cm at frame 18.
    assert frames == [0, 11, 18, 29, 40, 59]


def test_an_object_that_stays_gets_evenly_spaced_key_frames(reference: Reference, box: ObjectSpec) -> None:
    keys = key_frames(drop(reference), box)
    assert np.diff([k.time for k in keys]) == pytest.approx(59 / 5 / 60, abs=1 / 60)


def test_key_frames_never_go_back(reference: Reference, box: ObjectSpec) -> None:
    ends_up = dataclasses.replace(
        reference,
        **{f: getattr(reference, f)[:41] for f in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")},
    )
    for r in (reference, ends_up):
        times = [k.time for k in key_frames(motion.of_reference(r)[1], box)]
        assert times == sorted(times)
        assert len(set(times)) == 6


def test_every_picture_shows_object_and_hand(strip: FilmStrip) -> None:
    assert strip.rows == ("recording", "reference", "trial")
    assert len(strip.pictures) == 3
    for row in strip.pictures:
        assert len(row) == 6
        for picture in row:
            assert picture.shape == (120, 160, 3)
            assert picture.std() > 10.0  # not blank


def test_notes_say_height_and_error(strip: FilmStrip) -> None:
    assert strip.notes[1][4] == "12 cm up"
    assert strip.notes[2][4] == "0 cm up, off by 12.0 cm, 0°"
    assert strip.notes[2][0] == "0 cm up, off by 0.0 cm, 0°"


def test_a_dropped_object_is_not_drawn_where_the_reference_has_it(strip: FilmStrip, reference: Reference) -> None:
    """At the peak the box's colour is at the reference's place in the reference row, and not in the trial row."""
    camera = strip.cameras[4]
    column, row = camera.project(reference.object_position_w[40])[0].astype(int)
    orange = [picture[row, column].astype(int) for picture in (strip.pictures[1][4], strip.pictures[2][4])]
    assert orange[0][0] - orange[0][2] > 60
    assert orange[1][0] - orange[1][2] < 20


def test_the_composed_picture_is_a_png_with_every_picture_in_it(strip: FilmStrip, tmp_path: Path) -> None:
    strip.save(tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as image:
        assert image.format == "PNG"
        composed = np.asarray(image)
    assert composed.shape[1] > 6 * 160
    assert composed.shape[0] > 3 * 120
    flat = composed[:, :, :].reshape(-1, 3)
    assert (flat == [0, 114, 178]).all(axis=1).any()  # the reference's label
    assert (flat == [213, 94, 0]).all(axis=1).any()  # the trial's


def test_the_object_is_where_its_pose_says(reference: Reference, box: ObjectSpec) -> None:
    """The pixels of the object are the projection of its vertices, as computed without OpenGL."""
    turned = dataclasses.replace(reference, object_quaternion_w=np.tile(rotations.from_rotation_vector([0.3, -0.5, 1.0]), (60, 1)))
    row = motion.of_reference(turned)[1]
    stage = Stage(box, (row,), *SIZE)
    try:
        stage.show(dataclasses.replace(row, hand=None), 40)
        camera = Camera((0.02, -0.03, 0.15), 0.8, 0.9, -0.4, width=160, height=120)
        ids = stage.camera.segmentation(stage.data, camera)
        rows, columns = np.nonzero(ids == stage.model.geom("object").id)
    finally:
        stage.close()
    corners, _ = camera.project(rotations.rotate(turned.object_quaternion_w[40], box.vertices) + turned.object_position_w[40])
    assert [columns.min(), rows.min()] == pytest.approx(corners.min(axis=0), abs=1.5)
    assert [columns.max() + 1, rows.max() + 1] == pytest.approx(corners.max(axis=0), abs=1.5)


def test_the_hand_is_where_its_theta_says(reference: Reference, box: ObjectSpec) -> None:
    """Bodies of the stage against the hand's forward kinematics, at random joints and wrist angles."""
    hand = load_hand("leap_right")
    theta = np.random.default_rng(1).uniform(*hand.limits(), size=(3, 22)) * np.r_[np.full(3, 0.2), np.full(19, 0.9)]
    moved = dataclasses.replace(reference, hand=np.repeat(theta, 20, axis=0), base_quaternion_w=rotations.from_rotation_vector([0.4, 0.1, -0.7]))
    row = motion.of_reference(moved)[1]
    stage = Stage(box, (row,), *SIZE)
    try:
        for frame in (0, 20, 40):
            stage.show(row, frame)
            want = _fingertips(hand, moved.base_quaternion_w, moved.hand[frame])
            got = {t.finger: stage.data.body(f"hand/{t.body}").xpos for t in hand.fingertips}
            for finger, position in want.items():
                assert got[finger] == pytest.approx(position, abs=1e-6)
    finally:
        stage.close()


def _fingertips(hand: HandSpec, base: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Origins of the fingertip bodies in the world, by the core's kinematics."""
    _, positions = HandKinematics(hand, base).bodies(torch.as_tensor(theta[None]), [t.body for t in hand.fingertips])
    return {t.finger: position[0].numpy() for t, position in zip(hand.fingertips, positions, strict=True)}


def test_the_object_keeps_its_colour_apart_from_the_table() -> None:
    assert max(OBJECT_COLOUR[:3]) - min(OBJECT_COLOUR[:3]) > 0.5


def test_the_arm_stands_where_its_base_is_and_bends_as_its_joints_say(reference: Reference, box: ObjectSpec) -> None:
    alone = mujoco.MjModel.from_xml_path(str(dextrack_assets.path("models", "fr3", "fr3.xml")))
    data = mujoco.MjData(alone)
    names = tuple(f"fr3_joint{i}" for i in range(1, 8))
    q = np.array([0.3, -0.6, 0.2, -2.0, 0.1, 1.4, -0.4])
    for name, value in zip(names, q, strict=True):
        data.joint(name).qpos[0] = value
    mujoco.mj_kinematics(alone, data)
    base, yaw = np.array([-0.55, 0.1, 0.02]), rotations.from_rotation_vector([0.0, 0.0, 0.5])
    # Columns in an order of their own: whoever poses the arm must go by name.
    arm = ArmMotion(names[::-1], np.tile(q[::-1], (60, 1)), tuple(base), tuple(yaw))
    row = dataclasses.replace(motion.of_reference(reference)[1], arm=arm)
    stage = Stage(box, (row,), *SIZE)
    try:
        stage.show(row, 3)
        want = base + rotations.rotate(yaw, data.body("fr3_flange").xpos)
        assert stage.data.body("arm/fr3_flange").xpos == pytest.approx(want, abs=1e-9)
        assert stage.shares(Camera((-0.3, 0.1, 0.4), 2.5, 1.5, -0.2, width=160, height=120))["arm"] > 0.02
    finally:
        stage.close()
