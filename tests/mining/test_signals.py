"""Signals of a replay against what statics and the judged replays say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dextrack.hands import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.mining.replays import perturbations, replay, survivals
from dextrack.mining.signals import Signals, measure_signals
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene, build_scene
from dextrack.tracking.verdict import hull_vertices, judge
from tests import synthetic

MASS = 0.08
HULL = hull_vertices(synthetic.box().vertices)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(Path(__file__).parent / "box_lift.npz")


@pytest.fixture(scope="module")
def scene(reference: Reference) -> Scene:
    return build_scene(load_hand("leap_right"), reference.base_quaternion_w, dataclasses.replace(synthetic.box(mass=MASS), friction=1.5))


@pytest.fixture(scope="module")
def targets(reference: Reference, scene: Scene) -> np.ndarray:
    baseline = make_baseline(reference, scene, 2.0)
    return baseline.targets + 6.0 * baseline.squeeze.sum(axis=1)


@pytest.fixture(scope="module")
def signals(reference: Reference, scene: Scene, targets: np.ndarray) -> Signals:
    return measure_signals(scene, reference, HULL, targets)


def test_the_measured_replay_is_the_judged_one(reference: Reference, scene: Scene, targets: np.ndarray, signals: Signals) -> None:
    plain = replay(scene, reference, targets)
    assert (signals.object_position_w == plain.object_position_w).all() and (signals.hand == plain.hand).all()
    assert (signals.penetration == plain.penetration).all()


def test_perturbed_worlds_are_those_of_the_verdict(reference: Reference, scene: Scene, targets: np.ndarray) -> None:
    found = []
    for member in perturbations():
        s = measure_signals(scene, reference, HULL, targets, member)
        found.append(judge(reference, HULL, s.object_position_w, s.object_quaternion_w).lifts_and_holds)
    assert found == survivals(scene, reference, HULL, targets, 1)


def test_held_still_the_hand_carries_the_weight(signals: Signals) -> None:
    """At the top nothing accelerates: the forces on the box add up to its weight, and thumb and fingers cancel sideways."""
    top = signals.force_w[-15:].sum(axis=1).mean(axis=0)
    assert top == pytest.approx([0.0, 0.0, 9.81 * MASS], abs=0.12)
    assert signals.grip[-15:].all() and not signals.grip[:20].any()
    assert (signals.hand_table == 0.0).all()


def test_the_table_pushes_back_on_a_hand_that_is_driven_into_it(reference: Reference, scene: Scene) -> None:
    low = np.tile(reference.hand[0], (120, 1))
    low[:, 1] += 0.25
    low[:, 2] = 0.0
    pressed = measure_signals(scene, dataclasses.replace(reference, **_first(reference, 121)), HULL, low)
    free = measure_signals(scene, dataclasses.replace(reference, **_first(reference, 121)), HULL, low, through_table=True)
    assert pressed.hand_table[-1] > 20.0 and pressed.hand[-1, 2] > 0.02
    assert (free.hand_table == 0.0).all() and free.hand[-1, 2] < 0.01
    assert free.height[-1] == pytest.approx(0.0, abs=1e-3), "the table still holds the box"


def _first(reference: Reference, n: int) -> dict[str, np.ndarray]:
    return {k: getattr(reference, k)[:n] for k in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")}


def test_joints_belong_to_the_fingers_that_they_move(signals: Signals) -> None:
    """LEAP motors 0-3, 4-7, 8-11, 12-15 are index, middle, ring, thumb; the pads are listed thumb first."""
    names = [signals.segments[i] for i in signals.joint_segments]
    assert names == ["index"] * 4 + ["middle"] * 4 + ["ring"] * 4 + ["thumb"] * 4
    assert signals.effort.max() <= 1.0 + 1e-9 and signals.effort.max() > 0.9
