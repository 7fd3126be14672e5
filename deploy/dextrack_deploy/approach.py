"""Slow motions of arm and hand: to where a trial begins, and home again.

A motion is planned whole before it starts, from the measured state, and is refused if it leaves the joint limits or collides. It passes
through its points along a smooth curve in joint space and starts and ends at rest (quintic time law), so that position, velocity and
acceleration are continuous; its duration is the shortest that keeps every joint below its velocity and acceleration limit.

An approach opens the hand, brings the arm through the caller's points to above its goal, shapes the fingers there and descends. A retreat
opens the hand first, as far as the caller says, then raises it through the caller's points, opens it wholly, and goes home.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from dextrack.errors import InputError, RefusedError
from dextrack.references.reference import CONTROL_PERIOD

Floats = NDArray[np.float64]

Collides = Callable[[Floats, Floats], "str | None"]
"""(arm (7,), fingers (16,)) -> what touches what, or None."""

CHECK_STEP = 0.02
"""Largest movement of a joint between two collision checks, rad."""


@dataclasses.dataclass(frozen=True)
class MotionLimits:
    """Limits of a slow motion; arrays (23,) over the arm's joints and then the fingers'."""

    names: tuple[str, ...]
    lower: Floats
    """rad."""
    upper: Floats
    velocity: Floats
    """rad/s: well below what a trial may use."""
    acceleration: Floats
    """rad/s2."""

    def __post_init__(self) -> None:
        """Refuse limits that allow no motion."""
        n = len(self.names)
        values = [np.asarray(v, dtype=np.float64) for v in (self.lower, self.upper, self.velocity, self.acceleration)]
        good = all(v.shape == (n,) and np.isfinite(v).all() for v in values)
        if not good or not ((self.lower < self.upper) & (self.velocity > 0.0) & (self.acceleration > 0.0)).all():
            raise InputError("motion limits: not finite, of different lengths, or empty.", remedy="correct the cell configuration.")


@dataclasses.dataclass(frozen=True)
class Motion:
    """A planned motion: targets per tick."""

    positions: Floats
    """(T, 23), T >= 1: arm and finger targets, rad."""
    n_arm: int
    """How many of the columns are the arm's."""

    @property
    def n_ticks(self) -> int:
        """Ticks until the last target."""
        return len(self.positions)

    def target(self, tick: int) -> tuple[Floats, Floats]:
        """(arm (7,), fingers (16,)) targets of ``tick`` >= 0; after the end, the last ones."""
        q = self.positions[min(max(tick, 0), self.n_ticks - 1)]
        return q[: self.n_arm].copy(), q[self.n_arm :].copy()

    def progress(self, tick: int) -> float:
        """Part that is done when ``tick`` targets have been given, 0 .. 1."""
        return min(max(tick, 0) / self.n_ticks, 1.0)

    def finished(self, tick: int) -> bool:
        """Whether every target was given after ``tick`` ticks."""
        return tick >= self.n_ticks


def plan_approach(
    arm: ArrayLike,
    fingers: ArrayLike,
    goal_arm: ArrayLike,
    goal_fingers: ArrayLike,
    rest: ArrayLike,
    limits: MotionLimits,
    via: Sequence[ArrayLike] = (),
    descent: Sequence[ArrayLike] = (),
    collides: Collides | None = None,
    period: float = CONTROL_PERIOD,
) -> Motion:
    """Plan from the measured ``arm`` (7,) and ``fingers`` (16,) to a trial's start.

    Args:
        arm: measured arm joints, rad.
        fingers: measured finger joints, rad.
        goal_arm: arm joints where the trial begins.
        goal_fingers: finger joints where the trial begins.
        rest: open fingers, in which the arm moves.
        limits: of arm and fingers.
        via: arm joints to pass through, in order, with open fingers.
        descent: arm joints from above the goal down to it, highest first: at the first of them the fingers take their shape.
        collides: judges a posture; None only where nothing can be touched (tests).
        period: seconds between two targets.

    Raises:
        RefusedError: a point of the motion is outside the joint limits, or collides.
        InputError: a value is not finite or has the wrong length.
    """
    a, opened, shaped = _finite(arm, "arm"), _finite(rest, "rest pose"), _finite(goal_fingers, "goal of the fingers")
    down = [_finite(q, "point of the descent") for q in (*descent, goal_arm)]
    stages = [
        [_join(a, _finite(fingers, "fingers")), _join(a, opened)],
        [_join(q, opened) for q in (a, *(_finite(v, "via point") for v in via), down[0])],
        [_join(down[0], opened), _join(down[0], shaped)],
        [_join(q, shaped) for q in down],
    ]
    return _plan(stages, len(a), limits, collides, period, "approach")


def plan_retreat(
    arm: ArrayLike,
    fingers: ArrayLike,
    home: ArrayLike,
    rest: ArrayLike,
    limits: MotionLimits,
    rise: Sequence[ArrayLike] = (),
    opening: float = 1.0,
    collides: Collides | None = None,
    period: float = CONTROL_PERIOD,
) -> Motion:
    """Plan from the measured ``arm`` (7,) and ``fingers`` (16,) to ``home`` (7,), with the hand open.

    ``rise`` are arm joints (7,) along a straight upward path of the palm, lowest first. ``opening`` is the part of the way to ``rest`` that the
    fingers open before they rise: less than 1 where the table leaves no room. The other arguments and errors are those of ``plan_approach``.
    """
    a, f, opened = _finite(arm, "arm"), _finite(fingers, "fingers"), _finite(rest, "rest pose")
    up = [a, *(_finite(q, "point of the rise") for q in rise)]
    released = f + opening * (opened - f)
    stages = [
        [_join(a, f), _join(a, released)],
        [_join(q, released) for q in up],
        [_join(up[-1], released), _join(up[-1], opened)],
        [_join(up[-1], opened), _join(_finite(home, "home"), opened)],
    ]
    return _plan(stages, len(a), limits, collides, period, "retreat")


def _plan(stages: Sequence[Sequence[Floats]], n_arm: int, limits: MotionLimits, collides: Collides | None, period: float, what: str) -> Motion:
    start = stages[0][0]
    if len(start) != len(limits.names):
        raise InputError(f"{what}: {len(start)} joints for limits of {len(limits.names)}.", remedy="give arm and finger joints of this cell.")
    parts = [segment(points, limits, period) for points in stages]
    moving = [p for p in parts if len(p)]
    positions = np.concatenate(moving) if moving else start[None]
    # A joint that starts outside its limits (zero error, noise) may come back, but go no further.
    lower, upper = np.minimum(limits.lower, start), np.maximum(limits.upper, start)
    outside = (positions < lower - 1e-9) | (positions > upper + 1e-9)
    if outside.any():
        tick, joint = np.argwhere(outside)[0]
        value = f"{limits.names[joint]} would reach {positions[tick, joint]:.3f} rad, limits {limits.lower[joint]:.3f} .. {limits.upper[joint]:.3f}"
        raise RefusedError(f"{what}: {value}.", remedy="choose a start that the arm reaches with room to spare, or other points on the way.")
    motion = Motion(positions, n_arm)
    if collides is not None:
        _check_collisions(start, motion, collides, what)
    return motion


def _check_collisions(start: Floats, motion: Motion, collides: Collides, what: str) -> None:
    # Where the motion begins cannot be helped: what touches there already (a grasped object) is not this motion's doing.
    allowed = collides(start[: motion.n_arm], start[motion.n_arm :])
    checked = start
    for tick, q in enumerate(motion.positions):
        if np.abs(q - checked).max() < CHECK_STEP and tick < motion.n_ticks - 1:
            continue
        checked = q
        touch = collides(q[: motion.n_arm], q[motion.n_arm :])
        if touch is not None and touch != allowed:
            where = f"{touch} would touch after {motion.progress(tick):.0%} of the way"
            raise RefusedError(f"{what}: {where}.", remedy="clear the cell, or place the trial elsewhere.")


def segment(points: Sequence[Floats], limits: MotionLimits, period: float) -> Floats:
    """Positions (T, n) per ``period`` from the first of ``points`` (n,) to the last, at rest at both ends; the first is not repeated.

    Two points give a straight line, more a cubic spline through them. T = 0 when nothing moves.
    """
    q = np.asarray(points, dtype=np.float64)
    lengths = np.linalg.norm(np.diff(q, axis=0), axis=1)
    q = q[np.concatenate([[True], lengths > 1e-9])]
    if len(q) < 2:
        return np.zeros((0, q.shape[1]))
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(q, axis=0), axis=1))])
    curve = CubicSpline(knots / knots[-1], q, bc_type="natural")
    u = np.linspace(0.0, 1.0, 100 * len(q) + 1)[:, None]
    s, ds, dds = _quintic(u)
    first, second = curve(s[:, 0], 1), curve(s[:, 0], 2)
    # With duration T, velocities scale with 1/T and accelerations with 1/T^2.
    fastest = np.abs(first * ds / limits.velocity).max()
    hardest = np.abs((second * ds**2 + first * dds) / limits.acceleration).max()
    ticks = max(int(np.ceil(max(fastest, np.sqrt(hardest)) / period)), 1)
    positions = np.asarray(curve(_quintic(np.arange(1, ticks + 1) / ticks)[0]), dtype=np.float64)
    positions[-1] = q[-1]
    return positions


def _quintic(u: Floats) -> tuple[Floats, Floats, Floats]:
    """Time law from 0 to 1 with velocity and acceleration zero at both ends, and its first two derivatives."""
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2), 30.0 * u**2 * (1.0 - u) ** 2, 60.0 * u * (1.0 - u) * (1.0 - 2.0 * u)


def _finite(value: ArrayLike, what: str) -> Floats:
    x = np.asarray(value, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise InputError(f"motion: the {what} is not a finite vector.", remedy="check the sensor or the cell configuration that it comes from.")
    return x


def _join(arm: Floats, fingers: Floats) -> Floats:
    return np.concatenate([arm, fingers])
