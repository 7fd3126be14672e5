"""TargetStream: what becomes of sparse joint targets before they reach the arm's controller. No clock, no robot: time is an argument, s.

Rules, at every step:

1. A target is approached along a straight line over one control period, so that 60 targets a second are no staircase of torques.
2. Whatever is asked for, it passes a RateLimiter: joint limits less the cell's margin, and parts of the published velocity and acceleration
   limits, which ``make_limiter`` sets.
3. What leaves is the mean over the last control period: a robot's torques may not change by more than 1 N m in 1 ms, and could not follow a
   jump of the acceleration.
4. When no target has come for the deadline, the motion ends within the acceleration limits and the arm holds where it came to rest.
5. ``stop()`` does the same at once; a target that comes later is followed again.
6. The first target after ``forget`` lies near where the arm is, or it is refused: what was left over from before an error moves nothing.
"""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import RefusedError
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_deploy.arm.limiter import RateLimiter, braking
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.drivers.guard import DEADLINE_S

Floats = NDArray[np.float64]

FIRST_REACH = 0.1
"""Largest distance of the first target from the arm, rad for each joint. A guard's first target is less than a tenth of that away."""
HEADROOM = 0.3
"""How far targets stay below the velocities at which the robot stops, rad/s. An arm that follows by impedance overshoots them: a step of all
joints at once by 0.05 rad/s at the acceleration below, by 0.4 rad/s at 9 rad/s2 (in the simulator, as tests/bench/franka_stream.py does it)."""
ACCELERATION_FRACTION = 0.6
"""Most of the published accelerations that targets get, whatever the cell allows: with 0.9, the same step ended in joint_velocity_violation."""


def make_limiter(cell: CellConfig, period_s: float) -> RateLimiter:
    """The limiter of the cell's arm at ``period_s``, with headroom."""
    arm, limiter, margin = load_arm(cell.arm.model), RateLimiter(cell, period_s), cell.arm.limit_margin
    limiter.velocity = np.minimum(cell.arm.velocity_fraction * arm.velocity, arm.velocity - HEADROOM)
    limiter.acceleration = min(cell.arm.acceleration_fraction, ACCELERATION_FRACTION) * arm.acceleration
    # The velocity that a position allows gets the headroom too, but where it would leave none: next to the limits.
    beyond = margin + np.minimum(arm.stop_upper - arm.upper, arm.lower - arm.stop_lower)
    least = np.maximum(0.0, np.sqrt(arm.velocity_slope * beyond) - arm.velocity_offset)
    strict = dataclasses.replace(arm, velocity_offset=arm.velocity_offset + np.minimum(HEADROOM, 0.9 * least))
    limiter.braking = np.minimum(limiter.acceleration, braking(strict, margin, limiter.velocity))
    return limiter


class TargetStream:
    """Joint targets as they come, in; joint positions and velocities at the limiter's period, out. For one thread at a time."""

    def __init__(self, limiter: RateLimiter, *, line_s: float = CONTROL_PERIOD, deadline_s: float = DEADLINE_S) -> None:
        """Nothing is wanted until the first target.

        Args:
            limiter: rule 2; its period is that of ``step``.
            line_s: time over which a target is approached, and over which the mean is taken, s.
            deadline_s: time without a target after which the motion ends, s.
        """
        self._limiter = limiter
        self._line = line_s
        self._deadline = deadline_s
        self._begun = False
        self._window: collections.deque[tuple[Floats, Floats]] = collections.deque(maxlen=max(1, round(line_s / limiter.period)))
        """Positions and velocities that the limiter gave last."""
        self._from = np.zeros(7)
        self._to: Floats | None = None
        self._since = 0.0

    @property
    def wanted(self) -> bool:
        """Whether a target has come since the stream was made or forgotten: there is something to follow or to hold."""
        return self._begun

    @property
    def at_rest(self) -> bool:
        """Whether what left last stands still and nothing is being followed."""
        return self._to is None and not any(v.any() for _, v in self._window)

    def forget(self) -> None:
        """Want nothing until the next target."""
        self._begun, self._to = False, None

    def put(self, target: ArrayLike, now: float, measured: Floats) -> None:
        """Follow ``target`` (7,) rad from now on; ``measured`` (7,) rad is where the arm is, and counts for the first target only.

        Raises:
            RefusedError: not 7 finite numbers, or a first target far from the arm. What was followed before is followed on.
        """
        goal = np.array(target, dtype=np.float64)
        if goal.shape != (7,) or not np.isfinite(goal).all():
            raise RefusedError(f"arm target {goal}: it is not 7 finite numbers.", remedy="look at what computes the target; the last one is followed on.")
        if not self._begun:
            away = float(np.abs(goal - measured).max())
            if away > FIRST_REACH:
                raise RefusedError(
                    f"arm target: the first one is {away:.2f} rad from the arm (limit {FIRST_REACH:.2f} rad).", remedy="begin where the arm is: read it first."
                )
            self._limiter.reset(measured)
            self._window.extend([(measured, np.zeros(7))] * (self._window.maxlen or 1))
            self._begun = True
        self._from, self._to, self._since = self._limiter.q.copy() if self._to is None else self._goal(now), goal, now

    def stop(self) -> None:
        """End the motion within the acceleration limits."""
        self._to = None

    def step(self, now: float) -> tuple[Floats, Floats]:
        """What the arm's controller is to follow next: positions (7,) rad and velocities (7,) rad/s. Only after the first target."""
        if self._to is not None and now - self._since > self._deadline:
            self.stop()
        q = self._limiter.brake() if self._to is None else self._limiter.step(self._goal(now))
        self._window.append((q, self._limiter.v))
        q, v = np.mean(np.array(self._window), axis=0)
        return q, v

    def _goal(self, now: float) -> Floats:
        assert self._to is not None
        return np.asarray(self._from + (self._to - self._from) * min(1.0, max(0.0, (now - self._since) / self._line)))
