"""Write the report of a trial: report.json and report.html in its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from dextrack.errors import InputError
from dextrack.files import write_json
from dextrack_deploy.report import write_report

TRIAL_FILES = ("task.json", "twin.json", "events.jsonl", "trial.mcap")
"""A trial folder has at least one of these, however early the trial ended."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write report.json and report.html of a trial, whatever became of it."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/latest")
    """The trial folder."""
    json: Path | None = None
    """Also write the numbers to this file."""


def main(args: list[str]) -> int:
    """Run the verb; returns 0 once the report is written, also that of a failed trial.

    Raises:
        InputError: there is no such folder, or nothing in it is a trial's.
    """
    asked = tyro.cli(Report, args=args, prog="dextrack report", description=__doc__)
    if asked.folder.is_dir() and not any((asked.folder / name).exists() for name in TRIAL_FILES):
        raise InputError(
            f"{asked.folder}: this is no trial folder: it has none of {', '.join(TRIAL_FILES)}.", remedy="give a folder that `dextrack track` wrote."
        )
    value = write_report(asked.folder)
    if asked.json is not None:
        write_json(asked.json, value)
    verdict = value["verdict"]
    print(f"{'passed' if verdict['passed'] else 'not passed'}: {verdict['summary']}")
    for problem in value["problems"]:
        print(f"  note: {problem}")
    print(asked.folder / "report.html")
    return 0
