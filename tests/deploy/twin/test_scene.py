from __future__ import annotations

import mujoco
import numpy as np
import pytest
import trimesh
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.twin.mismatch import Mismatch
from dextrack_deploy.twin.scene import TwinScene, build_twin_scene

from dextrack.hands import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.rotations import multiply, rotate


@pytest.fixture(scope="module")
def scene(cell: CellConfig, hand: HandSpec, box: ObjectSpec) -> TwinScene:
    return build_twin_scene(cell, hand, box, Mismatch())


def test_settings_of_the_engine(scene: TwinScene) -> None:
    option = scene.model.opt
    assert option.timestep <= 1 / 240
    assert option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert option.impratio == 10.0
    assert 30 <= option.iterations <= 50


def test_limits_are_radians(scene: TwinScene, hand: HandSpec) -> None:
    ranges = np.array([scene.model.joint(name).range for name in hand.finger_joints])
    np.testing.assert_allclose(ranges, np.stack([hand.lower, hand.upper], axis=1), atol=1e-9)
    assert scene.model.joint("fr3_joint1").range[1] == pytest.approx(2.7437)


def test_mass_and_inertia_are_scaled(scene: TwinScene, box: ObjectSpec) -> None:
    solid = trimesh.creation.box((0.06, 0.05, 0.04))
    solid.density = 0.1 * 1.3 / solid.volume
    assert scene.model.body_mass[scene.object_body] == pytest.approx(0.13)
    assert sorted(scene.model.body_inertia[scene.object_body]) == pytest.approx(sorted(np.diag(solid.moment_inertia)), rel=1e-4)


def test_gains_are_scaled_and_torque_is_the_motor_s(scene: TwinScene) -> None:
    fingers = scene.finger_actuators
    np.testing.assert_allclose(scene.model.actuator_gainprm[fingers, 0], 5.0 * 0.8)
    np.testing.assert_allclose(scene.model.actuator_biasprm[fingers, 1], -5.0 * 0.8)
    np.testing.assert_allclose(scene.model.actuator_biasprm[fingers, 2], -0.25 * 0.8)
    np.testing.assert_allclose(scene.model.actuator_forcerange[fingers], np.tile([-0.26, 0.26], (16, 1)))


def test_zero_mismatch_is_mining_s_physics(cell: CellConfig, hand: HandSpec, box: ObjectSpec) -> None:
    model = (scene := build_twin_scene(cell, hand, box, Mismatch.none())).model
    assert model.body_mass[scene.object_body] == pytest.approx(0.1)
    np.testing.assert_allclose(model.geom_friction[scene.object_geoms, 0], 0.8)
    np.testing.assert_allclose(model.actuator_gainprm[scene.finger_actuators, 0], 5.0)
    np.testing.assert_allclose(model.body_gravcomp[scene.palm_body], 1.0)


@pytest.mark.parametrize(("excess", "slides"), [(-0.03, False), (0.03, True)])
def test_the_object_slides_at_the_angle_of_scaled_friction(scene: TwinScene, excess: float, slides: bool) -> None:
    # Tilting gravity is tilting the table: a block slides beyond atan(mu), here mu = 0.7 * 0.8. Without the arm, which would fall over.
    model, data = scene.model, mujoco.MjData(scene.model)
    model.opt.gravity[:] = [0.0, 0.0, -9.81]
    at = scene.object_qpos
    data.qpos[at : at + 7] = [0.3, 0.0, 0.02, 1.0, 0.0, 0.0, 0.0]
    mujoco.mj_step(model, data, 100)
    mu = 0.7 * 0.8 + excess
    tilt = np.arctan(mu)
    model.opt.gravity[:] = 9.81 * np.array([np.sin(tilt), 0.0, -np.cos(tilt)])
    before = data.qpos[at]
    mujoco.mj_step(model, data, 240)
    moved = data.qpos[at] - before
    model.opt.gravity[:] = [0.0, 0.0, -9.81]
    # In half a second beyond the limit: (1/2) g cos(tilt) excess t^2, 3 cm.
    assert (moved > 0.02) if slides else (moved < 0.005)


def test_the_palm_hangs_on_the_flange_as_the_cell_says(scene: TwinScene, cell: CellConfig) -> None:
    data = mujoco.MjData(scene.model)
    data.qpos[scene.arm_qpos] = [0.3, -0.5, 0.2, -2.0, 0.4, 1.9, 0.7]
    mujoco.mj_kinematics(scene.model, data)
    flange = scene.model.body("fr3_flange").id
    expected = data.xpos[flange] + rotate(data.xquat[flange], cell.hand.position_f)
    np.testing.assert_allclose(data.xpos[scene.palm_body], expected, atol=1e-9)
    turned = multiply(data.xquat[flange], np.asarray(cell.hand.quaternion_f) / np.linalg.norm(cell.hand.quaternion_f))
    assert abs(turned @ data.xquat[scene.palm_body]) == pytest.approx(1.0, abs=1e-9)


def test_nothing_touches_at_home(scene: TwinScene, cell: CellConfig, hand: HandSpec) -> None:
    data = mujoco.MjData(scene.model)
    data.qpos[scene.arm_qpos] = cell.arm.home
    data.qpos[scene.finger_qpos] = hand.rest
    data.qpos[scene.object_qpos + 2] = 0.05
    data.qpos[scene.object_qpos + 3] = 1.0
    mujoco.mj_forward(scene.model, data)
    assert data.ncon == 0


def test_the_payload_is_the_hand(scene: TwinScene, hand: HandSpec) -> None:
    assert scene.payload_kg == pytest.approx(hand.mass, abs=1e-3)
