"""Placement end to end on synthetic references; what it promises is checked by MuJoCo and the arm's published limits."""

import dataclasses

import mujoco
import numpy as np
import pytest
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placement import PlanarTransform, lying_at, place
from dextrack_deploy.placement.transform import move
from dextrack_deploy.shadow import ShadowSimulator
from scipy.spatial.transform import Rotation

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.references.reference import Reference

CELL = load_cell("twin")
ARM = load_arm("fr3")
HAND = load_hand("leap_right")


def lift(steps=120, reach=0.15, height=0.25, tilt=0.0, shift=(0.0, 0.0)):
    """Palm down with the fingers along +y, a move of ``reach`` m forward and down to 0.15 m, then up again; the object goes along at the end."""
    s = np.linspace(0.0, 1.0, steps + 1)
    smooth = s * s * (3.0 - 2.0 * s)
    theta = np.zeros((steps + 1, 22))
    theta[:, 0] = shift[0] + 0.3 * np.sin(smooth)
    theta[:, 1] = shift[1] + reach * np.sin(2 * np.pi * smooth)
    theta[:, 2] = height - 0.1 * np.sin(np.pi * smooth)
    theta[:, 3] = 0.3 * np.sin(np.pi * smooth)
    theta[:, 6:] = 0.3
    position = np.tile([shift[0], shift[1] + 0.1, 0.05], (steps + 1, 1))
    position[steps // 2 :, 2] += 0.1 * smooth[steps // 2 :] - 0.1 * smooth[steps // 2]
    base = (Rotation.from_euler("z", np.pi / 2) * Rotation.from_euler("y", tilt)).as_quat(scalar_first=True)
    return Reference(
        name="made_lift", hand_name="leap_right", object_name="made", joint_names=HAND.joint_names, base_quaternion_w=base, hand=theta,
        object_position_w=position, object_quaternion_w=np.tile([1.0, 0.0, 0.0, 0.0], (steps + 1, 1)), keypoints_w=np.zeros((steps + 1, 21, 3)),
    )  # fmt: skip


def demonstrate(reference):
    n = reference.n_steps
    return Demonstration(
        reference=reference, targets=reference.hand[1:].copy(), hand=reference.hand.copy(), hand_velocity=np.zeros((n + 1, 22)),
        object_position_w=reference.object_position_w, object_quaternion_w=reference.object_quaternion_w, metrics={}, verdict={}, provenance={},
    )  # fmt: skip


def shadow(placed):
    """States of the shadow simulator when the control loop replays ``placed``."""
    task = placed.demonstration or placed.reference
    simulator = ShadowSimulator(HAND, placed.reference.base_quaternion_w)
    simulator.reset(placed.reference.hand[0])
    targets = task.targets if placed.demonstration else placed.reference.hand[1:]
    return [placed.reference.hand[0], *(simulator.step(t)[0] for t in targets)]


def check_path(placed):
    """Limits by finite differences, and the hand where the shadow simulator wants it, by MuJoCo."""
    path = placed.arm_path
    assert len(path) == len(placed.reference.hand)
    v = np.diff(path, axis=0) * 60
    a = np.diff(np.concatenate([np.zeros((1, 7)), v]), axis=0) * 60
    assert (path > ARM.lower).all() and (path < ARM.upper).all()
    assert (np.abs(v) <= CELL.arm.velocity_fraction * ARM.velocity + 1e-6).all()
    assert (np.abs(a) <= CELL.arm.acceleration_fraction * ARM.acceleration + 1e-4).all()
    model = cell_spec(CELL).compile()
    data = mujoco.MjData(model)
    worst = 0.0
    for q, theta in zip(path, shadow(placed), strict=True):
        data.qpos[[model.joint(n).qposadr[0] for n in ARM.joint_names]] = q
        mujoco.mj_kinematics(model, data)
        worst = max(worst, float(np.linalg.norm(data.body("palm_lower").xpos - theta[:3])))
    assert worst == pytest.approx(placed.figures.max_position_error, abs=1e-6)
    assert worst <= 0.01
    assert np.diff(path, axis=0).shape[0] and placed.figures.min_table_clearance > 0.0
    assert CELL.workspace.contains(placed.reference.hand[:, :3]).all()


@pytest.fixture(scope="module")
def placed():
    return place(lift(), CELL)


def test_a_reachable_reference_is_placed(placed):
    check_path(placed)
    assert 1.0 <= placed.time_scale < 2.0
    assert placed.demonstration is None


def test_where_a_reference_comes_from_does_not_matter_much():
    far = place(lift(shift=(3.0, -2.0)), CELL)
    check_path(far)


def test_a_demonstration_keeps_targets_and_states_together():
    d = demonstrate(lift())
    placed = place(d, CELL)
    check_path(placed)
    out = placed.demonstration
    assert out is not None and len(out.targets) == out.reference.n_steps
    np.testing.assert_allclose(out.hand, out.reference.hand, atol=1e-12)
    assert 0.0 < placed.figures.smoothed_by < 0.01
    # Smoothed, slowed down and corrected for lag, targets still lead along the states.
    assert np.abs(out.targets[:-1] - out.hand[1:-1]).max() < 0.05


def test_equal_seeds_give_equal_placements(placed):
    again = place(lift(), CELL)
    assert again.transform == placed.transform
    np.testing.assert_array_equal(again.arm_path, placed.arm_path)


def test_an_experts_jitter_is_smoothed_instead_of_slowing_everything_down():
    d = demonstrate(lift(steps=180))
    rng = np.random.default_rng(0)
    jitter = np.zeros_like(d.targets)
    jitter[:, :3] = rng.normal(scale=0.003, size=(len(jitter), 3))
    jitter[:, 3:6] = rng.normal(scale=0.02, size=(len(jitter), 3))
    placed = place(dataclasses.replace(d, targets=d.targets + jitter), CELL)
    check_path(placed)
    assert placed.time_scale < 1.3


def test_a_task_that_begins_in_motion_begins_from_rest():
    moving = lift(steps=200)
    cut = dataclasses.replace(moving, **{f: getattr(moving, f)[60:] for f in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")})
    placed = place(cut, CELL)
    check_path(placed)
    first = np.linalg.norm(np.diff(placed.reference.hand[:2, :3], axis=0)) * 60
    assert first < 0.05 < np.linalg.norm(np.diff(cut.hand[:2, :3], axis=0)) * 60


def test_a_path_that_is_too_fast_is_slowed_down_and_one_that_is_not_less():
    fast, slow = place(lift(steps=48), CELL), place(lift(steps=360), CELL)
    check_path(fast)
    check_path(slow)
    assert fast.time_scale > 1.5
    assert slow.time_scale < 1.1
    assert fast.reference.time_scale == pytest.approx(fast.time_scale)


def test_slower_than_allowed_is_refused():
    with pytest.raises(RefusedError, match="slowed down"):
        place(lift(steps=8), CELL, max_time_scale=1.2)


def test_a_path_that_is_too_wide_is_refused_with_what_stands_in_the_way():
    with pytest.raises(RefusedError, match="mm.*Remedy"):
        place(lift(reach=0.9), CELL)


def test_targets_that_no_simulator_follows_are_refused():
    made = demonstrate(lift())
    targets = made.targets.copy()
    # Through gimbal lock and back at every step.
    targets[:, 4], targets[::2, 3], targets[::2, 5] = 1.57, 3.0, -3.0
    with pytest.raises(RefusedError, match="out of the range of finite numbers"):
        place(dataclasses.replace(made, targets=targets), CELL)


def test_a_path_below_the_table_is_refused():
    with pytest.raises(RefusedError, match="(workspace|table)"):
        place(lift(height=0.05, tilt=-0.9), CELL)


def test_it_is_anchored_to_where_the_object_lies(placed):
    lies = PlanarTransform(0.01, -0.02, 0.1)
    position, quaternion = lies.points(placed.reference.object_position_w[0]), lies.rotations(placed.reference.object_quaternion_w[0])
    anchored = place(lift(), CELL, object_pose_w=(position, quaternion))
    check_path(anchored)
    np.testing.assert_allclose(anchored.reference.object_position_w[0], position, atol=1e-9)
    np.testing.assert_allclose(anchored.reference.object_quaternion_w[0], quaternion, atol=1e-9)


def test_what_is_said_of_where_a_demonstrations_object_lies_places_it_there(placed):
    """Its object came to rest 4 mm and 3 degrees from where the recording had it: that is where it lies."""
    made = demonstrate(lift())
    settled = (Rotation.from_rotvec([0.03, -0.04, 0.03]) * Rotation.from_quat(made.object_quaternion_w, scalar_first=True)).as_quat(scalar_first=True)
    made = dataclasses.replace(made, object_position_w=made.object_position_w + [-0.003, 0.003, -0.001], object_quaternion_w=settled)
    x, y = placed.reference.object_position_w[0, :2] + [0.01, -0.02]
    turn = np.degrees(placed.transform.yaw) + 5.0
    again = place(made, CELL, lying_at(made, x, y, turn))
    assert f"x {100 * x:.1f} cm, y {100 * y:.1f} cm, turned by {turn:.0f} degrees" in again.where
    np.testing.assert_allclose(again.task.object_position_w[0, :2], [x, y], atol=1e-9)


@pytest.mark.parametrize(
    "turn, raised, named",
    [(Rotation.from_euler("x", 0.6), 0.0, "tilted"), (Rotation.identity(), 0.2, "above or below")],
)
def test_an_object_that_lies_otherwise_is_refused(placed, turn, raised, named):
    position = placed.reference.object_position_w[0] + [0.0, 0.0, raised]
    with pytest.raises(RefusedError, match=named):
        place(lift(), CELL, object_pose_w=(position, turn.as_quat(scalar_first=True)))


def test_an_object_out_of_reach_is_refused():
    with pytest.raises(RefusedError, match="where the object lies"):
        place(lift(), CELL, object_pose_w=(np.array([2.0, 0.0, 0.05]), np.array([1.0, 0.0, 0.0, 0.0])))


def test_a_reference_for_another_hand_is_refused():
    with pytest.raises(RefusedError, match="allegro_right"):
        place(dataclasses.replace(lift(), hand_name="allegro_right"), CELL)


def test_placing_what_is_already_placed_finds_it_reachable_there(placed):
    position, quaternion = placed.reference.object_position_w[0], placed.reference.object_quaternion_w[0]
    check_path(place(move(placed.reference, PlanarTransform(0.7, 0.2, 1.0)), CELL, object_pose_w=(position, quaternion)))
