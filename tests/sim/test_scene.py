"""The compiled scene is what the specification says: units, order of joints, effort, motion of PD joints, grasped objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from dextrack.hands import hand_names, load_hand
from dextrack.references.reference import Reference
from dextrack.sim import make_backend
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from tests import synthetic

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", hand_names())
def test_limits_are_compiled_in_radians(name: str) -> None:
    """MjSpec takes degrees unless told otherwise; that once made the wrist 57 times too stiff to turn."""
    hand = load_hand(name)
    model = build_scene(hand, IDENTITY).model
    lower, upper = hand.limits()
    for i, joint in enumerate(hand.joint_names):
        assert model.joint(joint).range == pytest.approx([lower[i], upper[i]], abs=1e-9)
    assert [model.actuator(i).name for i in range(model.nu)] == list(hand.joint_names)


@pytest.mark.parametrize("name", hand_names())
def test_replay_without_contact_follows_its_targets(name: str) -> None:
    hand = load_hand(name)
    scene = build_scene(hand, IDENTITY, table=False)
    data = mujoco.MjData(scene.model)
    start = np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], hand.rest])
    data.qpos[:] = scene.qpos(start)
    goal = start + 0.2
    for n in range(120):
        data.ctrl[:] = start + 0.2 * min(1.0, n / 60)
        mujoco.mj_step(scene.model, data, scene.physics.substeps)
    assert np.abs(data.qpos[scene.hand_qpos] - goal).max() < 0.01


def test_pd_joint_creeps_with_the_time_constant_of_its_gains() -> None:
    """Far from its effort limit, an overdamped finger joint closes its error as exp(-t kp / kv)."""
    hand = load_hand("leap_right")
    scene = build_scene(hand, IDENTITY, table=False)
    data = mujoco.MjData(scene.model)
    start = np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], hand.rest])
    data.qpos[:] = scene.qpos(start)
    data.ctrl[:] = start
    i = hand.joint_names.index("3")
    data.ctrl[i] += 0.01
    for _ in range(6):
        mujoco.mj_step(scene.model, data, scene.physics.substeps)
    left = (data.ctrl[i] - data.qpos[scene.hand_qpos[i]]) / 0.01
    assert left == pytest.approx(np.exp(-0.1 * hand.finger_kp / hand.finger_kv), abs=0.06)


def test_effort_is_clamped_to_what_the_motors_give() -> None:
    hand = load_hand("leap_right")
    scene = build_scene(hand, IDENTITY, table=False)
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(np.concatenate([np.zeros(6), hand.rest]))
    data.ctrl[:] = data.qpos[scene.hand_qpos] + 1.0
    mujoco.mj_forward(scene.model, data)
    assert data.actuator_force[6:] == pytest.approx(0.26)


def test_the_sparse_jacobian_changes_no_step() -> None:
    reference, ends = Reference.load(Path(__file__).parents[1] / "mining" / "box_lift.npz"), []
    for jacobian in (mujoco.mjtJacobian.mjJAC_SPARSE, mujoco.mjtJacobian.mjJAC_DENSE):
        scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, synthetic.box())
        assert scene.model.opt.jacobian == mujoco.mjtJacobian.mjJAC_SPARSE
        scene.model.opt.jacobian = jacobian
        data, n = mujoco.MjData(scene.model), reference.n_steps // 2
        data.qpos[:] = scene.qpos(reference.hand[n], reference.object_position_w[n], reference.object_quaternion_w[n])
        contacts = 0
        for target in reference.hand[n : n + 10]:
            data.ctrl[:] = target
            mujoco.mj_step(scene.model, data, scene.physics.substeps)
            contacts = max(contacts, data.ncon)
        assert contacts >= 3
        ends.append(data.qpos.copy())
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-8)


def test_free_fall_matches_the_closed_form() -> None:
    """Semi-implicit steps of length h fall g h^2 n (n + 1) / 2 in n steps."""
    hand = load_hand("leap_right")
    backend = make_backend("mujoco", hand, IDENTITY, synthetic.box(), n_worlds=2, n_threads=1)
    far = np.tile(np.concatenate([[1.0, 1.0, 0.5, 0.0, 0.0, 0.0], hand.rest]), (2, 1))
    backend.reset(far, np.tile([0.0, 0.0, 1.0], (2, 1)), np.tile(IDENTITY, (2, 1)))
    for _ in range(12):
        backend.step(far)
    n, h = 24, 1 / 120
    assert backend.state().object_position_w[:, 2] == pytest.approx(1.0 - 9.81 * h * h * n * (n + 1) / 2, abs=1e-6)
    assert backend.state().object_linear_velocity_w[:, 2] == pytest.approx(-9.81 * h * n, abs=1e-6)


def test_worlds_are_deterministic_and_apart() -> None:
    """Any number of threads gives the same bits, and a reset of one world leaves the others alone."""
    hand = load_hand("leap_right")
    results = []
    for threads in (1, 2):
        backend = make_backend("mujoco", hand, IDENTITY, synthetic.box(), n_worlds=4, n_threads=threads)
        theta = np.tile(np.concatenate([[0.0, 0.0, 0.15, 0.0, 0.0, 0.0], hand.rest]), (4, 1))
        backend.reset(theta, np.tile([0.06, 0.0, 0.04], (4, 1)), np.tile(IDENTITY, (4, 1)))
        backend.vary(np.linspace(0.5, 1.5, 4), np.linspace(0.5, 1.5, 4))
        rng = np.random.default_rng(0)
        for n in range(30):
            backend.step(theta + rng.normal(size=theta.shape) * 0.05)
            if n == 14:
                before = backend.state().hand.copy()
                backend.reset(theta[1:2], np.array([[0.06, 0.0, 0.04]]), IDENTITY[None], worlds=np.array([1]))
                after = backend.state().hand
                assert (after[[0, 2, 3]] == before[[0, 2, 3]]).all() and not (after[1] == before[1]).all()
        results.append(np.concatenate([backend.state().hand, backend.state().object_position_w], axis=1))
        assert len(backend.bad_worlds()) == 0
    assert (results[0] == results[1]).all()


def test_a_diverged_world_is_reported_and_the_others_go_on() -> None:
    hand = load_hand("leap_right")
    backend = make_backend("mujoco", hand, IDENTITY, synthetic.box(), n_worlds=3, n_threads=1)
    theta = np.tile(np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], hand.rest]), (3, 1))
    position = np.tile([0.3, 0.0, 0.04], (3, 1))
    backend.reset(theta, position, np.tile(IDENTITY, (3, 1)))
    velocity = np.zeros((1, 22))
    velocity[0, 10] = 1e12
    backend.reset(theta[:1], position[:1], IDENTITY[None], worlds=np.array([1]), hand_velocity=velocity)
    for _ in range(3):
        backend.step(theta)
    assert list(backend.bad_worlds()) == [1]
    assert np.isfinite(backend.state().hand[[0, 2]]).all()


def test_friction_decides_whether_a_tilted_box_slides() -> None:
    """Coulomb's cone: a box whose floor pulls sideways with g tan(20 deg) stays at mu 0.6 and slides at mu 0.2."""
    hand = load_hand("leap_right")
    slid = []
    for mu in (0.6, 0.2):
        scene = build_scene(hand, IDENTITY, synthetic.box(), Physics(friction_scale=mu))
        scene.model.opt.gravity[:] = [9.81 * np.sin(np.radians(20)), 0.0, -9.81 * np.cos(np.radians(20))]
        data = mujoco.MjData(scene.model)
        data.qpos[:] = scene.qpos(np.concatenate([[0.0, 1.0, 0.5, 0.0, 0.0, 0.0], hand.rest]), [0.0, 0.0, 0.04], IDENTITY)
        data.ctrl[:] = data.qpos[scene.hand_qpos]
        mujoco.mj_step(scene.model, data, 60)
        slid.append(float(data.qpos[scene.object_qpos]))
    expected = 0.5 * 9.81 * (np.sin(np.radians(20)) - 0.2 * np.cos(np.radians(20))) * 0.5**2
    assert slid[0] < 0.005
    assert slid[1] == pytest.approx(expected, rel=0.1)


def test_a_thrown_object_flies_on() -> None:
    """A reset with velocities: linear and angular, both given in the world frame, of a turned object."""
    hand = load_hand("leap_right")
    backend = make_backend("mujoco", hand, IDENTITY, synthetic.box(), n_worlds=1, n_threads=1)
    away = np.concatenate([[1.0, 1.0, 0.5, 0.0, 0.0, 0.0], hand.rest])[None]
    turned = np.array([[np.cos(0.6), np.sin(0.6), 0.0, 0.0]])
    velocity = np.array([[0.5, -0.2, 1.0, 0.0, 0.0, 3.0]])
    backend.reset(away, np.array([[0.0, 0.0, 1.0]]), turned, object_velocity_w=velocity)
    state = backend.state()
    assert state.object_linear_velocity_w[0] == pytest.approx(velocity[0, :3]) and state.object_angular_velocity_w[0] == pytest.approx(velocity[0, 3:])
    for _ in range(6):
        backend.step(away)
    assert backend.state().object_position_w[0, :2] == pytest.approx([0.05, -0.02], abs=1e-6)


def test_a_diverged_world_is_told_to_the_log_alone(tmp_path: Path) -> None:
    """In a process of its own, for the engine's handler and file are the process's; from a thread of a batch as well as from a single step."""
    code = """
import logging, sys
if sys.argv[1:]: logging.basicConfig(format="told: %(message)s"), logging.getLogger("dextrack").setLevel(logging.INFO)
import mujoco, mujoco.batch
import dextrack.sim.scene
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><body><joint type="slide"/><geom size="0.1"/></body></worldbody></mujoco>')
data = mujoco.MjData(model)
data.qvel[:] = 1e20
mujoco.mj_step(model, data)
batch = mujoco.batch.Batch(model, 4, 2)
batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
batch.bind("qvel")[:] = 1e20
batch.rollout(2)
"""
    for arguments, lines in ([], 0), (["loud"], 5):
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout == "" and done.stderr.count("simulation is unstable") == done.stderr.count("told: ") == lines
    assert not list(tmp_path.iterdir())
