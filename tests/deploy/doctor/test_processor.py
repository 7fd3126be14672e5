"""Speed, sleep and load of the processor."""

from __future__ import annotations

from dextrack_deploy.doctor import Level, processor

CPU = "/sys/devices/system/cpu"


def test_all_is_well(machine, lab, named) -> None:
    findings = processor.check(machine.system, lab)
    assert {f.level for f in findings} == {Level.OK}
    assert named(findings, "CPU governor").what == "performance on 4 cores."


def test_a_slow_governor(machine, lab, twin, named) -> None:
    machine.write(f"{CPU}/cpu2/cpufreq/scaling_governor", "powersave")
    finding = named(processor.check(machine.system, lab), "CPU governor")
    assert finding.level is Level.WARNING and "powersave on 1 of 4 cores" in finding.what and "echo performance | sudo tee" in finding.remedy
    assert named(processor.check(machine.system, twin), "CPU governor").level is Level.NOTE


def test_no_governor_to_be_seen(bare, lab, named) -> None:
    assert [f.level for f in processor.check(bare, lab)] == [Level.NOTE, Level.OK, Level.NOTE]


def test_a_deep_idle_state(machine, lab, twin, named) -> None:
    machine.write(f"{CPU}/cpu0/cpuidle/state1/disable", "0")
    finding = named(processor.check(machine.system, lab), "idle states")
    assert finding.level is Level.WARNING and "C6 takes 133 us" in finding.what and "cpupower idle-set" in finding.remedy
    assert named(processor.check(machine.system, twin), "idle states").level is Level.NOTE


def test_a_busy_machine_is_one_for_the_twin_too(machine, twin, named) -> None:
    machine.write("/proc/loadavg", "3.01 2.0 1.0 1/300 4711")
    assert named(processor.check(machine.system, twin), "load").level is Level.WARNING
    machine.write("/proc/loadavg", "3.00 2.0 1.0 1/300 4711")
    assert named(processor.check(machine.system, twin), "load").level is Level.OK
