"""Whether an object is up is what the verdict says of it, and an object left beside a low lift counts as left."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dextrack.mining.audition import is_off
from dextrack.mining.lifting import GROUNDED, Lift, thinned
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import REFERENCE_LIFT, hull_vertices, judge
from tests import synthetic

BOX = hull_vertices(synthetic.box().vertices)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(Path(__file__).parent / "box_lift.npz")


def heights(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """Of the lowest corner, by scipy."""
    return np.array([(Rotation.from_quat(q, scalar_first=True).apply(BOX) + p)[:, 2].min() for p, q in zip(position, quaternion, strict=True)])


def test_what_is_grounded_has_its_lowest_corner_near_the_table(reference: Reference) -> None:
    rng = np.random.default_rng(0)
    turn = Rotation.from_rotvec(rng.normal(size=(reference.n_steps, 3)) * 0.4)
    quaternion = (turn * Rotation.from_quat(reference.object_quaternion_w[1:], scalar_first=True)).as_quat(scalar_first=True)
    position = reference.object_position_w[1:] - np.array([0.0, 0.0, 0.1])
    lift = Lift(reference, BOX)
    found = lift.grounded(position, quaternion, 0)
    low = heights(position, quaternion) < GROUNDED
    asked = heights(reference.object_position_w, reference.object_quaternion_w)[1:] >= REFERENCE_LIFT
    assert found.sum() > 20 and not found[~asked].any() and low[found].all()
    # Only the edges of a lift are forgiven.
    assert (asked & low & ~found).sum() <= 6
    # A part of the motion is asked about as the whole is, with any dimensions before.
    part = lift.grounded(np.stack([position[40:90]] * 2), np.stack([quaternion[40:90]] * 2), 40)
    assert (part == found[40:90]).all()


def test_what_the_verdict_calls_lifted_is_not_grounded(reference: Reference) -> None:
    """And what lies on the table all along is neither."""
    for lower in (0.0, 0.005, 0.2):
        position = reference.object_position_w - np.array([0.0, 0.0, lower])
        grounded = Lift(reference, BOX).grounded(position[1:], reference.object_quaternion_w[1:], 0).any()
        assert judge(reference, BOX, position, reference.object_quaternion_w).lifted.ok == (not grounded) == (lower < 0.1)


def test_an_object_left_on_the_table_beside_a_low_lift_is_off(reference: Reference) -> None:
    """Within 4 cm of its reference, and yet nobody lifted it."""
    start = reference.object_position_w[0]
    low = reference.object_position_w.copy()
    low[:, 2] = start[2] + np.clip(low[:, 2] - start[2], 0.0, 0.035)
    task = dataclasses.replace(reference, object_position_w=low)
    lying = np.column_stack([low[1:, :2], np.full(task.n_steps, start[2])])
    quaternion = task.object_quaternion_w[1:]
    assert not is_off(task, lying, quaternion, 0, 0.04, 0.7).any()
    off = is_off(task, lying, quaternion, 0, 0.04, 0.7, Lift(task, BOX))
    assert off.any()
    assert not is_off(task, low[1:], quaternion, 0, 0.04, 0.7, Lift(task, BOX)).any()


def test_thinned_points_cover_a_sphere() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 3))
    points *= 0.04 / np.linalg.norm(points, axis=1, keepdims=True)
    few = thinned(points, 48)
    assert len(few) == 48 and len(thinned(points[:5], 48)) == 5
    directions = rng.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    missing = (points @ directions.T).max(axis=0) - (few @ directions.T).max(axis=0)
    assert missing.max() < 0.004 and missing.mean() < 0.0015
