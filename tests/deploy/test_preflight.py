from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy import preflight
from dextrack_deploy.preflight import Check

from dextrack.errors import InputError, RefusedError
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


def test_a_yaw_that_does_not_matter_passes_and_nan_and_blindness_do_not() -> None:
    assert verdicts(preflight.check_object(np.zeros(3), from_hinges([0, 0, 3.1]), np.zeros(3), UP, yaw_rad=np.pi)) == [True, True, True]
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
    assert verdicts(preflight.check_motors(names, [40, np.nan, 42], None)) == [False]
    assert preflight.check_motors(names, None, None) == []


def test_calibrations() -> None:
    required = {"hand-eye": 100.0, "leap-zero": None, "table": 300.0, "camera": None}
    checks = preflight.check_calibrations(required, {"hand-eye": 200.0, "leap-zero": 5.0, "table": 200.0})
    assert verdicts(checks) == [True, True, False, False]
    assert "older" in checks[2].what and "missing" in checks[3].what


def test_disk(tmp_path: Path) -> None:
    assert verdicts(preflight.check_disk(tmp_path, 0.001)) == [True]
    assert verdicts(preflight.check_disk(tmp_path, 1e12)) == [False]
    with pytest.raises(InputError):
        preflight.check_disk(tmp_path / "missing")


def test_refusing_names_every_failed_check_and_passes_when_all_are_ok() -> None:
    checks = [Check("a", True, "fine"), Check("b", False, "b broke.", "mend b."), Check("c", False, "c broke.", "mend b.")]
    with pytest.raises(RefusedError) as caught:
        preflight.refuse(checks)
    assert "b broke. c broke." in caught.value.what and caught.value.remedy == "mend b."
    assert preflight.refusals(checks) == ["b broke. Remedy: mend b.", "c broke. Remedy: mend b."]
    preflight.refuse(checks[:1])
