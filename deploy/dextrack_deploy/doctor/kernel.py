"""The kernel and what it grants: real time, priorities, locked memory.

What libfranka asks of a workstation (its documentation, "Setting up the Real-Time Kernel"): a kernel with PREEMPT_RT, priority 99, and 102400 kB
of locked memory. It looks at /sys/kernel/realtime alone. Without them our driver goes on, and the arm stops by itself when commands come late:
warnings. The loops of DexTrack itself ask for priority 1, and go without where it is refused.
"""

from __future__ import annotations

import re

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, note, ok, warning
from dextrack_deploy.doctor.system import System

ARM_PRIORITY = 99
"""Real-time priority that libfranka's control thread takes."""
LOOP_PRIORITY = 1
"""Real-time priority that our own loops take."""
LOCKED_BYTES = 102400 * 1024
"""Memory that libfranka's documentation lets a user lock."""
_SYS_NICE, _IPC_LOCK = 23, 14
"""Capabilities that lift the two limits (capability.h)."""
_INSTALL = "install a real-time kernel (Ubuntu: `sudo pro enable realtime-kernel`; Debian: `sudo apt install linux-image-rt-amd64`) and reboot into it."
_LIMITS = (
    "`sudo groupadd -f realtime && sudo usermod -a -G realtime $USER && "
    "printf '@realtime - rtprio 99\\n@realtime - memlock 102400\\n' | sudo tee /etc/security/limits.d/99-realtime.conf`, then log out and in again."
)


def check(system: System, case: Case) -> list[Finding]:
    """Kernel, priority, locked memory."""
    return [_kernel(system, case), _priority(system, case), _locked(system, case)]


def _kernel(system: System, case: Case) -> Finding:
    """Whether the kernel is a real-time one, and says so where libfranka looks."""
    told = system.number("/sys/kernel/realtime") == 1
    built = re.search(r"PREEMPT[_ ]RT\b", system.text("/proc/sys/kernel/version") or "") is not None
    release = system.text("/proc/sys/kernel/osrelease") or "of unknown release"
    if told:
        return ok("real-time kernel", f"{release}: real-time.")
    if built:
        what = f"{release} has PREEMPT_RT and no /sys/kernel/realtime: libfranka takes it for an ordinary kernel."
        return doubtful(case.arm_on_cable, "real-time kernel", what, "take a kernel that has the file.")
    if not case.arm_on_cable:
        return note("real-time kernel", f"{release} is not a real-time kernel; the cell {case.cell} needs none.")
    what = f"{release} is not a real-time kernel, which libfranka requires: the arm stops after 20 commands in a row that come later than 1 ms."
    return warning("real-time kernel", what, _INSTALL)


def _priority(system: System, case: Case) -> Finding:
    """Highest real-time priority that this user may take."""
    wanted = ARM_PRIORITY if case.arm_on_cable else LOOP_PRIORITY
    limit = _limit(system, "Max realtime priority")
    if system.may(_SYS_NICE):
        return ok("real-time priority", "any: this process may change priorities.")
    if limit is None:
        return note("real-time priority", "the limit cannot be read.")
    if limit >= wanted:
        return ok("real-time priority", f"up to {limit:.0f} (needed {wanted}).")
    what = f"up to {limit:.0f} (needed {wanted}): loops that share a core with other programs come late."
    return doubtful(case.arm_on_cable, "real-time priority", what, _LIMITS)


def _locked(system: System, case: Case) -> Finding:
    """How much memory this user may keep from being paged out."""
    limit = _limit(system, "Max locked memory")
    if system.may(_IPC_LOCK):
        return ok("locked memory", "unlimited: this process may lock memory.")
    if limit is None:
        return note("locked memory", "the limit cannot be read.")
    if limit >= LOCKED_BYTES:
        return ok("locked memory", "unlimited." if limit == float("inf") else f"{limit / 1024:.0f} kB.")
    what = f"{limit / 1024:.0f} kB (libfranka's documentation asks for {LOCKED_BYTES // 1024} kB)."
    return doubtful(case.arm_on_cable, "locked memory", what, _LIMITS)


def _limit(system: System, name: str) -> float | None:
    """Soft limit of this process, from /proc/self/limits; infinite for "unlimited", None where it cannot be read."""
    for line in (system.text("/proc/self/limits") or "").splitlines():
        if line.startswith(name):
            soft = (line[len(name) :].split() + [""])[0]
            return float("inf") if soft == "unlimited" else float(soft) if soft.isdigit() else None
    return None
