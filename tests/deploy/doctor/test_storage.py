"""Disk and memory."""

from __future__ import annotations

import inspect

import pytest
from dextrack_deploy import preflight
from dextrack_deploy.doctor import Level, storage


def test_room_for_all(machine, lab) -> None:
    assert {f.level for f in storage.check(machine.system, lab)} == {Level.OK}


@pytest.mark.parametrize("megabytes, level", [(199, Level.PROBLEM), (201, Level.WARNING), (4999, Level.WARNING), (5001, Level.OK)])
def test_disk(machine, twin, named, megabytes, level) -> None:
    machine.free = megabytes * 1e6
    findings = storage.check(machine.system, twin)
    assert named(findings, "disk of runs").level is level and named(findings, "disk of data").level is level


def test_preflight_refuses_below_the_same(machine) -> None:
    assert inspect.signature(preflight.check_disk).parameters["needed_mb"].default == storage.NEEDED_MB


def test_a_disk_that_does_not_answer(machine, twin, named) -> None:
    def broken(folder):
        raise OSError(5, "Input/output error")

    machine.fields["free_bytes"] = broken
    finding = named(storage.check(machine.system, twin), "disk of runs")
    assert finding.level is Level.WARNING and "Input/output error" in finding.what


@pytest.mark.parametrize("kilobytes, level", [(999_999, Level.PROBLEM), (1_000_001, Level.WARNING), (2_000_001, Level.OK)])
def test_memory(machine, twin, named, kilobytes, level) -> None:
    machine.write("/proc/meminfo", f"MemTotal:       16000000 kB\nMemAvailable:   {kilobytes} kB")
    assert named(storage.check(machine.system, twin), "memory").level is level


def test_memory_that_cannot_be_read(bare, twin, named) -> None:
    assert named(storage.check(bare, twin), "memory").level is Level.NOTE
