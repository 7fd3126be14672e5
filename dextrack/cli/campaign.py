"""What a campaign of mining looks like in the terminal: progress with an estimate while it runs, a table of its ledger at the end."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dextrack.mining import ledger, workers
from dextrack.mining.ledger import Row
from dextrack.mining.tasks import Task
from dextrack.tracking.verdict import OK

PARTS = ("lifted", "held", "clean", "robust")


def off(error: float) -> str:
    """How far mining has the object off, m; not a number while grasps are tried out."""
    return f"object {1e2 * error:.1f} cm off in the worst world" if math.isfinite(error) else "trying grasps"


class Estimate:
    """How long a campaign still takes, from the seconds that a control step of a reference has cost so far."""

    def __init__(self, tasks: Sequence[Task], rows: Sequence[Row], count: int) -> None:
        """``rows`` of earlier runs lend their cost until this one has its own."""
        self._steps = {t.key: max(1, t.steps) for t in tasks}
        self._left = [t.key for t in tasks]
        self._count = count
        mined = [r for r in rows if r.state == ledger.MINED and r.steps and r.seconds]
        self._seconds, self._done = sum(r.seconds for r in mined), float(sum(r.steps for r in mined))
        self._running: dict[str, tuple[float, float]] = {}

    def began(self, key: str) -> None:
        """A worker has taken the task ``key``."""
        self._running[key] = (time.monotonic(), 0.0)

    def told(self, key: str, attempt: int, done: float) -> None:
        """It is at the fraction ``done`` of its ``attempt``."""
        self._running[key] = (self._running[key][0], 1.0 if attempt else done)

    def ended(self, key: str, seconds: float, again: bool) -> None:
        """It has ended after ``seconds``, or will be tried ``again``."""
        self._running.pop(key, None)
        if not again and key in self._left:
            self._left.remove(key)
            self._seconds, self._done = self._seconds + seconds, self._done + self._steps[key]

    def seconds(self) -> float | None:
        """Seconds until the last worker is done; None while nothing is known."""
        now = time.monotonic()
        spent = self._seconds + sum(now - began for began, _ in self._running.values())
        steps = self._done + sum(fraction * self._steps[key] for key, (_, fraction) in self._running.items())
        if steps < 1.0:
            return None
        rate = spent / steps
        busy = [max(0.05 * rate * self._steps[key], rate * self._steps[key] - (now - began)) for key, (began, _) in self._running.items()]
        ends = busy[: self._count] + [0.0] * (self._count - len(busy))
        heapq.heapify(ends)
        for key in self._left:
            if key not in self._running:
                heapq.heappush(ends, heapq.heappop(ends) + rate * self._steps[key])
        return max(ends)


class Screen:
    """Shows a campaign while it runs: a bar over all tasks, and a line for each worker. A context manager."""

    def __init__(self, console: Console, count: int) -> None:
        """``count`` workers."""
        self._count, self._console = count, console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
        self._bar = Progress(*columns, console=console, transient=True)
        self._all: TaskID | None = None
        self._lines: dict[int, TaskID] = {}
        self._estimate: Estimate | None = None
        self._rows: list[Row] = []
        self._phase = ""

    def __enter__(self) -> Screen:
        """Take the terminal."""
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the terminal back."""
        self._bar.stop()

    def begin(self, phase: str, tasks: Sequence[Task], rows: Sequence[Row]) -> None:
        """See ``dextrack.mining.campaign.Watcher``."""
        for line in self._bar.task_ids:
            self._bar.remove_task(line)
        self._lines.clear()
        self._phase, self._rows = phase, list(rows)
        self._estimate = Estimate(tasks, rows, self._count) if phase == "mine" else Estimate(tasks, (), self._count)
        self._all = self._bar.add_task(f"[bold]{phase}[/bold]", total=len(tasks) + len(rows), completed=len(rows), note="")
        if not self._console.is_terminal:
            self._console.print(f"{phase}: {_counted(len(tasks), 'task')}, {_counted(self._count, 'worker')}" + (f", {len(rows)} done before" if rows else ""))

    def hear(self, event: workers.Event) -> None:
        """See ``Watcher``."""
        assert self._estimate is not None and self._all is not None
        if isinstance(event, workers.Began):
            self._estimate.began(event.job.name)
            self._line(event.worker, description=f"  {event.job.name}", completed=0, note="", started=True)
        elif isinstance(event, workers.Told):
            self._estimate.told(event.job.name, event.attempt, event.done)
            note = f"attempt {event.attempt}, " if event.attempt else ""
            note += off(event.error) if self._phase == "mine" else ""
            self._line(event.worker, completed=round(100 * event.done), note=note)
        elif isinstance(event, workers.Ended):
            self._estimate.ended(event.job.name, event.seconds, event.again)
            self._line(event.worker, description="  idle", completed=0, note="")
            if event.again:
                self._console.print(f"[yellow]{event.job.name}: {event.why}; it is tried once more.[/yellow]", highlight=False, soft_wrap=True)
            elif self._phase == "retarget":
                self._bar.advance(self._all)
        self._bar.update(self._all, note=self._note())

    def row(self, row: Row) -> None:
        """See ``Watcher``."""
        assert self._all is not None
        self._rows.append(row)
        if self._phase == "mine":
            self._bar.advance(self._all)
        self._console.print(f"{row.task}: {finding(row)}, {row.seconds:.0f} s{self._left()}", highlight=False, soft_wrap=True)
        self._bar.update(self._all, note=self._note())

    def _line(self, worker: int, started: bool = False, **fields: Any) -> None:
        if worker not in self._lines:
            self._lines[worker] = self._bar.add_task("", total=100, note="")
        if started:
            self._bar.reset(self._lines[worker])
        self._bar.update(self._lines[worker], **fields)

    def _note(self) -> str:
        mined = [r for r in self._rows if r.state == ledger.MINED]
        counts = f"{sum(r.passed for r in mined)} passed, {sum(r.lifted for r in mined)} lifted within 20 deg" if self._phase == "mine" else ""
        return counts + self._left()

    def _left(self) -> str:
        seconds = None if self._estimate is None else self._estimate.seconds()
        return "" if seconds is None else f", about {duration(seconds)} left"


def finding(row: Row) -> str:
    """One row in words."""
    if row.state != ledger.MINED:
        return f"{row.state}: {row.why}"
    missed = [part for part in PARTS if row.part(part) not in OK]
    return "passed" if row.passed else "not " + ", ".join(missed)


def table(rows: Sequence[Row], title: str) -> Table:
    """The rows, best first (what passed, then by the parts of the verdict, then by error), with the object's mean errors and the wall time."""
    hands = sorted({row.task.partition("@")[2] for row in rows})
    shown = Table(title=", ".join([title, *hands]) if len(hands) == 1 else title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name in ("task", "verdict", *PARTS, "cm", "deg", "s"):
        shown.add_column(name, justify="right" if name in ("cm", "deg", "s") else "left", no_wrap=True)
    for row in sorted(rows, key=_rank):
        name = row.task.partition("@")[0] if len(hands) == 1 else row.task
        seconds = f"{row.seconds:.0f}"
        if row.state == ledger.MINED:
            error = (f"{1e2 * row.metrics['t_err_m']:.1f}", f"{57.29578 * row.metrics['r_err_rad']:.0f}")
            shown.add_row(name, "passed" if row.passed else "failed", *(_mark(row.part(p)) for p in PARTS), *error, seconds)
        else:
            shown.add_row(name, row.state, *[""] * len(PARTS), "", "", seconds)
    return shown


def summary(rows: Sequence[Row]) -> str:
    """Counts over ``rows``, and why tasks have no demonstration."""
    mined = [r for r in rows if r.state == ledger.MINED]
    text = f"{_counted(len(rows), 'task')}: {len(mined)} mined, {sum(r.passed for r in mined)} passed, {sum(r.lifted for r in mined)} lifted within 20 deg"
    for state in (ledger.REFUSED, ledger.FAILED, ledger.KILLED):
        count = sum(r.state == state for r in rows)
        text += f", {count} {state}" if count else ""
    seconds = [r.seconds for r in mined]
    text += f"; {duration(sum(seconds))} of workers' time, {sum(seconds) / len(seconds):.0f} s a task." if seconds else "."
    return "\n".join([text, *(f"{r.task}: {finding(r)}" for r in rows if r.state != ledger.MINED)])


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _mark(state: str) -> str:
    return {"passed": "yes", "failed": "no", "not applicable": "-"}.get(state, "?")


def _rank(row: Row) -> tuple[Any, ...]:
    parts = sum(row.part(p) in OK for p in PARTS)
    return row.state != ledger.MINED, not row.passed, -parts, row.metrics.get("t_err_m", 0.0), row.task
