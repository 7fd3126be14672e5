"""The right LEAP hand against the figures of its published URDF, evaluated here by other means than MuJoCo.

Source of the figures: leap_hand_right.urdf of the LEAP Hand project (Shaw, Agarwal, Pathak: "LEAP Hand", RSS 2023; MIT licence).
"""

import mujoco
import numpy as np
import pytest
import torch
from dextrack_assets import path
from scipy.spatial.transform import Rotation

from dextrack.hands import load_hand

# joint: (parent, child, xyz in m, rpy in rad, lower, upper); every axis is 0 0 -1
JOINTS = {
    "0": ("mcp_joint", "pip", (-0.0122, 0.03810, 0.01450), (-1.57079, 0, 1.57079), -1.047, 1.047),
    "1": ("palm_lower", "mcp_joint", (-0.0070, 0.0230, -0.0187), (1.57079, 1.57079, 0), -0.314, 2.23),
    "2": ("pip", "dip", (0.015, 0.0143, -0.013), (1.57079, -1.57079, 0), -0.506, 1.885),
    "3": ("dip", "fingertip", (0, -0.0361, 0.0002), (0, 0, 0), -0.366, 2.042),
    "4": ("mcp_joint_2", "pip_2", (-0.0122, 0.0381, 0.0145), (-1.57079, 0, 1.57079), -1.047, 1.047),
    "5": ("palm_lower", "mcp_joint_2", (-0.0071, -0.0224, -0.0187), (1.57079, 1.57079, 0), -0.314, 2.23),
    "6": ("pip_2", "dip_2", (0.015, 0.0143, -0.013), (1.57079, -1.57079, 0), -0.506, 1.885),
    "7": ("dip_2", "fingertip_2", (0, -0.0361, 0.0002), (0, 0, 0), -0.366, 2.042),
    "8": ("mcp_joint_3", "pip_3", (-0.0122, 0.0381, 0.0145), (-1.57079, 0, 1.57079), -1.047, 1.047),
    "9": ("palm_lower", "mcp_joint_3", (-0.00709, -0.0678, -0.0187), (1.57079, 1.57079, 0), -0.314, 2.23),
    "10": ("pip_3", "dip_3", (0.015, 0.0143, -0.013), (1.57079, -1.57079, 0), -0.506, 1.885),
    "11": ("dip_3", "fingertip_3", (0, -0.03609, 0.0002), (0, 0, 0), -0.366, 2.042),
    "12": ("palm_lower", "thumb_temp_base", (-0.0693, -0.0012, -0.0216), (0, 1.57079, 0), -0.349, 2.094),
    "13": ("thumb_temp_base", "thumb_pip", (0, 0.0143, -0.013), (1.57079, -1.57079, 0), -0.47, 2.443),
    "14": ("thumb_pip", "thumb_dip", (0, 0.0145, -0.017), (-1.57079, 0, 0), -1.20, 1.90),
    "15": ("thumb_dip", "thumb_fingertip", (0, 0.0466, 0.0002), (0, 0, 3.14159), -1.34, 1.88),
}
MASSES = {
    "palm_lower": 0.237, "thumb_temp_base": 0.032, "thumb_pip": 0.003, "thumb_dip": 0.038, "thumb_fingertip": 0.049,
    **{link + finger: mass for finger in ("", "_2", "_3") for link, mass in (("mcp_joint", 0.044), ("pip", 0.032), ("dip", 0.037), ("fingertip", 0.016))},
}  # fmt: skip
# ixx, ixy, ixz, iyy, iyz, izz in kg m2, about the link's origin; every centre of mass is published as 0 0 0
INERTIAS = {
    "palm_lower": (0.000354094, -0.000001193, -0.000002445, 0.000260915, -0.000002905, 0.000529257),
    "mcp_joint_2": (0.000011499, 0.000003049, 0.000000121, 0.000007796, 0.000000112, 0.000014759),
    "thumb_dip": (0.000008474, 0.000000241, 0.000000026, 0.000003841, 0.000000025, 0.000007679),
    "thumb_fingertip": (0.000020372, -0.000000489, -0.00000003, 0.000004336, -0.000000097, 0.000019845),
}


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(load_hand("leap_right").mjcf))


@pytest.fixture(scope="module")
def configurations():
    rng = np.random.default_rng(20240611)
    lower, upper = (np.array([j[k] for j in JOINTS.values()]) for k in (4, 5))
    return rng.uniform(lower, upper, size=(1000, 16))


def published(q):
    """Positions (n, 3) and rotations of every link in palm_lower's frame, from the published figures; ``q`` (n, 16) in the order of JOINTS."""
    links = {"palm_lower": (np.zeros((len(q), 3)), Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (len(q), 1))))}
    while len(links) < 17:
        for i, (parent, child, xyz, rpy, _, _) in enumerate(JOINTS.values()):
            if parent in links and child not in links:
                position, rotation = links[parent]
                turn = Rotation.from_rotvec(q[:, i, None] * np.array([0.0, 0.0, -1.0]))
                links[child] = (position + rotation.apply(xyz), rotation * Rotation.from_euler("xyz", rpy) * turn)
    return links


def test_every_link_lies_where_the_published_description_puts_it(model, configurations):
    data = mujoco.MjData(model)
    address = [model.joint(name).qposadr[0] for name in JOINTS]
    truth = published(configurations)
    assert {model.body(b).name for b in range(1, model.nbody)} == set(truth)
    worst_position = worst_angle = 0.0
    for n, q in enumerate(configurations):
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        for link, (position, rotation) in truth.items():
            body = data.body(link)
            worst_position = max(worst_position, float(np.linalg.norm(body.xpos - position[n])))
            angle = (Rotation.from_quat(body.xquat, scalar_first=True).inv() * rotation[n]).magnitude()
            worst_angle = max(worst_angle, float(angle))
    assert worst_position < 1e-5
    assert worst_angle < 1e-4


def test_another_library_reads_the_same_kinematics_from_our_urdf(configurations):
    import pytorch_kinematics

    torch.set_num_threads(1)
    chain = pytorch_kinematics.build_chain_from_urdf(path("models", "leap_right", "leap_right.urdf").read_bytes()).to(dtype=torch.float64)
    q = torch.tensor(configurations[:, [list(JOINTS).index(n) for n in chain.get_joint_parameter_names()]])
    poses = chain.forward_kinematics(q)
    for link, (position, rotation) in published(configurations).items():
        matrix = poses[link].get_matrix().expand(len(q), 4, 4).numpy()
        assert np.abs(matrix[:, :3, 3] - position).max() < 1e-5, link
        assert (Rotation.from_matrix(matrix[:, :3, :3]).inv() * rotation).magnitude().max() < 1e-4, link


def test_joint_limits_are_the_published_ones(model):
    hand = load_hand("leap_right")
    assert hand.finger_joints == tuple(JOINTS)
    for i, (name, (*_, lower, upper)) in enumerate(JOINTS.items()):
        np.testing.assert_allclose(model.joint(name).range, (lower, upper), atol=1e-12)
        assert (hand.lower[i], hand.upper[i]) == (lower, upper)
        np.testing.assert_array_equal(model.joint(name).axis, (0.0, 0.0, -1.0))


def test_efforts_and_velocities(model):
    hand = load_hand("leap_right")
    assert hand.effort_max == (0.95,) * 16  # published, near stall
    assert hand.effort == (0.26,) * 16  # at the 500 mA that cells run
    assert hand.velocity == (8.48,) * 16


def test_masses_and_inertias_are_the_published_ones(model):
    for link, mass in MASSES.items():
        assert model.body(link).mass[0] == pytest.approx(mass, abs=1e-9), link
    assert model.body_mass.sum() == pytest.approx(0.746, abs=1e-9)
    assert load_hand("leap_right").mass == pytest.approx(0.746)
    for link, (xx, xy, xz, yy, yz, zz) in INERTIAS.items():
        body = model.body(link)
        r = Rotation.from_quat(body.iquat, scalar_first=True).as_matrix()
        np.testing.assert_allclose(r @ np.diag(body.inertia) @ r.T, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], atol=1e-12, err_msg=link)
        np.testing.assert_allclose(body.ipos, 0.0, atol=1e-12)


def test_the_open_hand_does_not_touch_itself(model):
    data = mujoco.MjData(model)
    hand = load_hand("leap_right")
    for name, angle in zip(hand.finger_joints, hand.rest, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)
    assert data.ncon == 0


def test_index_and_middle_crossed_into_each_other_do_touch(model):
    data = mujoco.MjData(model)
    data.joint("0").qpos[0], data.joint("4").qpos[0] = 1.0, -1.0
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.body(model.geom_bodyid[g]).name for g in c.geom) for c in data.contact[: data.ncon]}
    assert frozenset(("dip", "dip_2")) in touching
