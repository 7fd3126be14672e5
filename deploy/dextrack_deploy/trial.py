"""The trial folder: its layout, its lock, the events of the trial, and ``runs/latest``.

Rules
- One process at a time owns a trial folder. The lock is the kernel's (``flock``): it ends with its process however that dies, so a lock file that
  a dead process left behind locks nothing. The file holds the owner's process id for the message that refuses the second.
- An event is one line of JSON, appended with one write: a kill loses at most the line being written. Changes of state are forced to the disk.
- A full disk does not end a trial: events that could not be written are kept, and written again with the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dextrack.errors import InputError, RefusedError

OUTCOMES = ("finished", "held", "fault", "refused", "interrupted")
"""How a trial can end."""


@dataclasses.dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended; whether it tracked is the report's to say."""

    ended: str
    """One of ``OUTCOMES``: every target was given; a watch or the operator stopped it; FAULT; it never began; Ctrl-C or a signal."""
    reason: str
    """The supervisor's or preflight's words."""
    ticks: int = 0
    """Targets that were given."""
    n_ticks: int = 0
    """Targets that there are."""

    def __post_init__(self) -> None:
        """Refuse an outcome that there is not."""
        if self.ended not in OUTCOMES:
            raise InputError(f"trial outcome {self.ended!r} is not known.", remedy=f"use one of: {', '.join(OUTCOMES)}.")

    @property
    def complete(self) -> bool:
        """Whether every target was given."""
        return self.ended == "finished"


@dataclasses.dataclass(frozen=True)
class TrialFolder:
    """Where a trial keeps its files."""

    path: Path

    @property
    def log(self) -> Path:
        """The trial log, MCAP."""
        return self.path / "trial.mcap"

    @property
    def events(self) -> Path:
        """State changes and messages, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.path / "report.json"

    @property
    def report_html(self) -> Path:
        """The report for people; one file."""
        return self.path / "report.html"

    @contextlib.contextmanager
    def locked(self) -> Iterator[TrialFolder]:
        """Own the folder (made if missing) for the duration of the block.

        Raises:
            RefusedError: a running process owns it; the message has its process id.
            InputError: the folder cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = _lock(self.path / ".lock")
        except OSError as error:
            raise InputError(f"{self.path}: the trial folder cannot be written ({error.strerror}).", remedy="choose a folder that you may write.") from None
        try:
            yield self
        finally:
            # Unlinked while still locked: whoever opened the old file meanwhile sees that it is gone, and opens the new one.
            with contextlib.suppress(FileNotFoundError):
                (self.path / ".lock").unlink()
            os.close(handle)

    def point_latest(self) -> None:
        """Let the symbolic link ``latest`` beside the folder point to it, in one step. Left alone where a real file has that name."""
        link = self.path.parent / "latest"
        if link.exists() and not link.is_symlink():
            return
        temporary = self.path.parent / f".latest.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(self.path.name)
        os.replace(temporary, link)


def _lock(path: Path) -> int:
    """Open ``path``, lock it and write our process id into it; the file descriptor holds the lock."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            what = f"{path.parent}: process {owner or 'unknown'} is writing a trial there."
            raise RefusedError(what, remedy="wait for it, or choose another folder.") from None
        # The owner before us may have removed the file between our open and our lock; then we hold a lock on nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle
        os.close(handle)


class EventLog:
    """Appends events to ``events.jsonl``; several processes may append to the same file."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``.

        Raises:
            InputError: it cannot be opened.
        """
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._finish_line(path)
        except OSError as error:
            raise InputError(f"{path}: the trial's events cannot be written ({error.strerror}).", remedy="free disk space, or choose another folder.") from None
        self._pending = b""
        self.error = ""
        """Why events are waiting to be written; empty when none are."""

    def _finish_line(self, path: Path) -> None:
        """End a line that a killed process left half written, so that the next event begins its own."""
        with open(path, "rb") as f:
            if f.seek(0, os.SEEK_END) and f.seek(-1, os.SEEK_END) >= 0 and f.read(1) != b"\n":
                os.write(self._handle, b"\n")

    def write(self, kind: str, stamp_ns: int, *, durable: bool = False, **fields: Any) -> None:
        """Append the event ``kind`` at ``stamp_ns`` with ``fields`` (JSON values; NaN is refused).

        ``durable`` forces it to the disk: for changes of state. Never raises for a full disk; see ``error``.
        """
        line = json.dumps({"stamp_ns": int(stamp_ns), "kind": kind, **fields}, allow_nan=False, separators=(",", ":"))
        self._pending += line.encode() + b"\n"
        self.flush(durable)

    def flush(self, durable: bool = True) -> None:
        """Try again to write what is waiting."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._handle, self._pending) :]
            if durable:
                os.fsync(self._handle)
            self.error = ""
        except OSError as error:
            self.error = error.strerror or str(error)

    def close(self) -> None:
        """Write what is waiting, and close."""
        self.flush()
        os.close(self._handle)


def read_events(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Read ``events.jsonl``.

    Returns:
        (events in the order of their stamps, number of lines that were cut off by a kill and are left out).

    Raises:
        InputError: the file is missing.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: the trial's events cannot be read ({error.strerror}).", remedy="check the trial folder.") from None
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("stamp_ns"), int) and "kind" in event:
                events.append(event)
    return sorted(events, key=lambda e: e["stamp_ns"]), len(lines) - len(events)
