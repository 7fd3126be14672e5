"""The FR3 against Franka's published Denavit-Hartenberg parameters, and against another library that reads our exported URDF.

Source of the figures: Franka Robotics, "Robot and interface specifications" (Denavit-Hartenberg parameters in Craig's convention;
limits for Franka Research 3), and franka_description, robots/fr3/inertials.yaml (Apache-2.0).
"""

import mujoco
import numpy as np
import pytest
import torch
from dextrack_assets import path
from scipy.spatial.transform import Rotation

# a in m, d in m, alpha in rad, of joints 1..7 and the flange
DH = np.array([
    (0, 0.333, 0), (0, 0, -np.pi / 2), (0, 0.316, np.pi / 2), (0.0825, 0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2), (0, 0, np.pi / 2), (0.088, 0, np.pi / 2), (0, 0.107, 0),
])  # fmt: skip
LOWER = (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159)
UPPER = (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159)
VELOCITY = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)
TORQUE = (87, 87, 87, 87, 12, 12, 12)
MASSES = (2.3966, 2.9274653454, 2.9355370338, 2.2449013699, 2.6155955791, 2.3271207594, 1.8170376524, 0.6271432862)
LINKS = tuple(f"fr3_link{i}" for i in range(1, 8)) + ("fr3_flange",)


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(path("models", "fr3", "fr3.xml")))


@pytest.fixture(scope="module")
def configurations():
    return np.random.default_rng(7).uniform(LOWER, UPPER, size=(1000, 7))


def published(q):
    """4 x 4 poses of links 1..7 and flange for ``q`` (7,): product of Rot_x(alpha) Trans_x(a) Rot_z(theta) Trans_z(d)."""
    poses, pose = [], np.eye(4)
    for (a, d, alpha), theta in zip(DH, (*q, 0.0), strict=True):
        along_x, along_z = np.eye(4), np.eye(4)
        along_x[:3, :3], along_x[0, 3] = Rotation.from_euler("x", alpha).as_matrix(), a
        along_z[:3, :3], along_z[2, 3] = Rotation.from_euler("z", theta).as_matrix(), d
        pose = pose @ along_x @ along_z
        poses.append(pose)
    return np.array(poses)


def test_every_link_lies_where_the_published_parameters_put_it(model, configurations):
    data = mujoco.MjData(model)
    for q in configurations:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        for link, truth in zip(LINKS, published(q), strict=True):
            assert np.abs(data.body(link).xpos - truth[:3, 3]).max() < 1e-5
            assert (Rotation.from_matrix(data.body(link).xmat.reshape(3, 3)).inv() * Rotation.from_matrix(truth[:3, :3])).magnitude() < 1e-4
        np.testing.assert_array_equal(data.site("fr3_flange").xpos, data.body("fr3_flange").xpos)


def test_another_library_reads_the_same_kinematics_from_our_urdf(configurations):
    import pytorch_kinematics

    torch.set_num_threads(1)
    chain = pytorch_kinematics.build_chain_from_urdf(path("models", "fr3", "fr3.urdf").read_bytes()).to(dtype=torch.float64)
    assert chain.get_joint_parameter_names() == [f"fr3_joint{i}" for i in range(1, 8)]
    poses = chain.forward_kinematics(torch.tensor(configurations))
    truth = np.array([published(q) for q in configurations])
    for i, link in enumerate(LINKS):
        matrix = poses[link].get_matrix().numpy()
        assert np.abs(matrix[:, :3, 3] - truth[:, i, :3, 3]).max() < 1e-5, link
        assert (Rotation.from_matrix(matrix[:, :3, :3]).inv() * Rotation.from_matrix(truth[:, i, :3, :3])).magnitude().max() < 1e-4, link


def test_limits_are_the_published_ones(model):
    np.testing.assert_allclose(model.jnt_range, np.transpose([LOWER, UPPER]), atol=1e-12)
    np.testing.assert_allclose(model.jnt_actfrcrange[:, 1], TORQUE)
    np.testing.assert_allclose(model.numeric("fr3_velocity").data, VELOCITY)
    np.testing.assert_allclose(model.numeric("fr3_acceleration").data, 10.0)
    np.testing.assert_allclose(model.numeric("fr3_jerk").data, 5000.0)


def test_masses_are_the_published_ones_and_inertias_are_physical(model):
    for i, mass in enumerate(MASSES):
        assert model.body(f"fr3_link{i}").mass[0] == pytest.approx(mass, abs=1e-9)
    assert model.body_mass.sum() == pytest.approx(sum(MASSES))
    # Figures of link 7, ixx iyy izz ixy ixz iyz, turned from MuJoCo's principal axes back into the link's frame.
    body = model.body("fr3_link7")
    r = Rotation.from_quat(body.iquat, scalar_first=True).as_matrix()
    inertia = r @ np.diag(body.inertia) @ r.T
    got = [inertia[k] for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    figures = (0.00021092389150104718, 0.00017718568002411474, 5.993190599659971e-05, -2.433299114461931e-05, 4.564480393778983e-05, 8.744070223226438e-05)
    np.testing.assert_allclose(got, figures, rtol=1e-6)


def test_the_waiting_arm_does_not_touch_itself_and_the_folded_one_does(model):
    data = mujoco.MjData(model)
    data.qpos[:] = (0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    # Shoulder and elbow folded forward as far as they go: the wrist runs into the base.
    data.qpos[:] = (0.0, 1.7, 0.0, -3.0, 0.0, 2.5, 0.0)
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.body(model.geom_bodyid[g]).name for g in c.geom) for c in data.contact[: data.ncon]}
    assert frozenset(("fr3_link0", "fr3_link6")) in touching


def test_no_pair_of_links_touches_in_nearly_every_pose(model, configurations):
    data = mujoco.MjData(model)
    counts: dict[frozenset[int], int] = {}
    for q in configurations[:300]:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        for pair in {frozenset(int(model.geom_bodyid[g]) for g in c.geom) for c in data.contact[: data.ncon]}:
            counts[pair] = counts.get(pair, 0) + 1
    assert counts  # the filter has not excluded everything
    assert max(counts.values()) < 0.2 * 300
