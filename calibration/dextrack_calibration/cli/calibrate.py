"""Measure what the hardware is like, so that simulation and cell agree with it.

dextrack calibrate motors                          every joint of the LEAP hand that is plugged in; about ten minutes; run again, it goes on
dextrack calibrate motors --joints 1 2 3           only these joints
dextrack calibrate motors --rehearse               against simulated motors, whose true values the table then shows
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from dextrack_deploy.cell.config import HANDS
from dextrack_deploy.twin.dynamixel.modelled import FINGERS_UP
from rich.console import Console

from dextrack.errors import InputError, RefusedError
from dextrack.files import require_writable
from dextrack.hands import load_hand
from dextrack.hands.motors import Motors, hand_digest, load_motors
from dextrack_calibration.motors import figure, rehearsal, result, session
from dextrack_calibration.motors.kept import Kept

BUSY = 0.05
"""Part of the steps that had to be made again, above which it is said: at a tenth kp and kv were found 10 % off, at a quarter 24 %
(tests/bench/motor_identification.py)."""


@dataclasses.dataclass(frozen=True)
class Motor:
    """Measure kp, kv, effort and delay of each joint's motor by step responses.

    Clamp the hand by its palm so that nothing is within reach of its fingers: one joint at a time makes steps of up to 0.8 rad. Ctrl-C leads
    the hand back to where it was and lets it go, and so does the end; a second Ctrl-C lets it go at once. What was measured is kept beside FILE, joint by
    joint: the same command goes on from there for twelve hours, and measures again only the joints that are missing or were refused (--fresh: all).
    Writes FILE (JSON; what a cell's `hand.motors` and `dextrack mine --motors` take) and a picture of every step beside it (.svg).
    Look at the picture before you believe the numbers. The exit code is 0 when every joint was fitted, 1 when some were refused, each with the reason.
    Torques are as true as the inertias of the hand's model: see `dextrack_calibration.motors`.
    """

    port: Annotated[str, tyro.conf.arg(metavar="DEV")] = "auto"
    """Serial port of the hand, as /dev/ttyUSB0; `auto` is the one adapter that is plugged in; @57600 behind it is another baud."""
    hand: str = HANDS[0]
    """The hand."""
    joints: tuple[str, ...] = ()
    """Names of the joints to measure; all of them by default."""
    repeats: int = 3
    """How often each size of step is made, up and down."""
    gravity: tuple[float, float, float] = FINGERS_UP
    """Gravity in the wrist frame, m/s^2 (x to the fingers, -z out of the palm); by default the fingers point up."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("runs/calibration/motors.json")
    """The calibration file."""
    fresh: bool = False
    """Measure every joint again, also those that a stopped session has kept."""
    rehearse: bool = False
    """Measure simulated motors behind a pseudo terminal instead, made up by --seed or given by --truth."""
    truth: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --rehearse: a calibration file whose motors are simulated."""
    seed: int = 0
    """With --rehearse: seed of the made-up motors."""


def main(args: list[str]) -> int:
    """Run ``dextrack calibrate``; see ``--help``.

    Raises:
        InputError: an option does not fit.
        DriverError: the hand does not answer, or a motor has an error.
        RefusedError: no joint could be measured.
    """
    command = tyro.extras.subcommand_cli_from_dict({"motors": Motor}, prog="dextrack calibrate", description=__doc__, args=args)
    return calibrate_motors(command)


def calibrate_motors(asked: Motor) -> int:
    """Run ``dextrack calibrate motors``; raises as ``main``."""
    if asked.hand not in HANDS:
        raise InputError(f"hand {asked.hand!r} has no motors on a bus.", remedy=f"choose one of: {', '.join(HANDS)}.")
    if (asked.truth is not None or asked.seed) and not asked.rehearse:
        raise InputError("--truth and --seed are of a rehearsal.", remedy="add --rehearse.")
    hand = load_hand(asked.hand)
    require_writable(asked.out)
    truth = _truth(asked) if asked.rehearse else None
    # Where there is no terminal Rich assumes 80 columns, which would fold the table.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
    gravity = np.array(asked.gravity)
    joints = asked.joints or hand.finger_joints
    source = "hand" if truth is None else f"rehearsal {rehearsal.digest(truth)}"
    kept = Kept(asked.out.with_suffix(".steps"), hand, source)
    if asked.fresh:
        kept.forget(hand.finger_joints)
    with rehearsal.simulated(truth) if truth is not None else contextlib.nullcontext() as peer:
        port = asked.port if peer is None else peer.pty
        found = session.run(hand, port, joints, asked.repeats, gravity, lambda line: console.print(line, style="dim", soft_wrap=True), kept)
    for error in found.refused.values():
        console.print(f"refused: {error}", style="yellow", soft_wrap=True, markup=False)
    if not found.fits:
        raise RefusedError(f"{hand.name}: no joint could be measured.", remedy="see the reasons above.")
    how = {"gravity_h": list(asked.gravity), "repeats": asked.repeats, "rehearsal": asked.rehearse}
    result.write(asked.out, hand, found, how)
    picture = asked.out.with_suffix(".svg")
    figure.draw(picture, f"{hand.name}, model {hand_digest(hand)[:8]}{', rehearsal' if asked.rehearse else ''}", found.fits)
    console.print(result.table(found, truth))
    attempts = [r.attempts for f in found.fits for r in f.responses]
    if sum(attempts) > (1.0 + BUSY) * len(attempts):
        what = (
            f"this machine was busy: {sum(attempts) - len(attempts)} of {len(attempts)} steps had to be made again. kp and kv may be off by more than they say"
        )
        console.print(f"{what}; measure again with --fresh and nothing else running.", style="yellow", soft_wrap=True, markup=False)
    lag = result.motors_of(hand, found).lag_s
    console.print(f"a moving target is trailed by {lag:.3f} s (median of kv / kp + delay): a cell takes it over with hand.motors: FILE", markup=False)
    console.print(f"{asked.out}\n{picture}", soft_wrap=True, markup=False)
    # Steps that gave a fit stay until nothing is missing: the file is written for all joints of the command.
    kept.forget(tuple(found.refused) if found.refused else joints)
    if found.refused:
        console.print("run the same command again to measure the refused joints once more; the others are kept.", style="yellow", soft_wrap=True)
    return 1 if found.refused else 0


def _truth(asked: Motor) -> Motors:
    return rehearsal.made_up(load_hand(asked.hand), asked.seed) if asked.truth is None else load_motors(asked.truth)
