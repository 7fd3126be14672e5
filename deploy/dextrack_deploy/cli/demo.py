"""The whole way for one recording: data, retargeting, mining, and a trial in the twin over ROS 2 with its report."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from dextrack.demonstrations.store import name_of
from dextrack.errors import InputError


@dataclasses.dataclass(frozen=True)
class Demo:
    """Turn one recording into a trial of the robot in the twin."""

    recording: Annotated[str, tyro.conf.Positional] = "apple_lift"
    """Name of a recording of MyoDM (see `dextrack data list`), or a recording's file."""
    hand: str = "leap_right"
    """Robot hand."""
    cell: str = "twin"
    """Cell that the trial runs on."""
    out: Path = Path("runs")
    """Folder of everything that is made; runs/latest points at the newest trial."""
    seed: int = 0
    """Seed of retargeting, mining and the twin's noise."""
    zero_mismatch: bool = False
    """Run the twin with the physics of mining; the report says so."""


def main(args: list[str]) -> int:
    """Run ``dextrack demo``; see ``--help``. The exit code is the trial's."""
    options = tyro.cli(Demo, args=args, prog="dextrack demo")
    console = Console()
    began = time.monotonic()
    _step(console, 1, "recordings", began)
    _install(options)
    _step(console, 2, "retargeting", began)
    from dextrack.cli import mine, retarget

    reference, path, _ = retarget.run(retarget.Retarget((options.recording,), hand=options.hand, out=options.out / "references", seed=options.seed), console)
    retarget.show(console, reference)
    _step(console, 3, "mining", began)
    store = options.out / "demonstrations.h5"
    demonstration, _ = mine.run(mine.Mine((str(path),), out=store, seed=options.seed), console)
    mine.show(console, demonstration)
    if not demonstration.verdict["passed"]:
        console.print("[yellow]the demonstration's verdict did not pass; the trial shows how far it gets[/yellow]")
    _step(console, 4, f"trial on cell {options.cell}", began)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = options.out / f"{reference.name}-{stamp}"
    arguments = ["--demonstration", str(store), "--name", name_of(demonstration), "--cell", options.cell, "--out", str(folder), "--no-ask"]
    arguments += ["--seed", str(options.seed)] + (["--zero-mismatch"] if options.zero_mismatch else [])
    code = _verb("track")(arguments)
    console.print(f"finished in {time.monotonic() - began:.0f} s")
    return code


def _step(console: Console, number: int, what: str, began: float) -> None:
    console.rule(f"[bold]{number}/4 {what}[/bold] ({time.monotonic() - began:.0f} s)", align="left")


def _install(options: Demo) -> None:
    """Install MyoDM unless the recording is a file or an installed one."""
    from dextrack.cli import data
    from dextrack.references.library import recordings

    if not Path(options.recording).is_file() and options.recording.rpartition("/")[2] not in recordings():
        data.main(["install", "myodm"])


def _verb(name: str) -> Callable[[list[str]], int]:
    """The ``main`` of a verb that another package adds (the core may not import it)."""
    from dextrack.cli import verbs

    known = verbs()
    if name not in known:
        raise InputError(f"the verb {name!r} is not installed.", remedy="run `make setup`, which installs the ROS 2 package of DexTrack.")
    run: Callable[[list[str]], int] = importlib.import_module(known[name][0]).main
    return run
