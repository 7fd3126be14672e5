"""Inverse kinematics: from joint positions to a pose and back."""

import numpy as np
import pytest
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.cell import load_cell

from dextrack.rotations import angle


@pytest.fixture(scope="module", params=("twin", "twin_panda"))
def inverse(request):
    return InverseKinematics(load_cell(request.param))


def test_reachable_poses_are_found_within_limits(inverse):
    rng = np.random.default_rng(5)
    around = inverse.home + rng.uniform(-0.7, 0.7, size=(30, 7))
    truth = np.clip(around, inverse.lower, inverse.upper)
    for q in truth:
        position, quaternion = inverse.kinematics.palm_pose(q)
        found = inverse.solve(position, quaternion)
        assert found.position_error < 1e-5 and found.rotation_error < 1e-5
        back_position, back_quaternion = inverse.kinematics.palm_pose(found.q)
        np.testing.assert_allclose(back_position, position, atol=1e-5)
        assert angle(back_quaternion, quaternion) < 1e-5
        assert (found.q >= inverse.lower).all() and (found.q <= inverse.upper).all()


def test_the_spare_joint_stays_near_home(inverse):
    position, quaternion = inverse.kinematics.palm_pose(inverse.home)
    found = inverse.solve(position, quaternion)
    np.testing.assert_allclose(found.q, inverse.home, atol=1e-3)


def test_equal_seeds_give_equal_answers(inverse):
    position, quaternion = inverse.kinematics.palm_pose(inverse.home + 0.3)
    np.testing.assert_array_equal(inverse.solve(position, quaternion, seed=3).q, inverse.solve(position, quaternion, seed=3).q)


def test_what_is_out_of_reach_comes_back_with_its_distance(inverse):
    found = inverse.solve([2.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0])
    reached, _ = inverse.kinematics.palm_pose(found.q)
    assert found.position_error == pytest.approx(np.linalg.norm(reached - [2.0, 0.0, 0.5]), abs=1e-9)
    assert found.position_error > 1.0
