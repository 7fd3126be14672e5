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
from dextrack.files import read_arrays, user_data
from dextrack.objects import ObjectSpec
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class View:
    """Render key frames of a motion into a PNG."""

    what: Annotated[str, tyro.conf.Positional]
    """A recording or reference (.npz), or a demonstration: demonstrations.h5:name (the name may be left out where the file holds one)."""
    png: Path
    """The picture to write."""
    objects: Path | None = None
    """Folder with the object's file; by default beside the recording, and in the installed data sets."""
    width: int = 640
    """Width of one key frame, pixels; its height is three quarters of that."""


def main(args: list[str]) -> int:
    """Run the verb; returns the exit code."""
    view = tyro.cli(View, args=args, prog="dextrack view", description=__doc__)
    if not 64 <= view.width <= 1920:
        raise InputError(f"--width {view.width}: a key frame has 64 to 1920 pixels.", remedy="choose a width in that range.")
    object_name, rows, folder = _open(view.what)
    obj = ObjectSpec.load(find_object(object_name, [view.objects] if view.objects else [folder, folder.parent / "objects"]))
    strip = film_strip(rows, obj, size=(view.width, view.width * 3 // 4))
    strip.save(view.png)
    print(f"{view.png}: {', '.join(strip.rows)} at {', '.join(f'{key.time:.2f} s' for key in strip.keys)}")
    return 0


def find_object(name: str, folders: list[Path]) -> Path:
    """The file of object ``name`` in ``folders`` or in an installed data set.

    Raises:
        InputError: none has it.
    """
    places = [*folders, *sorted(user_data().glob("*/objects"))]
    for folder in places:
        if (folder / f"{name}.npz").is_file() and Path(name).name == name:
            return folder / f"{name}.npz"
    looked = ", ".join(map(str, places))
    raise InputError(f"object {name!r} is in none of: {looked}.", remedy="run `dextrack data install myodm`, or name its folder with --objects.")


def _open(what: str) -> tuple[str, tuple[motion.Motion, ...], Path]:
    """(object's name, rows of the strip, folder) of what the user named."""
    path, _, name = what.partition(":") if ".h5:" in what else (what, "", "")
    if path.endswith(".h5"):
        demonstration = store.load(Path(path), _one(Path(path), name))
        return demonstration.reference.object_name, motion.of_demonstration(demonstration), Path(path).parent
    header, _arrays = read_arrays(Path(path))
    if header.get("kind") == "reference":
        reference = Reference.load(Path(path))
        return reference.object_name, motion.of_reference(reference), Path(path).parent
    if header.get("kind") in (None, "recording"):
        recording = Recording.load(Path(path))
        return recording.object_name, (motion.of_recording(recording),), Path(path).parent
    raise InputError(f"{path}: a file of kind {header['kind']!r} holds no motion.", remedy="name a recording, a reference or a demonstration.")


def _one(path: Path, name: str) -> str:
    """The full name in the store at ``path`` of the demonstration whose name is or begins with ``name``."""
    known = store.names(path)
    fitting = [n for n in known if n == name or n.split("@")[0] == name] or [n for n in known if n.startswith(name)]
    if len(fitting) != 1:
        raise InputError(f"{path}: {name!r} names {len(fitting)} demonstrations.", remedy=f"name one of: {', '.join(known) or 'none'}.")
    return fitting[0]
