"""Export demonstrations to LeRobotDataset v3, or to the files of the DexTrack authors' release."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from dextrack.demonstrations.export import export


@dataclasses.dataclass(frozen=True)
class Export:
    """Export demonstrations, as a folder that others' tools read."""

    store: Annotated[Path, tyro.conf.Positional]
    """File of demonstrations, as `dextrack mine` writes it."""
    format: str
    """lerobot: a LeRobotDataset v3.0; dextrack: the .npy files of the DexTrack authors' release."""
    out: Path
    """Folder to write; it must not be there, or be empty."""
    names: tuple[str, ...] = ()
    """Which demonstrations, by the name of the reference or in full (apple_lift@leap_right); none: all."""
    hand: str = ""
    """Only the demonstrations of this hand: a LeRobotDataset holds one robot's. By default of every hand in the store."""
    passed_only: bool = False
    """Leave out demonstrations whose verdict has not passed."""
    force: bool = False
    """Replace the folder, if it is an earlier export."""


def main(args: list[str]) -> int:
    """Run ``dextrack export``; see ``--help``."""
    o = tyro.cli(Export, args=args, prog="dextrack export")
    entries = export(o.store, o.format, o.out, o.names, o.passed_only, o.force, o.hand)["demonstrations"]
    console = Console(highlight=False)
    passed = sum(entry["passed"] for entry in entries.values())
    console.print(f"[bold]{o.out}[/bold]: {len(entries)} demonstrations ({passed} with a verdict that passed), format {o.format}")
    for name, entry in entries.items():
        if entry.get("beyond_their_limits"):
            console.print(f"note: {name} leaves the limits of the release's wrist ({', '.join(entry['beyond_their_limits'])}); its simulator will clamp it.")
    for licence in sorted({entry["licence"] for entry in entries.values() if entry.get("licence")}):
        console.print(f"made from recordings under these terms: {licence}")
    return 0
