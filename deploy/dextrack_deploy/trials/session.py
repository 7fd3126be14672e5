"""Session: which tasks are tried how often on a cell, and what each attempt came to; one JSON file, whole after every attempt.

An attempt's level is found from the recorded motion; where a person says otherwise, both are kept and the person's counts. A session that was stopped
goes on with the first attempt that has no row.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dextrack.errors import InputError, RefusedError
from dextrack.files import write_json

VERSION = 1
FILE = "session.json"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt at one task."""

    task: str
    """Name of the demonstration or reference."""
    object: str
    """Name of its object."""
    number: int
    """1, 2, ..."""
    folder: str
    """The trial folder, relative to the session's."""
    ended: str
    """How the trial ended: one of ``trial.OUTCOMES``."""
    reason: str
    """Why."""
    level: int
    """Level found from the recorded pose of the object, 0 to 3; 0 for a trial that never ran."""
    to_end: bool
    """Lifted and followed to the end."""
    qualifies: bool
    """Whether the reference is long enough for level 3."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the level was found from."""
    true_level: int | None = None
    """Level from the true pose of the object, where there is one: in the twin."""
    operator_level: int | None = None
    """What the operator says instead."""
    note: str = ""
    """The operator's words."""
    date: str = ""
    """When it ended, UTC, ISO 8601."""

    @property
    def counts(self) -> int:
        """The level that counts: the operator's where there is one."""
        return self.level if self.operator_level is None else self.operator_level


@dataclasses.dataclass(frozen=True)
class Session:
    """What is to be tried, and what was."""

    source: str
    """Store of demonstrations."""
    tasks: tuple[str, ...]
    """Names in the store."""
    attempts: int
    """Of each task."""
    cell: str
    method: str = "replay"
    """What makes the targets."""
    speed: float = 1.0
    rows: tuple[Attempt, ...] = ()
    """Attempts that were made, in their order."""

    def __post_init__(self) -> None:
        """Refuse a session of nothing."""
        if not self.tasks or self.attempts < 1:
            raise InputError("trials: there are no tasks or no attempts.", remedy="give names with --tasks, and at least 1 with --attempts.")
        if len(set(self.tasks)) != len(self.tasks):
            raise InputError("trials: a task is named twice.", remedy="name each once; --attempts says how often each is tried.")

    def left(self) -> Iterator[tuple[str, int]]:
        """(task, attempt number) that have no row yet: every task once, then every task again, so that a stopped session is a fair one."""
        done = {(r.task, r.number) for r in self.rows}
        return ((t, n) for n in range(1, self.attempts + 1) for t in self.tasks if (t, n) not in done)

    def with_row(self, row: Attempt) -> Session:
        """The session with ``row``, which takes the place of an earlier one of the same attempt."""
        kept = tuple(r for r in self.rows if (r.task, r.number) != (row.task, row.number))
        return dataclasses.replace(self, rows=(*kept, row))

    def row(self, task: str, number: int) -> Attempt:
        """The row of an attempt.

        Raises:
            InputError: it has none.
        """
        for r in self.rows:
            if (r.task, r.number) == (task, number):
                return r
        made = ", ".join(f"{r.task} {r.number}" for r in self.rows) or "none"
        raise InputError(f"trials: attempt {number} at {task} was not made.", remedy=f"choose one of: {made}.")

    def corrected(self, task: str, number: int, level: int | None, note: str) -> Session:
        """The session with the operator's ``level`` (None: what was found stands) and ``note`` at an attempt.

        Raises:
            InputError: no such attempt or level.
        """
        if level is not None and not 0 <= level <= 3:
            raise InputError(f"trials: level {level} is not 0 to 3.", remedy="give 0, 1, 2 or 3.")
        row = self.row(task, number)
        return self.with_row(dataclasses.replace(row, operator_level=level, note=note or row.note))

    def save(self, folder: Path) -> None:
        """Write ``session.json`` into ``folder``, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {"version": VERSION, **dataclasses.asdict(self)})

    @staticmethod
    def load(folder: Path) -> Session:
        """What ``save`` wrote.

        Raises:
            InputError: there is none, or it is damaged or of another version.
        """
        path = folder / FILE
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value.pop("version") != VERSION:
                raise InputError(f"{path}: it is of another version of DexTrack.", remedy="go on with the version that began it.")
            rows = tuple(Attempt(**row) for row in value.pop("rows"))
            return Session(**{**value, "tasks": tuple(value["tasks"])}, rows=rows)
        except OSError as error:
            raise InputError(
                f"{path}: it cannot be read ({error.strerror}).", remedy="give the folder of a session that `dextrack trials run` began."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: this is no session ({error}).", remedy="begin a new one in another folder.") from None

    @staticmethod
    def begin(folder: Path, wanted: Session) -> Session:
        """``wanted``, saved into ``folder``; or the session that is there, to go on with.

        Raises:
            RefusedError: the one that is there is of other tasks, attempts, cell or method.
            InputError: see ``load`` and ``save``.
        """
        if not (folder / FILE).exists():
            wanted.save(folder)
            return wanted
        found = Session.load(folder)
        differ = [f for f in ("source", "tasks", "attempts", "cell", "method", "speed") if getattr(found, f) != getattr(wanted, f)]
        if differ:
            what = "; ".join(f"{f} is {getattr(found, f)}, not {getattr(wanted, f)}" for f in differ)
            raise RefusedError(f"{folder}: another session is there: {what}.", remedy="give the same options to go on with it, or another folder.")
        return found


def objects(rows: Sequence[Attempt]) -> list[str]:
    """Names of the objects of ``rows``, in alphabetical order."""
    return sorted({r.object for r in rows})
