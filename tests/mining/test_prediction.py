"""Predictions: the tests that they rest on tell good grasps from bad ones, and the arithmetic is that of a logistic regression."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dextrack.hands import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.mining.hold import hold_test, static_hold
from dextrack.mining.prediction import BIAS, WEIGHTS, features, fingertip_travel, grip_capacity, judge_features, pad_clearance, predict
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices
from tests import synthetic


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(Path(__file__).parent.parent / "mining" / "box_lift.npz")


def test_a_grasp_holds_with_friction_and_not_without(reference: Reference) -> None:
    """Pads a fraction of a millimetre off the surface need the larger squeezes; without friction none helps, and what is let go falls freely."""
    for friction in (1.5, 0.05):
        obj = dataclasses.replace(synthetic.box(), friction=friction)
        scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
        tested = hold_test(reference, scene, make_baseline(reference, scene, 2.0), hull_vertices(obj.vertices))
        assert tested.rehearsed == (pytest.approx(1.0, abs=0.1) if friction > 1.0 else 0.0)
        if friction > 1.0:
            assert tested.held > 0.5
        else:
            assert tested.held == 0.0 and min(tested.moved) > 0.03


def test_nothing_holds_in_an_open_hand(reference: Reference) -> None:
    obj, hand = synthetic.box(), load_hand("leap_right")
    theta = reference.hand.copy()
    theta[:, 2] += 0.3
    away = dataclasses.replace(reference, hand=theta)
    scene = build_scene(hand, reference.base_quaternion_w, obj)
    onset = int(reference.diagnosis["onset"])
    fall = static_hold(away, scene, make_baseline(away, scene, 2.0), 6.0, reference.n_steps)
    assert fall == pytest.approx(0.10, abs=0.005), "from 10 cm up to the table"
    assert static_hold(away, scene, make_baseline(away, scene, 2.0), 6.0, onset) < 0.01, "on the table it stays"


def test_what_speaks_against_a_task_lowers_its_chances(reference: Reference) -> None:
    good = predict(reference, dataclasses.replace(synthetic.box(), friction=1.5))
    bad = predict(reference, dataclasses.replace(synthetic.box(), friction=0.05))
    assert bad.passed < good.passed and bad.tracked < good.tracked
    assert good.as_dict()["will_pass"] == (good.passed >= 0.5)


def test_the_text_names_what_speaks_against_a_task() -> None:
    hopeless = judge_features({name: w.mean - 4.0 * np.sign(w.passed) * w.scale for name, w in WEIGHTS.items()})
    assert not hopeless.will_pass and hopeless.because and hopeless.text.startswith("will fail because " + hopeless.because)
    hopeful = judge_features({name: w.mean + 4.0 * np.sign(w.passed) * w.scale for name, w in WEIGHTS.items()})
    assert hopeful.will_pass and hopeful.text.startswith("will pass") and hopeful.because == ""


def test_probabilities_are_logistic_in_the_scaled_numbers() -> None:
    means = {name: w.mean for name, w in WEIGHTS.items()}
    centre = judge_features(means)
    assert (centre.tracked, centre.passed) == pytest.approx([1 / (1 + np.exp(-b)) for b in BIAS])
    name, weight = max(WEIGHTS.items(), key=lambda item: abs(item[1].passed))
    worse = judge_features({**means, name: weight.mean - np.sign(weight.passed) * weight.scale})
    odds = np.log(worse.passed / (1 - worse.passed))
    assert odds == pytest.approx(BIAS[1] - abs(weight.passed))
    assert worse.because == weight.words(worse.features[name])


def test_capacity_is_linear_in_torque_and_friction(reference: Reference) -> None:
    hand = load_hand("leap_right")
    values = []
    for friction, effort in ((1.0, hand.effort), (0.5, hand.effort), (1.0, tuple(2.0 * e for e in hand.effort))):
        spec = dataclasses.replace(hand, effort=effort)
        scene = build_scene(spec, reference.base_quaternion_w, dataclasses.replace(synthetic.box(), friction=friction))
        values.append(grip_capacity(reference, scene, make_baseline(reference, scene, 2.0), int(reference.diagnosis["onset"])))
    assert values[1] == pytest.approx(0.5 * values[0]) and values[2] == pytest.approx(2.0 * values[0])
    # 0.26 N m over finger links of some 4 to 10 cm: a few newtons per side.
    assert 2.0 < values[0] < 40.0


def test_clearance_and_travel_of_a_hand_made_plan(reference: Reference) -> None:
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    baseline = dataclasses.replace(make_baseline(reference, scene, 2.0), contacts_o=np.array([[0.03, 0.0, -0.02]] * 4))
    assert pad_clearance(reference, scene, baseline) == pytest.approx(0.04 - 0.02 - 0.0105, abs=1e-3)
    onset, release = int(reference.diagnosis["onset"]), reference.n_steps
    still = fingertip_travel(reference, onset, release)
    keypoints = reference.keypoints_w.copy()
    keypoints[onset + (release - onset) // 2 :, 4, 1] += 0.05
    moved = fingertip_travel(dataclasses.replace(reference, keypoints_w=keypoints), onset, release)
    assert still < 0.005 and moved == pytest.approx(0.05, abs=0.03) and moved > 0.02


def test_every_weight_has_its_number(reference: Reference) -> None:
    measured = features(reference, synthetic.box())
    assert set(measured) == set(WEIGHTS) and np.isfinite(list(measured.values())).all()
