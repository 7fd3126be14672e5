"""Causes of failure, each in a scene that has that cause by construction: a box in a grasp that holds unless it is spoilt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.hands import load_hand
from dextrack.mining import failure
from dextrack.mining.baseline import make_baseline
from dextrack.mining.demonstrating import demonstrate
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from tests import synthetic

HAND = load_hand("leap_right")
STURDY, MARGINAL, SLIPPERY = 1.5, 0.13, 0.09
"""Frictions of the box at which the grasp holds in every perturbed world, in the nominal one, and in none."""


def box(friction: float = STURDY) -> ObjectSpec:
    return dataclasses.replace(synthetic.box(), friction=friction)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The synthetic recording as it was retargeted once: a file, so that the scenes stay as they are when retargeting gets better."""
    return Reference.load(Path(__file__).parent / "box_lift.npz")


def squeezed(reference: Reference, gain: float = 6.0) -> np.ndarray:
    """Targets (N, 22) that lift the box: the baseline with a constant squeeze."""
    baseline = make_baseline(reference, build_scene(HAND, reference.base_quaternion_w, synthetic.box()), 2.0)
    return baseline.targets + gain * baseline.squeeze.sum(axis=1)


def tried(reference: Reference, targets: np.ndarray, obj: ObjectSpec | None = None, **physics: Any) -> tuple[Demonstration, failure.Failure | None]:
    """The judged replay of ``targets``, and its explanation."""
    obj, world = obj or box(), Physics(**physics)
    scene = build_scene(HAND, reference.base_quaternion_w, obj, world)
    demonstration = demonstrate(scene, reference, obj, targets, {"config": {"physics": dataclasses.asdict(world)}}, 0.0, 1)
    return demonstration, failure.explain(demonstration, obj)


def cause(*arguments: Any, **physics: Any) -> str:
    found = tried(*arguments, **physics)[1]
    assert found is not None
    return found.cause


def test_a_result_that_passes_has_no_cause(reference: Reference) -> None:
    demonstration, found = tried(reference, squeezed(reference))
    assert demonstration.verdict["passed"], demonstration.verdict
    assert found is None


def test_never_reached_when_the_hand_stays_away(reference: Reference) -> None:
    demonstration, found = tried(reference, np.tile(reference.hand[0], (reference.n_steps, 1)))
    assert found is not None and found.cause == failure.NEVER and found.part == "lifted"
    assert found.evidence["grip_s"] == 0.0 and "nothing" in found.why
    # The moment of failure is the first that the verdict's own text names.
    assert f"first frame {found.frame} " in demonstration.verdict["lifted"]["why"]


def test_unreachable_when_the_reference_itself_does_not_get_there(reference: Reference) -> None:
    gaps = {**reference.diagnosis["contact_gap_m"], "thumb": 0.03}
    short = dataclasses.replace(reference, diagnosis={**reference.diagnosis, "contact_gap_m": gaps})
    assert cause(short, np.tile(reference.hand[0], (reference.n_steps, 1))) == failure.UNREACHABLE
    assert failure.refused("too fast for the arm").cause == failure.UNREACHABLE


def test_table_contact_when_the_hand_is_driven_into_the_table_beside_the_box(reference: Reference) -> None:
    targets = squeezed(reference)
    targets[:, 1] += 0.2
    targets[:, 2] -= 0.1
    found = tried(reference, targets)[1]
    assert found is not None and found.cause == failure.TABLE
    assert found.evidence["table_force_max_n"] > failure.TABLE_FORCE


def test_torque_limit_when_only_the_motors_are_too_weak(reference: Reference) -> None:
    targets = squeezed(reference)
    found = tried(reference, targets, effort_scale=0.12)[1]
    assert found is not None and found.cause == failure.TORQUE
    assert found.evidence["saturated"] > 0.5


def test_torque_limit_of_a_hand_that_has_all_that_its_maker_publishes(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the Allegro: what then tells is twice the torque of its fingers."""
    monkeypatch.setattr(Demonstration, "hand_spec", property(lambda self: dataclasses.replace(HAND, effort_max=HAND.effort)))
    targets = squeezed(reference)
    assert cause(reference, targets, effort_scale=0.12) == failure.TORQUE
    assert cause(reference, targets, effort_scale=0.02) != failure.TORQUE


def test_pinch_slipped_when_the_box_is_slippery(reference: Reference) -> None:
    found = tried(reference, squeezed(reference), box(SLIPPERY))[1]
    assert found is not None and found.cause == failure.SLIPPED
    assert found.evidence["slip_m"] > failure.SLIP


def test_ejected_when_the_hand_throws_the_box(reference: Reference) -> None:
    """Lifted, then torn sideways as the fingers open: the box leaves the wrist fast."""
    targets, release = squeezed(reference), 125
    targets[release:, 6:] = HAND.rest
    targets[release:, 1] += 0.5
    found = tried(reference, targets)[1]
    assert found is not None and found.cause == failure.EJECTED
    assert found.evidence["leaving_m_s"] > failure.EJECTION and abs(found.evidence["grip_last_s"] * 60 - release) < 15


def test_late_lift_when_everything_comes_a_sixth_of_a_second_late(reference: Reference) -> None:
    targets, late, n = squeezed(reference), 10, int(reference.diagnosis["onset"])
    targets[n + late :] = targets[n:-late].copy()
    targets[n : n + late] = targets[n]
    assert cause(reference, targets) == failure.LATE


def test_a_box_that_is_dropped_at_the_end_was_not_late(reference: Reference) -> None:
    """It was up for most of the lift, and what it fell from was low enough to stay within the distance that is held."""
    demonstration = tried(reference, squeezed(reference))[0]
    height = demonstration.object_position_w[:, 2] - demonstration.object_position_w[0, 2]
    low = dataclasses.replace(reference, object_position_w=reference.object_position_w.copy())
    low.object_position_w[:, 2] -= np.maximum(reference.object_position_w[:, 2] - reference.object_position_w[0, 2] - 0.045, 0.0)
    lifted = np.flatnonzero(low.object_position_w[:, 2] - low.object_position_w[0, 2] > 0.03)
    assert height.max() > 0.045 and len(lifted) > 20
    targets = squeezed(low)
    targets[:, 2] -= np.interp(
        np.arange(len(targets)), np.arange(len(targets)), np.maximum(reference.object_position_w[1:, 2] - low.object_position_w[1:, 2], 0.0)
    )
    targets[lifted[-1] - round(0.15 * len(lifted)) :, 6:] = HAND.rest
    found = tried(low, targets)[1]
    assert found is not None and found.part == "lifted" and found.cause in (failure.EJECTED, failure.SLIPPED), found


def test_carried_astray_when_the_wrist_goes_elsewhere(reference: Reference) -> None:
    targets = squeezed(reference)
    targets[:, 1] += 0.09 * np.clip((np.arange(reference.n_steps) - 90) / 30.0, 0.0, 1.0)
    found = tried(reference, targets)[1]
    assert found is not None and (found.cause, found.part) == (failure.ASTRAY, "held")
    assert found.evidence["slip_m"] < failure.SLIP


def test_rotated_away_when_the_reference_turns_and_the_hand_does_not(reference: Reference) -> None:
    turn = np.radians(80.0) * np.clip((np.arange(reference.n_steps + 1) - 85) / 10.0, 0.0, 1.0)
    spin = rotations.from_rotation_vector(np.stack([0 * turn, 0 * turn, turn], axis=1))
    spun = dataclasses.replace(reference, object_quaternion_w=rotations.multiply(spin, reference.object_quaternion_w))
    found = tried(spun, squeezed(reference))[1]
    assert found is not None and (found.cause, found.part) == (failure.ROTATED, "rotation")
    assert 85 < found.frame < 95


def test_not_robust_when_friction_has_no_margin(reference: Reference) -> None:
    demonstration, found = tried(reference, squeezed(reference), box(MARGINAL))
    assert demonstration.verdict["lifts_and_holds"] and demonstration.verdict["robust"]["state"] == "failed"
    assert found is not None and found.cause == failure.FRAGILE and found.member is not None
    assert found.perturbed in failure.CAUSES and f"most often: {found.perturbed} (" in found.why
    assert found.evidence["replays_failed"] == 8 - demonstration.verdict["robust"]["numbers"]["survived"]
    # The replay that the gallery shows is one that fails.
    shown = failure.seen(demonstration, box(MARGINAL), found)
    assert shown.height[found.frame] < 0.02 or shown.position_error[found.frame] > 0.05


def test_runs_bridge_short_breaks_and_drop_short_grips() -> None:
    flags = np.zeros(60, dtype=bool)
    flags[5:8] = flags[20:30] = flags[33:40] = flags[50:52] = True
    assert failure.last_run(flags, 6) == (20, 39)
    assert failure.last_run(flags[:19], 6) is None and failure.last_run(flags[:0], 6) is None
