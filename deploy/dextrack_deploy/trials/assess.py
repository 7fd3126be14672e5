"""From a trial's folder to its row in a session."""

from __future__ import annotations

import datetime
from pathlib import Path

from dextrack_deploy.trial_reading import Trial, read_folder
from dextrack_deploy.trial_result import measure
from dextrack_deploy.trials.levels import Levels, levels_of
from dextrack_deploy.trials.session import Attempt


def assess(folder: Path, session_folder: Path, task: str, number: int) -> Attempt:
    """The row of the trial in ``folder``, whatever became of it: a trial that never ran reached level 0, and its row says why.

    Args:
        folder: the trial folder.
        session_folder: the session's, which the row's folder is relative to.
        task: name of what was tried.
        number: of the attempt.

    Raises:
        InputError: there is no such folder.
    """
    trial = read_folder(folder)
    seen, true = (_levels(trial, source) for source in ("estimate", "truth"))
    nothing = Levels(0, False, False, 0.0, 0.0, 0)
    found = seen or nothing
    return Attempt(
        task=task,
        object=trial.reference.object_name if trial.reference else task.partition("_")[0],
        number=number,
        folder=str(folder.relative_to(session_folder)),
        ended=trial.outcome.ended,
        reason=trial.outcome.reason if seen or trial.outcome.ended != "finished" else trial.unmeasured or "the object was not seen",
        level=found.level,
        to_end=found.to_end,
        qualifies=found.qualifies,
        details=seen.as_dict() if seen else {},
        true_level=true.level if true else None,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _levels(trial: Trial, source: str) -> Levels | None:
    """Levels by one pose of the object; None where the log does not allow any."""
    if trial.reference is None or trial.object is None:
        return None
    result = measure(trial.data, trial.reference, trial.object, source)
    return None if isinstance(result, str) else levels_of(result, trial.reference, trial.object)
