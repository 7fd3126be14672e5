"""Say what mining will make of references, before it is tried: odds, and what speaks against each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from dextrack.errors import DexTrackError, InputError
from dextrack.files import require_writable, write_json
from dextrack.mining import tasks
from dextrack.mining.tasks import Task
from dextrack.references.library import find_object
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class Predict:
    """Say what mining will make of references: the odds of each, and what speaks against it most; about a second each."""

    reference: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files of references, as `dextrack retarget` writes them, or folders of them."""
    json: Path | None = None
    """Write predictions and what they were made from to this file too."""


def main(args: list[str]) -> int:
    """Run ``dextrack predict``; returns 1 when a reference cannot be judged, and says which.

    Raises:
        InputError: no reference is named, or something that is none.
    """
    options = tyro.cli(Predict, args=args, prog="dextrack predict", description=__doc__)
    if not options.reference:
        raise InputError("predict: it is not said what to judge.", remedy="give references, or the folder that `dextrack retarget --all` wrote to.")
    if options.json is not None:
        require_writable(options.json)
    for item in options.reference:
        path = Path(item).expanduser()
        if not path.exists() or (path.is_file() and tasks.is_recording(path)):
            why = "it is a recording, and what is judged is a reference" if path.is_file() else "there is no such file or folder"
            raise InputError(f"{item}: {why}.", remedy="make a reference with `dextrack retarget`, and name its file or folder.")
    console = Console()
    rows = run(tasks.from_items(options.reference, Path("references"), "leap_right"), console)
    rows.sort(key=lambda row: -row.get("passed", -1.0))
    console.print(_table(rows))
    expected = [sum(row.get(k, 0.0) for row in rows) for k in ("tracked", "passed")]
    counts = f"{expected[0]:.0f} lifted within 20 degrees, {expected[1]:.0f} that pass the whole verdict"
    console.print(f"{len(rows)} task{'s' * (len(rows) != 1)}: expected are {counts}", highlight=False, soft_wrap=True)
    if options.json is not None:
        write_json(options.json, rows)
    return 1 if any("fault" in row for row in rows) else 0


def run(wanted: list[Task], console: Console) -> list[dict[str, Any]]:
    """One row for each task: its prediction, or ``fault``."""
    from dextrack.mining.prediction import predict

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=console, transient=True) as bar:
        for task in bar.track(wanted, description="predict"):
            row: dict[str, Any] = {"task": task.key}
            if task.fault:
                rows.append(row | {"fault": task.fault})
                continue
            try:
                reference = Reference.load(task.path)
                row |= predict(reference, find_object(reference, near=task.path)).as_dict()
            except DexTrackError as error:
                row["fault"] = error.what
            rows.append(row)
    return rows


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(Column("task", no_wrap=True), "whole verdict", "lifted, 20 deg", "speaks against it", box=box.SIMPLE_HEAD)
    for row in rows:
        if "fault" in row:
            table.add_row(row["task"], "", "", row["fault"])
        else:
            table.add_row(row["task"], f"{100 * row['passed']:.0f} %", f"{100 * row['tracked']:.0f} %", row["because"])
    return table
