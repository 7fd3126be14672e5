"""The exporter against a URDF reader that is not ours, and the committed files against the models."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dextrack.errors import InputError
from dextrack.hands.urdf_export import Limits, export_urdf, exports, rpy


@pytest.mark.parametrize("target", sorted(exports()), ids=lambda p: p.stem)
def test_committed_urdf_has_not_drifted_from_the_model(target):
    assert target.read_text(encoding="utf-8") == exports()[target], "run: python -m dextrack.hands.urdf_export"


def tensor(body):
    """Inertia (3, 3) in the body's axes: the order of principal axes differs between a shape and a tensor of its own."""
    r = Rotation.from_quat(body.iquat, scalar_first=True).as_matrix()
    return r @ np.diag(body.inertia) @ r.T


@pytest.mark.parametrize("target", sorted(exports()), ids=lambda p: p.stem)
def test_mujoco_reads_the_urdf_back_as_the_same_mechanism(target):
    ours = mujoco.MjModel.from_xml_path(str(target.with_suffix(".xml")))
    spec = mujoco.MjSpec.from_string(target.read_text(encoding="utf-8"))
    spec.compiler.fusestatic = False
    back = spec.compile()
    # MuJoCo welds a URDF's root link to the world, so the root has no body of its own there.
    for b in range(2, ours.nbody):
        name = ours.body(b).name
        assert back.body(name).mass[0] == pytest.approx(ours.body(b).mass[0], rel=1e-6)
        np.testing.assert_allclose(tensor(back.body(name)), tensor(ours.body(b)), rtol=1e-5, atol=1e-13)
        np.testing.assert_allclose(back.body(name).ipos, ours.body(b).ipos, atol=1e-8)
    for j in range(ours.njnt):
        name = ours.joint(j).name
        np.testing.assert_allclose(back.joint(name).range, ours.joint(j).range, atol=1e-9)
        np.testing.assert_allclose(back.joint(name).axis, ours.joint(j).axis, atol=1e-9)


def test_rpy_is_the_rotation_also_at_gimbal_lock():
    rng = np.random.default_rng(3)
    quaternions = list(Rotation.random(200, rng=rng).as_quat(scalar_first=True))
    quaternions += [Rotation.from_euler("xyz", (0.3, s * np.pi / 2, 0.8)).as_quat(scalar_first=True) for s in (-1, 1)]
    for q in quaternions:
        back = Rotation.from_euler("xyz", rpy(q))
        assert (back.inv() * Rotation.from_quat(q, scalar_first=True)).magnitude() < 1e-7


def write(tmp_path, body):
    file = tmp_path / "thing.xml"
    file.write_text(f"<mujoco><compiler angle='radian' autolimits='true'/><worldbody>{body}</worldbody></mujoco>")
    return file


def test_a_capsule_keeps_its_extent_and_an_inertial_frame_its_rotation(tmp_path):
    file = write(
        tmp_path,
        "<body name='a'><inertial pos='1 2 3' quat='0.8 0.6 0 0' mass='2' diaginertia='3 4 5'/><geom type='capsule' fromto='0 0 1 0 0 3' size='0.5'/></body>",
    )
    text = export_urdf(file, {})
    assert text.count("<sphere") == 4 and text.count("<cylinder") == 2  # visual and collision
    assert 'xyz="0 0 1"' in text and 'xyz="0 0 3"' in text and 'length="2"' in text
    r = Rotation.from_quat((0.8, 0.6, 0, 0), scalar_first=True).as_matrix()
    expected = r @ np.diag([3.0, 4.0, 5.0]) @ r.T
    assert f'iyz="{expected[1, 2]:.10g}"' in text and f'izz="{expected[2, 2]:.10g}"' in text


def test_a_visual_geom_is_no_collision_and_a_collision_geom_is_not_shown(tmp_path):
    file = write(
        tmp_path,
        "<body name='a'><geom type='box' size='1 1 1' contype='0' conaffinity='0' group='2'/><geom type='sphere' size='1' group='3'/></body>",
    )
    text = export_urdf(file, {})
    assert text.count("<visual>") == text.count("<collision>") == text.count("<box") == text.count("<sphere") == 1


@pytest.mark.parametrize(
    "body, named",
    [
        ("<body name='a'><geom size='1'/><body name='b'><joint name='j' type='slide' range='0 1'/><geom size='1'/></body></body>", "hinge"),
        ("<body name='a'><geom size='1'/><body name='b'><joint name='j' range='0 1' pos='1 0 0'/><geom size='1'/></body></body>", "origin"),
        ("<body name='a'><geom size='1'/></body><body name='b'><geom size='1'/></body>", "root"),
        ("<body name='a'><geom type='ellipsoid' size='1 2 3'/></body>", "ELLIPSOID"),
        ("<body name='a'><geom size='1'/><body name='b'><joint name='k' range='0 1'/><geom size='1'/></body></body>", "joint k"),
    ],
)
def test_what_urdf_cannot_say_is_refused_by_name(tmp_path, body, named):
    with pytest.raises(InputError, match=named):
        export_urdf(write(tmp_path, body), {"j": Limits(1.0, 1.0)})
