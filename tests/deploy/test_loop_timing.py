from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.graph import EDGES
from dextrack_deploy.loop_timing import LatencyStats, LoopTimer, StageTimes, summary

MS = 1_000_000
T0 = 5_000_000_000


def run(ticks: list[tuple[float, float]], period_ms: float = 10.0) -> LoopTimer:
    """Ticks as (begin, end) in ms after the first."""
    timer = LoopTimer(period_ms * 1e-3)
    for begin, end in ticks:
        timer.begin(T0 + round(begin * MS))
        timer.end(T0 + round(end * MS))
    return timer


def test_a_loop_on_time_has_no_overruns() -> None:
    timer = run([(10.0 * k, 10.0 * k + 9.9) for k in range(100)])
    report = timer.report()
    assert report["overruns"] == report["skipped"] == 0
    assert report["loop_period_ms"] == pytest.approx({"n": 99, "p50": 10.0, "p99": 10.0, "max": 10.0})
    assert report["loop_duration_ms"]["max"] == pytest.approx(9.9)


def test_an_overrun_is_a_tick_that_ends_after_the_next_was_due_however_long_it_took() -> None:
    """Tick 1 takes long but begins on time and ends late; tick 3 is short, but begins late and ends late."""
    timer = run([(0, 1), (10, 21), (21, 22), (39.5, 40.5), (40.6, 42), (50, 51)])
    assert timer.overruns == 2 and timer.skipped == 0 and timer.in_a_row == 0
    assert run([(0, 1), (10, 19.9)]).overruns == 0


def test_skipped_ticks_are_overruns_and_a_row_of_them_is_counted() -> None:
    timer = run([(0, 1), (10, 35), (40, 41), (50, 61), (61, 72)])
    assert timer.skipped == 2 and timer.overruns == 1 + 2 + 2
    assert timer.in_a_row == 2 and timer.longest_row == timer.report()["longest_row"] == 3
    timer.begin(T0 + 80 * MS)
    assert timer.end(T0 + 81 * MS) is False and timer.in_a_row == 0


def test_a_late_first_tick_does_not_give_the_others_slack() -> None:
    """The first begins 2 ms late, so the grid is really at -2, 8, 18 ms: a tick that ends at 19 is late by 1 ms."""
    timer = run([(0, 1), (8, 9), (18, 29)])
    assert timer.overruns == 1


@pytest.mark.parametrize("early", [0.0, 0.2, 0.3, 0.4])
def test_a_loop_that_moved_ahead_gains_no_slack(early: float) -> None:
    """A lone early tick is no overrun; a loop that stays so early has its due times there, and ends late where its own next tick is due."""
    alone = [(10.0 * k - (10.0 * early if k == 5 else 0.0), 10.0 * k + 1) for k in range(9)]
    assert run(alone).overruns == 0
    moved = [(10.0 * (k - early * (k > 4)), 10.0 * (k - early * (k > 4)) + 1) for k in range(9)]
    assert run(moved).overruns == 0
    last = 10.0 * (9 - early)
    assert run([*moved, (last, last + 11.0)]).overruns == 1
    assert run([*moved, (last, last + 9.0)]).overruns == 0


def test_a_second_tick_for_the_same_time_is_no_lead() -> None:
    """Two ticks for the same due time, again and again: what is skipped after them is counted whole."""
    twice = [(10.0 * k + more, 10.0 * k + more + 1) for k in range(6) for more in (0.0, 4.0)]
    timer = run([*twice, (93.0, 94.0)])
    assert timer.skipped == timer.longest_row == 3


def test_histogram_holds_every_period_and_the_last_bin_the_long_ones() -> None:
    report = run([(0, 1), (10, 11), (20, 21), (90, 91)]).report(bins=4)
    assert report["histogram"]["edges_ms"] == pytest.approx([0, 5, 10, 15, 20])
    assert sum(report["histogram"]["counts"]) == 3 and report["histogram"]["counts"][-1] == 1


def test_an_empty_loop_and_an_end_without_a_begin_report_nothing() -> None:
    timer = LoopTimer(0.01)
    assert timer.end(T0) is False
    assert timer.report()["loop_period_ms"] == {"n": 0}
    assert summary([]) == {"n": 0}


def test_summary_agrees_with_numpy() -> None:
    x = np.random.default_rng(0).exponential(size=1000)
    ordered = np.sort(x)
    s = summary(x)
    assert s["max"] == ordered[-1] and ordered[498] <= s["p50"] <= ordered[501] and ordered[988] <= s["p99"] <= ordered[991]


def test_negative_latencies_are_told_apart() -> None:
    stats = LatencyStats()
    for ns in (2 * MS, 4 * MS, -MS):
        stats.add("a->b", ns)
    assert stats.report()["a->b"] == {"n": 2, "p50": pytest.approx(3.0), "p99": pytest.approx(3.98), "max": pytest.approx(4.0), "negative": 1}


def test_stages_of_one_stamp_are_joined_across_processes() -> None:
    times = StageTimes()
    for k in range(50):
        stamp = T0 + k * 16 * MS
        times.mark("camera", stamp, stamp - 20 * MS)
        times.mark("target", stamp, stamp + 3 * MS)
        times.mark("shadow", stamp, stamp + 5 * MS)
        times.mark("hand_command", stamp, stamp + 9 * MS)
        times.mark("hand_command", stamp, stamp + 25 * MS)
    times.mark("hand_command", 1, 2)
    report = times.latencies(EDGES).report()
    expected = {"camera->target": 23, "sensor->target": 3, "target->shadow": 2, "shadow->hand_command": 4, "sensor->command": 9}
    assert {k: round(v["p50"], 6) for k, v in report.items()} == expected
    assert report["shadow->hand_command"]["n"] == 50, "a command whose shadow state was never seen is no sample"
