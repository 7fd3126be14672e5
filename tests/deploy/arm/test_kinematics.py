"""Arm kinematics against MuJoCo's, and the Jacobian against finite differences."""

import mujoco
import numpy as np
import pytest
from dextrack_deploy.arm.kinematics import ArmKinematics, rotation_error
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.cell import load_cell

from dextrack.rotations import angle, from_matrix


@pytest.fixture(scope="module", params=("twin", "twin_panda"))
def cell(request):
    return load_cell(request.param)


@pytest.fixture(scope="module")
def kinematics(cell):
    return ArmKinematics(cell)


@pytest.fixture(scope="module")
def poses(kinematics):
    return np.random.default_rng(1).uniform(kinematics.arm.lower, kinematics.arm.upper, size=(50, 7))


def test_flange_and_palm_are_where_mujoco_puts_them(cell, kinematics, poses):
    model = cell_spec(cell).compile()
    data = mujoco.MjData(model)
    address = [model.joint(n).qposadr[0] for n in kinematics.arm.joint_names]
    for q in poses:
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        for body, (position, quaternion) in {kinematics.arm.flange: kinematics.flange_pose(q), "palm_lower": kinematics.palm_pose(q)}.items():
            np.testing.assert_allclose(position, data.body(body).xpos, atol=1e-9)
            assert angle(quaternion, data.body(body).xquat) < 1e-7


def test_many_poses_at_once_are_the_same_as_one_by_one(kinematics, poses):
    together = kinematics.palm_pose(poses.reshape(5, 10, 7))
    for i, q in enumerate(poses):
        position, quaternion = kinematics.palm_pose(q)
        np.testing.assert_allclose(together[0].reshape(-1, 3)[i], position, atol=1e-12)
        assert angle(together[1].reshape(-1, 4)[i], quaternion) < 1e-9


def test_jacobian_is_the_derivative_of_the_pose(kinematics, poses):
    step = 1e-6
    for q in poses[:10]:
        j = kinematics.jacobian(q)
        for i in range(7):
            ahead, behind = q.copy(), q.copy()
            ahead[i] += step
            behind[i] -= step
            (p1, r1), (p0, r0) = kinematics.frames(ahead), kinematics.frames(behind)
            np.testing.assert_allclose(j[:3, i], (p1[8] - p0[8]) / (2 * step), atol=1e-6)
            np.testing.assert_allclose(j[3:, i], rotation_error(r0[8], r1[8]) / (2 * step), atol=1e-6)


def test_manipulability_vanishes_where_a_direction_is_lost(cell, kinematics):
    # Joints 5 and 7 in line (joint 6 makes their axes parallel) and the arm straight above: a direction of motion is gone.
    assert kinematics.manipulability([0.0, 0.0, 0.0, -0.2, 0.0, 1.9, 0.0]) < 0.02 < kinematics.manipulability(cell.arm.home)


def test_the_palm_faces_down_at_home(cell, kinematics):
    _, quaternion = kinematics.palm_pose(cell.arm.home)
    _, matrices = kinematics.frames(cell.arm.home)
    assert angle(quaternion, from_matrix(matrices[8])) < 1e-9
    assert -matrices[8][2, 2] < -0.9  # the palm looks along -z of the hand's frame
