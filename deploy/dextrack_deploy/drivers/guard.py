"""DeadlineGuard: the last thing between a command and the motors. Every device that moves is used through one.

Its rules, in order:

1. A command that holds a NaN or an infinity, or has the wrong length, is refused: nothing is sent, and the last safe target stays.
2. A command outside the joint limits is clamped to them.
3. The device never jumps. Between two sends a joint's target moves by at most its velocity limit times the time between them, and that time
   counts as two control periods at most. The first command is approached from the measured position, and any command after a hold from
   the held target, at a slow engaging speed until the target has caught up.
4. When no accepted command has come for the deadline (100 ms), the guard holds: it keeps sending the last safe target and says ``holding``.
   It never goes on towards a command that it had not reached. Because a guard cannot know why its caller fell silent, it keeps holding
   until the next accepted command.
5. ``hold()`` does the same at once, on the caller's word.

A guard has no thread: the process that owns the device calls ``tick`` at the control rate. When that process dies, the device keeps its last
target by itself: position-controlled motors do, and so does the twin.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError, RefusedError
from dextrack_deploy.drivers.protocols import Array

DEADLINE_S = 0.1
"""Seconds without a command after which a guard holds."""


class Target(Protocol):
    """The part of a driver that a guard uses."""

    def write(self, target: Array, stamp: int, /) -> None:
        """Send joint targets, rad."""
        ...


class GuardState(enum.Enum):
    """What a guard is doing."""

    IDLE = "idle"
    """No command yet: nothing has been sent."""
    ENGAGING = "engaging"
    """Approaching the command slowly, from the measured or the held position."""
    TRACKING = "tracking"
    """Following commands within the velocity limits."""
    HOLDING = "holding"
    """Commands stopped, or a hold was asked for: the last safe target is repeated."""


@dataclasses.dataclass(frozen=True)
class JointLimits:
    """What a guard enforces for each joint; arrays (n,).

    Raises:
        InputError: lengths differ, a limit is not finite, or a range or speed is empty.
    """

    names: tuple[str, ...]
    """Joint names, for messages."""
    lower: NDArray[np.float64]
    """Lower position limits, rad."""
    upper: NDArray[np.float64]
    """Upper position limits, rad."""
    velocity: NDArray[np.float64]
    """Velocity limits, rad/s."""
    engaging_velocity: float
    """Speed of every joint while engaging, rad/s."""

    def __post_init__(self) -> None:
        """Check at construction."""
        n = len(self.names)
        for field in ("lower", "upper", "velocity"):
            value = np.asarray(getattr(self, field), dtype=np.float64)
            if value.shape != (n,) or not np.isfinite(value).all():
                raise InputError("joint limits: %s is not %d finite numbers." % (field, n), remedy="correct the device's description.")
            object.__setattr__(self, field, value)
        if n == 0 or not (self.lower < self.upper).all() or not (self.velocity > 0.0).all() or not self.engaging_velocity > 0.0:
            raise InputError("joint limits: a range or a speed is empty.", remedy="correct the device's description.")


@dataclasses.dataclass(frozen=True)
class GuardReport:
    """What a guard did, for diagnostics and the trial log."""

    state: GuardState
    command_age_s: float | None
    """Seconds since the last accepted command; None before the first."""
    clamped: tuple[str, ...]
    """Joints whose last command was outside their limits."""
    slowed: tuple[str, ...]
    """Joints whose last send was cut to the velocity limit."""
    refused: int
    """Commands refused so far."""
    holds: int
    """Times the deadline passed so far."""


class DeadlineGuard:
    """Wraps ``device`` (anything with ``write(target, stamp)``) with the rules at the top of this file."""

    def __init__(
        self,
        device: Target,
        limits: JointLimits,
        measured: ArrayLike,
        *,
        period_s: float = 1.0 / 60.0,
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Guard ``device``, whose joints are now at ``measured`` (n,) rad.

        Args:
            device: where targets go.
            limits: what is enforced.
            measured: joint positions from the device's newest reading; the first command is approached from here.
            period_s: control period, s.
            deadline_s: seconds without a command after which the guard holds.
            clock: seconds, monotonic.

        Raises:
            RefusedError: ``measured`` is not n finite numbers.
        """
        self._device = device
        self._limits = limits
        self._period = period_s
        self._deadline = deadline_s
        self._clock = clock
        self._safe = self._checked(measured, "measured position")
        self._state = GuardState.IDLE
        self._goal: Array | None = None
        self._stamp = 0
        self._commanded_at: float | None = None
        self._sent_at: float | None = None
        self._clamped: tuple[str, ...] = ()
        self._slowed: tuple[str, ...] = ()
        self._refused = 0
        self._holds = 0

    @property
    def safe_target(self) -> Array:
        """The last target that was sent, or the measured position before the first; (n,), rad."""
        return self._safe.copy()

    def command(self, targets: ArrayLike, stamp: int) -> None:
        """Take ``targets`` (n,) rad, computed from a sample of ``stamp`` (ns), and send what rules 1 to 3 make of them.

        Raises:
            RefusedError: a NaN, an infinity or a wrong length; nothing was sent.
            DriverError: the device did not answer.
        """
        try:
            wanted = self._checked(targets, "command")
        except RefusedError:
            self._refused += 1
            raise
        limits = self._limits
        self._goal = np.clip(wanted, limits.lower, limits.upper)
        self._clamped = _names(limits.names, self._goal != wanted)
        self._stamp = int(stamp)
        self._commanded_at = self._clock()
        if self._state in (GuardState.IDLE, GuardState.HOLDING):
            self._state = GuardState.ENGAGING
            # Time spent idle or holding is no allowance for a first step.
            self._sent_at = None
        self._advance()

    def tick(self) -> GuardReport:
        """Call at the control rate: detects the deadline, and while holding repeats the last safe target.

        Raises:
            DriverError: the device did not answer.
        """
        now = self._clock()
        moving = self._state in (GuardState.ENGAGING, GuardState.TRACKING)
        if moving and self._commanded_at is not None and now - self._commanded_at > self._deadline:
            self._holds += 1
            self.hold()
        elif self._state is GuardState.HOLDING:
            self._send(self._safe, now)
        return self.report()

    def hold(self) -> None:
        """Hold at the last safe target until the next command. Before the first command there is nothing to hold: nothing is sent."""
        if self._state is GuardState.IDLE:
            return
        self._state = GuardState.HOLDING
        self._goal = None
        self._slowed = ()
        self._send(self._safe, self._clock())

    def report(self) -> GuardReport:
        """What the guard is doing now."""
        age = None if self._commanded_at is None else self._clock() - self._commanded_at
        return GuardReport(self._state, age, self._clamped, self._slowed, self._refused, self._holds)

    def _advance(self) -> None:
        """Move the safe target towards the goal by no more than the velocity limits allow, and send it."""
        assert self._goal is not None
        now = self._clock()
        elapsed = self._period if self._sent_at is None else min(now - self._sent_at, 2.0 * self._period)
        speed = self._limits.velocity
        if self._state is GuardState.ENGAGING:
            speed = np.minimum(speed, self._limits.engaging_velocity)
        reach = speed * elapsed
        step = np.clip(self._goal - self._safe, -reach, reach)
        target = self._safe + step
        self._slowed = _names(self._limits.names, ~np.isclose(target, self._goal, rtol=0.0, atol=1e-9))
        if not self._slowed:
            self._state = GuardState.TRACKING
        self._send(target, now)

    def _send(self, target: Array, now: float) -> None:
        self._device.write(target, self._stamp)
        self._safe = target
        self._sent_at = now

    def _checked(self, values: ArrayLike, what: str) -> Array:
        array = np.array(values, dtype=np.float64)
        n = len(self._limits.names)
        if array.shape != (n,):
            raise RefusedError("%s: its shape is %s, not (%d,)." % (what, array.shape, n), remedy="send one target for each joint of the device.")
        bad = _names(self._limits.names, ~np.isfinite(array))
        if bad:
            raise RefusedError("%s: not finite at joint %s." % (what, ", ".join(bad)), remedy="find what produced it; the device holds its last target.")
        return array


def _names(names: tuple[str, ...], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, hit in zip(names, mask, strict=True) if hit)
