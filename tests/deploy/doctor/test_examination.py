"""The whole examination: a healthy lab, an empty machine, checks that fail and checks that hang."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.doctor import CHECKS, Case, Finding, Level, System, examine
from dextrack_deploy.doctor.finding import ok, problem


def test_a_healthy_lab_has_nothing_to_complain_of(machine, lab) -> None:
    (lab.data / "myodm" / "recordings").mkdir(parents=True)
    (lab.data / "myodm" / "recordings" / "a.npz").touch()
    findings = examine(machine.system, lab, [c for c in CHECKS if c[0] != "packages"])
    complaints = [(f.name, f.level) for f in findings if f.level is not Level.OK]
    # What cannot be measured yet, and what a lab can do without.
    assert complaints == [("GPU", Level.NOTE), ("zeros of the hand", Level.WARNING), ("motors of the hand", Level.WARNING), ("calibration", Level.WARNING)]


def test_an_empty_machine_is_judged_without_a_crash(bare, lab, twin) -> None:
    for case in (lab, twin):
        findings = examine(bare, case)
        assert not [f for f in findings if "check failed" in f.what]
        assert all(f.remedy for f in findings if f.level in (Level.WARNING, Level.PROBLEM))


def test_devices_are_no_problem_of_the_twin(bare, twin) -> None:
    problems = {f.name for f in examine(bare, twin) if f.level is Level.PROBLEM}
    assert problems <= {"ROS 2", "ROS package", "packages"}


def test_a_check_that_fails_costs_its_own_lines_alone(bare, twin) -> None:
    def fails(system, case):
        raise ZeroDivisionError("one by none")

    first, second = examine(bare, twin, [("first", fails), ("second", lambda s, c: [ok("second", "fine.")])])
    assert first.name == "first" and first.level is Level.WARNING and "ZeroDivisionError: one by none" in first.what
    assert second == ok("second", "fine.")


def test_a_check_that_hangs_is_left_behind(bare, twin) -> None:
    release = threading.Event()

    def hangs(system, case):
        release.wait(20.0)
        return [ok("late", "too late.")]

    began = time.monotonic()
    late, after = examine(bare, twin, [("late", hangs), ("after", lambda s, c: [ok("after", "fine.")])], limit_s=0.2)
    assert time.monotonic() - began < 2.0
    assert late.name == "late" and late.level is Level.WARNING and "0.2 s" in late.what and after.level is Level.OK
    release.set()


def test_all_hanging_checks_share_one_limit(bare, twin) -> None:
    release = threading.Event()
    began = time.monotonic()
    findings = examine(bare, twin, [(str(k), lambda s, c: release.wait(20.0) and []) for k in range(5)], limit_s=0.2)
    assert time.monotonic() - began < 2.0 and len(findings) == 5
    release.set()


def test_a_case_is_made_of_a_cell(tmp_path) -> None:
    case = Case.of(load_cell("twin"), tmp_path, tmp_path)
    assert not (case.needs_hand or case.needs_arm or case.needs_camera or case.is_hardware)
    assert dataclasses.replace(case, port="/dev/ttyUSB0").needs_hand and dataclasses.replace(case, host="172.16.0.2").needs_arm


def test_bad_news_needs_advice() -> None:
    with pytest.raises(ValueError, match="no remedy"):
        problem("disk", "full.", "")
    assert Finding("disk", Level.NOTE, "full.").as_json() == {"name": "disk", "level": "note", "what": "full.", "remedy": ""}


def test_this_machine(twin) -> None:
    findings = examine(System(), twin)
    assert not [f for f in findings if "check failed" in f.what]
    assert {"Python", "ROS 2", "memory", "load", "real-time kernel", "disk of runs", "serial port"} <= {f.name for f in findings}
