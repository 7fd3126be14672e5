"""Moving and slowing down: hand and object keep their places relative to each other, judged with scipy's rotations."""

import dataclasses

import numpy as np
import pytest
from dextrack_deploy.placement.transform import PlanarTransform, move, sample, slow_rows, smooth_wrist, wrist_path
from dextrack_deploy.shadow import ShadowSimulator
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.hands import load_hand
from dextrack.references.reference import Reference

HAND = load_hand("leap_right")


def random_demonstration(seed, n=12):
    rng = np.random.default_rng(seed)

    def walk(shape, scale):
        return np.cumsum(rng.normal(scale=scale, size=shape), axis=0)

    def quaternions(m):
        q = Rotation.from_rotvec(walk((m, 3), 0.05)).as_quat(scalar_first=True)
        return q

    reference = Reference(
        name="walk", hand_name="leap_right", object_name="thing", joint_names=HAND.joint_names,
        base_quaternion_w=Rotation.random(rng=rng).as_quat(scalar_first=True),
        hand=walk((n + 1, 22), 0.02), keypoints_w=rng.normal(size=(n + 1, 21, 3)),
        object_position_w=walk((n + 1, 3), 0.02), object_quaternion_w=quaternions(n + 1),
    )  # fmt: skip
    return Demonstration(
        reference=reference, targets=walk((n, 22), 0.02), hand=walk((n + 1, 22), 0.02), hand_velocity=rng.normal(size=(n + 1, 22)),
        object_position_w=walk((n + 1, 3), 0.02), object_quaternion_w=quaternions(n + 1), metrics={"t_err_m": 0.01}, verdict={}, provenance={},
    )  # fmt: skip


def relative(reference, hand, object_position, object_quaternion):
    """Hand in the object's frame: positions and rotations, computed with scipy from the definition of theta."""
    base = Rotation.from_quat(reference.base_quaternion_w, scalar_first=True)
    hinges = Rotation.from_rotvec(hand[:, 3:4] * [1, 0, 0]) * Rotation.from_rotvec(hand[:, 4:5] * [0, 1, 0]) * Rotation.from_rotvec(hand[:, 5:6] * [0, 0, 1])
    thing = Rotation.from_quat(object_quaternion, scalar_first=True)
    return thing.inv().apply(hand[:, :3] - object_position), thing.inv() * base * hinges


def assert_same_relation(before, after):
    np.testing.assert_allclose(after[0], before[0], atol=1e-12)
    assert (before[1].inv() * after[1]).magnitude().max() < 1e-12 + 1e-7  # arccos noise of scipy's magnitude near zero


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), x=st.floats(-1, 1), y=st.floats(-1, 1), yaw=st.floats(-7, 7))
def test_a_move_keeps_hand_and_object_together(seed, x, y, yaw):
    d = random_demonstration(seed)
    m = move(d, PlanarTransform(x, y, yaw))
    for a, b in ((d, m), (d.reference, m.reference)):
        assert_same_relation(
            relative(d.reference, a.hand, a.object_position_w, a.object_quaternion_w), relative(m.reference, b.hand, b.object_position_w, b.object_quaternion_w)
        )
    # Targets move as the states do, and nothing that is not a place changes.
    assert_same_relation(
        relative(d.reference, d.targets, d.object_position_w[:-1], d.object_quaternion_w[:-1]),
        relative(m.reference, m.targets, m.object_position_w[:-1], m.object_quaternion_w[:-1]),
    )
    np.testing.assert_array_equal(m.hand[:, 3:], d.hand[:, 3:])
    np.testing.assert_allclose(m.hand[:, 2], d.hand[:, 2], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(m.hand_velocity[:, :3], axis=1), np.linalg.norm(d.hand_velocity[:, :3], axis=1), atol=1e-12)
    np.testing.assert_array_equal(m.hand_velocity[:, 3:], d.hand_velocity[:, 3:])
    shift = m.reference.keypoints_w[:, :, None] - m.reference.keypoints_w[:, None]
    np.testing.assert_allclose(
        np.linalg.norm(shift, axis=-1), np.linalg.norm(d.reference.keypoints_w[:, :, None] - d.reference.keypoints_w[:, None], axis=-1), atol=1e-12
    )


def test_a_move_is_the_rotation_and_shift_that_it_says():
    t = PlanarTransform(0.5, -0.25, np.pi / 2)
    np.testing.assert_allclose(t.points(np.array([1.0, 0.0, 0.3])), [0.5, 0.75, 0.3], atol=1e-12)
    carried = PlanarTransform.carrying(np.array([0.2, 0.1, 0.4]), (0.6, -0.3), 2.0)
    np.testing.assert_allclose(carried.points(np.array([0.2, 0.1, 0.4])), [0.6, -0.3, 0.4], atol=1e-12)


def test_the_wrist_path_moves_with_everything():
    d = random_demonstration(4)
    t = PlanarTransform(0.1, 0.2, 1.0)
    (p, q), (pm, qm) = wrist_path(d.reference, d.hand), wrist_path(move(d, t).reference, move(d, t).hand)
    turn = Rotation.from_euler("z", 1.0)
    np.testing.assert_allclose(pm, turn.apply(p) + [0.1, 0.2, 0.0], atol=1e-12)
    assert ((turn * Rotation.from_quat(q, scalar_first=True)).inv() * Rotation.from_quat(qm, scalar_first=True)).magnitude().max() < 1e-7


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 400), factor=st.floats(1.0, 5.0), ease=st.integers(0, 30))
def test_slowed_rows_begin_and_end_where_the_motion_does_and_never_outrun_it(n, factor, ease):
    rows = slow_rows(n, factor, ease)
    assert rows[0] == 0.0 and rows[-1] == pytest.approx(n, abs=1e-9)
    steps = np.diff(rows)
    assert (steps > 0.0).all()
    # A motion shorter than the ramp is at full speed only at its end.
    if len(steps) > 2 * ease:
        assert steps.max() <= 1.0 / factor + 1e-9


def test_ease_begins_at_rest_and_takes_the_steps_that_it_says():
    steps = np.diff(slow_rows(120, 1.0, 12))
    assert len(steps) == 132
    assert steps[0] < 0.01
    np.testing.assert_allclose(steps[24:], 1.0, atol=1e-9)
    assert np.abs(np.diff(steps)).max() < 0.08


def test_rows_that_are_the_motions_own_change_nothing():
    d = random_demonstration(9)
    rows = slow_rows(d.reference.n_steps, 1.0)
    np.testing.assert_array_equal(rows, np.arange(d.reference.n_steps + 1))
    s = sample(d, rows)
    for f in ("targets", "hand", "hand_velocity", "object_position_w"):
        np.testing.assert_allclose(getattr(s, f), getattr(d, f), atol=1e-15)
    np.testing.assert_allclose(s.object_quaternion_w, d.object_quaternion_w, atol=1e-12)
    assert s.reference.time_scale == 1.0


def test_half_speed_keeps_every_state_and_halves_velocities():
    d = dataclasses.replace(random_demonstration(2))
    s = sample(d, slow_rows(12, 2.0))
    assert s.reference.n_steps == 24 and len(s.targets) == 24 and s.reference.time_scale == pytest.approx(2.0)
    np.testing.assert_allclose(s.hand[::2], d.hand, atol=1e-12)
    np.testing.assert_allclose(s.hand[1::2], 0.5 * (d.hand[1:] + d.hand[:-1]), atol=1e-12)
    np.testing.assert_allclose(s.hand_velocity[::2], 0.5 * d.hand_velocity, atol=1e-12)
    middle = Rotation.from_quat(d.object_quaternion_w, scalar_first=True)
    half = middle[:-1] * Rotation.from_rotvec(0.5 * (middle[:-1].inv() * middle[1:]).as_rotvec())
    assert (half.inv() * Rotation.from_quat(s.object_quaternion_w[1::2], scalar_first=True)).magnitude().max() < 1e-7


def test_a_slowed_hand_in_free_space_stays_on_its_path():
    """The correction of lag, judged by simulating both: slowed down without it, the hand would run centimetres ahead."""
    n = 120
    phase = np.linspace(0.0, 1.0, n + 1)
    targets = np.zeros((n, 22))
    targets[:, 0] = 0.3 * np.sin(2 * np.pi * phase[1:]) ** 2
    targets[:, 7] = 1.0 * np.sin(np.pi * phase[1:]) ** 2
    base = random_demonstration(1, n)
    simulator = ShadowSimulator(HAND, base.reference.base_quaternion_w)

    def run(t):
        simulator.reset(np.zeros(22))
        states = [simulator.state(), *(simulator.step(x) for x in t)]
        return np.array([s[0] for s in states]), np.array([s[1] for s in states])

    hand, velocity = run(targets)
    d = dataclasses.replace(base, targets=targets, hand=hand, hand_velocity=velocity)
    rows = slow_rows(n, 2.0)
    slowed, _ = run(sample(d, rows).targets)
    expected = np.stack([np.interp(rows, np.arange(n + 1), hand[:, k]) for k in (0, 7)], axis=1)
    assert np.abs(slowed[:, [0, 7]] - expected).max(axis=0)[0] < 0.006
    uncorrected = np.stack([np.interp(rows[:-1], np.arange(n), targets[:, k]) for k in range(22)], axis=1)
    assert np.abs(run(uncorrected)[0][:, [0, 7]] - expected).max(axis=0)[0] > 0.012


def test_targets_that_begin_in_full_motion_begin_where_the_hand_is_when_slowed_to_rest():
    """Targets of a constant 0.3 m/s lead by 15 mm from the first step, the hand from rest follows as a first-order loop would: eased in, no jump is left."""
    n, period, lead, speed = 120, 1 / 60, 0.05, 0.3
    base = random_demonstration(1, n)
    t = np.arange(n + 1) * period
    hand, velocity, targets = (np.zeros((k, 22)) for k in (n + 1, n + 1, n))
    hand[:, 0] = speed * t
    velocity[:, 0] = speed * (1.0 - np.exp(-t / lead))
    targets[:, 0] = speed * (t[:-1] + lead)
    d = dataclasses.replace(base, targets=targets, hand=hand, hand_velocity=velocity)
    slowed = sample(d, slow_rows(n, 1.0, ease_steps=12))
    assert targets[0, 0] - hand[0, 0] == pytest.approx(0.015)
    assert abs(slowed.targets[0, 0] - slowed.hand[0, 0]) < 0.001
    np.testing.assert_allclose(slowed.targets[40:, 0] - slowed.hand[40:-1, 0], 0.015, atol=1e-3)


def test_smoothing_takes_out_jitter_and_leaves_fingers_and_slow_motion():
    d = random_demonstration(3, 200)
    slow = np.sin(np.linspace(0.0, 2 * np.pi, 201))[1:, None] * np.full(22, 0.2)
    jitter = np.random.default_rng(0).normal(scale=0.003, size=(200, 22))
    noisy = dataclasses.replace(d, targets=slow + jitter, hand=np.zeros((201, 22)))
    out = smooth_wrist(noisy, 3.0)
    np.testing.assert_array_equal(out.targets[:, 6:], noisy.targets[:, 6:])
    inner = slice(15, -15)
    assert np.std(np.diff(out.targets[inner, :6], 2, axis=0)) < 0.05 * np.std(np.diff(noisy.targets[inner, :6], 2, axis=0))
    assert np.abs(out.targets[inner, :6] - slow[inner, :6]).max() < 0.005
    assert smooth_wrist(d.reference, 3.0) is d.reference


def test_moves_in_a_row_are_one_move():
    a, b = PlanarTransform(0.3, -0.1, 2.0), PlanarTransform(-0.2, 0.5, 2.5)
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(b.after(a).points(points), b.points(a.points(points)), atol=1e-12)
