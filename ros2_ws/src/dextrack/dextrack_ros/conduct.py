"""Conducting a trial: the operator's steps from bring-up to shut-down, the same for ``dextrack track`` and the launch file."""

from __future__ import annotations

from collections.abc import Callable

from dextrack_deploy.trial import TrialOutcome

from dextrack.errors import DexTrackError
from dextrack_ros.operator import Operator

_SLACK_S = 10.0
"""A run may take this much longer than its reference: a busy machine is slow before it is late."""

Say = Callable[[str], None]


def conduct(operator: Operator, seconds: float, dry_run: bool, say: Say) -> TrialOutcome:
    """Bring the graph up, run one trial, and bring the graph down; errors become the outcome.

    The cell stays in HOLD where the trial did not finish: only a finished trial is taken home without asking.
    """
    try:
        operator.bring_up()
        operator.wait_until_ready()
        if dry_run:
            say("dry run: nothing moves; an approach would be accepted now")
            outcome = TrialOutcome("finished", "dry run: every node is up, every sensor fresh, and preflight passes")
        else:
            outcome = operator.run_trial(seconds + _SLACK_S)
            if outcome.ended == "finished":
                operator.retreat()
    except DexTrackError as error:
        outcome = TrialOutcome("held" if operator.moved else "refused", str(error))
    operator.shut_down()
    return outcome
