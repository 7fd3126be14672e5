from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy import preflight
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.preflight import Check, TrialPreflight
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Measurements

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.objects.symmetry import Symmetry
from dextrack.references.reference import Reference
from dextrack.rotations import from_hinges, multiply

S = 1_000_000_000
NOW = 1_780_000_000 * S
UP = np.array([1.0, 0, 0, 0])
NAMES = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))


def verdicts(checks: list[Check]) -> list[bool]:
    for c in checks:
        assert c.what and (c.ok or c.remedy), "every refusal has a reason and a remedy"
    return [c.ok for c in checks]


def test_sensors_missing_stale_and_fresh() -> None:
    stamps = {"a": NOW - S // 20, "b": NOW - S}
    checks = preflight.check_sensors(stamps, NOW, {"a": 0.1, "b": 0.1, "c": 0.1})
    assert verdicts(checks) == [True, False, False]
    assert "never heard" in checks[2].what and "1.000 s old" in checks[1].what


def test_a_stamp_from_the_future_is_clock_skew() -> None:
    assert verdicts(preflight.check_clocks({"a": NOW - S, "b": NOW + S // 100, "c": NOW + S // 2}, NOW)) == [True, True, False]


@pytest.mark.parametrize(
    ("offset", "hinges", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], [True, True, True]),
        ([0.02, 0, 0.02], [0.1, -0.1, 0.2], [True, True, True]),
        ([0.03, 0, 0.01], [0, 0, 0], [False, True, True]),
        ([0, 0, 0], [0, 0, 0.3], [True, False, True]),
        ([0, 0, 0], [0, 0, -3.0], [True, False, True]),
        ([0, 0, 0], [0.3, 0, 0], [True, True, False]),
        ([0, 0, 0], [np.pi, 0, 0], [True, True, False]),
    ],
)
def test_object_at_the_start(offset: list[float], hinges: list[float], expected: list[bool]) -> None:
    place, attitude = np.array([0.1, -0.2, 0.05]), from_hinges([0.4, -1.0, 2.0])
    turned = multiply(from_hinges(hinges), attitude)
    for sign in (1.0, -1.0):
        assert verdicts(preflight.check_object(place + offset, sign * turned, place, attitude)) == expected


@pytest.mark.parametrize(
    ("symmetry", "hinges", "expected"),
    [
        ("z", [0, 0, 3.1], [True, True, True]),
        ("z", [0, 0.4, 1.0], [True, True, False]),
        ("none", [0, 0, 3.1], [True, False, True]),
        ("z4", [0, 0, np.pi / 2 + 0.1], [True, True, True]),
        ("z4", [0, 0, np.pi / 4], [True, False, True]),
        ("z,x2", [np.pi, 0, 0.7], [True, True, True]),
        ("sphere", [1.0, 1.0, 1.0], [True, True, True]),
    ],
)
def test_a_turn_after_which_an_object_looks_the_same_does_not_count(symmetry: str, hinges: list[float], expected: list[bool]) -> None:
    """What the camera sees of a cylinder says nothing of its turn about its axis, wherever that axis points when the trial begins."""
    own = multiply(UP, from_hinges(hinges))
    assert verdicts(preflight.check_object(np.zeros(3), own, np.zeros(3), UP, Symmetry.parse(symmetry))) == expected


def test_a_trial_knows_the_symmetry_of_its_object() -> None:
    check, m, now = trial(object_quaternion_w=from_hinges([0, 0, 2.0]))
    assert any("turned by 115 degrees" in r for r in preflight.refusals(check.checks(m, now)))
    assert preflight.refusals(dataclasses.replace(check, symmetry=Symmetry.parse("z")).checks(m, now)) == []


def test_what_is_not_seen_or_no_number_does_not_pass() -> None:
    assert verdicts(preflight.check_object(None, None, np.zeros(3), UP)) == [False]
    assert verdicts(preflight.check_object(np.full(3, np.nan), UP, np.zeros(3), UP))[0] is False


def test_joints() -> None:
    low, high = np.full(3, -1.0), np.full(3, 1.0)
    names = ("a", "b", "c")
    assert verdicts(preflight.check_joints("hand", names, [0, 0, 1.05], low, high, margin=0.1)) == [True]
    checks = preflight.check_joints("hand", names, [0, -2, 1.2], low, high, margin=0.1)
    assert verdicts(checks) == [False] and "b at -2.000" in checks[0].what and "c at 1.200" in checks[0].what
    for bad in (None, [0, 0], [0, np.nan, 0]):
        assert verdicts(preflight.check_joints("hand", names, bad, low, high)) == [False]


def test_start_state() -> None:
    start = np.zeros(22)
    assert verdicts(preflight.check_start(NAMES, start + 0.01, start)) == [True]
    for index, error in ((0, 0.03), (3, 0.2), (21, 0.3), (5, np.nan)):
        theta = start.copy()
        theta[index] = error
        checks = preflight.check_start(NAMES, theta, start)
        assert verdicts(checks) == [False] and checks[0].what.startswith(NAMES[index] + " ")


def test_motors() -> None:
    names = tuple(str(i) for i in range(3))
    assert verdicts(preflight.check_motors(names, [40, 41, 42], [5, 5, 5.1])) == [True, True]
    checks = preflight.check_motors(names, [40, 71, 42], [5, 5, 3.9])
    assert verdicts(checks) == [False, False] and "motor 1" in checks[0].what and "motor 2" in checks[1].what
    assert verdicts(preflight.check_motors(names, [40, np.nan, 42], None)) == [False, True]
    unmeasured = preflight.check_motors(names, None, None)
    assert verdicts(unmeasured) == [True, True]
    assert [c.what for c in unmeasured] == ["motor temperature: not measured.", "motor voltage: not measured."]


def test_disk(tmp_path: Path) -> None:
    assert verdicts(preflight.check_disk(tmp_path, 0.001)) == [True]
    assert verdicts(preflight.check_disk(tmp_path, 1e12)) == [False]
    with pytest.raises(InputError):
        preflight.check_disk(tmp_path / "missing")


def test_a_refusal_is_a_failed_check_with_its_remedy() -> None:
    checks = [Check("a", True, "fine"), Check("b", False, "b broke.", "mend b.")]
    assert preflight.refusals(checks) == ["b broke. Remedy: mend b."]


ARM, HAND, CELL = load_arm("fr3"), load_hand("leap_right"), load_cell("twin")
AGES = {"hand/joint_states": 0.15, "arm/joint_states": 0.15, "object_pose": 0.2}
"""Older than a quiet machine makes them, and no reason to hold a trial: the watches allow 0.2 s, and 0.25 s for the object."""


def trial(**changes: object) -> tuple[TrialPreflight, Measurements, float]:
    """A trial with which nothing is wrong but for ``changes``, and when it was measured."""
    theta = np.concatenate([[0.1, 0.0, 0.3, 0.0, 0.0, 0.0], HAND.rest])
    place = np.array([0.1, 0.0, 0.05])
    reference = Reference("ref", HAND.name, "box", NAMES, UP, np.tile(theta, (3, 1)), np.tile(place, (3, 1)), np.tile(UP, (3, 1)), np.zeros((3, 21, 3)))
    now = NOW / S
    values = {
        "stamps": {name: now - age for name, age in AGES.items()},
        "theta": theta,
        "arm_q": np.array(CELL.arm.home),
        "fingers": np.array(HAND.rest),
        "object_position_w": place,
        "object_quaternion_w": UP,
        "temperature": np.full(16, 40.0),
    }
    check = TrialPreflight(ARM, HAND, reference, WatchLimits.of_cell(CELL, ARM, HAND, ()))
    return check, Measurements(**{**values, **changes}), now


def test_a_trial_begins_with_samples_as_old_as_the_watches_allow() -> None:
    check, m, now = trial()
    assert preflight.refusals(check.checks(m, now, running=True)) == []
    assert check.limits.sensor_ages.keys() == AGES.keys()
    for name, limit in check.limits.sensor_ages.items():
        _, m, now = trial(stamps={**{n: now - a for n, a in AGES.items()}, name: now - limit - 0.01})
        assert [r.split(" is ")[0] for r in preflight.refusals(check.checks(m, now))] == [name]


def test_limits_of_a_cell_are_those_of_its_parts() -> None:
    limits = WatchLimits.of_cell(CELL, ARM, HAND, ("velocity",))
    assert limits.nodes == ("velocity",)
    np.testing.assert_array_equal(limits.arm_velocity, ARM.velocity)
    np.testing.assert_array_equal(limits.hand_lower[6:], HAND.lower)
    np.testing.assert_array_equal(limits.hand_velocity[6:], HAND.velocity)
    assert tuple(limits.workspace_lower_w) == CELL.workspace.lower_w and tuple(limits.workspace_upper_w) == CELL.workspace.upper_w


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"temperature": np.array([40.0] * 15 + [61.0])}, "motor 15 has 61 C"),
        ({"fingers": None}, "the hand's joints were never read"),
        ({"arm_q": np.full(7, 9.0)}, "fr3_joint1 at 9.000"),
        ({"object_position_w": None}, "the object is not seen"),
        ({"object_position_w": np.array([0.2, 0.0, 0.05])}, "10.0 cm from where the trial begins"),
        ({"theta": None}, "the hand's state was never heard"),
    ],
)
def test_what_is_wrong_with_a_trial_is_a_reason_against_it(changes: dict, reason: str) -> None:
    check, m, now = trial(**changes)
    found = preflight.refusals(check.checks(m, now, running=True))
    assert len(found) == 1 and reason in found[0]


def test_where_the_hand_is_matters_for_a_run_only_and_what_is_not_measured_is_said() -> None:
    check, m, now = trial(theta=None, temperature=None)
    found = check.checks(m, now)
    assert preflight.refusals(found) == []
    assert "motor temperature: not measured." in [c.what for c in found]


def test_a_full_disk_is_a_reason_against_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    check, m, now = trial()
    monkeypatch.setattr(preflight, "free_mb", lambda folder: 10.0)
    assert "10 MB are free" in preflight.refusals(dataclasses.replace(check, folder=tmp_path).checks(m, now))[0]


def test_a_trial_does_not_begin_beside_an_object_that_is_hardly_known() -> None:
    check, m, now = trial(object_deviation=(0.1, 0.0))
    said = preflight.refusals(check.checks(m, now))
    assert len(said) == 1 and "to within 0.100 m" in said[0] and "Remedy" in said[0]
