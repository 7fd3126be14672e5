"""Calibration: what has to be measured on the hardware before it may move.

The cell's file says what was measured of the hand: its zeros, and the file that `dextrack calibrate motors` wrote. Of the places of arm and camera it can only
be said that they are believed: nothing measures them.
"""

from __future__ import annotations

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, ok, warning
from dextrack_deploy.doctor.system import System


def check(system: System, case: Case) -> list[Finding]:
    """What the cell's file says was measured, and what of it is only believed."""
    if not case.is_hardware:
        return [ok("calibration", f"the cell {case.cell} needs none.")]
    places = [*(["the arm's base and the hand's mount"] if case.needs_arm else []), *(["the camera's lens and place"] if case.needs_camera else [])]
    return [*(_of_hand(case) if case.needs_hand else []), *([_believed(places)] if places else [])]


def _of_hand(case: Case) -> list[Finding]:
    zeros, motors = "zeros of the hand", "motors of the hand"
    return [
        ok(zeros, f"the cell's file has those of {case.zeros} joint(s); the others show 0 where they are at 0.")
        if case.zeros
        else warning(zeros, "the cell's file has none: every joint is believed to show 0 where it is at 0.", "read them with straight fingers, as part 7 of "
                     "deploy/RUNBOOK.md says, and write what is not 0 into hand.zeros."),
        ok(motors, f"measured: {case.motors}.")
        if case.motors
        else warning(motors, "the cell names no file of measured ones: targets do not run ahead of the fingers' lag.", "run `dextrack calibrate motors`, and "
                     "name its file in hand.motors."),
    ]  # fmt: skip


def _believed(places: list[str]) -> Finding:
    what = f"this version cannot measure or check {', '.join(places)}: what the cell's file says is believed."
    return warning("calibration", what, "measure them by hand, write them into the cell's file, and begin with slow motions far from the table.")
