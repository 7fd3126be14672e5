"""Reading a trial folder: what was asked for, what was placed, what was recorded, how it ended, and what that amounts to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import DexTrackError, InputError
from dextrack.objects import ObjectSpec
from dextrack.references.library import find_object
from dextrack.references.reference import Reference
from dextrack_deploy.cell import CellConfig, load_cell
from dextrack_deploy.placed import load_placed
from dextrack_deploy.status import State
from dextrack_deploy.trial import TrialFolder, TrialOutcome
from dextrack_deploy.trial_log import TrialData, read_trial
from dextrack_deploy.trial_result import TrialResult, measure


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial folder, read."""

    folder: TrialFolder
    task: dict[str, Any]
    """What `dextrack track` was asked to do, and what the twin said of itself."""
    data: TrialData
    placed: Reference | Demonstration | None
    object: ObjectSpec | None
    cell: CellConfig | None
    outcome: TrialOutcome
    result: TrialResult | None
    unmeasured: str
    """Why there is no result; empty where there is one."""
    problems: tuple[str, ...]
    """What could not be read."""

    @property
    def reference(self) -> Reference | None:
        """The placed reference."""
        return self.placed.reference if isinstance(self.placed, Demonstration) else self.placed


def read_folder(folder: Path, outcome: TrialOutcome | None = None) -> Trial:
    """Read a trial folder as far as it goes.

    Raises:
        InputError: there is no such folder.
    """
    data = read_trial(folder)
    task = {**_read_json(folder / "twin.json"), **_read_json(folder / "task.json")}
    problems = list(data.problems)
    placed = obj = cell = None
    try:
        placed = _placed(folder, task)
        reference = placed.reference if isinstance(placed, Demonstration) else placed
        own = folder / "objects" / f"{reference.object_name}.npz"
        obj = ObjectSpec.load(own) if own.is_file() else find_object(reference, folder)
        cell = load_cell(str(task.get("cell", "twin")))
    except DexTrackError as error:
        problems.append(error.what)
    if placed is None or obj is None:
        result: TrialResult | str = "the placed reference or its object cannot be read"
    else:
        result = measure(data, placed.reference if isinstance(placed, Demonstration) else placed, obj)
    measured = result if isinstance(result, TrialResult) else None
    why = result if isinstance(result, str) else ""
    return Trial(TrialFolder(folder), task, data, placed, obj, cell, outcome or _outcome(data, task), measured, why, tuple(problems))


def _outcome(data: TrialData, task: dict[str, Any]) -> TrialOutcome:
    """How the trial ended, from the event or task that says so, else from what the supervisor and the controller said last."""
    told = next((e for e in reversed(data.events) if e["kind"] == "outcome"), task.get("outcome"))
    if isinstance(told, dict):
        try:
            return TrialOutcome(str(told["ended"]), str(told.get("reason", "")), int(told.get("ticks", 0)), int(told.get("n_ticks", 0)))
        except (KeyError, TypeError, ValueError, InputError):
            pass
    running = [p for p in data.progress if p.state == State.RUN.value]
    ticks, n_ticks = (running[-1].tick, running[-1].ticks) if running else (0, 0)
    if running and running[-1].done:
        return TrialOutcome("finished", "every target was given", ticks, n_ticks)
    stop = next((s for _, s in reversed(data.statuses) if s.state in (State.HOLD, State.FAULT)), None)
    if stop is not None:
        return TrialOutcome("fault" if stop.state is State.FAULT else "held", stop.reason, ticks, n_ticks)
    refusal = next((e for e in reversed(data.events) if e["kind"] == "request" and e.get("accepted") is False), None)
    if refusal is not None:
        return TrialOutcome("refused", str(refusal.get("reason", "")), ticks, n_ticks)
    return TrialOutcome("interrupted", "the trial folder does not say how the trial ended", ticks, n_ticks)


def _placed(folder: Path, task: dict[str, Any]) -> Reference | Demonstration:
    """The placed reference or demonstration of the trial.

    Raises:
        InputError: there is none, or it is damaged.
    """
    named = [folder / str(task["placed"])] if task.get("placed") else []
    path = next((p for p in (*named, folder / "placed.npz", folder / "placed.h5") if p.is_file()), None)
    if path is None:
        raise InputError(f"{folder}: the placed reference is missing.", remedy="report on a folder that `dextrack track` wrote.")
    return load_placed(str(path))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
