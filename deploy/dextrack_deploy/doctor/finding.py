"""Finding: one thing that the doctor looked at, how bad it is, and what to do."""

from __future__ import annotations

import dataclasses
import enum


class Level(enum.Enum):
    """How bad a finding is."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Worth knowing; nothing that the cell needs is missing."""
    WARNING = "warning"
    """The cell may run, and may disappoint."""
    PROBLEM = "problem"
    """The cell cannot run, or not safely."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer.

    Raises:
        ValueError: a warning or a problem has no remedy; that is a defect of the check.
    """

    name: str
    """What was looked at, in a word or two."""
    level: Level
    what: str
    """What was found."""
    remedy: str = ""
    """What to do."""

    def __post_init__(self) -> None:
        """Refuse bad news without advice."""
        if self.level in (Level.WARNING, Level.PROBLEM) and not self.remedy:
            raise ValueError(f"finding {self.name!r} has no remedy")

    def as_json(self) -> dict[str, str]:
        """For the file that ``--json`` writes."""
        return {"name": self.name, "level": self.level.value, "what": self.what, "remedy": self.remedy}


def ok(name: str, what: str) -> Finding:
    """As it should be."""
    return Finding(name, Level.OK, what)


def note(name: str, what: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(name, Level.NOTE, what, remedy)


def warning(name: str, what: str, remedy: str) -> Finding:
    """It may disappoint."""
    return Finding(name, Level.WARNING, what, remedy)


def problem(name: str, what: str, remedy: str) -> Finding:
    """It stands in the way."""
    return Finding(name, Level.PROBLEM, what, remedy)


def missing(needed: bool, name: str, what: str, remedy: str) -> Finding:
    """A problem where the cell needs it, else a note."""
    return Finding(name, Level.PROBLEM if needed else Level.NOTE, what, remedy)


def doubtful(needed: bool, name: str, what: str, remedy: str) -> Finding:
    """A warning where the cell needs it, else a note."""
    return Finding(name, Level.WARNING if needed else Level.NOTE, what, remedy)
