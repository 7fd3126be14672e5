"""Calibration: what has to be measured on the hardware before it may move.

Nothing measures these yet: the twin needs none, and of a real cell this can only say what is believed.
"""

from __future__ import annotations

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, ok, warning
from dextrack_deploy.doctor.system import System


def check(system: System, case: Case) -> list[Finding]:
    """Which calibrations the cell would need."""
    wanted = [
        *(["the zero of the hand's motors"] if case.needs_hand else []),
        *(["where the arm's base and the hand's mount are"] if case.needs_arm else []),
        *(["the camera's lens and place"] if case.needs_camera else []),
    ]
    if not wanted:
        return [ok("calibration", f"the cell {case.cell} needs none.")]
    what = f"this version cannot measure or check {', '.join(wanted)}: what the cell's file says is believed."
    return [warning("calibration", what, "measure them by hand, write them into the cell's file, and begin with slow motions far from the table.")]
