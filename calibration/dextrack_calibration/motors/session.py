"""A session: every joint is made to step, one at a time, then the hand is let go, then every joint is fitted. One that was stopped goes on."""

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
from dextrack_calibration.motors.bench import SLOW_RAD_S, Bench
from dextrack_calibration.motors.excite import HOLD_S, SETTLE_S, excite
from dextrack_calibration.motors.fit import MotorFit, fit_joint
from dextrack_calibration.motors.kept import Kept, Measured
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


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What the hand did, before anything is made of it."""

    plans: dict[str, Plan]
    """Joint -> its steps."""
    joints: dict[str, Measured]
    """Joint -> what it did, of all that were measured."""
    refused: dict[str, RefusedError]
    """Joint -> why it was not measured."""


def run(hand: HandSpec, port: str, joints: Sequence[str], repeats: int, gravity_h: Floats, tell: Callable[[str], None], kept: Kept) -> Session:
    """Measure ``joints`` of the hand at ``port``, and fit them; arguments and errors as of ``measure`` and ``fit``."""
    return fit(hand, measure(hand, port, joints, repeats, tell, kept), gravity_h, tell)


def measure(hand: HandSpec, port: str, joints: Sequence[str], repeats: int, tell: Callable[[str], None], kept: Kept) -> Measurement:
    """Make ``joints`` of the hand at ``port`` step.

    Args:
        hand: the hand.
        port: address as LeapHand takes it.
        joints: names, in the order in which they move.
        repeats: of each step.
        tell: hears what goes on, a line at a time.
        kept: what an earlier session measured is taken over from it, and each joint is added as soon as it is measured.

    Raises:
        InputError: no such joint or port.
        DriverError: a motor is silent or has an error; the hand is led back where it can be, and let go.
        KeyboardInterrupt: Ctrl-C; likewise.
    """
    planner = Planner(hand)
    refused: dict[str, RefusedError] = {}
    plans = _kept(joints, lambda joint: planner.plan(joint, repeats), refused)
    before = {joint: known for joint, plan in plans.items() if (known := kept.load(plan)) is not None}
    if before:
        tell(f"taken over from {kept.folder}: joint{'s' * (len(before) > 1)} {', '.join(before)}")
    now = {joint: plan for joint, plan in plans.items() if joint not in before}
    measured = {**before, **_measured(hand, port, now, refused, tell, kept)} if now else before
    return Measurement(plans, {joint: measured[joint] for joint in plans if joint in measured}, refused)


def _measured(
    hand: HandSpec, port: str, plans: dict[str, Plan], refused: dict[str, RefusedError], tell: Callable[[str], None], kept: Kept
) -> dict[str, Measured]:
    """The responses of every joint that could be measured."""
    steps = sum(len(plan.moves) for plan in plans.values())
    tell(f"{steps} steps of {len(plans)} joints: about {sum(map(_seconds, plans.values())) / 60:.1f} min")
    pace = Pace(len(plans))
    driver = LeapHand(port, hand=hand, watchdog_s=WATCHDOG_S)
    try:
        with Bench(driver) as bench:

            def one(joint: str) -> Measured:
                tell(f"joint {joint}: {len(plans[joint].moves)} steps ({pace.next()})")
                measured = Measured(driver.info, tuple(excite(bench, plans[joint])))
                kept.save(plans[joint], measured)
                return measured

            return _kept(plans, one, refused)
    finally:
        driver.close()


def _seconds(plan: Plan) -> float:
    """How long the plan takes where no step has to be made again, s."""
    return len(plan.moves) * (SETTLE_S + HOLD_S) + plan.way / SLOW_RAD_S


def fit(hand: HandSpec, measurement: Measurement, gravity_h: Floats, tell: Callable[[str], None]) -> Session:
    """Find the motors of the joints that were measured.

    Args:
        hand: the hand; its model's inertias are believed.
        measurement: what it did.
        gravity_h: gravity in the wrist frame, (3,) m/s^2.
        tell: hears what goes on, a line at a time.

    Raises:
        RefusedError: no joint was measured.
    """
    joints, refused = measurement.joints, dict(measurement.refused)
    if not joints:
        why = "; ".join(error.what for error in refused.values())
        raise RefusedError(f"{hand.name}: no joint could be measured. {why}", remedy="see the reasons.")
    pace = Pace(len(joints))

    def one(joint: str) -> MotorFit:
        tell(f"joint {joint}: fit ({pace.next()})")
        return fit_joint(hand, measurement.plans[joint], joints[joint].responses, gravity_h)

    fits = _kept(joints, one, refused)
    return Session(next(iter(joints.values())).info, tuple(fits.values()), refused)


def _kept(joints: Iterable[str], act: Callable[[str], T], refused: dict[str, RefusedError]) -> dict[str, T]:
    """Joint -> what ``act`` made of it; one that is refused goes into ``refused``, and the others go on."""
    out = {}
    for joint in joints:
        try:
            out[joint] = act(joint)
        except RefusedError as error:
            refused[joint] = error
    return out
