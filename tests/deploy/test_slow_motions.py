"""Planned motions of the shipped cell, judged in a MuJoCo model of the whole cell."""

from __future__ import annotations

import functools

import mujoco
import numpy as np
import pytest
from dextrack_deploy.approach import Motion
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.slow_motions import SlowMotions
from dextrack_deploy.slow_speed import SPEED
from scipy.spatial import ConvexHull

from dextrack import rotations
from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import add_object, add_table

CELL = load_cell("twin")
HAND = load_hand("leap_right")
ARM = load_arm("fr3")
HOME = np.array(CELL.arm.home)
REST = np.array(HAND.rest)
CURLED = REST + 0.7 * (np.minimum(np.array(HAND.upper), REST + 0.8) - REST)
OBJECT_AT = np.array([0.12, 0.0, 0.05])


def box() -> ObjectSpec:
    corners = np.array([0.03, 0.03, 0.05]) * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    faces = ConvexHull(corners).simplices.astype(np.int32)
    return ObjectSpec("box", corners, faces, ((corners, faces),), mass=0.1)


@functools.cache
def whole_cell() -> tuple[mujoco.MjModel, mujoco.MjData, np.ndarray]:
    spec = cell_spec(CELL)
    add_table(spec)
    add_object(spec, box(), Physics())
    model = spec.compile()
    data = mujoco.MjData(model)
    start = model.joint("object_free").qposadr[0]
    data.qpos[start : start + 7] = [*OBJECT_AT, 1.0, 0.0, 0.0, 0.0]
    return model, data, np.array([model.joint(n).qposadr[0] for n in ARM.joint_names + HAND.finger_joints])


def at(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Palm position and quaternion, and what touches the object or the table, other than these two and the arm's foot."""
    model, data, joints = whole_cell()
    data.qpos[joints] = q
    mujoco.mj_forward(model, data)
    palm = model.body(HAND.palm_body).id
    touching = set()
    for contact in data.contact[: data.ncon]:
        names = {model.body(int(model.geom_bodyid[g])).name for g in contact.geom}
        if names & {"object", "world"} and names not in ({"object", "world"}, {"world", "fr3_link1"}):
            touching |= names - {"world", "object"}
    return data.xpos[palm].copy(), data.xquat[palm].copy(), touching


def reference(palm_w: tuple[float, float, float], fingers: np.ndarray = REST) -> Reference:
    """A placed reference that begins with the palm at ``palm_w``, turned as at home."""
    unit = np.tile([1.0, 0.0, 0.0, 0.0], (2, 1))
    theta = np.tile(np.concatenate([palm_w, np.zeros(3), fingers]), (2, 1))
    base = at(np.concatenate([HOME, REST]))[1]
    return Reference("ref", "leap_right", "box", HAND.joint_names, base, theta, np.tile(OBJECT_AT, (2, 1)), unit, np.zeros((2, 21, 3)))


def check_speed(motion: Motion, start: np.ndarray) -> None:
    steps = np.abs(np.diff(np.concatenate([start[None], motion.positions]), axis=0)) * 60.0
    assert (steps[:, :7].max(axis=0) <= SPEED * ARM.velocity * 1.001).all()
    assert steps.max() > 0.1


def test_an_approach_ends_where_the_trial_begins_and_touches_nothing_on_the_way() -> None:
    r = reference((-0.05, 0.05, 0.22), CURLED)
    motion = SlowMotions(CELL, r, box()).approach(HOME, REST)
    position, quaternion, _ = at(motion.positions[-1])
    np.testing.assert_allclose(position, r.hand[0, :3], atol=1e-4)
    assert rotations.angle(quaternion, r.base_quaternion_w) < 1e-3
    np.testing.assert_allclose(motion.positions[-1, 7:], CURLED)
    for q in motion.positions:
        assert at(q)[2] == set()
    check_speed(motion, np.concatenate([HOME, REST]))


def test_a_retreat_rises_straight_up_with_the_hand_open_and_ends_at_home() -> None:
    motions = SlowMotions(CELL, reference((-0.05, 0.05, 0.22)))
    arm = motions.start_arm
    motion = motions.retreat(arm, CURLED)
    opened = int(np.flatnonzero(np.abs(motion.positions[:, 7:] - REST).max(axis=1) < 1e-9)[0])
    np.testing.assert_allclose(motion.positions[: opened + 1, :7], np.tile(arm, (opened + 1, 1)), atol=1e-12)
    begin, turned, _ = at(np.concatenate([arm, REST]))
    highest = 0.0
    for q in motion.positions[opened:]:
        position, quaternion, _ = at(q)
        if position[2] < begin[2] + 0.115 and highest < 0.115:
            assert np.abs(position[:2] - begin[:2]).max() < 0.01 and rotations.angle(quaternion, turned) < 0.05
        highest = max(highest, position[2] - begin[2])
    assert highest > 0.115
    np.testing.assert_allclose(motion.positions[-1], np.concatenate([HOME, REST]), atol=1e-9)


def test_an_approach_through_the_object_is_refused_and_one_that_does_not_know_it_is_not() -> None:
    palm = at(np.concatenate([HOME, REST]))[0]
    tip = whole_cell()[1].body(HAND.fingertips[1].body).xpos.copy()
    inside = reference(tuple(OBJECT_AT + [0.0, 0.0, 0.03] - (tip - palm)))
    blind = SlowMotions(CELL, inside).approach(HOME, REST)
    assert any(at(q)[2] for q in blind.positions), "the start is chosen so that the hand meets the object"
    with pytest.raises(RefusedError, match="object"):
        SlowMotions(CELL, inside, box()).approach(HOME, REST)


def test_a_hand_that_has_no_room_to_open_opens_above() -> None:
    """A fist just above the table: opened there, the fingers would go through it."""
    low = lowest_fist()
    motions = SlowMotions(CELL, reference((-0.05, 0.15, low), CURLED))
    assert at(np.concatenate([motions.start_arm, REST]))[2], "opening wholly would touch the table"
    motion = motions.retreat(motions.start_arm, CURLED)
    for q in motion.positions:
        assert at(q)[2] == set()
    np.testing.assert_allclose(motion.positions[-1, 7:], REST, atol=1e-9)


def lowest_fist() -> float:
    """The least height of the palm, to a centimetre, at which a fist is clear of the table and open fingers are not."""
    for height in np.arange(0.02, 0.3, 0.01):
        arm = SlowMotions(CELL, reference((-0.05, 0.15, float(height)), CURLED)).start_arm
        if not at(np.concatenate([arm, CURLED]))[2]:
            return float(height)
    raise AssertionError("no such height")


def test_a_start_out_of_reach_is_refused() -> None:
    with pytest.raises(RefusedError, match="misses the start"):
        SlowMotions(CELL, reference((0.9, 0.9, 0.3)))
