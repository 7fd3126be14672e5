"""The right Allegro Hand against the figures of its published URDF, evaluated here by other means than MuJoCo.

Source of the figures: allegro_hand_right.urdf of dex_urdf, after SimLab's description of the Allegro Hand V4 (BSD licence).
"""

import mujoco
import numpy as np
import pytest
import torch
from dextrack_assets import path
from scipy.spatial.transform import Rotation

from dextrack.hands import load_hand

X, Y, Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)
TILT = 0.08726646255
# motor id: (parent, xyz in m, rpy in rad, axis, lower, upper); the child is link_<id>.0
JOINTS = {
    12: ("base_link", (-0.0182, 0.019333, -0.045987), (0, -1.65806278845, -1.5707963259), (-1, 0, 0), 0.263, 1.396),
    13: ("link_12.0", (-0.027, 0.005, 0.0399), (0, 0, 0), Z, -0.105, 1.163),
    14: ("link_13.0", (0, 0, 0.0177), (0, 0, 0), Y, -0.189, 1.644),
    15: ("link_14.0", (0, 0, 0.0514), (0, 0, 0), Y, -0.162, 1.719),
}
for _first, _xyz, _roll in ((8, (0, -0.0435, -0.001542), TILT), (4, (0, 0, 0.0007), 0), (0, (0, 0.0435, -0.001542), -TILT)):
    JOINTS[_first] = ("base_link", _xyz, (_roll, 0, 0), Z, -0.47, 0.47)
    JOINTS[_first + 1] = (f"link_{_first}.0", (0, 0, 0.0164), (0, 0, 0), Y, -0.196, 1.61)
    JOINTS[_first + 2] = (f"link_{_first + 1}.0", (0, 0, 0.054), (0, 0, 0), Y, -0.174, 1.709)
    JOINTS[_first + 3] = (f"link_{_first + 2}.0", (0, 0, 0.0384), (0, 0, 0), Y, -0.227, 1.618)
TIPS = {3: 0.0387, 7: 0.0387, 11: 0.0387, 15: 0.0543}  # height of the tip's frame above the last joint, m
MASSES = {
    "base_link": 0.4154, "link_0.0": 0.0119, "link_4.0": 0.005, "link_8.0": 0.005, "link_3.0": 0.02, "link_7.0": 0.0388, "link_11.0": 0.0096,
    "link_3.0_tip": 0.0168, "link_7.0_tip": 0.0096, "link_11.0_tip": 0.0168, "link_15.0_tip": 0.0168,
    "link_12.0": 0.0176, "link_13.0": 0.0119, "link_14.0": 0.038, "link_15.0": 0.0388,
    **{f"link_{i}.0": 0.065 for i in (1, 5, 9)}, **{f"link_{i}.0": 0.0355 for i in (2, 6, 10)},
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(load_hand("allegro_right").mjcf))


@pytest.fixture(scope="module")
def configurations():
    lower, upper = (np.array([JOINTS[i][k] for i in range(16)]) for k in (4, 5))
    return np.random.default_rng(20250302).uniform(lower, upper, size=(1000, 16))


def published(q):
    """Positions (n, 3) and rotations of every link in base_link's frame, from the published figures; ``q`` (n, 16) by motor id."""
    links = {"base_link": (np.zeros((len(q), 3)), Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (len(q), 1))))}
    while len(links) < 17:
        for i, (parent, xyz, rpy, axis, _, _) in JOINTS.items():
            if parent in links:
                position, rotation = links[parent]
                turn = Rotation.from_rotvec(q[:, i, None] * np.array(axis, dtype=float))
                links[f"link_{i}.0"] = (position + rotation.apply(xyz), rotation * Rotation.from_euler("xyz", rpy) * turn)
    for i, height in TIPS.items():
        position, rotation = links[f"link_{i}.0"]
        links[f"link_{i}.0_tip"] = (position + rotation.apply((0, 0, height)), rotation)
    return links


def test_every_link_lies_where_the_published_description_puts_it(model, configurations):
    data = mujoco.MjData(model)
    address = [model.joint(f"joint_{i}.0").qposadr[0] for i in range(16)]
    truth = published(configurations)
    assert {model.body(b).name for b in range(1, model.nbody)} == set(truth)
    worst_position = worst_angle = 0.0
    for n, q in enumerate(configurations):
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        for link, (position, rotation) in truth.items():
            body = data.body(link)
            worst_position = max(worst_position, float(np.linalg.norm(body.xpos - position[n])))
            worst_angle = max(worst_angle, float((Rotation.from_quat(body.xquat, scalar_first=True).inv() * rotation[n]).magnitude()))
    assert worst_position < 1e-7
    assert worst_angle < 1e-6


def test_another_library_reads_the_same_kinematics_from_our_urdf(configurations):
    import pytorch_kinematics

    torch.set_num_threads(1)
    chain = pytorch_kinematics.build_chain_from_urdf(path("models", "allegro_right", "allegro_right.urdf").read_bytes()).to(dtype=torch.float64)
    q = torch.tensor(configurations[:, [int(n[len("joint_") : -len(".0")]) for n in chain.get_joint_parameter_names()]])
    poses = chain.forward_kinematics(q)
    for link, (position, rotation) in published(configurations).items():
        matrix = poses[link].get_matrix().expand(len(q), 4, 4).numpy()
        assert np.abs(matrix[:, :3, 3] - position).max() < 1e-7, link
        assert (Rotation.from_matrix(matrix[:, :3, :3]).inv() * rotation).magnitude().max() < 1e-6, link


def test_joint_limits_are_the_published_ones():
    hand = load_hand("allegro_right")
    assert hand.finger_joints == tuple(f"joint_{i}.0" for i in range(16))
    assert hand.lower == tuple(JOINTS[i][4] for i in range(16)) and hand.upper == tuple(JOINTS[i][5] for i in range(16))
    assert hand.lower[12] == 0.263  # the thumb cannot be laid beside the palm


def test_efforts_and_velocities():
    hand = load_hand("allegro_right")
    assert hand.effort == hand.effort_max == (0.7,) * 16
    assert hand.velocity == (3.14,) * 16


def test_masses_are_the_published_ones_and_inertia_is_of_a_box_of_the_published_extents(model):
    assert {model.body(b).name for b in range(1, model.nbody)} == set(MASSES)
    for link, mass in MASSES.items():
        assert model.body(link).mass[0] == pytest.approx(mass, abs=1e-9), link
    assert load_hand("allegro_right").mass == pytest.approx(sum(MASSES.values()))
    body, (x, y, z) = model.body("link_5.0"), (0.0196, 0.0275, 0.054)
    np.testing.assert_allclose(body.ipos, (0, 0, z / 2), atol=1e-12)
    assert sorted(body.inertia) == pytest.approx(sorted(0.065 / 12 * np.array([y**2 + z**2, x**2 + z**2, x**2 + y**2])))


def test_the_tips_end_where_the_published_tip_frames_lie(model):
    """The published mesh of a tip reaches its frame; ours, a capsule, does too, with its axis along the finger."""
    for i in TIPS:
        geom = next(g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name == f"link_{i}.0_tip")
        radius, half = model.geom_size[geom, :2]
        assert radius == 0.012
        np.testing.assert_allclose(model.geom_pos[geom] + (0, 0, half + radius), 0.0, atol=1e-9)


def test_no_pair_of_links_touches_in_nearly_every_pose(model, configurations):
    data = mujoco.MjData(model)
    address = [model.joint(f"joint_{i}.0").qposadr[0] for i in range(16)]
    counts: dict[frozenset[str], int] = {}
    for q in configurations[:300]:
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        for pair in {frozenset(model.body(model.geom_bodyid[g]).name for g in c.geom) for c in data.contact[: data.ncon]}:
            counts[pair] = counts.get(pair, 0) + 1
    assert frozenset(("link_2.0", "link_6.0")) in counts  # neighbouring fingers can meet
    assert max(counts.values()) < 0.2 * 300
