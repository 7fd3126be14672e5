"""Calibration: nothing for the twin, and an honest answer for the rest."""

from __future__ import annotations

import dataclasses

from dextrack_deploy.doctor import Level, calibration


def test_the_twin_needs_none(machine, twin) -> None:
    assert [f.level for f in calibration.check(machine.system, twin)] == [Level.OK]


def test_what_is_not_known_of_hardware(machine, lab, twin) -> None:
    (finding,) = calibration.check(machine.system, lab)
    assert finding.level is Level.WARNING and all(word in finding.what for word in ("zero", "mount", "camera"))
    (finding,) = calibration.check(machine.system, dataclasses.replace(twin, port="/dev/ttyUSB0"))
    assert "zero" in finding.what and "camera" not in finding.what
