"""A session: every joint is made to step, one at a time, then the hand is let go, then every joint is fitted."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.drivers.leap_setup import LeapInfo
from numpy.typing import NDArray

from dextrack.errors import RefusedError
from dextrack.hands.spec import HandSpec
from dextrack_calibration.motors.bench import Bench
from dextrack_calibration.motors.excite import Response, excite
from dextrack_calibration.motors.fit import MotorFit, fit_joint
from dextrack_calibration.motors.plan import Plan, Planner

Floats = NDArray[np.float64]
T = TypeVar("T")

WATCHDOG_S = 2.0
"""Silence after which the motors take no more targets, s: longer than what a busy machine keeps a program waiting."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What came of it."""

    info: LeapInfo
    """The motors, as their bus told."""
    fits: tuple[MotorFit, ...]
    refused: dict[str, RefusedError]
    """Joint -> why it has no fit."""


class Pace:
    """How far a row of like things is, in words."""

    def __init__(self, total: int) -> None:
        """Nothing of ``total`` is done."""
        self._total, self._done, self._began = total, 0, time.monotonic()

    def next(self) -> str:
        """Which one begins now, and how long all that are left will take, by those that are done."""
        done, self._done = self._done, self._done + 1
        left = f", about {(time.monotonic() - self._began) / done * (self._total - done) / 60:.1f} min left" if done else ""
        return f"{done + 1} of {self._total}{left}"


def run(hand: HandSpec, port: str, joints: Sequence[str], repeats: int, gravity_h: Floats, tell: Callable[[str], None]) -> Session:
    """Measure ``joints`` of the hand at ``port``.

    Args:
        hand: the hand; its model's inertias are believed.
        port: address as LeapHand takes it.
        joints: names, in the order in which they move.
        repeats: of each step.
        gravity_h: gravity in the wrist frame, (3,) m/s^2.
        tell: hears what goes on, a line at a time.

    Raises:
        InputError: no such joint or port.
        DriverError: a motor is silent or has an error; the hand is led back where it can be, and let go.
        KeyboardInterrupt: Ctrl-C; likewise.
    """
    planner = Planner(hand)
    refused: dict[str, RefusedError] = {}
    plans = _kept(joints, lambda joint: planner.plan(joint, repeats), refused)
    driver = LeapHand(port, hand=hand, watchdog_s=WATCHDOG_S)
    try:
        info = driver.info
        with Bench(driver) as bench:
            measured = _measure(bench, plans, refused, tell)
    finally:
        driver.close()
    pace = Pace(len(measured))

    def fit(joint: str) -> MotorFit:
        tell(f"joint {joint}: fit ({pace.next()})")
        return fit_joint(hand, plans[joint], measured[joint], gravity_h)

    fits = _kept(measured, fit, refused)
    return Session(info, tuple(fits.values()), refused)


def _measure(bench: Bench, plans: dict[str, Plan], refused: dict[str, RefusedError], tell: Callable[[str], None]) -> dict[str, list[Response]]:
    """The responses of every joint that could be measured."""
    pace = Pace(len(plans))

    def one(joint: str) -> list[Response]:
        tell(f"joint {joint}: {len(plans[joint].moves)} steps ({pace.next()})")
        return excite(bench, plans[joint])

    return _kept(list(plans), one, refused)


def _kept(joints: Iterable[str], act: Callable[[str], T], refused: dict[str, RefusedError]) -> dict[str, T]:
    """Joint -> what ``act`` made of it; one that is refused goes into ``refused``, and the others go on."""
    out = {}
    for joint in joints:
        try:
            out[joint] = act(joint)
        except RefusedError as error:
            refused[joint] = error
    return out
