"""Check a physics backend on this machine, or serve one to another process.

dextrack sim check --backend mujoco                      every case of the conformance suite, measured against what is expected
dextrack sim check --backend mujoco --case free_fall     one case
dextrack sim serve --backend isaacgym                    serve it on this machine; where other machines shall reach it: --bind and --keys
dextrack sim keys --out FOLDER                           make the keys of a server and its clients
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dextrack.cli import EXIT_ERROR
from dextrack.errors import InputError
from dextrack.files import require_writable, write_json
from dextrack.hands import load_hand
from dextrack.sim.conformance import CASES, Result, run
from dextrack.sim.options import option
from dextrack.sim.remote.keys import make_keys
from dextrack.sim.remote.serve import serve as serve_backend


@dataclasses.dataclass(frozen=True)
class Check:
    """Run the conformance suite on a backend: joint order, limits, effort, gravity, gains, contacts, resets, time step, NaN."""

    backend: str
    """Name of the backend; a wrong one is answered with the known ones."""
    hand: str = "leap_right"
    """Robot hand to check it with."""
    case: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Cases to run; all where it is left out."""
    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """What the backend takes beside, for example n_threads=1."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the results to this file too."""
    dump: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs") / "sim_check"
    """Folder for the last state of every case that fails."""


@dataclasses.dataclass(frozen=True)
class Keys:
    """Make keys for a server that other machines can reach, and for its clients; both sides need a copy of the folder's files."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """New folder to write them into; secrets are readable by their owner alone."""


def main(args: list[str]) -> int:
    """Run ``dextrack sim``: the first of ``args`` names the sub-verb, the others are its own.

    Raises:
        InputError: no such sub-verb.
    """
    verbs: dict[str, Callable[[list[str]], int]] = {"check": check, "serve": serve, "keys": keys}
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: dextrack sim {{{','.join(verbs)}}} ...\n\n{__doc__}")
        return 0 if args else EXIT_ERROR
    if args[0] not in verbs:
        raise InputError(f"{args[0]!r} is no verb of dextrack sim.", remedy=f"choose one of: {', '.join(verbs)}.")
    return verbs[args[0]](args[1:])


def check(args: list[str]) -> int:
    """Run the suite, and show and write what it found; 0 when every case that ran has passed, else 1.

    Raises:
        InputError: no such backend, hand or case, or the engine is not installed.
    """
    options = tyro.cli(Check, args=args, prog="dextrack sim check")
    if options.json is not None:
        require_writable(options.json)
    hand, extra, console = load_hand(options.hand), dict(option(text) for text in options.option), Console()
    columns = (TextColumn("check {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(options.backend, total=len(options.case or CASES))
        try:
            results = run(options.backend, hand, extra, options.case or None, options.dump, lambda _: bar.advance(task))
        except ModuleNotFoundError as error:
            if (error.name or "dextrack").split(".")[0] == "dextrack":
                raise  # ours: a defect, and the traceback says where
            what = f"backend {options.backend}: its engine is not installed (there is no Python package {error.name!r})."
            raise InputError(what, remedy="run `make setup`, or install dextrack-core with the extra that names it.") from None
    console.print(_table(options, results))
    failed = [r.case for r in results if r.ran and not r.passed]
    ran = sum(r.ran for r in results)
    console.print(f"{options.backend}: {ran - len(failed)} of {ran} cases passed" + (f"; failed: {', '.join(failed)}" if failed else ""), soft_wrap=True)
    if options.json is not None:
        rows = {r.case: {k: v for k, v in dataclasses.asdict(r).items() if k != "case"} for r in results}
        write_json(options.json, {"backend": options.backend, "hand": options.hand, "passed": not failed, "cases": rows})
    return 1 if failed else 0


def serve(args: list[str]) -> int:
    """Serve a backend until Ctrl-C, as ``python -m dextrack.sim.remote.serve`` does.

    Raises:
        InputError, RefusedError: as ``SimServer``.
    """
    serve_backend(args)
    return 0


def keys(args: list[str]) -> int:
    """Make keys.

    Raises:
        InputError, RefusedError: as ``make_keys``.
    """
    options = tyro.cli(Keys, args=args, prog="dextrack sim keys")
    make_keys(options.out)
    print(f"{options.out}: the server needs server.key_secret and clients/, a client client.key_secret and server.key")
    return 0


def _table(options: Check, results: tuple[Result, ...]) -> Table:
    table = Table("case", "passed", "figure", title=f"backend {options.backend}, hand {options.hand}", box=box.SIMPLE_HEAD)
    for r in results:
        table.add_row(r.case, ("[green]yes[/]" if r.passed else "[red]no[/]") if r.ran else "not run", escape(r.figure))
    return table
