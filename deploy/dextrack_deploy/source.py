"""What an operator gives to run: a reference, or a demonstration in a store, as a path or as ``store.h5:name``."""

from __future__ import annotations

import math
from pathlib import Path

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.references.reference import Reference


def split_source(text: str) -> tuple[Path, str]:
    """(file, name) of ``reference.npz``, ``store.h5`` or ``store.h5:name``.

    Raises:
        InputError: the text is empty.
    """
    if not text:
        raise InputError("no reference was given.", remedy="give a reference (.npz) or a demonstration (.h5 or .h5:name).")
    path, colon, name = text.rpartition(":")
    return (Path(path), name) if colon else (Path(text), "")


def split_place(text: str) -> tuple[float, float, float] | None:
    """Where an object lies, out of ``x,y,turn`` in m and degrees; None where the text is empty.

    Raises:
        InputError: it is not three finite numbers.
    """
    if not text:
        return None
    try:
        x, y, turn = (float(part) for part in text.split(","))
    except ValueError:
        x = y = turn = math.nan
    if not math.isfinite(x + y + turn):
        raise InputError(f"at: {text!r} is not three numbers.", remedy="give x and y in m and the turn in degrees with commas, for example 0.1,-0.2,30.")
    return x, y, turn


def load_source(path: Path, name: str) -> Reference | Demonstration:
    """Read a reference, or the demonstration ``name`` (with or without its ``@hand``; empty: the only one) out of a store.

    Raises:
        InputError: no such file or demonstration, or it is damaged.
    """
    if path.suffix != ".h5":
        return Reference.load(path)
    names = store.names(path)
    chosen = [n for n in names if name in ("", n, n.rpartition("@")[0])]
    if len(chosen) != 1:
        what = f"{len(chosen)} demonstrations called {name!r}" if name else f"{len(names)} demonstrations, and no name was given"
        raise InputError(f"{path}: it holds {what}.", remedy=f"choose one of: {', '.join(names) or 'none'}.")
    return store.load(path, chosen[0])
