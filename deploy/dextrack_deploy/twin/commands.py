"""The twin's command trace: what was commanded, as the device saw it, independent of whatever commanded it.

A file of JSON lines, one for each accepted request that moves something: ``at`` (ns since the epoch, when it arrived), ``do`` (``hand.write``,
``arm.write``, ``arm.stop`` or ``hand.power``), ``values`` (rad, for the writes), ``power`` (for ``hand.power``) and ``stamp`` (ns, the one that the
command carried; 0: none). Who commands may be killed at any moment without a loss; a killed twin loses at most ``FLUSH_S`` of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError

COMMANDS_FILE = "commands.jsonl"
"""The command trace in a trial folder."""
FLUSH_S = 0.1
"""Lines wait at most this long for the file, s."""
MOST_WAITING = 1 << 20
"""Bytes that wait for a full disk; what comes after is lost, and the twin goes on."""
DIGITS = 6
"""Values are rounded to this many digits after the point: to a millionth of a radian."""


class CommandTrace:
    """Appends to a trace; for one thread. A disk that takes nothing never stops the twin."""

    def __init__(self, path: Path) -> None:
        """Append to the file ``path``.

        Raises:
            InputError: it cannot be opened.
        """
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InputError("%s: the command trace cannot be written (%s)." % (path, error.strerror), remedy="choose another file.") from None
        self._waiting = bytearray()
        self._flushed = time.monotonic()

    def note(self, do: str, **fields: Any) -> None:
        """Note that ``do`` was accepted now."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting += json.dumps({"at": time.time_ns(), "do": do, **fields}, separators=(",", ":")).encode() + b"\n"

    def write(self, do: str, values: list[float], stamp: int) -> None:
        """Note that targets were accepted now."""
        self.note(do, values=[round(float(v), DIGITS) for v in values], stamp=stamp)

    def flush_due(self) -> None:
        """Hand the lines to the file where they have waited long enough; to be called often."""
        if self._waiting and time.monotonic() - self._flushed >= FLUSH_S:
            self._flush()

    def close(self) -> None:
        """Write what waits, and close; closing twice is allowed."""
        if self._handle >= 0:
            self._flush()
            os.close(self._handle)
            self._handle = -1

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        with contextlib.suppress(OSError):
            while self._waiting:
                del self._waiting[: os.write(self._handle, self._waiting)]


@dataclasses.dataclass(frozen=True)
class Written:
    """The targets that a device accepted, in order."""

    at_ns: NDArray[np.int64]
    """(n,) when each arrived, ns since the epoch."""
    stamp_ns: NDArray[np.int64]
    """(n,) the stamp that each carried, ns."""
    values: NDArray[np.float64]
    """(n, joints), rad; the joints in the order of the twin's ``hello``."""


@dataclasses.dataclass(frozen=True)
class Commands:
    """A command trace."""

    hand: Written
    arm: Written
    arm_stops_ns: tuple[int, ...]
    """When the arm was told to stop."""
    powers: tuple[tuple[int, str], ...]
    """(ns, name) of each power that the hand was told."""
    cut: int
    """Lines that a killed twin left half written; they are left out."""


def read_commands(path: Path) -> Commands:
    """Read a command trace, whole or as far as a killed twin came.

    Raises:
        InputError: there is no such file.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InputError("%s: the command trace cannot be read (%s)." % (path, error.strerror), remedy="give a trial folder of the twin.") from None
    rows: dict[str, list[dict[str, Any]]] = {"hand.write": [], "arm.write": [], "arm.stop": [], "hand.power": []}
    cut = 0
    for line in lines:
        try:
            row = json.loads(line)
            rows[row["do"]].append(row)
        except (ValueError, KeyError, TypeError):
            cut += 1
    return Commands(
        _written(rows["hand.write"]),
        _written(rows["arm.write"]),
        tuple(int(r["at"]) for r in rows["arm.stop"]),
        tuple((int(r["at"]), str(r["power"])) for r in rows["hand.power"]),
        cut,
    )


def _written(rows: list[dict[str, Any]]) -> Written:
    at, stamp = (np.array([r[key] for r in rows], dtype=np.int64) for key in ("at", "stamp"))
    return Written(at, stamp, np.array([r["values"] for r in rows], dtype=np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 0)))
