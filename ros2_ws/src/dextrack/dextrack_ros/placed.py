"""Reading the placed file of a trial: what placement wrote, and every node of the trial reads."""

from __future__ import annotations

from pathlib import Path

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.references.reference import Reference


def load_placed(path: str) -> Reference | Demonstration:
    """Read a placed reference (``.npz``) or demonstration (``.h5`` with one demonstration in it).

    Raises:
        InputError: no path was given, or the file is not what its name says.
    """
    if not path:
        raise InputError("parameter placed is empty.", remedy="give the placed reference or demonstration of this trial; `dextrack track` makes it.")
    file = Path(path)
    if file.suffix != ".h5":
        return Reference.load(file)
    names = store.names(file)
    if len(names) != 1:
        raise InputError(f"{path}: it holds {len(names)} demonstrations, not one.", remedy="place one demonstration in a file of its own.")
    return store.load(file, names[0])


def placed_reference(path: str) -> Reference:
    """The reference in a placed file; raises as ``load_placed``."""
    placed = load_placed(path)
    return placed if isinstance(placed, Reference) else placed.reference
