"""The ledger of a campaign: one JSON line beside the store for each task that ended, so that a stopped campaign goes on where it was.

A line is appended and synced after its demonstration is in the store. A line that a kill cut short is dropped at the next opening; its task is found in
the store again, or mined again. The last line about a task counts.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from dextrack.errors import InputError, RefusedError

MINED, REFUSED, FAILED, KILLED = "mined", "refused", "failed", "killed"
"""How a task ended: in the store, with whatever verdict; refused with a reason; by an error that nobody foresaw; with its worker."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one task."""

    task: str
    """Name of its demonstration in the store, ``<reference>@<hand>``."""
    state: str
    """``mined``, ``refused``, ``failed`` or ``killed``."""
    inputs: str
    """Digest of reference or recording, configuration and seed."""
    why: str = ""
    """Reason of a refusal, text of an error, or what ended the worker."""
    error: str = ""
    """Class of the error of a refusal: ``RefusedError`` where the recording is hopeless, another where something was missing or wrong; empty: not known."""
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict)
    """As the demonstration's."""
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    """As the demonstration's."""
    seconds: float = 0.0
    """Wall time."""
    cpu_seconds: float = 0.0
    """Time of all the worker's threads; 0 where it is not known."""
    peak_rss_mb: float = 0.0
    """Largest resident memory of the worker until then, MB; 0 where it is not known."""
    control_steps: int = 0
    """Control steps simulated, over all worlds."""
    steps: int = 0
    """Control steps of the reference."""
    attempt: int = 1
    """1, or 2 after a worker had been killed."""
    seed: int = 0
    ended: str = ""
    """When, UTC, ISO 8601."""

    @property
    def lifted(self) -> bool:
        """Whether the paper's success within 20 degrees and our ``lifted`` are both given."""
        return bool(self.metrics.get("success_20")) and self.part("lifted") == "passed"

    @property
    def passed(self) -> bool:
        """Whether the whole verdict passed."""
        return bool(self.verdict.get("passed"))

    def part(self, name: str) -> str:
        """State of the verdict's part ``name``; empty where there is no verdict."""
        part = self.verdict.get(name)
        return str(part.get("state", "")) if isinstance(part, dict) else ""


def path_of(store: Path) -> Path:
    """The ledger of the store at ``store``: ``demonstrations.ledger.jsonl`` beside ``demonstrations.h5``."""
    return Path(store).with_suffix(".ledger.jsonl")


def read(path: Path) -> dict[str, Row]:
    """The last row of every task, task -> row; empty where there is no such file. Lines that are no rows are passed over."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return {}
    rows = (_row(line) for line in content.split(b"\n"))
    return {row.task: row for row in rows if row is not None}


class Ledger:
    """A ledger that this process alone writes to: a second campaign on the same store is refused while it is open."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at ``path``, make it where there is none, and drop what a killed writer left half written.

        Raises:
            RefusedError: another process has it open.
            InputError: it cannot be written.
        """
        self.path = Path(path)
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise RefusedError(f"{self.path}: another process is mining to this store.", remedy="wait for it to end, stop it, or give another --out.") from None
        content = self.path.read_bytes()
        os.ftruncate(self._handle, content.rfind(b"\n") + 1)
        self.rows = read(self.path)

    def append(self, row: Row) -> None:
        """Write ``row`` and wait until it is on the disk.

        Raises:
            InputError: it cannot be written; what was there before is untouched.
        """
        text = json.dumps(dataclasses.asdict(row), allow_nan=False) + "\n"
        size = os.fstat(self._handle).st_size
        try:
            line = text.encode()
            if os.write(self._handle, line) != len(line):
                raise OSError("the disk is full")
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise _unwritable(self.path, error) from None
        self.rows[row.task] = row

    def close(self) -> None:
        """Let others write."""
        os.close(self._handle)


def _row(line: bytes) -> Row | None:
    try:
        fields = json.loads(line)
        row = Row(**{f.name: fields[f.name] for f in dataclasses.fields(Row) if f.name in fields})
    except (ValueError, TypeError, KeyError):
        return None
    whole = all(isinstance(getattr(row, f), str) for f in ("task", "state", "inputs", "why")) and isinstance(row.verdict, dict)
    return row if whole and isinstance(row.metrics, dict) else None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: it cannot be written ({error.strerror or error}).", remedy="free space or give another --out, and run the same command again.")
