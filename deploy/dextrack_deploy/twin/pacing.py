"""Pacing a simulation by absolute time, and measuring how late it is."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

import numpy as np

WINDOW_S = 10.0
"""Lateness is reported over this long, s."""
LARGEST_LAG_S = 0.1
"""A simulation that is further behind gives the time up instead of racing after it, s."""


class Pacer:
    """Says how many steps are due, so that simulated time follows the wall clock without drift.

    Stamps follow from simulated time and the wall clock's reading at the start; time that was given up moves them by as much, so that a stamp
    is always within ``LARGEST_LAG_S`` of the wall clock at the step.
    """

    def __init__(self, step_s: float, clock: Callable[[], float] = time.monotonic, wall_ns: Callable[[], int] = time.time_ns) -> None:
        """Pace steps of ``step_s`` seconds; ``start`` begins."""
        self._step_s = step_s
        self._clock = clock
        self._wall_ns = wall_ns
        self._lateness: collections.deque[float] = collections.deque(maxlen=round(WINDOW_S / step_s))
        self.slips = 0
        """Times that the simulation gave time up."""
        self.slipped_s = 0.0
        """Time given up in all, s."""
        self.overruns = 0
        """Steps that began after the next one was due."""
        self.start()

    def start(self) -> None:
        """Simulated time is zero now."""
        # In this order: a process that is put aside between the two then stamps its samples too old, and never in the future.
        self._begin_ns = self._wall_ns()
        self._begin = self._clock()
        self._steps = 0

    def seconds_to_next(self) -> float:
        """Seconds until the next step is due, which is when it ends: simulated time never runs ahead of the clock. Negative when it is late."""
        return self._begin + (self._steps + 1) * self._step_s - self._clock()

    def take(self) -> bool:
        """Whether a step is due now. If so it counts as begun, and its lateness is noted."""
        late = -self.seconds_to_next()
        if late < 0.0:
            return False
        if late > LARGEST_LAG_S:
            self.slips += 1
            self.slipped_s += late
            self._begin += late
            self._begin_ns += round(late * 1e9)
        if late > self._step_s:
            self.overruns += 1
        self._lateness.append(late)
        self._steps += 1
        return True

    def stamp(self, time_s: float) -> int:
        """Wall stamp of simulated time ``time_s``, ns since the epoch."""
        return self._begin_ns + round(time_s * 1e9)

    def report(self) -> dict[str, float | int]:
        """Lateness of the last ten seconds' steps in ms, and what was lost since the beginning."""
        late = 1e3 * np.array(self._lateness) if self._lateness else np.zeros(1)
        p50, p99 = np.percentile(late, [50, 99])
        return {
            "lateness_p50_ms": float(p50),
            "lateness_p99_ms": float(p99),
            "lateness_max_ms": float(late.max()),
            "overruns": self.overruns,
            "slips": self.slips,
            "slipped_s": self.slipped_s,
        }
