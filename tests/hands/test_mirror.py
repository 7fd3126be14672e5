"""Left hands: mirror images of the right ones, and what the makers' own descriptions of the left hands say."""

from __future__ import annotations

import itertools
import json

import mujoco
import numpy as np
import pytest
from dextrack_assets import path
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.errors import InputError
from dextrack.hands import HANDS, load_hand
from dextrack.hands.description import mirrored_models
from dextrack.hands.mirror import Mirror, mirror_mjcf

M = np.diag([1.0, -1.0, 1.0])
LEFT = ("allegro_left", "leap_left")


def parts(left: str) -> tuple[mujoco.MjModel, mujoco.MjModel, Mirror]:
    """(right model, left model, mirror) of a left hand."""
    given = json.loads((path("models", left) / "hand.json").read_text(encoding="utf-8"))
    mirror = Mirror(given["exchanged"], tuple(given["reversed_joints"]))
    models = (mujoco.MjModel.from_xml_path(str(load_hand(n).mjcf)) for n in (given["mirror_of"], left))
    return (*models, mirror)


def posed(model: mujoco.MjModel, angles: dict[str, float]) -> mujoco.MjData:
    data = mujoco.MjData(model)
    for joint, angle in angles.items():
        data.joint(joint).qpos[0] = angle
    mujoco.mj_fwdPosition(model, data)
    return data


@pytest.mark.parametrize("target", sorted(mirrored_models(HANDS)), ids=lambda p: p.stem)
def test_committed_mirror_images_have_not_drifted(target) -> None:
    assert target.read_text(encoding="utf-8") == mirrored_models(HANDS)[target], "run: python -m dextrack.hands.urdf_export"


@pytest.mark.parametrize("left", LEFT)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=16, max_size=16))
def test_the_left_hand_at_mirrored_angles_is_the_image_of_the_right_one(left: str, shares: list[float]) -> None:
    right, image, mirror = parts(left)
    hand = load_hand(left.replace("left", "right"))
    angles = {j: lo + s * (up - lo) for j, lo, up, s in zip(hand.finger_joints, hand.lower, hand.upper, shares, strict=True)}
    a, b = posed(right, angles), posed(image, mirror.angles(angles))
    for i in range(1, right.nbody):
        body, other = a.body(right.body(i).name), b.body(mirror.name(right.body(i).name))
        np.testing.assert_allclose(other.xpos, M @ body.xpos, atol=1e-9)
        np.testing.assert_allclose(other.xipos, M @ body.xipos, atol=1e-9)  # centres of mass
        np.testing.assert_allclose(other.xmat.reshape(3, 3), M @ body.xmat.reshape(3, 3) @ M, atol=1e-8)
    # Angles within the right hand's limits are within the left hand's.
    for joint, angle in mirror.angles(angles).items():
        lower, upper = image.joint(joint).range
        assert lower - 1e-12 <= angle <= upper + 1e-12


@pytest.mark.parametrize("left", LEFT)
def test_masses_inertias_shapes_and_exclusions_are_mirrored(left: str) -> None:
    right, image, mirror = parts(left)
    assert (right.nbody, right.njnt, right.ngeom, right.nexclude) == (image.nbody, image.njnt, image.ngeom, image.nexclude)
    for i in range(1, right.nbody):
        body, other = right.body(i), image.body(mirror.name(right.body(i).name))
        assert other.mass[0] == pytest.approx(body.mass[0], abs=1e-12)
        tensors = [Rotation.from_quat(b.iquat, scalar_first=True).as_matrix() for b in (body, other)]
        tensors = [r @ np.diag(b.inertia) @ r.T for r, b in zip(tensors, (body, other), strict=True)]
        np.testing.assert_allclose(tensors[1], M @ tensors[0] @ M, atol=1e-13)
    for g in range(right.ngeom):
        assert image.body(image.geom_bodyid[g]).name == mirror.name(right.body(right.geom_bodyid[g]).name)
        np.testing.assert_allclose(image.geom_size[g], right.geom_size[g], atol=1e-9)
        np.testing.assert_allclose(image.geom_pos[g], M @ right.geom_pos[g], atol=1e-9)
        # A box or capsule is its own image up to the signs of its axes.
        turned, before = (Rotation.from_quat(m.geom_quat[g], scalar_first=True).as_matrix() for m in (image, right))
        np.testing.assert_allclose(np.abs(np.sum(turned * (M @ before), axis=0)), 1.0, atol=1e-8)
    for j in range(right.njnt):
        assert image.joint(mirror.name(right.joint(j).name)).armature[0] == right.joint(j).armature[0] == 0.001


@pytest.mark.parametrize("left", LEFT)
def test_the_spec_fits_the_model_and_points_are_mirrored(left: str) -> None:
    right, image, mirror = parts(left)
    hand, other = load_hand(left.replace("left", "right")), load_hand(left)
    assert (other.side, other.name) == ("left", left)
    for j, lower, upper in zip(other.finger_joints, other.lower, other.upper, strict=True):
        np.testing.assert_allclose(image.joint(j).range, (lower, upper), atol=1e-12)
    rest = dict(zip(hand.finger_joints, hand.rest, strict=True))
    assert mirror.angles(rest) == dict(zip(other.finger_joints, other.rest, strict=True))
    a, b = posed(right, rest), posed(image, mirror.angles(rest))
    for of, to in itertools.chain(zip(hand.keypoints, other.keypoints, strict=True), zip(hand.fingertips, other.fingertips, strict=True)):
        points = [d.body(p.body).xpos + d.body(p.body).xmat.reshape(3, 3) @ p.offset for d, p in ((a, of), (b, to))]
        np.testing.assert_allclose(points[1], M @ points[0], atol=1e-9)


# Makers' left hands (facts of their descriptions): joint -> (parent joint or None, xyz in m, rpy in rad, axis, lower, upper), by motor id.
# dex_urdf, leap_hand_left.urdf (MIT licence); every axis is 0 0 -1.
LEAP = {
    12: (None, (-0.1448, -0.0900, 0.0049), (0, 1.57079, 0), -2.094, 0.349), 13: (12, (0, -0.0143, -0.013), (-1.57079, -1.57079, 0), -2.443, 0.47),
    14: (13, (0, 0.0145, -0.017), (-1.57079, 0, 0), -1.20, 1.90), 15: (14, (0, 0.0466, 0.0002), (0, 0, 3.14159), -1.34, 1.88),
}  # fmt: skip
for _first, _y in ((0, -0.0857), (4, -0.0403), (8, 0.0051)):
    LEAP[_first + 1] = (None, (-0.0825, _y, 0.0078), (1.57079, 1.57079, 0), -0.314, 2.23)
    LEAP[_first] = (_first + 1, (-0.0122, 0.0381, 0.0145), (-1.57079, 0, 1.57079), -1.047, 1.047)
    LEAP[_first + 2] = (_first, (0.015, 0.0143, -0.013), (1.57079, -1.57079, 0), -0.506, 1.885)
    LEAP[_first + 3] = (_first + 2, (0, -0.0361, 0.0002), (0, 0, 0), -0.366, 2.042)


def test_the_leap_is_the_makers_left_hand_up_to_what_they_drew_anew() -> None:
    """Their palm frame lies elsewhere and their left palm is drawn anew, so pads are compared up to one shift for all poses and 1.5 mm."""
    hand = load_hand("leap_left")
    assert [LEAP[i][3:] for i in range(16)] == list(zip(hand.lower, hand.upper, strict=True))
    image = parts("leap_left")[1]
    shifts = []
    for q in np.random.default_rng(5).uniform(hand.lower, hand.upper, size=(200, 16)):
        data = posed(image, dict(zip(hand.finger_joints, q, strict=True)))
        for tip, motor in zip(hand.fingertips, (15, 3, 7, 11), strict=True):
            position, rotation, chain = np.zeros(3), Rotation.identity(), []
            while motor is not None:
                chain.append(motor)
                motor = LEAP[motor][0]
            for i in reversed(chain):
                _, xyz, rpy, _, _ = LEAP[i]
                position = position + rotation.apply(xyz)
                rotation = rotation * Rotation.from_euler("xyz", rpy) * Rotation.from_rotvec((0, 0, -q[i]))
            theirs = position + rotation.apply((0.0, -0.0495, -0.0145) if tip.finger == "thumb" else (0.0, -0.0375, 0.0145))
            ours = data.body(tip.body).xpos + data.body(tip.body).xmat.reshape(3, 3) @ tip.offset
            shifts.append(theirs - ours)
    assert np.abs(shifts - np.mean(shifts, axis=0)).max() < 1.5e-3


def test_the_allegro_is_the_makers_left_hand() -> None:
    """Figures of MuJoCo Menagerie, wonik_allegro/left_hand.xml (BSD licence); motors are numbered as in dex_urdf's allegro_hand_left.urdf."""
    tilt, image = 0.08726646255, parts("allegro_left")[1]
    for motor, xyz, roll in ((0, (0, 0.0435, -0.001542), -tilt), (4, (0, 0, 0.0007), 0), (8, (0, -0.0435, -0.001542), tilt)):
        body = image.body(f"link_{motor}.0")
        np.testing.assert_allclose(body.pos, xyz, atol=1e-9)
        assert (Rotation.from_euler("xyz", (roll, 0, 0)).inv() * Rotation.from_quat(body.quat, scalar_first=True)).magnitude() < 1e-6
        for i, axis in enumerate(((0, 0, 1), (0, 1, 0), (0, 1, 0), (0, 1, 0))):
            np.testing.assert_array_equal(image.joint(f"joint_{motor + i}.0").axis, axis)
    thumb = image.body("link_12.0")
    np.testing.assert_allclose(thumb.pos, (-0.0182, -0.019333, -0.045987), atol=1e-9)
    published = Rotation.from_quat((0.477714, 0.521334, -0.521334, 0.477714), scalar_first=True)
    assert (published.inv() * Rotation.from_quat(thumb.quat, scalar_first=True)).magnitude() < 1e-5
    np.testing.assert_allclose(image.body("link_13.0").pos, (-0.027, -0.005, 0.0399), atol=1e-9)
    for motor, axis, limits in ((12, (1, 0, 0), (0.263, 1.396)), (13, (0, 0, -1), (-0.105, 1.163)), (14, (0, 1, 0), (-0.189, 1.644))):
        np.testing.assert_array_equal(image.joint(f"joint_{motor}.0").axis, axis)
        np.testing.assert_allclose(image.joint(f"joint_{motor}.0").range, limits, atol=1e-12)


def test_what_cannot_be_mirrored_is_refused_by_name(tmp_path) -> None:
    file = tmp_path / "thing.xml"
    file.write_text("<mujoco><worldbody><body name='a'><geom type='box' size='1 1 1' axisangle='0 0 1 1'/></body></worldbody></mujoco>")
    with pytest.raises(InputError, match="axisangle"):
        mirror_mjcf(file, "image", Mirror())
    file.write_text("<mujoco><worldbody><body name='a'><geom size='1'/></body></worldbody></mujoco>")
    with pytest.raises(InputError, match="no joint 7"):
        mirror_mjcf(file, "image", Mirror(reversed_joints=("7",)))


@pytest.mark.parametrize("right", ["allegro_right", "leap_right"])
def test_the_image_of_the_image_is_the_hand(right: str, tmp_path) -> None:
    once = tmp_path / "once.xml"
    once.write_text(mirror_mjcf(load_hand(right).mjcf, "once", Mirror()))
    twice = mujoco.MjModel.from_xml_string(mirror_mjcf(once, "twice", Mirror()))
    before = mujoco.MjModel.from_xml_path(str(load_hand(right).mjcf))
    for field in ("body_pos", "body_quat", "body_ipos", "jnt_axis", "jnt_range", "geom_pos", "geom_size", "body_mass", "body_inertia"):
        np.testing.assert_allclose(getattr(twice, field), getattr(before, field), atol=1e-9, err_msg=field)
