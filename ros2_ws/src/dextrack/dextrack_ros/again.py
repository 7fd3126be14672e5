"""A trial done again: what was asked for is asked for again, with the object where it lies now or where it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
from dextrack_deploy.placed import load_placed, reference_of
from dextrack_deploy.placement import seen_at
from dextrack_deploy.source import load_source
from dextrack_deploy.trial import TrialFolder
from dextrack_deploy.trial_log import read_trial

from dextrack.errors import DexTrackError, InputError
from dextrack.objects.spec import ObjectSpec
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack_ros.preparation import TASK_FILE, TrialRequest, load_request

Ask = Callable[[str], str]
"""A question for the operator -> the answer."""


def lies_now(folder: TrialFolder) -> tuple[float, float, float]:
    """Where the object lay when the trial in ``folder`` ended, as its camera saw it: x and y in m, and the turn in degrees, as ``TrialRequest.at``.

    Raises:
        InputError: there is no such trial, or its log or its source cannot be read.
        RefusedError: the object was not seen in the end, moved, or lies as the task does not begin.
    """
    request = load_request(folder)
    item = load_source(request.source, request.name)
    symmetry = symmetry_of(ObjectSpec.load(folder.path / "objects" / f"{reference_of(item).object_name}.npz"))
    log = read_trial(folder.path)
    if not len(log.object_pose.stamp_ns) and log.problems:
        raise InputError(f"{folder.log}: {log.problems[0]}.", remedy="say where the object lies (--at), or put it back where it was (--put-back).")
    return seen_at(item, log.object_pose, log.ended_ns(), symmetry)


def lay_there(folder: TrialFolder) -> tuple[float, float, float]:
    """Where the object lay when the trial in ``folder`` began, by its placement; as ``lies_now``.

    Raises:
        InputError: there is no such trial, or it is damaged.
    """
    try:
        task = json.loads((folder.path / TASK_FILE).read_text(encoding="utf-8"))
        x, y = load_placed(str(folder.path / task["placed"])).object_position_w[0, :2]
        return float(x), float(y), float(np.degrees(task["placement"]["transform"]["yaw"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{folder.path}: it does not say where its object lay ({type(error).__name__}: {error})."
        raise InputError(what, remedy="say where it lies (--at).") from None


def again(folder: TrialFolder) -> TrialRequest:
    """What to ask for to do the trial in ``folder`` again, but for where the object lies; raises as ``load_request``.

    The noise is another: a twin that repeats its noise repeats the trial. What was a dry run is done in earnest, unless that is asked for again.
    """
    before = load_request(folder)
    return dataclasses.replace(before, seed=before.seed + 1, placement_seed=None, at=None, dry_run=False)


def ask_again(folder: TrialFolder, ask: Ask) -> list[str] | None:
    """Ask whether the trial in ``folder`` is to be done again, and how: arguments of `dextrack track`; None: it is not.

    What cannot be done is said in the question, and not offered.
    """
    choices = {"b": ["--again", str(folder.path), "--put-back"]}
    try:
        x, y, turn = lies_now(folder)
        choices["a"] = ["--again", str(folder.path)]
        now = f"a: again where the object lies now, x {100 * x:.1f} cm, y {100 * y:.1f} cm, turned by {turn:.0f} degrees"
    except DexTrackError as error:
        now = f"again where the object lies now is not possible ({error.what.rstrip('.')})"
    while True:
        answer = ask(f"{now}; b: again with the object put back; Enter: no. ").strip().lower()
        if answer == "" or answer in choices:
            return choices.get(answer)
