"""Turn a recording into a reference, with its diagnosis."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dextrack.errors import InputError
from dextrack.files import require_writable, write_json
from dextrack.references.library import recordings
from dextrack.references.reference import Reference

if TYPE_CHECKING:
    from dextrack.references.batch import Job


@dataclasses.dataclass(frozen=True)
class Retarget:
    """Retarget recordings to a robot hand; references that are there, made from the same inputs, are kept."""

    recordings: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of installed recordings, for example apple_lift, or recordings' files."""
    all: bool = False
    """Retarget every installed recording."""
    hand: str = "leap_right"
    """Robot hand."""
    mirror: bool = False
    """Take the recording's mirror image, so that a left hand does what a right one did; recording and object are then called ..._mirrored."""
    out: Path = Path("references")
    """Folder of the reference; the file is named after the recording, and after the hand too where another hand's has that name."""
    speed_limit: float = 0.5
    """Slow a motion down whose wrist or object is faster than this for more than 2 % of the time, m/s; 0: never."""
    acceleration_limit: float = 2.0
    """Likewise for accelerations, m/s2; 0: never."""
    solver: Literal["gauss-newton", "lbfgs"] = "gauss-newton"
    """Second order, or the paper's."""
    iterations: int = 0
    """Iterations of the solver at most; 0: its default."""
    workers: int = 0
    """Processes that several recordings are shared by; 0: one per core."""
    seed: int = 0
    """Seed of the surface samples among which contacts are chosen."""
    json: Path | None = None
    """Write the diagnosis to this file too."""
    force: bool = False
    """Retarget again, even if the reference is there and was made from the same inputs."""


def main(args: list[str]) -> int:
    """Run ``dextrack retarget``; see ``--help``. One recording that is refused is an error; of several, the refused ones are listed."""
    options = tyro.cli(Retarget, args=args, prog="dextrack retarget")
    console = Console()
    if options.json is not None:
        require_writable(options.json)
    if len(options.recordings) == 1 and not options.all:
        reference, path, made = run(options, console)
        show(console, reference)
        console.print(f"[bold]{path}[/bold] ({'made' if made else 'already there, made from the same inputs'})")
        if options.json:
            write_json(options.json, _row(reference))
        return 0
    rows = run_all(options, console)
    if options.json:
        write_json(options.json, rows)
    return 0


def run(options: Retarget, console: Console) -> tuple[Reference, Path, bool]:
    """Retarget the one recording of ``options``; returns (reference, its file, whether it had to be made)."""
    from dextrack.references.batch import retarget_named

    with _bar(console) as bar:
        task = bar.add_task(f"retarget {options.recordings[0]} to {options.hand}", total=1.0)
        outcome = retarget_named(options.recordings[0], _job(options), lambda done: bar.update(task, completed=done))
    for flag in outcome.flags:
        console.print(f"[yellow]{outcome.name}: {flag}[/yellow]")
    if outcome.made:
        console.print(f"retargeted {outcome.name} in {outcome.seconds:.1f} s")
    assert outcome.reference is not None
    return outcome.reference, outcome.path, outcome.made


def run_all(options: Retarget, console: Console) -> list[dict[str, Any]]:
    """Retarget all recordings of ``options`` and print a table; returns what ``--json`` holds of each.

    Raises:
        InputError: no recording is named or installed.
    """
    from dextrack.references.batch import retarget_all

    names = list(recordings()) if options.all else list(options.recordings)
    if not names:
        remedy = "run `dextrack data install myodm`." if options.all else "name recordings, or give --all."
        raise InputError("retargeting: no recording is " + ("installed." if options.all else "named."), remedy=remedy)
    if options.workers < 0:
        raise InputError(f"retargeting: workers is {options.workers}.", remedy="give a number of processes, or 0 for one per core.")
    count = min(options.workers or len(os.sched_getaffinity(0)), len(names))
    began, rows, refused = time.monotonic(), [], []
    table = Table("recording", "steps", "slowed", "gap mm", "inside mm", "opposition", "jump rad", "warnings")
    with _bar(console) as bar:
        task = bar.add_task(f"retarget to {options.hand}", total=float(len(names)))
        for i, outcome in enumerate(retarget_all(names, _job(options), lambda i, done: bar.update(task, completed=i + done), count)):
            bar.update(task, completed=float(i + 1), description=f"retarget to {options.hand}: {i + 1} of {len(names)}")
            if outcome.reference is None:
                refused.append(f"{outcome.name}: {outcome.refused}")
                rows.append({"reference": outcome.name, "refused": str(outcome.refused)})
                continue
            rows.append(_row(outcome.reference) | {"made": outcome.made, "seconds": round(outcome.seconds, 3)})
            _add(table, outcome.reference)
    console.print(table)
    for reason in refused:
        console.print(f"[yellow]refused: {reason}[/yellow]")
    made = sum(bool(row.get("made")) for row in rows)
    console.print(f"{made} made, {len(rows) - made - len(refused)} already there, {len(refused)} refused, in {time.monotonic() - began:.0f} s: {options.out}")
    return rows


def _job(options: Retarget) -> Job:
    import torch

    from dextrack.hands.spec import load_hand
    from dextrack.references.batch import Job
    from dextrack.references.retarget import RetargetConfig

    # The rollouts of mining use all cores, retargeting one: its tensors are small.
    torch.set_num_threads(1)
    config = RetargetConfig(
        speed_limit=options.speed_limit, acceleration_limit=options.acceleration_limit, solver=options.solver, iterations=options.iterations
    )
    return Job(load_hand(options.hand), options.out, config, options.seed, options.mirror, options.force)


def _bar(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)


def _row(reference: Reference) -> dict[str, Any]:
    return {"reference": reference.name, "digest": reference.digest, **reference.diagnosis}


def _add(table: Table, reference: Reference) -> None:
    """Add the diagnosis of ``reference`` as a row."""
    d = reference.diagnosis
    numbers = (1e3 * max(d["contact_gap_m"].values()), 1e3 * d["penetration_max_m"], d["opposition"], d["jump_max_rad"])
    gap, inside, opposition, jump = (f"{x:.{digits}f}" for x, digits in zip(numbers, (1, 1, 2, 2), strict=True))
    table.add_row(reference.name, str(d["steps"]), f"{reference.time_scale:.2f}", gap, inside, opposition, jump, "; ".join(d["warnings"]))


def _slowdown(diagnosis: dict[str, Any]) -> str:
    # A grasp that mining planned, or a reference of an earlier version, was not slowed down.
    factor = diagnosis.get("finger_slowdown", 1.0)
    return f"; up to {factor:.2f} times slower around there" if factor > 1.0 else ""


def show(console: Console, reference: Reference) -> None:
    """Print the diagnosis."""
    d = reference.diagnosis
    title = f"{reference.name}: {d['steps']} steps, {d['duration_s']:.1f} s, {reference.time_scale:.2f} times the recorded duration"
    table = Table(title=title, show_header=False)
    gaps = ", ".join(f"{f} {1e3 * g:.1f}" for f, g in d["contact_gap_m"].items())
    rows = [
        ("keypoint error", f"{1e3 * d['keypoint_error_m']:.1f} mm (fingertips {1e3 * d['fingertip_error_m']:.1f} mm)"),
        ("gap to contact points", f"{gaps} mm"),
        ("opposition", f"{d['opposition']:.2f}"),
        ("penetration", f"{1e3 * d['penetration_max_m']:.1f} mm at most, {1e3 * d['penetration_first_m']:.1f} mm in the first frame"),
        ("table clearance", f"{1e3 * d['table_clearance_m']:.1f} mm"),
        ("largest finger step", f"{d['jump_max_rad']:.3f} rad"),
        ("fastest finger", f"{1e2 * d.get('finger_speed_share', float('nan')):.0f} % of its motor's speed" + _slowdown(d)),
        ("fastest wrist", f"{d['wrist_speed_max_m_s']:.2f} m/s"),
        ("lift", f"{1e2 * d['lift_m']:.1f} cm, from step {d['onset']} to {d['release']}"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for warning in d["warnings"]:
        console.print(f"[yellow]warning: {warning}[/yellow]")
