"""What lies between a command's arrival and the motors: a delay line, and the arm's interpolation of sparse targets."""

from __future__ import annotations

import collections

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class DelayLine:
    """Holds commands back for a fixed number of physics steps; the newest due one is in effect."""

    def __init__(self, delay_steps: int, initial: Array) -> None:
        """Start with ``initial`` in effect."""
        self._delay = delay_steps
        self._pending: collections.deque[tuple[int, Array]] = collections.deque()
        self._current = initial.copy()

    def put(self, step: int, command: Array) -> None:
        """A command arrives during physics step ``step``; steps never go back."""
        self._pending.append((step + self._delay, command.copy()))

    def pop_due(self, step: int) -> Array | None:
        """The newest command that becomes due by ``step``, or None when there is none; older ones are dropped."""
        due = None
        while self._pending and self._pending[0][0] <= step:
            due = self._pending.popleft()[1]
        return due

    def drop(self) -> None:
        """Forget the commands that are still on their way."""
        self._pending.clear()

    def at(self, step: int) -> Array:
        """The command in effect at ``step``."""
        due = self.pop_due(step)
        if due is not None:
            self._current = due
        return self._current


class Interpolator:
    """Turns joint targets that arrive at the control rate into the continuous motion that an arm's own controller needs.

    Each target is approached along a straight line over one command period, as a 1 kHz motion generator in front of a Franka does; without
    it, a 60 Hz staircase would hammer joints that are thousands of N m/rad stiff. The line ends when the latency ends: a target is fully in
    effect ``latency`` after its arrival, or one period after it where the latency is shorter.
    """

    def __init__(self, latency_steps: int, period_steps: int, step_s: float, initial: Array) -> None:
        """``latency_steps`` and ``period_steps`` are counted in physics steps of ``step_s`` seconds; start at rest at ``initial`` (n,)."""
        self._line = DelayLine(max(0, latency_steps - period_steps), initial)
        self._period = max(1, period_steps)
        self._step_s = step_s
        self._position = initial.copy()
        self._increment = np.zeros_like(initial)
        self._left = 0
        self.peak_velocity = np.zeros_like(initial)
        """Greatest velocity that targets asked for so far, (n,) rad/s."""

    def put(self, step: int, target: Array) -> None:
        """A target arrives during physics step ``step``."""
        self._line.put(step, target)

    def stop(self) -> None:
        """End the motion where it is, and forget the targets that are still on their way."""
        self._line.drop()
        self._left = 0

    def at(self, step: int) -> tuple[Array, Array]:
        """Advance by one physics step: (position, velocity) that the arm's controller follows during ``step``."""
        target = self._line.pop_due(step)
        if target is not None:
            self._increment = (target - self._position) / self._period
            self._left = self._period
            self.peak_velocity = np.maximum(self.peak_velocity, np.abs(self._increment) / self._step_s)
        if self._left == 0:
            return self._position, np.zeros_like(self._position)
        self._position = self._position + self._increment
        self._left -= 1
        return self._position, self._increment / self._step_s
