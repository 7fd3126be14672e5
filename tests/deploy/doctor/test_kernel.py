"""Kernel and limits: what libfranka asks for, and what the twin does without."""

from __future__ import annotations

import dataclasses

import pytest
from dextrack_deploy.doctor import Level, kernel

LIMITS = "Max locked memory         {memory}            {memory}            bytes\nMax realtime priority     {priority}                   {priority}\n"


def test_all_is_granted(machine, lab) -> None:
    assert {f.level for f in kernel.check(machine.system, lab)} == {Level.OK}


def test_an_ordinary_kernel(machine, lab, twin, named) -> None:
    machine.remove("/sys/kernel/realtime")
    machine.write("/proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.99-1")
    finding = named(kernel.check(machine.system, lab), "real-time kernel")
    assert finding.level is Level.WARNING and "6.1.0-rt" in finding.what and "linux-image-rt-amd64" in finding.remedy
    assert named(kernel.check(machine.system, twin), "real-time kernel").level is Level.NOTE
    simulator = dataclasses.replace(lab, host="127.0.0.1")
    assert named(kernel.check(machine.system, simulator), "real-time kernel").level is Level.NOTE


@pytest.mark.parametrize("text", ["#1 SMP PREEMPT_RT Fri", "#1 SMP PREEMPT RT Fri"])
def test_a_real_time_kernel_that_libfranka_does_not_recognise(machine, lab, named, text) -> None:
    machine.remove("/sys/kernel/realtime")
    machine.write("/proc/sys/kernel/version", text)
    finding = named(kernel.check(machine.system, lab), "real-time kernel")
    assert finding.level is Level.WARNING and "/sys/kernel/realtime" in finding.what


@pytest.mark.parametrize("priority, in_lab, in_twin", [(0, Level.WARNING, Level.NOTE), (1, Level.WARNING, Level.OK), (98, Level.WARNING, Level.OK)])
def test_priority(machine, lab, twin, named, priority, in_lab, in_twin) -> None:
    machine.write("/proc/self/limits", LIMITS.format(memory="unlimited", priority=priority))
    finding = named(kernel.check(machine.system, lab), "real-time priority")
    assert finding.level is in_lab and "rtprio 99" in finding.remedy and f"up to {priority} " in finding.what
    assert named(kernel.check(machine.system, twin), "real-time priority").level is in_twin


def test_locked_memory(machine, lab, twin, named) -> None:
    machine.write("/proc/self/limits", LIMITS.format(memory=8388608, priority=99))
    finding = named(kernel.check(machine.system, lab), "locked memory")
    assert finding.level is Level.WARNING and "8192 kB" in finding.what and "memlock 102400" in finding.remedy
    assert named(kernel.check(machine.system, twin), "locked memory").level is Level.NOTE
    machine.write("/proc/self/limits", LIMITS.format(memory="unlimited", priority=99))
    assert named(kernel.check(machine.system, lab), "locked memory").level is Level.OK


def test_capabilities_lift_both_limits(machine, lab) -> None:
    machine.write("/proc/self/limits", LIMITS.format(memory=0, priority=0))
    machine.write("/proc/self/status", "CapEff:\t000001ffffffffff")
    assert {f.level for f in kernel.check(machine.system, lab)} == {Level.OK}
    machine.write("/proc/self/status", "CapEff:\t0000000000800000")  # CAP_SYS_NICE alone
    assert [f.level for f in kernel.check(machine.system, lab)] == [Level.OK, Level.OK, Level.WARNING]


def test_nothing_can_be_read(bare, twin) -> None:
    assert {f.level for f in kernel.check(bare, twin)} == {Level.NOTE}
