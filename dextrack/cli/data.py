"""Fetch a data set, or check and list what is installed.

- dextrack data install myodm     fetch and convert 95 recordings of a hand moving everyday objects
- dextrack data check             read every installed file again and compare it with what was installed
- dextrack data list              the recordings, with their objects and what is known to be wrong with them, and your own objects
- dextrack data split             which recordings are to learn from, and which are held out
- dextrack data object FILE       make an object of your mesh: dextrack data object bottle.stl --unit mm
- dextrack data format            the format of a recording's and an object's file, to write your own
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from dextrack.cli.data_object import MakeObject, make_object
from dextrack.errors import InputError
from dextrack.files import write_json
from dextrack.hands.spec import KEYPOINTS
from dextrack.objects import spec as object_file
from dextrack.objects.remarks import remarks
from dextrack.objects.spec import ObjectSpec
from dextrack.references import recording as recording_file
from dextrack.references import splits
from dextrack.references.library import own_objects
from dextrack.references.readers import READERS, folder_of, reader
from dextrack.references.readers.installation import MANIFEST, Checked, check
from dextrack.references.recording import Recording


@dataclasses.dataclass(frozen=True)
class Install:
    """Fetch a data set and convert it; resumes after an interruption, does nothing where nothing is missing."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name of the data set: myodm."""
    source: Annotated[Path | None, tyro.conf.arg(aliases=["--wheel"], metavar="FILE")] = None
    """What you downloaded yourself, instead of fetching it: for myodm the wheel of MyoSuite."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Read every installed file again, and compare its content with what was installed."""

    dataset: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATASET]")] = None
    """Name of the data set; all that are installed where it is left out."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the result to this file as JSON."""


@dataclasses.dataclass(frozen=True)
class List:
    """List the installed recordings."""

    dataset: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATASET]")] = None
    """Name of the data set; all that are installed where it is left out."""


@dataclasses.dataclass(frozen=True)
class ShowSplit:
    """Show the fixed split of a data set into training and held-out recordings."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[DATASET]")] = "myodm"
    """Name of the data set."""
    part: Literal["train", "test_seen", "test_unseen", "excluded"] | None = None
    """Print the names of this part alone, one a line."""


@dataclasses.dataclass(frozen=True)
class Format:
    """Print the format of recordings and objects."""


def main(args: list[str]) -> int:
    """Run ``dextrack data`` with ``args``; 0 when all is well, 1 when a check found a problem."""
    commands: dict[str, Any] = {"install": Install, "check": Check, "list": List, "split": ShowSplit, "object": MakeObject, "format": Format}
    command = tyro.extras.subcommand_cli_from_dict(commands, prog="dextrack data", description=__doc__, args=args)
    # Rich assumes 80 columns where there is no terminal, which would fold every row of a list in a file.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
    if isinstance(command, Install):
        reader(command.dataset).install(folder_of(command.dataset), command.source)
        return 0
    if isinstance(command, Check):
        return _check(command, console)
    if isinstance(command, List):
        return _list(command, console)
    if isinstance(command, ShowSplit):
        return _split(command, console)
    if isinstance(command, MakeObject):
        return make_object(command, console)
    rule = "\n" + "-" * 100 + "\n"
    print(inspect.getdoc(recording_file), "The 21 keypoints: " + ", ".join(KEYPOINTS) + ".", inspect.getdoc(object_file), sep=rule)
    return 0


def _datasets(name: str | None) -> list[str]:
    """``name`` alone, or all installed data sets.

    Raises:
        InputError: the name is not known, or nothing is installed.
    """
    if name is not None:
        return [reader(name).name]
    installed = [n for n in READERS if (folder_of(n) / MANIFEST).exists()]
    if not installed:
        raise InputError("no data set is installed.", remedy="run `dextrack data install myodm`.")
    return installed


def _check(command: Check, console: Console) -> int:
    """Check data sets, print and write what was found."""
    results: dict[str, Any] = {}
    for name in _datasets(command.dataset):
        checked = check(folder_of(name))
        results[name] = _summary(folder_of(name), checked)
        for problem in checked.problems:
            console.print(f"[bold red]problem[/]: {problem}", soft_wrap=True)
        for obj in checked.objects:
            for remark in remarks(obj):
                console.print(f"object {obj.name}: {remark}", soft_wrap=True)
        verdict = "[green]whole[/]" if not checked.problems else f"[red]{len(checked.problems)} problems[/]; `dextrack data install {name}` repairs it"
        frames = sum(len(r.time) for r in checked.recordings)
        console.print(
            f"{name}: {len(checked.recordings)} recordings ({frames} frames, {sum(1 for r in checked.recordings if r.flags)} with flags), "
            f"{len(checked.objects)} objects in {folder_of(name)}: {verdict}",
            soft_wrap=True,
        )
    if command.json is not None:
        write_json(command.json, results)
    return 1 if any(r["problems"] for r in results.values()) else 0


def _summary(folder: Path, checked: Checked) -> dict[str, Any]:
    """Result of a check, for JSON."""
    return {
        "folder": str(folder),
        "problems": checked.problems,
        "objects": {o.name: {"parts": len(o.parts), "mass_kg": o.mass, "digest": o.digest} for o in checked.objects},
        "recordings": {
            r.name: {"object": r.object_name, "frames": len(r.time), "seconds": float(r.time[-1] - r.time[0]), "flags": list(r.flags), "digest": r.digest}
            for r in checked.recordings
        },
    }


def _list(command: List, console: Console) -> int:
    """Print the recordings of data sets, and the user's own objects."""
    own = sorted(own_objects().glob("[!.]*.npz")) if command.dataset is None else []
    try:
        datasets = _datasets(command.dataset)
    except InputError as error:
        if not own:
            raise
        console.print(f"{error.what} {error.remedy}", soft_wrap=True)
        datasets = []
    if datasets:
        console.print(_recordings(datasets))
    if own:
        console.print(_own(own))
    return 0


def _recordings(datasets: list[str]) -> Table:
    """The recordings of data sets."""
    table = _table("recording", "object", "frames", "seconds", "part", "flags")
    for name in datasets:
        for path in sorted((folder_of(name) / "recordings").glob("[!.]*.npz")):
            try:
                r = Recording.load(path)
            except InputError as error:
                table.add_row(path.stem, "", "", "", "", f"[red]{error.what}[/]")
                continue
            table.add_row(r.name, r.object_name, str(len(r.time)), f"{r.time[-1] - r.time[0]:.2f}", _part(name, r.name), "; ".join(r.flags))
    return table


def _part(dataset: str, name: str) -> str:
    """The part of the split that a recording is in; nothing where there is none."""
    try:
        return splits.load(dataset).part_of(name)
    except InputError:
        return ""


def _own(paths: list[Path]) -> Table:
    """The user's own objects."""
    table = _table("your object", "extent", "parts", "mass", "friction", "symmetry", "made from")
    for path in paths:
        try:
            o = ObjectSpec.load(path)
        except InputError as error:
            table.add_row(path.stem, "", "", "", "", "", f"[red]{error.what}[/]")
            continue
        extent = " x ".join(f"{1e3 * x:.0f}" for x in np.ptp(o.vertices, axis=0)) + " mm"
        symmetry = "" if o.symmetry is None else str(o.symmetry)
        table.add_row(o.name, extent, str(len(o.parts)), f"{o.mass:.3f} kg", f"{o.friction:g}", symmetry, o.source.split(",")[0])
    return table


def _table(*columns: str) -> Table:
    """An empty table for lists; numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in ("frames", "seconds", "parts", "friction") else "left", overflow="fold")
    return table


def _split(command: ShowSplit, console: Console) -> int:
    """Print the split of a data set."""
    split = splits.load(command.dataset)
    if command.part is not None:
        print(*getattr(split, command.part), sep="\n")
        return 0
    for part in splits.PARTS:
        names = getattr(split, part)
        console.print(f"[bold]{part}[/bold]: {len(names)} recordings of {len({splits.object_of(n) for n in names})} objects")
        lines = [f"{name}: {split.excluded[name]}" for name in names] if part == "excluded" else [", ".join(names)]
        console.print("\n".join(lines) + "\n", soft_wrap=part == "excluded")
    console.print("The rule is told in dextrack/references/splits.py; `--part test_unseen` prints the names of a part, one a line.", soft_wrap=True)
    return 0
