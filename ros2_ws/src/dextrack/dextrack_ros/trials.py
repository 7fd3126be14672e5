"""Try demonstrations several times each on a cell, judge every attempt by the paper's three levels, and make its tables.

dextrack trials run lab1 --demonstrations demonstrations.h5 --tasks apple_lift mouse_lift    goes on where it stopped
dextrack trials correct lab1 apple_lift 2 --level 1 --note "slipped while rising"            what a person saw, beside what was found
dextrack trials show lab1                                                                    the tables
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tyro
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placement import place
from dextrack_deploy.source import load_source
from dextrack_deploy.trials.assess import assess
from dextrack_deploy.trials.session import Attempt, Session
from dextrack_deploy.trials.tables import markdown, summary
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from dextrack.demonstrations import store
from dextrack.errors import InputError, RefusedError
from dextrack.files import replacing, write_json
from dextrack_ros.conclusion import EXIT_INTERRUPTED

TABLES, FIGURES = "trials.md", "trials.json"
PLACEMENT_SEED = 0
"""Of the search for the place of each task's object: the same in every attempt, and when a session goes on."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Make the attempts that are left; each asks for the object to be put in place, and for what you saw."""

    session: Annotated[Path, tyro.conf.Positional]
    """Folder of the session; trial folders are made in it."""
    demonstrations: Path
    """Store of demonstrations (.h5)."""
    tasks: tuple[str, ...]
    """Names in the store, with or without their @hand."""
    attempts: int = 4
    """Attempts at each task."""
    cell: str = "twin"
    """Name of a cell configuration, or a path to one."""
    speed: float = 1.0
    """How fast each run plays, as a part of its own speed, 0.1 to 1."""
    yes: bool = False
    """Ask nothing: for rehearsals in the twin, whose object lies in place by itself. Refused where a device is a real one."""
    domain: int | None = None
    """ROS domain id; by default that of ROS_DOMAIN_ID where it is set, else a free one for each attempt."""


@dataclasses.dataclass(frozen=True)
class Correct:
    """Say which level an attempt really reached; what was found is kept beside it."""

    session: Annotated[Path, tyro.conf.Positional]
    """Folder of the session."""
    task: Annotated[str, tyro.conf.Positional]
    """Name of the task."""
    attempt: Annotated[int, tyro.conf.Positional]
    """Number of the attempt."""
    level: int | None = None
    """0 to 3; left out: what was found stands."""
    note: str = ""
    """Your words."""


@dataclasses.dataclass(frozen=True)
class Show:
    """Show the tables, and write them into the session's folder."""

    session: Annotated[Path, tyro.conf.Positional]
    """Folder of the session."""
    json: Path | None = None
    """Also write the figures to this file."""


def main(args: list[str]) -> int:
    """Run the verb; the exit code is 0 where every attempt that was asked for is made."""
    options = tyro.extras.subcommand_cli_from_dict({"run": Run, "correct": Correct, "show": Show}, args=args, prog="dextrack trials", description=__doc__)
    console = Console(highlight=False)
    if isinstance(options, Run):
        return _run(options, console)
    session = Session.load(options.session)
    if isinstance(options, Correct):
        session = session.corrected(options.task, options.attempt, options.level, options.note)
        session.save(options.session)
    _show(session, options.session, console)
    if isinstance(options, Show) and options.json is not None:
        write_json(options.json, summary(session))
    return 0


def _run(options: Run, console: Console) -> int:
    """Make one attempt after the other; the session is saved after each.

    Raises:
        RefusedError: nobody is asked before the robot moves, and it is no rehearsal.
    """
    _require_somebody(options)
    names = store.names(options.demonstrations)
    unknown = [t for t in options.tasks if not any(t in (n, n.rpartition("@")[0]) for n in names)]
    if unknown:
        raise InputError(f"{options.demonstrations}: it holds no {unknown[0]}.", remedy=f"choose out of: {', '.join(names) or 'none'}.")
    wanted = Session(str(options.demonstrations.resolve()), options.tasks, options.attempts, options.cell, speed=options.speed)
    session = Session.begin(options.session, wanted)
    left = list(session.left())
    places: dict[str, str] = {}
    for i, (task, number) in enumerate(left):
        console.print(f"[bold]{escape(task)}, attempt {number} of {session.attempts}[/bold]  ({i + 1} of {len(left)})")
        if not options.yes:
            places[task] = places.get(task) or _place(options, task)
        if not options.yes and not _ready(console, task, places[task]):
            console.print("stopped; the same command goes on from here")
            return EXIT_INTERRUPTED
        row = _attempt(options, task, number)
        if row is None:
            console.print("this attempt was broken off and does not count; the same command goes on with it")
            return EXIT_INTERRUPTED
        true = "" if row.true_level is None else f" (by the twin's truth: {row.true_level})"
        console.print(f"level {row.level}{true}; {escape(row.ended)}: {escape(row.reason)}")
        # Before it is asked about: an attempt that was made is not lost because nobody answered.
        session = session.with_row(row)
        session.save(options.session)
        if not options.yes:
            session = session.with_row(_seen(console, row))
            session.save(options.session)
    _show(session, options.session, console)
    return 0


def _require_somebody(options: Run) -> None:
    """Refuse to begin attempts that nobody is asked about, but for rehearsals."""
    real = load_cell(options.cell).drivers.hardware
    if options.yes and real:
        what = f"trials: --yes would move the {' and the '.join(real)} of cell {options.cell} without asking."
        raise RefusedError(what, remedy="leave --yes out, and stay with the robot; or rehearse on the cell twin.")
    if not options.yes and not sys.stdin.isatty():
        raise RefusedError("trials: there is no terminal to ask in before each attempt.", remedy="start it in a terminal; or rehearse in the twin with --yes.")


def _place(options: Run, task: str) -> str:
    """Where the object of ``task`` must lie in every attempt, in words; or why it cannot lie anywhere, which each attempt then says too."""
    item = load_source(options.demonstrations, task)
    try:
        return place(item, load_cell(options.cell), seed=PLACEMENT_SEED).where
    except RefusedError as error:
        return f"nowhere: {error.what}"


def _ready(console: Console, task: str, where: str) -> bool:
    """Wait until the operator has put the object in place; False where they want to stop."""
    return _ask(console, f"Lay the object of {escape(task)} where the trial begins: {escape(where)}. Enter: go; q: stop here. ").lower() != "q"


def _ask(console: Console, question: str) -> str:
    """The answer to ``question``. The end of the input is none: it stops the session as Ctrl-C does."""
    try:
        return console.input(question).strip()
    except EOFError:
        raise KeyboardInterrupt from None


def _seen(console: Console, row: Attempt) -> Attempt:
    """What the operator saw, beside what was found."""
    while True:
        answer = _ask(console, "Enter: agreed; 0 to 3: the level that you saw, and a note if you like: ")
        level, _, note = answer.partition(" ")
        if answer == "" or level in ("0", "1", "2", "3"):
            return dataclasses.replace(row, operator_level=int(level) if answer else None, note=note.strip())
        console.print("give 0, 1, 2 or 3, then a note; or nothing")


def _attempt(options: Run, task: str, number: int) -> Attempt | None:
    """Run one trial as `dextrack track` does, in a process of its own; None where the operator broke it off."""
    folder = _unused(options.session / f"{task}-{number}")
    # The seed is the attempt's number: no two attempts see the same noise. All of them begin at the same place.
    arguments = ["--demonstration", str(options.demonstrations), "--name", task, "--cell", options.cell, "--out", str(folder)]
    arguments += ["--seed", str(number), "--placement-seed", str(PLACEMENT_SEED), "--speed", str(options.speed), "--no-ask"]
    arguments += [] if options.domain is None else ["--domain", str(options.domain)]
    # Without a terminal of its own, a trial that is stopped ends: a rehearsal that nobody watches goes on with the next.
    process = subprocess.Popen([sys.executable, "-m", "dextrack", "track", *arguments], stdin=subprocess.DEVNULL if options.yes else None)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            # Ctrl-C reaches the trial too, which ends in order; its end is waited for.
            continue
    return None if code == EXIT_INTERRUPTED else assess(folder, options.session, task, number)


def _unused(folder: Path) -> Path:
    """``folder``, or one like it where a trial that was broken off left something there."""
    i, path = 1, folder
    while path.exists():
        i, path = i + 1, folder.with_name(f"{folder.name}-{chr(96 + i)}")
    return path


def _show(session: Session, folder: Path, console: Console) -> None:
    """Print the tables and write them into the session's folder."""
    text = markdown(session)
    with replacing(folder / TABLES) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(folder / FIGURES, summary(session))
    console.print(Markdown(text))
    left = len(list(session.left()))
    console.print(f"{len(session.rows)} attempts made, {left} left; tables: {folder / TABLES}")
