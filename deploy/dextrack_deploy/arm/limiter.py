"""RateLimiter: the last thing a joint target passes before the arm's driver.

Its rules, for every joint and every period:
- the position stays inside the joint limits less the cell's margin;
- the velocity stays below the cell's part of the published limit, and below what Franka allows at that position;
- the acceleration stays below the cell's part of the published limit;
- whatever the targets do, the joint can always still stop inside its limits under those rules;
- a target that obeys the rules passes unchanged.
Only a joint that begins outside its limits may break the first rule, on its way back in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError
from dextrack_deploy.arm.spec import ArmSpec, load_arm
from dextrack_deploy.cell import CellConfig

Floats = NDArray[np.float64]


class RateLimiter:
    """Joint targets at a fixed period, strictly limited in position, velocity and acceleration."""

    def __init__(self, cell: CellConfig, period: float) -> None:
        """Take limits and fractions from ``cell``; ``period`` is the time between two calls of ``step``, s."""
        arm = load_arm(cell.arm.model)
        self.period = period
        self.lower, self.upper = arm.lower + cell.arm.limit_margin, arm.upper - cell.arm.limit_margin
        self.velocity = cell.arm.velocity_fraction * arm.velocity
        self.acceleration = cell.arm.acceleration_fraction * arm.acceleration
        self.braking = np.minimum(self.acceleration, braking(arm, cell.arm.limit_margin, self.velocity))
        self.q, self.v, self._target = np.zeros(7), np.zeros(7), np.zeros(7)

    def reset(self, q: ArrayLike) -> None:
        """Begin at rest at ``q`` (7,) rad."""
        self.q = np.array(q, dtype=np.float64)
        self.v = np.zeros(7)
        self._target = self.q.copy()

    def step(self, target: ArrayLike) -> Floats:
        """Next joint positions (7,) rad on the way to ``target`` (7,) rad.

        Raises:
            InputError: the target is not finite. The limiter stays where it was.
        """
        target = np.array(target, dtype=np.float64)
        if target.shape != (7,) or not np.isfinite(target).all():
            raise InputError(f"arm target {target}: it is not 7 finite numbers.", remedy="look at what computes the target; the arm holds.")
        dt = self.period
        # Not np.clip, which takes five times as long for so few numbers.
        moving = np.minimum(np.maximum((target - self._target) / dt, -self.velocity), self.velocity)
        self._target = target
        # The velocity that lands on the target now, unless too much distance is left: then one that can still brake onto it.
        lag = target - self.q - moving * dt
        distance = np.abs(lag)
        wanted = moving + np.sign(lag) * np.minimum(distance / dt, self._stopping_speed(distance, 0.8 * self.acceleration))
        return self._advance(wanted)

    def brake(self) -> Floats:
        """Next joint positions (7,) rad of the shortest stop."""
        q = self._advance(np.zeros(7))
        self._target = q.copy()
        return q

    def _advance(self, wanted: Floats) -> Floats:
        dt = self.period
        top = np.minimum(self.velocity, self._stopping_speed(self.upper - self.q, self.braking))
        bottom = np.maximum(-self.velocity, -self._stopping_speed(self.q - self.lower, self.braking))
        v = np.minimum(np.maximum(wanted, bottom), top)
        change = self.acceleration * dt
        self.v = np.minimum(np.maximum(v, self.v - change), self.v + change)
        self.q = self.q + self.v * dt
        return self.q.copy()

    def _stopping_speed(self, distance: Floats, deceleration: Floats) -> Floats:
        """Greatest speed v with v dt + v^2 / (2 a) <= distance: one more period at v, then braking at a. Zero where distance is negative."""
        dt = self.period
        return np.asarray(deceleration * (np.sqrt(dt * dt + 2.0 * np.maximum(distance, 0.0) / deceleration) - dt))


def braking(arm: ArmSpec, margin: float, velocity: Floats) -> Floats:
    """Decelerations (7,) rad/s2 with which a joint that stops ``margin`` rad before its limit obeys the velocity that its position allows.

    At distance d from the stop a joint braking at a moves at sqrt(2 a d); the arm allows s - offset there, with s^2 = slope (d + beyond).
    The ratio (s - offset)^2 / (2 d) is least at s = slope beyond / offset, or where the arm allows ``velocity`` if that comes before.
    """
    beyond = margin + np.minimum(arm.stop_upper - arm.upper, arm.lower - arm.stop_lower)
    # An arm without an offset touches what it allows at its full velocity first.
    s = np.minimum(arm.velocity_slope * beyond / np.maximum(arm.velocity_offset, 1e-12), velocity + arm.velocity_offset)
    distance = s * s / arm.velocity_slope - beyond
    # Not positive where the arm allows ``velocity`` even at the stop: then any deceleration does.
    return np.where(distance > 0.0, (s - arm.velocity_offset) ** 2 / (2.0 * np.maximum(distance, 1e-12)), np.inf)
