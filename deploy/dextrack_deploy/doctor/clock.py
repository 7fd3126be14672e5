"""The clock: whether somebody keeps it right. All stamps of a trial come from it, and a step of it makes every age wrong."""

from __future__ import annotations

import csv

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, note, ok
from dextrack_deploy.doctor.system import System

FAR_S = 0.01
"""chrony corrects what is farther off than this with visible haste."""
_REMEDY = "`sudo apt install chrony`, connect to the network, and wait until `chronyc tracking` says Normal."


def check(system: System, case: Case) -> list[Finding]:
    """Ask chrony, else systemd."""
    ran = system.run(("chronyc", "-n", "-c", "tracking"), 2.0)
    if ran is not None and ran.code == 0 and ran.output.strip():
        # Comma-separated: reference id, name, stratum, reference time, offset of the system's clock (s), ..., leap status.
        fields = next(csv.reader([ran.output.strip()]))
        leap = fields[-1]
        try:
            offset = abs(float(fields[4]))
        except (IndexError, ValueError):
            return [note("clock", f"chrony said something unknown: {ran.output.strip()[:80]!r}.")]
        if leap == "Normal" and offset <= FAR_S:
            return [ok("clock", f"chrony keeps it, {offset * 1e3:.2f} ms off.")]
        return [doubtful(case.is_hardware, "clock", f"chrony: {leap}, {offset * 1e3:.1f} ms off.", "wait until `chronyc tracking` says Normal.")]
    ran = system.run(("timedatectl", "show", "--property=NTPSynchronized", "--value"), 2.0)
    said = "" if ran is None or ran.code else ran.output.strip()
    if said == "yes":
        return [ok("clock", "systemd keeps it synchronised.")]
    if said == "no":
        return [doubtful(case.is_hardware, "clock", "nothing synchronises it.", _REMEDY)]
    return [doubtful(case.is_hardware, "clock", "neither chrony nor systemd tells whether it is synchronised.", _REMEDY)]
