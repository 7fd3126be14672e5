"""Report what mining achieved, what failed and why, with pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dextrack.demonstrations import store
from dextrack.errors import InputError
from dextrack.evaluation import failure_table, poster
from dextrack.evaluation.gallery import Exhibit, exhibit, exhibit_refused
from dextrack.evaluation.results import Result, collect, summary
from dextrack.files import replacing, require_writable, write_json
from dextrack.mining import ledger
from dextrack.references.library import find_object, find_recording


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Explain every task of a demonstration store: report.html, failures.png, failures.md, tasks.csv and tasks.json in a folder."""

    store: Annotated[Path, tyro.conf.Positional]
    """File of demonstrations, as `dextrack mine` writes it; its ledger is read too where there is one."""
    out: Path = Path("evaluation")
    """Folder to write to."""
    hand: str = ""
    """Only the tasks of this hand; by default of every hand in the store."""
    pictures: bool = True
    """Whether to take pictures of failures: some seconds each."""
    width: int = 320
    """Width of one picture, pixels."""
    json: Path | None = None
    """Write tasks.json to this file too."""


def main(args: list[str]) -> int:
    """Run ``dextrack evaluate``; see ``--help``."""
    from dextrack.evaluation import html, mining_page

    options = tyro.cli(Evaluate, args=args, prog="dextrack evaluate")
    if not 64 <= options.width <= 1280:
        raise InputError(f"--width {options.width}: a picture has 64 to 1280 pixels.", remedy="choose a width in that range.")
    console = Console()
    if options.json is not None:
        require_writable(options.json)
    require_writable(options.out / "report.html")
    results, exhibits = run(options, console)
    numbers = {**summary(results), "prediction": mining_page.prediction_scores(results)}
    table = {"store": options.store.name, "summary": numbers, "tasks": [{**r.as_row(), "failure": r.failure and r.failure.as_dict()} for r in results]}
    for path in (options.out / "tasks.json", *([options.json] if options.json else [])):
        write_json(path, table)
    mining_page.save_table(options.out / "tasks.csv", results)
    html.write(options.out / "report.html", mining_page.page(f"Mining: {options.store.name}", results, numbers, exhibits))
    with replacing(options.out / "failures.md") as temporary:
        temporary.write_text(failure_table.table(results, f"Failures: {options.store.name}"), encoding="utf-8")
    if exhibits:
        poster.save(options.out / "failures.png", results, exhibits)
    else:
        (options.out / "failures.png").unlink(missing_ok=True)  # of an earlier run
    show(console, results)
    console.print(f"[bold]{options.out / 'report.html'}[/bold]: {numbers['whole_verdict']} of {numbers['n']} tasks pass the whole verdict")
    return 0


def run(options: Evaluate, console: Console) -> tuple[list[Result], list[Exhibit]]:
    """Results of every task, and pictures of those that failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        job = bar.add_task("explain", total=None)
        results = collect(options.store, lambda i, n, name: bar.update(job, total=n, completed=i, description=f"explain {name}"), options.hand)
        shown = [r for r in results if r.failure is not None] if options.pictures else []
        exhibits = []
        for i, r in enumerate(shown):
            bar.update(job, total=len(shown), completed=i, description=f"picture {r.task}")
            exhibits += _pictures(options, r)
    return results, exhibits


def _pictures(options: Evaluate, r: Result) -> list[Exhibit]:
    """The exhibit of a failed task; none of one that was refused whose recording is not installed."""
    assert r.failure is not None
    if r.state == ledger.MINED:
        demonstration = store.load(options.store, r.task)
        said = r.prediction.text if r.prediction else ""
        return [exhibit(r.task, demonstration, find_object(demonstration.reference, near=options.store), r.failure, said, options.width)]
    try:
        recording = find_recording(r.task.partition("@")[0])
        obj = find_object(recording)
    except InputError:
        return []
    return [exhibit_refused(r.task, recording, obj, r.failure, options.width)]


def show(console: Console, results: Sequence[Result]) -> None:
    """Print what failed."""
    table = Table("task", "failed", "cause", "finding", title="failures")
    for entry in failure_table.entries(results):
        table.add_row(entry.task, entry.part or "-", entry.label, entry.finding)
    console.print(table if table.row_count else "no failures")
