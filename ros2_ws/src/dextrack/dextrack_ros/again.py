"""A trial done again: what was asked for is asked for again, with the object where it lies now or where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from dextrack_deploy.placement import seen_at
from dextrack_deploy.source import load_source
from dextrack_deploy.trial import TrialFolder
from dextrack_deploy.trial_log import read_trial

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import DexTrackError
from dextrack.objects.spec import ObjectSpec
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack_ros.preparation import TrialRequest, load_request

Ask = Callable[[str], str]
"""A question for the operator -> the answer."""


def lies_now(folder: TrialFolder) -> tuple[float, float, float]:
    """Where the object lay when the trial in ``folder`` ended, as its camera saw it: x and y in m, and the turn in degrees, as ``TrialRequest.at``.

    Raises:
        InputError: there is no such trial, or its source is gone.
        RefusedError: the object was not seen, moved, or lies as the reference does not begin.
    """
    request = load_request(folder)
    item = load_source(request.source, request.name)
    reference = item.reference if isinstance(item, Demonstration) else item
    symmetry = symmetry_of(ObjectSpec.load(folder.path / "objects" / f"{reference.object_name}.npz"))
    poses = read_trial(folder.path).object_pose
    return seen_at(item, poses.stamp_ns, poses.position_w, poses.quaternion_w, symmetry)


def again(folder: TrialFolder, put_back: bool, changed: Mapping[str, Any]) -> TrialRequest:
    """What to ask for to do the trial in ``folder`` again, with the fields ``changed``; raises as ``lies_now``.

    ``put_back``: the object was put where that trial began. Else it lies where that trial's camera saw it last, or where ``changed`` says.
    """
    before = load_request(folder)
    placement_seed = before.seed if before.placement_seed is None else before.placement_seed
    at = before.at if put_back else changed["at"] if "at" in changed else lies_now(folder)
    # The same place, and other noise: a twin that repeats its noise repeats the trial.
    return dataclasses.replace(before, **{"seed": before.seed + 1, "placement_seed": placement_seed, **changed, "at": at})


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
