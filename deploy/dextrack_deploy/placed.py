"""The placed files of a trial: what placement made, and every node of the trial reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.hands.spec import HandSpec
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]


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


def reference_of(task: Reference | Demonstration) -> Reference:
    """The reference itself, or that of a demonstration."""
    return task if isinstance(task, Reference) else task.reference


def hand_of(task: Reference | Demonstration) -> HandSpec:
    """The hand, with the motors that a demonstration was mined with: its targets lead where they led there with no others."""
    return load_hand(task.hand_name) if isinstance(task, Reference) else task.hand_spec


def placed_reference(path: str) -> Reference:
    """The reference in a placed file; raises as ``load_placed``."""
    return reference_of(load_placed(path))


def arm_path_file(placed: Path) -> Path:
    """Where the arm's joint path lies that belongs to the placed file."""
    return placed.with_name("arm_path.npy")


def load_arm_path(path: str) -> Floats | None:
    """The arm's joint path (N + 1, 7) rad that belongs to the placed file at ``path``; None where placement left none.

    Raises:
        InputError: it is damaged.
    """
    file = arm_path_file(Path(path))
    if not file.exists():
        return None
    try:
        joints = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file}: this is not an array ({error}).", remedy="run the trial again from `dextrack track`.") from None
    if joints.ndim != 2 or joints.shape[1] != 7 or not np.isfinite(joints).all():
        raise InputError(f"{file}: this is not a finite array (n, 7).", remedy="run the trial again from `dextrack track`.")
    return np.asarray(joints, dtype=np.float64)
