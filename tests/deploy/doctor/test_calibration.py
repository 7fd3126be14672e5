"""Calibration: nothing for the twin, and an honest answer for the rest."""

from __future__ import annotations

import dataclasses

from dextrack_deploy.doctor import Level, calibration


def test_the_twin_needs_none(machine, twin) -> None:
    assert [f.level for f in calibration.check(machine.system, twin)] == [Level.OK]


def test_what_is_not_known_of_hardware(machine, lab, twin) -> None:
    zeros, motors, places = calibration.check(machine.system, lab)
    assert {f.level for f in (zeros, motors, places)} == {Level.WARNING}
    assert "hand.zeros" in zeros.remedy and "calibrate motors" in motors.remedy and all(word in places.what for word in ("mount", "camera"))
    # A hand that was named beside the twin has no arm and no camera.
    assert [f.name for f in calibration.check(machine.system, dataclasses.replace(twin, port="/dev/ttyUSB0"))] == ["zeros of the hand", "motors of the hand"]


def test_what_was_measured_of_the_hand_is_told(machine, lab) -> None:
    zeros, motors, places = calibration.check(machine.system, dataclasses.replace(lab, zeros=2, motors="/lab/motors.json"))
    assert (zeros.level, motors.level, places.level) == (Level.OK, Level.OK, Level.WARNING)
    assert "2 joint(s)" in zeros.what and "/lab/motors.json" in motors.what
