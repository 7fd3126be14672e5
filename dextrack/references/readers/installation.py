"""The folder of an installed data set: its lock, its manifest, and the check of its files against the manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dextrack.errors import InputError
from dextrack.files import write_json
from dextrack.objects.spec import ObjectSpec
from dextrack.references.recording import Recording

MANIFEST = "manifest.json"


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of ``folder``, which the kernel frees even when the process is killed; call ``waiting(holder)`` once where another holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as f:
        told = False
        while True:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    f.seek(0)
                    waiting(f.read().strip() or "another process")
                    told = True
                time.sleep(0.2)
        f.seek(0)
        f.truncate()
        f.write(f"process {os.getpid()}\n")
        f.flush()
        yield


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an installation made: names with the digests of their content."""

    dataset: str
    source: str
    """What it was made from, with its digest."""
    converter: int
    """Version of the conversion; a new one makes every file again."""
    recordings: dict[str, str]
    objects: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write it into ``folder``: the last act of an installation."""
        write_json(folder / MANIFEST, {"kind": "data set", **dataclasses.asdict(self)})

    @staticmethod
    def load(folder: Path) -> Manifest | None:
        """The manifest in ``folder``; None where there is none or it is damaged (then the data set is not installed)."""
        try:
            value = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            recordings, objects = ({str(k): str(v) for k, v in value[field].items()} for field in ("recordings", "objects"))
            return Manifest(str(value["dataset"]), str(value["source"]), int(value["converter"]), recordings, objects)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@dataclasses.dataclass(frozen=True)
class Checked:
    """Result of a check: what is there, and what is wrong."""

    recordings: list[Recording]
    objects: list[ObjectSpec]
    problems: list[str]
    """One line each: file, cause."""


def check(folder: Path) -> Checked:
    """Read every file that the manifest of ``folder`` names and compare its digest.

    Raises:
        InputError: nothing is installed there.
    """
    manifest = Manifest.load(folder)
    if manifest is None:
        raise InputError(f"{folder}: no data set is installed here, or its installation did not finish.", remedy=f"run `dextrack data install {folder.name}`.")
    problems: list[str] = []
    recordings = _read(Recording.load, folder / "recordings", manifest.recordings, problems)
    objects = _read(ObjectSpec.load, folder / "objects", manifest.objects, problems)
    problems += [f"recordings/{r.name}.npz: its object {r.object_name} is not installed." for r in recordings if r.object_name not in manifest.objects]
    return Checked(recordings, objects, problems)


def _read(load: Callable[[Path], Any], folder: Path, digests: dict[str, str], problems: list[str]) -> list[Any]:
    """Load ``<name>.npz`` for each name in ``digests``; what does not load or differs goes to ``problems``."""
    found = []
    for name, digest in digests.items():
        path = folder / f"{name}.npz"
        try:
            item = load(path)
        except InputError as error:
            problems.append(error.what)
            continue
        if item.digest != digest:
            problems.append(f"{path}: the content is not what was installed.")
        found.append(item)
    return found
