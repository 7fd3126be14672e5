"""The end of a trial, however it went: its outcome among the events, its report, and the exit code."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from dextrack_deploy.trial import EventLog, TrialFolder, TrialOutcome

from dextrack_ros.interruption import uninterruptible

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130


def conclude(folder: TrialFolder, outcome: TrialOutcome, dry_run: bool, say: Callable[[str], None]) -> int:
    """Write the outcome and the report of the trial in ``folder``, and say the verdict.

    Returns:
        The exit code: 0 only where the trial did its task, or where a dry run found nothing against it.
    """
    with uninterruptible():
        events = EventLog(folder.events)
        events.write("outcome", time.time_ns(), durable=True, **dataclasses.asdict(outcome))
        events.close()
    # Drawing the pictures needs what the nodes do not: imported when they are gone.
    from dextrack_deploy.report import write_report

    value = write_report(folder.path, outcome)
    passed = bool(value["verdict"]["passed"]) or (dry_run and outcome.complete)
    say(f"{'passed' if passed else 'not passed'}: {outcome.reason if dry_run else value['verdict']['summary']}")
    say(f"report: {folder.report_html}")
    if outcome.ended == "interrupted":
        return EXIT_INTERRUPTED
    if passed:
        return 0
    return EXIT_REFUSED if outcome.ended == "refused" else EXIT_FAILED
