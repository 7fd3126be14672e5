"""FR3 and Panda against Franka's published Denavit-Hartenberg parameters, and against another library that reads our exported URDF.

Source of the figures: Franka Robotics, "Robot and interface specifications" (Denavit-Hartenberg parameters in Craig's convention;
limits for Franka Research 3 and for Panda), and franka_description, robots/fr3 (Apache-2.0).
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
TORQUE = (87, 87, 87, 87, 12, 12, 12)


class Fr3:
    """Source: control-parameters-joint-fr3.csv, robots/fr3/inertials.yaml."""

    name = "fr3"
    lower = (-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159)
    upper = (2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159)
    velocity = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)
    acceleration = (10,) * 7
    jerk = (5000,) * 7
    masses = (2.3966, 2.9274653454, 2.9355370338, 2.2449013699, 2.6155955791, 2.3271207594, 1.8170376524, 0.6271432862)
    inertia_7 = (0.00021092389150104718, 0.00017718568002411474, 5.993190599659971e-05, -2.433299114461931e-05, 4.564480393778983e-05, 8.744070223226438e-05)


class Panda:
    """Source: control-parameters-joint-panda.csv; masses and inertias by Gaz et al., IEEE RA-L 2019."""

    name = "panda"
    lower = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
    upper = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
    velocity = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
    acceleration = (15, 7.5, 10, 12.5, 15, 20, 20)
    jerk = (7500, 3750, 5000, 6250, 7500, 10000, 10000)
    masses = (0.629769, 4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522)
    inertia_7 = (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741)


@pytest.fixture(scope="module", params=(Fr3, Panda), ids=lambda arm: arm.name)
def arm(request):
    return request.param


@pytest.fixture(scope="module")
def links(arm):
    return tuple(f"{arm.name}_link{i}" for i in range(1, 8)) + (f"{arm.name}_flange",)


@pytest.fixture(scope="module")
def model(arm):
    return mujoco.MjModel.from_xml_path(str(path("models", arm.name, f"{arm.name}.xml")))


@pytest.fixture(scope="module")
def configurations(arm):
    return np.random.default_rng(7).uniform(arm.lower, arm.upper, size=(1000, 7))


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


def test_every_link_lies_where_the_published_parameters_put_it(model, arm, links, configurations):
    data = mujoco.MjData(model)
    for q in configurations:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        for link, truth in zip(links, published(q), strict=True):
            assert np.abs(data.body(link).xpos - truth[:3, 3]).max() < 1e-5
            assert (Rotation.from_matrix(data.body(link).xmat.reshape(3, 3)).inv() * Rotation.from_matrix(truth[:3, :3])).magnitude() < 1e-4
        np.testing.assert_array_equal(data.site(f"{arm.name}_flange").xpos, data.body(f"{arm.name}_flange").xpos)


def test_another_library_reads_the_same_kinematics_from_our_urdf(arm, links, configurations):
    import pytorch_kinematics

    torch.set_num_threads(1)
    chain = pytorch_kinematics.build_chain_from_urdf(path("models", arm.name, f"{arm.name}.urdf").read_bytes()).to(dtype=torch.float64)
    assert chain.get_joint_parameter_names() == [f"{arm.name}_joint{i}" for i in range(1, 8)]
    poses = chain.forward_kinematics(torch.tensor(configurations))
    truth = np.array([published(q) for q in configurations])
    for i, link in enumerate(links):
        matrix = poses[link].get_matrix().numpy()
        assert np.abs(matrix[:, :3, 3] - truth[:, i, :3, 3]).max() < 1e-5, link
        assert (Rotation.from_matrix(matrix[:, :3, :3]).inv() * Rotation.from_matrix(truth[:, i, :3, :3])).magnitude().max() < 1e-4, link


def test_limits_are_the_published_ones(model, arm):
    np.testing.assert_allclose(model.jnt_range, np.transpose([arm.lower, arm.upper]), atol=1e-12)
    np.testing.assert_allclose(model.jnt_actfrcrange[:, 1], TORQUE)
    np.testing.assert_allclose(model.numeric(f"{arm.name}_velocity").data, arm.velocity)
    np.testing.assert_allclose(model.numeric(f"{arm.name}_acceleration").data, arm.acceleration)
    np.testing.assert_allclose(model.numeric(f"{arm.name}_jerk").data, arm.jerk)


def test_masses_are_the_published_ones_and_inertias_are_physical(model, arm):
    for i, mass in enumerate(arm.masses):
        assert model.body(f"{arm.name}_link{i}").mass[0] == pytest.approx(mass, abs=1e-9)
    assert model.body_mass.sum() == pytest.approx(sum(arm.masses))
    # Figures of link 7, ixx iyy izz ixy ixz iyz, turned from MuJoCo's principal axes back into the link's frame.
    body = model.body(f"{arm.name}_link7")
    r = Rotation.from_quat(body.iquat, scalar_first=True).as_matrix()
    inertia = r @ np.diag(body.inertia) @ r.T
    got = [inertia[k] for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(got, arm.inertia_7, rtol=1e-6)


def test_the_waiting_arm_does_not_touch_itself_and_the_folded_one_does(model, arm):
    data = mujoco.MjData(model)
    data.qpos[:] = (0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    # Shoulder and elbow folded forward as far as they go: the wrist runs into the base.
    data.qpos[:] = (0.0, 1.7, 0.0, -3.0, 0.0, 2.5, 0.0)
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.body(model.geom_bodyid[g]).name for g in c.geom) for c in data.contact[: data.ncon]}
    assert frozenset((f"{arm.name}_link0", f"{arm.name}_link6")) in touching


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
