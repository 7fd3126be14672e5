"""Timing of the control loop, measured: periods, overruns, and latencies between processes from carried stamps."""

from __future__ import annotations

import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MS = 1e-6
"""Milliseconds in a nanosecond."""


def summary(milliseconds: ArrayLike) -> dict[str, float]:
    """p50, p99, max (ms) and n of a list; only n where it is empty."""
    x = np.asarray(milliseconds, dtype=np.float64)
    if x.size == 0:
        return {"n": 0}
    return {"n": int(x.size), "p50": float(np.percentile(x, 50)), "p99": float(np.percentile(x, 99)), "max": float(x.max())}


class LoopTimer:
    """Watches a loop that should tick once a period.

    The first tick sets the grid of due times: tick k is due at first + k * period. A tick overran when it finished after the next one was due.
    A tick that came so late that later ones were due already took their place: those are ``skipped``, and each counts as an overrun.
    """

    def __init__(self, period_s: float) -> None:
        """Time a loop of ``period_s`` seconds."""
        self._period = period_s * 1e9
        self._origin: float | None = None
        self._tick = -1
        self._lead = 0.0
        self._last: int | None = None
        # Arrays of numbers: a loop that runs for hours has millions of ticks.
        self._periods = array.array("d")
        self._durations = array.array("d")
        self._begun: int | None = None
        self.overruns = 0
        """Ticks that finished late, and skipped ones."""
        self.skipped = 0
        """Due times at which no tick began."""
        self.in_a_row = 0
        """Overruns since the last tick that was on time."""
        self.longest_row = 0
        """The most overruns that there were between two ticks on time."""

    def begin(self, now_ns: int) -> None:
        """A tick begins at ``now_ns`` (monotonic)."""
        if self._origin is None or self._last is None:
            self._origin = float(now_ns)
            self._tick = 0
        else:
            self._periods.append((now_ns - self._last) * MS)
            early = self._origin + (self._tick + 1) * self._period - now_ns
            # One that is nearer to the time before is another tick of that.
            if early < 0.5 * self._period:
                skipped = max(int((now_ns - self._origin) // self._period) - self._tick - 1, 0)
                self._tick += 1 + skipped
                self.skipped += skipped
                self._count(skipped)
                # A first tick that was itself late makes all others look early: the earliest tick sets the grid. One that alone is much too early
                # does not; where the next is so too, the loop has moved, and what it gained is no excuse for later ones.
                lead = max(early, 0.0)
                self._origin -= lead if lead < 0.25 * self._period else min(lead, self._lead)
                self._lead = lead
        self._last = self._begun = now_ns

    def end(self, now_ns: int) -> bool:
        """The tick that began last ends at ``now_ns``; return whether it overran. Without a ``begin`` nothing is counted."""
        if self._begun is None or self._origin is None:
            return False
        self._durations.append((now_ns - self._begun) * MS)
        self._begun = None
        late = now_ns > self._origin + (self._tick + 1) * self._period
        if late:
            self._count(1)
        else:
            self.in_a_row = 0
        return late

    def _count(self, overruns: int) -> None:
        self.overruns += overruns
        self.in_a_row += overruns
        self.longest_row = max(self.longest_row, self.in_a_row)

    def report(self, bins: int = 40) -> dict[str, Any]:
        """The measured loop, for the trial's report.

        Returns:
            ``loop_period_ms`` and ``loop_duration_ms`` (n, p50, p99, max), ``overruns``, ``longest_row``, ``skipped``, and ``histogram``: counts of
            periods between ``edges_ms``, from 0 to 2 periods; the last bin holds everything longer.
        """
        edges = np.linspace(0.0, 2.0 * self._period * MS, bins + 1)
        counts = np.histogram(np.clip(self._periods, 0.0, edges[-1]), edges)[0]
        return {
            "loop_period_ms": summary(self._periods),
            "loop_duration_ms": summary(self._durations),
            "overruns": self.overruns,
            "longest_row": self.longest_row,
            "skipped": self.skipped,
            "histogram": {"edges_ms": edges.tolist(), "counts": counts.tolist()},
        }


class LatencyStats:
    """Latencies per edge of the graph."""

    def __init__(self) -> None:
        """No edge yet."""
        self._ms: dict[str, list[float]] = {}
        self.negative: dict[str, int] = {}
        """Edge: samples that arrived before they were sent, which means clock skew; they are not in the statistics."""

    def add(self, edge: str, latency_ns: int) -> None:
        """Count one message on ``edge``."""
        self._ms.setdefault(edge, [])
        if latency_ns < 0:
            self.negative[edge] = self.negative.get(edge, 0) + 1
        else:
            self._ms[edge].append(latency_ns * MS)

    def report(self) -> dict[str, dict[str, float]]:
        """Edge: n, p50, p99, max in ms, and ``negative`` where there were such."""
        return {e: {**summary(v), **({"negative": self.negative[e]} if e in self.negative else {})} for e, v in self._ms.items()}


class StageTimes:
    """Joins what different processes noted for the same carried stamp, and so yields the latency of each edge between them."""

    def __init__(self) -> None:
        """Nothing noted yet."""
        self._times: dict[str, dict[int, int]] = {}

    def mark(self, stage: str, stamp_ns: int, time_ns: int) -> None:
        """At ``time_ns``, ``stage`` passed on what carries ``stamp_ns``. Of the same stamp, the first counts: later ones are repetitions."""
        self._times.setdefault(stage, {}).setdefault(stamp_ns, time_ns)

    def latencies(self, edges: Iterable[tuple[str, str, str]]) -> LatencyStats:
        """Statistics of ``edges``, each (name, from stage, to stage); the stage ``sample`` is the carried stamp itself (``graph.EDGES``)."""
        stats = LatencyStats()
        for name, begin, end in edges:
            begins: Mapping[int, int] = self._times.get(begin, {})
            for stamp, arrived in self._times.get(end, {}).items():
                sent = stamp if begin == "sample" else begins.get(stamp)
                if sent is not None:
                    stats.add(name, arrived - sent)
        return stats
