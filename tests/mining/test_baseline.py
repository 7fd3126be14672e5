"""Lead and squeeze against closed forms."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from tests import synthetic


@pytest.fixture(scope="module")
def reference() -> Reference:
    """A hand moving at constant velocity, with contacts planned on two faces of the box."""
    hand = load_hand("leap_right")
    n = 60
    theta = np.tile(np.concatenate([[0.0, 0.0, 0.2, 0.0, 0.0, 0.0], hand.rest]), (n, 1))
    theta[:, 0] += 0.1 * np.arange(n) / 60
    theta[:, 7] += 0.5 * np.arange(n) / 60
    diagnosis = {
        "fingers": ["thumb", "index"],
        "contact_points_o": [[0.0, 0.03, 0.0], [0.0, -0.03, 0.0]],
        "contact_normals_o": [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]],
        "onset": 36,
        "release": 59,
    }
    return Reference(
        "synthetic", hand.name, "box", hand.joint_names, np.array([1.0, 0.0, 0.0, 0.0]), theta, np.tile([0.3, 0.0, 0.04], (n, 1)),
        np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)), np.zeros((n, 21, 3)), diagnosis=diagnosis,
    )  # fmt: skip


def test_lead_removes_the_lag_of_a_constant_velocity(reference: Reference) -> None:
    """A PD controller trails a ramp by about velocity * kv / kp; with the lead, the hand is where the reference is."""
    hand = load_hand("leap_right")
    scene = build_scene(hand, reference.base_quaternion_w, synthetic.box())
    baseline = make_baseline(reference, scene, 2.0)
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    lag = []
    for target in (baseline.targets, reference.hand[1:]):
        mujoco.mj_resetData(scene.model, data)
        data.qpos[:] = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
        for n in range(reference.n_steps):
            data.ctrl[:] = target[n]
            mujoco.mj_step(scene.model, data, scene.physics.substeps)
        lag.append(reference.hand[-1, 7] - data.qpos[scene.hand_qpos[7]])
    assert lag[1] == pytest.approx(0.5 * hand.finger_kv / hand.finger_kp, rel=0.3)
    assert abs(lag[0]) < 0.05 * lag[1]


def test_squeeze_is_the_virtual_work_of_the_pad_force(reference: Reference) -> None:
    """kp dq = J^T f: checked against the pad's motion by finite differences of MuJoCo's kinematics."""
    hand = load_hand("leap_right")
    scene = build_scene(hand, reference.base_quaternion_w, synthetic.box())
    baseline = make_baseline(reference, scene, 2.0)
    n = 40
    data = mujoco.MjData(scene.model)

    def pad(theta: np.ndarray) -> np.ndarray:
        data.qpos[:] = scene.qpos(theta, reference.object_position_w[n + 1], reference.object_quaternion_w[n + 1])
        mujoco.mj_kinematics(scene.model, data)
        return data.site("index_tip").xpos.copy()

    theta = reference.hand[n + 1]
    force = np.array([0.0, 2.0, 0.0])
    for j in range(6, 22):
        step = np.zeros(22)
        step[j] = 1e-5
        slope = (pad(theta + step) - pad(theta - step)) / 2e-5
        assert baseline.squeeze[n, 1, j] * hand.finger_kp == pytest.approx(slope @ force, abs=1e-6)
    assert not baseline.squeeze[0].any() and not baseline.squeeze[n, :, :6].any()


def test_a_reference_without_contact_plan_is_refused(reference: Reference) -> None:
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    with pytest.raises(InputError, match="contact plan"):
        make_baseline(dataclasses.replace(reference, diagnosis={}), scene, 2.0)
