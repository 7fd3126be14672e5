"""Fit a reference or demonstration to a cell: where the object must lie, how slow, how near to the arm's limits; or why it cannot be."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from dextrack.evaluation import html
from dextrack.files import write_json
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placed import reference_of
from dextrack_deploy.placement import PlacedTask, lying_at, place
from dextrack_deploy.placement.page import make
from dextrack_deploy.source import load_source, split_source


@dataclasses.dataclass(frozen=True)
class Place:
    """Fit a reference or demonstration to a cell, and draw a page of it; `dextrack track` does the same before each trial."""

    source: Annotated[str, tyro.conf.Positional]
    """Reference (.npz) or demonstration (.h5, or .h5:name)."""
    cell: str = "twin"
    """Name of a cell configuration, or a path to one."""
    at: tuple[float, float, float] | None = None
    """Where the object lies: x and y in m, and its turn about the vertical from how the task begins, degrees; by default the best place is found."""
    slowest: float = 4.0
    """Slow-down beyond which it is refused."""
    seed: int = 0
    """Seed of the search."""
    out: Path = Path("runs/placements")
    """Folder for the page."""
    json: Path | None = None
    """Also write the figures to this file."""


def main(args: list[str]) -> int:
    """Run the verb.

    Raises:
        RefusedError: the cell cannot do it, with the reason.
        InputError: a file is missing, damaged or of another hand.
    """
    asked = tyro.cli(Place, args=args, prog="dextrack place", description=__doc__)
    cell = load_cell(asked.cell)
    item = load_source(*split_source(asked.source))
    reference = reference_of(item)
    lies = None if asked.at is None else lying_at(item, *asked.at)
    began = time.monotonic()
    placed: PlacedTask[Any] = place(item, cell, lies, asked.slowest, asked.seed)
    seconds = time.monotonic() - began
    page = asked.out / f"{reference.name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    html.write(page, make(placed, cell))
    f = placed.figures
    print(f"placed in {seconds:.1f} s: object at {placed.where}; slowed down {placed.time_scale:.2f} times")
    near = f"nearest joint limit {f.min_limit_margin:.2f} rad, {100 * f.min_table_clearance:.1f} cm over the table"
    print(f"fastest joint {f.max_velocity_fraction:.0%} of its limit, {near}")
    print(page)
    if asked.json is not None:
        figures = {"transform": dataclasses.asdict(placed.transform), "time_scale": placed.time_scale, **dataclasses.asdict(f), "seconds": seconds}
        write_json(asked.json, {"reference": reference.name, "cell": cell.name, **figures})
    return 0
