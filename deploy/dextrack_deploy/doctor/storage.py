"""Disk and memory that a trial needs."""

from __future__ import annotations

from pathlib import Path

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.data import nearest
from dextrack_deploy.doctor.finding import Finding, note, ok, problem, warning
from dextrack_deploy.doctor.system import System

NEEDED_MB = 200.0
"""Preflight refuses a trial below this."""
COMFORTABLE_MB = 5000.0
"""Below this a day of trials may fill the disk."""
NEEDED_MEMORY_MB, COMFORTABLE_MEMORY_MB = 1000.0, 2000.0
"""The processes of a trial in the twin took 740 MB together when they were measured; mining and reports come on top."""


def check(system: System, case: Case) -> list[Finding]:
    """Disk of trials and of data, memory."""
    return [_disk(system, "disk of runs", case.runs), _disk(system, "disk of data", case.data), _memory(system)]


def _disk(system: System, name: str, folder: Path) -> Finding:
    """Free space where ``folder`` is or will be."""
    try:
        free = system.free_bytes(nearest(folder)) / 1e6
    except OSError as error:
        return warning(name, f"{folder}: its free space cannot be read ({error.strerror}).", "check that its disk is mounted.")
    told = f"{free / 1e3:.1f} GB are free at {folder.absolute()}"
    remedy = "delete old trial folders (`du -sh runs/*` shows them), or work on another disk."
    if free < NEEDED_MB:
        return problem(name, f"{told}: trials are refused below {NEEDED_MB / 1e3:.1f} GB.", remedy)
    return warning(name, f"{told}.", remedy) if free < COMFORTABLE_MB else ok(name, f"{told}.")


def _memory(system: System) -> Finding:
    """Memory that programs can still get."""
    free, total = (_kilobytes(system, name) for name in ("MemAvailable", "MemTotal"))
    if free is None or total is None:
        return note("memory", "it cannot be read.")
    told = f"{free / 1e6:.1f} of {total / 1e6:.1f} GB are free"
    remedy = "end what else runs here (`top`, then M, sorts by memory)."
    if free < NEEDED_MEMORY_MB * 1e3:
        return problem("memory", f"{told}: the processes of a trial do not fit.", remedy)
    return warning("memory", f"{told}.", remedy) if free < COMFORTABLE_MEMORY_MB * 1e3 else ok("memory", f"{told}.")


def _kilobytes(system: System, name: str) -> int | None:
    """A line of /proc/meminfo."""
    value = (system.field("/proc/meminfo", name) or "").split()[:1]
    return int(value[0]) if value and value[0].isdigit() else None
