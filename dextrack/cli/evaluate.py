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
from dextrack.evaluation.gallery import Exhibit, exhibit, save_sheet
from dextrack.evaluation.results import Result, collect, summary
from dextrack.files import require_writable, write_json
from dextrack.references.library import find_object


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Explain every task of a demonstration store: report.html, gallery.png, tasks.csv and tasks.json in a folder."""

    store: Annotated[Path, tyro.conf.Positional]
    """File of demonstrations, as `dextrack mine` writes it; its ledger is read too where there is one."""
    out: Path = Path("evaluation")
    """Folder to write to."""
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
    if exhibits:
        save_sheet(options.out / "gallery.png", exhibits)
    show(console, results)
    console.print(f"[bold]{options.out / 'report.html'}[/bold]: {numbers['whole_verdict']} of {numbers['n']} tasks pass the whole verdict")
    return 0


def run(options: Evaluate, console: Console) -> tuple[list[Result], list[Exhibit]]:
    """Results of every task, and pictures of those that failed in simulation."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        job = bar.add_task("explain", total=None)
        results = collect(options.store, lambda i, n, name: bar.update(job, total=n, completed=i, description=f"explain {name}"))
        shown = [r for r in results if r.failure is not None and r.state == "mined"] if options.pictures else []
        exhibits = []
        for i, r in enumerate(shown):
            bar.update(job, total=len(shown), completed=i, description=f"picture {r.task}")
            demonstration = store.load(options.store, r.task)
            said = r.prediction.text if r.prediction else ""
            if r.failure is not None:
                exhibits.append(exhibit(r.task, demonstration, find_object(demonstration.reference, near=options.store), r.failure, said, options.width))
    return results, exhibits


def show(console: Console, results: Sequence[Result]) -> None:
    """Print what failed."""
    table = Table("task", "failed", "cause", "finding", title="failures")
    for r in results:
        if r.failure is not None:
            table.add_row(r.task, r.failure.part, r.failure.cause, r.failure.why)
    console.print(table if table.row_count else "no failures")
