"""Continuity: a stream of targets that moves faster than what it comes from can, is not followed.

The shadow simulator's joints obey physics. A message in which they have jumped is not its: following it, as fast as the limits allow, would swing the
arm or shake the fingers until some watch notices that the cell is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import RefusedError

FACTOR = 2.0
"""Of the speed, for stamps that come unevenly."""
LONGEST_S = 0.1
"""Time between two targets that counts at most, s: after a longer gap a stream has no right to be far away either."""


class Continuity:
    """Judges the targets of one motion, and refuses all that come after the first one refused."""

    def __init__(self, names: Sequence[str], speed: ArrayLike, period_s: float, longest_s: float = LONGEST_S) -> None:
        """Targets are of the joints ``names``, whose source moves at ``speed`` (n,), rad/s or m/s, at most, and come every ``period_s``.

        A gap counts for ``longest_s`` at most.
        """
        self._names = tuple(names)
        self._speed = np.array(speed, dtype=np.float64)
        self._period, self._longest = period_s, longest_s
        self.begin()

    def begin(self) -> None:
        """A motion begins: its first target may be anywhere."""
        self._before: tuple[int, NDArray[np.float64]] | None = None
        self._broken = ""

    def check(self, targets: ArrayLike, stamp_ns: int) -> None:
        """Take ``targets`` (n,) with the stamp that they carry, or the time at which they came.

        Raises:
            RefusedError: one is not finite or jumped, here or earlier in this motion; they must not be followed.
        """
        values = np.array(targets, dtype=np.float64)
        if not self._broken:
            self._broken = self._why(values, stamp_ns)
            self._before = stamp_ns, values
        if self._broken:
            raise RefusedError(f"target: {self._broken}.", remedy="find what makes the targets; hold, retreat and approach again.")

    def _why(self, values: NDArray[np.float64], stamp_ns: int) -> str:
        if not np.isfinite(values).all():
            return f"{self._names[int(np.argmin(np.isfinite(values)))]} is not finite"
        if self._before is None:
            return ""
        then, before = self._before
        seconds = min(max(1e-9 * (stamp_ns - then), self._period), self._longest)
        over = np.abs(values - before) - FACTOR * self._speed * seconds
        worst = int(np.argmax(over))
        return f"{self._names[worst]} jumped by {abs(values[worst] - before[worst]):.3f} within {seconds:.3f} s" if over[worst] > 0.0 else ""
