"""Show a recording, a reference or a demonstration as a strip of key frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from dextrack.demonstrations import store
from dextrack.errors import InputError
from dextrack.evaluation import motion
from dextrack.evaluation.film_strip import film_strip
from dextrack.files import read_arrays, require_writable
from dextrack.references.library import find_object, find_recording
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class View:
    """Render key frames of a motion into a PNG."""

    what: Annotated[str, tyro.conf.Positional]
    """A recording (its name or file), a reference (.npz), or a demonstration: demonstrations.h5:name (of a file with one, the name may be left out)."""
    png: Path
    """The picture to write."""
    width: int = 640
    """Width of one key frame, pixels; its height is three quarters of that."""


def main(args: list[str]) -> int:
    """Run the verb; returns the exit code."""
    view = tyro.cli(View, args=args, prog="dextrack view", description=__doc__)
    if not 64 <= view.width <= 1920:
        raise InputError(f"--width {view.width}: a key frame has 64 to 1920 pixels.", remedy="choose a width in that range.")
    require_writable(view.png)
    item, rows, near = _open(view.what)
    obj = find_object(item, near)
    strip = film_strip(rows, obj, size=(view.width, view.width * 3 // 4))
    strip.save(view.png)
    print(f"{view.png}: {', '.join(strip.rows)} at {', '.join(f'{key.time:.2f} s' for key in strip.keys)}")
    return 0


def _open(what: str) -> tuple[Recording | Reference, tuple[motion.Motion, ...], Path | None]:
    """(what moves the object, rows of the strip, file) of what the user named."""
    path, _, name = what.partition(":") if ".h5:" in what else (what, "", "")
    if path.endswith(".h5"):
        demonstration = store.load(Path(path), _one(Path(path), name))
        return demonstration.reference, motion.of_demonstration(demonstration), Path(path)
    if Path(path).is_file() and read_arrays(Path(path))[0].get("kind") == "reference":
        reference = Reference.load(Path(path))
        return reference, motion.of_reference(reference), Path(path)
    recording = find_recording(path)
    return recording, (motion.of_recording(recording),), None


def _one(path: Path, name: str) -> str:
    """The full name in the store at ``path`` of the demonstration whose name is or begins with ``name``."""
    known = store.names(path)
    fitting = [n for n in known if n == name or n.split("@")[0] == name] or [n for n in known if n.startswith(name)]
    if len(fitting) != 1:
        raise InputError(f"{path}: {name!r} names {len(fitting)} demonstrations.", remedy=f"name one of: {', '.join(known) or 'none'}.")
    return fitting[0]
