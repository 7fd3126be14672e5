from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dextrack.objects import ObjectSpec
from dextrack.references.readers.faults import TIPS, find, fingertip_gap, moving
from dextrack.references.recording import Recording

RADIUS = 0.03
FRAMES = 60


def ball() -> ObjectSpec:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec("ball", v, f, ((v, f),), mass=0.1)


def lift(height: float = 0.2, gap: float = 0.0) -> Recording:
    """A ball lifted within a second by a hand whose nearest fingertip is ``gap`` off its surface, in every orientation."""
    t = np.arange(FRAMES) / 60
    position = np.stack([0 * t, 0 * t, RADIUS + height * t], axis=1)
    turn = Rotation.from_rotvec(np.stack([t, 2 * t, -t], axis=1))
    k = np.zeros((FRAMES, 21, 3))
    k[:, :, 0] = np.linspace(0.3, RADIUS + gap + 0.07, 21)
    k[:, 9, 0] = 0.2
    k[:, 12] = [RADIUS + gap, 0, 0]
    k += position[:, None]
    return Recording("ball_lift", "ball", "right", t, k, position, turn.as_quat(scalar_first=True))


@pytest.mark.parametrize("gap", [0.0, 0.004, 0.019, 0.03])
def test_gap_is_the_distance_of_the_nearest_tip(gap: float) -> None:
    np.testing.assert_allclose(fingertip_gap(lift(gap=gap), ball()), gap, atol=2.5e-3)
    assert {9, 12} & set(TIPS) == {12}


def test_a_good_recording_has_no_flags() -> None:
    assert find(lift(), ball()) == ()
    assert moving(lift()).all()


def test_each_fault_is_named() -> None:
    good = lift()
    p = good.object_position_w
    assert find(lift(gap=0.03), ball()) == ("bad input: no fingertip is within 30 mm of the object while it moves (median)",)
    assert any("not lifted: the object rises 10 mm" in f for f in find(lift(height=0.0102), ball()))
    jump = np.where(np.arange(FRAMES)[:, None] >= 30, p + [0.05, 0, 0], p)
    follow = good.keypoints_w + (jump - p)[:, None]
    flags = find(dataclasses.replace(good, object_position_w=jump, keypoints_w=good.keypoints_w + (jump - p)[:, None] * 0.9), ball())
    assert [f.split(":")[0] for f in flags] == ["fast"] and "3.0 m/s" in flags[0]
    faster = dataclasses.replace(good, object_position_w=p + 2 * (jump - p), keypoints_w=follow + (jump - p)[:, None])
    assert [f.split(":")[0] for f in find(faster, ball())] == ["fast", "hand jumps"]
    sunk = find(dataclasses.replace(good, object_position_w=p - [0, 0, 0.02], keypoints_w=good.keypoints_w - [0, 0, 0.06]), ball())
    assert "table: the object goes 20 mm below it" in sunk and "table: the hand goes 30 mm below it" in sunk


def test_an_object_that_never_moves() -> None:
    still = dataclasses.replace(lift(), object_position_w=np.tile([0, 0, RADIUS], (FRAMES, 1)))
    assert not moving(still).any()
    assert find(still, ball()) == ("not lifted: the object rises 0 mm",)
