"""The processor: whether it runs at full speed, wakes up in time, and has time left."""

from __future__ import annotations

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, note, ok, warning
from dextrack_deploy.doctor.system import System

SLOW_WAKE_US = 100
"""Exit latency of an idle state above which it eats a good part of libfranka's time: about 300 us of each millisecond are the program's."""
BUSY = 0.75
"""Part of the cores that may be busy before a trial starts. A trial itself keeps more than one busy."""


def check(system: System, case: Case) -> list[Finding]:
    """Governor, idle states, load."""
    return [_governor(system, case), _idle(system, case), _load(system)]


def _governor(system: System, case: Case) -> Finding:
    """Whether every core keeps its highest frequency."""
    paths = system.matches("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    found = [g for g in (system.text(p) for p in paths) if g]
    if not found:
        return note("CPU governor", "none is visible: a virtual machine, or the firmware decides.")
    slow = [g for g in found if g != "performance"]
    if not slow:
        return ok("CPU governor", f"performance on {len(found)} cores.")
    what = f"{', '.join(sorted(set(slow)))} on {len(slow)} of {len(found)} cores: they slow down between two ticks of a loop."
    remedy = "`echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`, after every boot."
    return doubtful(case.needs_arm or case.needs_hand, "CPU governor", what, remedy)


def _idle(system: System, case: Case) -> Finding:
    """The slowest idle state that a core may fall into."""
    slowest, name = 0, ""
    for folder in system.matches("/sys/devices/system/cpu/cpu0/cpuidle/state*"):
        latency = system.number(f"{folder}/latency") or 0
        if system.number(f"{folder}/disable") != 1 and latency > slowest:
            slowest, name = latency, system.text(f"{folder}/name") or folder.rsplit("/", 1)[1]
    if slowest <= SLOW_WAKE_US:
        return ok("idle states", f"the slowest takes {slowest} us to wake from." if name else "none is visible.")
    what = f"{name} takes {slowest} us to wake from, out of the millisecond that the arm gives."
    return doubtful(case.arm_on_cable, "idle states", what, f"`sudo cpupower idle-set -D {SLOW_WAKE_US}`, after every boot.")


def _load(system: System) -> Finding:
    """Whether other work keeps the cores busy."""
    cores = len(system.matches("/sys/devices/system/cpu/cpu[0-9]*"))
    first = (system.text("/proc/loadavg") or "").split()[:1]
    if not cores or not first:
        return note("load", "it cannot be read.")
    load = float(first[0])
    if load <= BUSY * cores:
        return ok("load", f"{load:.1f} programs at a time wanted one of {cores} cores over the last minute.")
    what = f"{load:.1f} programs at a time wanted one of {cores} cores over the last minute: a trial's loops come late beside them, and it may be refused."
    return warning("load", what, "end what else computes here (`top` shows it), or run it elsewhere.")
