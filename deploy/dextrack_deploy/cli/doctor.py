"""Say what of this machine stands in the way of a cell, and what to do about it."""

from __future__ import annotations

import dataclasses
import datetime
import time
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from dextrack import __version__
from dextrack.files import require_writable, user_data, write_json
from dextrack_deploy.cell import load_cell
from dextrack_deploy.doctor import Case, Finding, Level, System, examine

_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this machine against a cell: it reads, and changes nothing.

    The exit code is 0 without a problem, 1 with one. Not while a trial runs: it pings the arm where it knows its address.
    """

    cell: str = "twin"
    """Name of a cell configuration, or a path to one; only what it needs can be a problem."""
    arm: Annotated[str | None, tyro.conf.arg(metavar="HOST")] = None
    """Address of the arm (the LAN port of Control), by default the cell's; given, the arm is looked for whatever the cell."""
    port: Annotated[str | None, tyro.conf.arg(metavar="DEV")] = None
    """Serial port of the hand, as /dev/ttyUSB0 or a link in /dev/serial/by-id; by default the cell's, or every U2D2 or other FTDI adapter."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the findings to this file as JSON."""


def main(args: list[str]) -> int:
    """Run ``dextrack doctor``; 0 when no problem stands against the cell, else 1.

    Raises:
        InputError: there is no such cell, or the JSON file cannot be written.
    """
    asked = tyro.cli(Doctor, args=args, prog="dextrack doctor")
    case = Case.of(load_cell(asked.cell), user_data(), Path("runs"), asked.port, asked.arm)
    if asked.json is not None:
        require_writable(asked.json)
    began = time.monotonic()
    findings = examine(System(), case)
    seconds = time.monotonic() - began
    console = Console(highlight=False)
    show(console, findings)
    counts = {level: sum(1 for f in findings if f.level is level) for level in Level}
    console.print(
        f"\ncell {case.cell}: {_counted(counts[Level.PROBLEM], 'problem')}, {_counted(counts[Level.WARNING], 'warning')}, "
        f"{_counted(counts[Level.NOTE], 'note')} ({_counted(len(findings), 'check')}, {seconds:.1f} s)",
        style="bold",
        soft_wrap=True,
        markup=False,
    )
    if asked.json is not None:
        write_json(asked.json, as_json(case, findings, seconds))
    return 1 if counts[Level.PROBLEM] else 0


def show(console: Console, findings: list[Finding]) -> None:
    """Print a line for each finding, and below it what to do. Lines are not folded, so that commands can be copied."""
    width = max((len(f.name) for f in findings), default=0)
    for f in findings:
        line = Text.assemble((f"{f.level.value:8}", _STYLES[f.level]), f"{f.name:{width}}  ", f.what)
        console.print(line, soft_wrap=True)
        if f.remedy:
            console.print(Text.assemble(" " * (8 + width), "  to do: ", f.remedy), soft_wrap=True)


def as_json(case: Case, findings: list[Finding], seconds: float) -> dict[str, object]:
    """What ``--json`` writes."""
    return {
        "cell": case.cell,
        "arm": case.host,
        "port": case.port,
        "problems": sum(1 for f in findings if f.level is Level.PROBLEM),
        "seconds": round(seconds, 3),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "code": __version__,
        "findings": [f.as_json() for f in findings],
    }


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
