"""Turn a recording into a reference, with its diagnosis."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dextrack.errors import InputError
from dextrack.files import require_writable, write_json
from dextrack.references.library import find_object, find_recording
from dextrack.references.mirror import mirror_recording
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class Retarget:
    """Retarget a recording to a robot hand."""

    recording: Annotated[str, tyro.conf.Positional]
    """Name of an installed recording, for example apple_lift, or a recording's file."""
    hand: str = "leap_right"
    """Robot hand."""
    mirror: bool = False
    """Take the recording's mirror image, so that a left hand does what a right one did; recording and object are then called ..._mirrored."""
    out: Path = Path("references")
    """Folder of the reference; the file is named after the recording."""
    speed_limit: float = 0.5
    """Slow down what is faster than this, m/s; 0: never."""
    acceleration_limit: float = 2.0
    """Slow down what accelerates more than this, m/s2; 0: never."""
    solver: Literal["gauss-newton", "lbfgs"] = "gauss-newton"
    """Second order, or the paper's."""
    iterations: int = 0
    """Iterations of the solver at most; 0: its default."""
    seed: int = 0
    """Seed of the surface samples among which contacts are chosen."""
    json: Path | None = None
    """Write the diagnosis to this file too."""
    force: bool = False
    """Retarget again, even if the reference is there and was made from the same inputs."""


def main(args: list[str]) -> int:
    """Run ``dextrack retarget``; see ``--help``."""
    options = tyro.cli(Retarget, args=args, prog="dextrack retarget")
    console = Console()
    if options.json is not None:
        require_writable(options.json)
    reference, path, made = run(options, console)
    show(console, reference)
    console.print(f"[bold]{path}[/bold] ({'made' if made else 'already there, made from the same inputs'})")
    if options.json:
        write_json(options.json, {"reference": reference.name, "digest": reference.digest, **reference.diagnosis})
    return 0


def run(options: Retarget, console: Console) -> tuple[Reference, Path, bool]:
    """Retarget as ``options`` say; returns (reference, its file, whether it had to be made)."""
    import torch

    from dextrack.hands.spec import load_hand
    from dextrack.references.retarget import RetargetConfig, retarget

    hand = load_hand(options.hand)
    recording = find_recording(options.recording)
    if options.mirror:
        recording = mirror_recording(recording)
    obj = find_object(recording)
    config = RetargetConfig(
        speed_limit=options.speed_limit, acceleration_limit=options.acceleration_limit, solver=options.solver, iterations=options.iterations
    )
    path = options.out / f"{recording.name}.npz"
    if not options.force and path.is_file():
        try:
            found = Reference.load(path)
        except InputError as error:
            console.print(f"[yellow]{error.what} It is made again.[/yellow]")
        else:
            if recording.side == hand.side and _inputs(found) == (recording.digest, obj.digest, dataclasses.asdict(config), options.seed, hand.name):
                return found, path, False
    require_writable(path)
    # The rollouts of mining use all cores, retargeting one: its tensors are small.
    torch.set_num_threads(1)
    for flag in recording.flags:
        console.print(f"[yellow]{recording.name}: {flag}[/yellow]")
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"retarget {recording.name} to {hand.name}", total=1.0)
        reference = retarget(recording, obj, hand, config, options.seed, lambda done: bar.update(task, completed=done))
    reference.save(path)
    console.print(f"retargeted {recording.name} in {time.monotonic() - began:.1f} s")
    return reference, path, True


def _inputs(reference: Reference) -> tuple[Any, ...]:
    p = reference.provenance
    config = p.get("config", {})
    # JSON has no tuples.
    config = {**config, "smooth_scale": tuple(config.get("smooth_scale", ()))}
    return p.get("recording"), p.get("object"), config, p.get("seed"), reference.hand_name


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
        ("fastest wrist", f"{d['wrist_speed_max_m_s']:.2f} m/s"),
        ("lift", f"{1e2 * d['lift_m']:.1f} cm, from step {d['onset']} to {d['release']}"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for warning in d["warnings"]:
        console.print(f"[yellow]warning: {warning}[/yellow]")
