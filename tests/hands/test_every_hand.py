"""Every hand that DexTrack ships does everything that a hand is for: moves, holds, is retargeted to, tracks."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
import trimesh
from scipy.optimize import least_squares

from dextrack.hands import HANDS, HandSpec, load_hand
from dextrack.hands.jacobians import finger_jacobians
from dextrack.hands.kinematics import HandKinematics, collision_spheres
from dextrack.objects import ObjectSpec
from dextrack.references.mirror import mirror_object, mirror_recording
from dextrack.references.retarget import RetargetConfig, retarget
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.tracking.env import make_tracking_env
from dextrack.tracking.task import TrackingTask
from tests import synthetic

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
BALL = 0.03
"""Radius of the ball that is held, m."""

torch.set_num_threads(1)


@pytest.fixture(params=HANDS)
def hand(request: pytest.FixtureRequest) -> HandSpec:
    return load_hand(request.param)


def test_the_speed_of_fingers_is_relative_to_each_motor(hand: HandSpec) -> None:
    """The last joint moves at half of its speed, then the first at twice its own, backwards; the wrist does not count."""
    theta = np.zeros((4, hand.dof))
    theta[2:, -1] = 0.5 * hand.velocity[-1] * 0.02
    theta[3:, 6] = -2.0 * hand.velocity[0] * 0.02
    theta[1:, :6] = 1.0
    assert hand.finger_speed(theta, 0.02) == pytest.approx([0.0, 0.5, 2.0])


def task_for(hand: HandSpec) -> TrackingTask:
    """The synthetic recording, or its mirror image, retargeted in few iterations."""
    recording, obj = synthetic.recording(), synthetic.box()
    if hand.side == "left":
        recording, obj = mirror_recording(recording), mirror_object(obj)
    return TrackingTask(retarget(recording, obj, hand, RetargetConfig(iterations=25)), obj)


def test_retargeting_and_steps_of_the_environment(hand: HandSpec) -> None:
    task = task_for(hand)
    reference, diagnosis = task.reference, task.reference.diagnosis
    lower, upper = hand.limits()
    assert reference.joint_names == hand.joint_names and (reference.hand >= lower - 1e-9).all() and (reference.hand <= upper + 1e-9).all()
    # Palm down over the box, as the person's hand was, and on it with thumb and another finger.
    wrist = reference.hand[0, :3]
    assert wrist[2] > 0.1 and abs(wrist[1]) < 0.06
    assert "thumb" in diagnosis["fingers"] and len(diagnosis["fingers"]) >= 3
    assert max(diagnosis["contact_gap_m"].values()) < 0.005
    assert diagnosis["fingertip_error_m"] < 0.04 and diagnosis["penetration_max_m"] < 0.008 and diagnosis["jump_max_rad"] < 0.3
    env = make_tracking_env(task, hand, n_worlds=2, n_threads=1)
    generator = torch.Generator().manual_seed(0)
    observation = env.reset(0)
    for _ in range(20):
        observation, rewards, done, _ = env.step(2.0 * torch.rand((2, env.action_size), generator=generator) - 1.0)
        assert observation.shape == (2, env.observation_size)
        assert torch.isfinite(observation).all() and torch.isfinite(rewards).all() and done.shape == (2,)
    assert env.bad_count == 0


def test_a_step_of_a_finger_joint_is_quick_and_does_not_overshoot(hand: HandSpec) -> None:
    """kp 5 and kv 0.25 make an overdamped joint that closes 63 % of a step in kv / kp = 50 ms, on any of these fingers."""
    scene = build_scene(hand, IDENTITY, table=False)
    start = np.concatenate([[0.0, 0.0, 0.3, 0.0, 0.0, 0.0], hand.rest])
    for i in range(6, hand.dof):
        data = mujoco.MjData(scene.model)
        data.qpos[:] = scene.qpos(start)
        step = 0.005 if start[i] < hand.limits()[1][i] - 0.1 else -0.005  # small: at the motors' limit nothing is linear
        data.ctrl[:] = start
        data.ctrl[i] += step
        share = []
        for _ in range(40):
            mujoco.mj_step(scene.model, data, scene.physics.substeps)
            share.append((data.qpos[scene.hand_qpos[i]] - start[i]) / step)
        reached = (1 + int(np.argmax(np.array(share) > 1 - np.exp(-1)))) / 60
        assert 0.03 <= reached <= 0.085, hand.joint_names[i]
        assert max(share) < 1.01 and share[-1] == pytest.approx(1.0, abs=0.01), hand.joint_names[i]


def ball() -> ObjectSpec:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=BALL)
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec("ball", v, f, ((v, f),), mass=0.05)


def pinch(hand: HandSpec) -> tuple[np.ndarray, np.ndarray]:
    """theta (22,) and a ball's centre (3,) such that thumb, index and middle finger touch it, the fingers opposite the thumb."""
    kinematics = HandKinematics(hand, IDENTITY)
    tips = [f for f in hand.fingertips if f.finger in ("thumb", "index", "middle")]
    bodies, offsets, radii = [f.body for f in tips], [f.offset for f in tips], np.array([f.radius for f in tips])

    def pads(fingers: np.ndarray) -> np.ndarray:
        theta = torch.as_tensor(np.concatenate([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0], fingers])[None])
        return kinematics.points(theta, bodies, offsets)[0].numpy()

    def residual(x: np.ndarray) -> np.ndarray:
        away = pads(x[:16]) - x[16:]
        distance = np.linalg.norm(away, axis=1)
        unit = away / distance[:, None]
        opposed = 1.0 + unit[0] @ (unit[1] + unit[2]) / np.linalg.norm(unit[1] + unit[2])
        # 1.5 mm inside, because the engine's hull of few vertices is smaller than the ball.
        return np.concatenate([100 * (distance - BALL - radii + 0.0015), [3 * opposed], 0.05 * (x[:16] - hand.rest)])

    lower, upper = (limit[6:] + s * 1e-6 for limit, s in zip(hand.limits(), (1, -1), strict=True))
    first = np.concatenate([np.clip(hand.rest, lower, upper), pads(np.array(hand.rest)).mean(axis=0)])
    solved = least_squares(residual, first, bounds=(np.append(lower, [-1.0] * 3), np.append(upper, [1.0] * 3)), max_nfev=60)
    return np.concatenate([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0], solved.x[:16]]), solved.x[16:]


def test_a_squeezed_ball_stays_in_the_hand_and_falls_when_let_go(hand: HandSpec) -> None:
    theta, centre = pinch(hand)
    scene = build_scene(hand, IDENTITY, ball(), Physics(), table=False)
    fell = []
    for force in (2.5, -2.5):
        data = mujoco.MjData(scene.model)
        data.qpos[:] = scene.qpos(theta, centre, IDENTITY)
        mujoco.mj_forward(scene.model, data)
        torque = np.zeros(16)
        for finger, jacobian in finger_jacobians(hand, scene.model, data).items():
            inward = centre - data.site(finger + "_tip").xpos
            share = {"thumb": 1.0, "index": 0.5, "middle": 0.5}.get(finger, 0.0)
            torque += jacobian.T @ (force * share * inward / np.linalg.norm(inward))
        assert np.abs(torque).max() < min(hand.effort)
        data.ctrl[:] = theta
        data.ctrl[6:] += torque / hand.finger_kp
        mujoco.mj_step(scene.model, data, 60 * scene.physics.substeps)
        fell.append(centre[2] - data.qpos[scene.object_qpos + 2])
    assert abs(fell[0]) < 0.01
    assert fell[1] > 0.05


def test_collision_spheres_fill_the_hand_and_do_not_stick_out(hand: HandSpec) -> None:
    """Points drawn in every box and capsule: most lie in a sphere, none far from one; and no sphere leaves its shape by more than 4 mm."""
    model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    bodies, offsets, radii = collision_spheres(hand)
    centres = np.array([data.body(b).xpos + data.body(b).xmat.reshape(3, 3) @ o for b, o in zip(bodies, offsets, strict=True)])
    rng = np.random.default_rng(0)
    inside, farthest = [], 0.0
    for g in range(model.ngeom):
        box = model.geom_type[g] == mujoco.mjtGeom.mjGEOM_BOX
        half = model.geom_size[g] if box else np.array([0.0, 0.0, model.geom_size[g][1] + model.geom_size[g][0]])
        points = rng.uniform(-half, half, size=(200, 3)) @ data.geom_xmat[g].reshape(3, 3).T + data.geom_xpos[g]
        depth = (np.linalg.norm(points[:, None] - centres, axis=2) - radii).min(axis=1)
        inside.append(float((depth < 0).mean()))
        farthest = max(farthest, float(depth.max()))
    assert np.mean(inside) > 0.7 and farthest < 0.016
    for centre, radius, body in zip(centres, radii, bodies, strict=True):
        out = min(_excess(model, data, g, centre, radius) for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name == body)
        assert out < 0.0041, body  # a sphere of 6 mm in a plate of twice 2 mm
    pads = {(f.body, f.radius) for f in hand.fingertips}
    assert pads <= set(zip(bodies, radii, strict=True))  # the touching spheres are the pads themselves


def _excess(model: mujoco.MjModel, data: mujoco.MjData, geom: int, point: np.ndarray, radius: float) -> float:
    """How far a sphere leaves the smallest box with the axes of ``geom`` around it, m."""
    local = data.geom_xmat[geom].reshape(3, 3).T @ (point - data.geom_xpos[geom])
    size = model.geom_size[geom]
    half = size if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX else np.array([size[0], size[0], size[0] + size[1]])
    return float((np.abs(local) + radius - half).max())


def test_the_open_hand_does_not_touch_itself(hand: HandSpec) -> None:
    model = mujoco.MjModel.from_xml_path(str(hand.mjcf))
    data = mujoco.MjData(model)
    for name, angle in zip(hand.finger_joints, hand.rest, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)
    assert data.ncon == 0


def test_palm_axes_point_to_the_fingers_and_to_where_they_bend(hand: HandSpec) -> None:
    forward, outward = (np.array(a) for a in hand.palm_axes_h)
    assert abs(forward @ outward) < 1e-12
    kinematics, middle = HandKinematics(hand, IDENTITY), next(f for f in hand.fingertips if f.finger == "middle")
    thetas = np.zeros((2, hand.dof))
    thetas[:, 6:] = hand.rest
    for finger_joint in hand.finger_joints:  # the joints that bend the middle finger: those whose lower limit is near zero
        i = hand.joint_names.index(finger_joint)
        thetas[1, i] = min(thetas[1, i] + 0.4, hand.limits()[1][i])
    tip = kinematics.points(torch.as_tensor(thetas), [middle.body], [middle.offset])[:, 0].numpy()
    assert tip[0] @ forward > 0.05
    assert (tip[1] - tip[0]) @ outward > 0.01
    # The thumb's side: for a right hand, forward x outward points away from the thumb.
    thumb, ring = (kinematics.points(torch.as_tensor(thetas[:1]), [f.body], [f.offset])[0, 0].numpy() for f in (hand.fingertips[0], hand.fingertips[-1]))
    side = np.cross(forward, outward) @ (thumb - ring)
    assert (side > 0.02) if hand.side == "right" else (side < -0.02)
