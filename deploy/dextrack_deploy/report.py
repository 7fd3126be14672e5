"""Report: what a trial folder tells, as ``report.json`` for programs and ``report.html`` for people.

Works for every trial: finished, stopped, refused before it began, or with a damaged log. What could not be measured is ``null`` and says why.
"""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dextrack import __version__
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.evaluation import html
from dextrack.files import digest, write_json
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import NOT_APPLICABLE, NOT_MEASURED, Part
from dextrack_deploy import graph, report_page
from dextrack_deploy.loop_timing import summary
from dextrack_deploy.status import State
from dextrack_deploy.trial import TrialOutcome
from dextrack_deploy.trial_log import TrialData
from dextrack_deploy.trial_reading import Trial, read_folder
from dextrack_deploy.trial_result import estimate_error

VERSION = 1
"""Version of the layout of ``report.json``."""


def write_report(folder: Path, outcome: TrialOutcome | None = None) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html`` into a trial folder, each whole or not at all.

    Args:
        folder: what `dextrack track` wrote.
        outcome: how the trial ended; by default what the folder says.

    Returns:
        The content of ``report.json``.

    Raises:
        InputError: there is no such folder.
    """
    trial = read_folder(Path(folder), outcome)
    value = as_json(trial)
    # The page first: who waits for report.json finds both.
    page, remarks = report_page.make(trial, value)
    value["problems"] += remarks
    html.write(trial.folder.report_html, page)
    write_json(trial.folder.report_json, value)
    return value


def as_json(trial: Trial) -> dict[str, Any]:
    """The content of ``report.json``."""
    result, data = trial.result, trial.data
    measured = {k: None for k in ("t_err_m", "r_err_rad", "e_wrist", "e_finger_rad", "success_20", "success_40")}
    return {
        "kind": "trial report",
        "version": VERSION,
        "name": trial.folder.path.resolve().name,
        "date": _date(data),
        "verdict": _verdict(trial),
        "outcome": dataclasses.asdict(trial.outcome),
        **(result.metrics.as_dict() if result else measured),
        "measured_on": result.source if result else None,
        "frames": {"reached": len(result.hand) if result else 0, "of": len(trial.reference.hand) if trial.reference else None},
        **timing(trial),
        "estimate_error": _estimate_error(data),
        "reference": _reference(trial.reference),
        "demonstration": {"metrics": trial.placed.metrics, "verdict": trial.placed.verdict} if isinstance(trial.placed, Demonstration) else None,
        "digests": _digests(trial),
        **{key: trial.task.get(key) for key in ("seed", "mismatch", "command", "mode", "settled")},
        "dry_run": bool(trial.task.get("dry_run")),
        "cell": trial.cell.name if trial.cell else trial.task.get("cell"),
        "code": {"dextrack": __version__, "trial": trial.task.get("code")},
        "provenance": _provenance(trial),
        "events": len(data.events),
        "problems": list(trial.problems),
    }


def timing(trial: Trial) -> dict[str, Any]:
    """Periods of the control loop, what a tick of it computes, overruns and the longest row of them, and latency per edge of the graph, in ms."""
    running = [p for p in trial.data.progress if p.state == State.RUN.value]
    return {
        "loop_duration_ms": trial.data.loop.get("loop_duration_ms", summary([])),
        "longest_row": trial.data.loop.get("longest_row"),
        "skipped": trial.data.loop.get("skipped"),
        # What the loop measured at its own ticks; stamps in the log are of their publication, or where one is missing of their reception.
        "loop_period_ms": trial.data.loop.get("loop_period_ms", summary(loop_periods_ms(trial.data))),
        "overruns": max(p.overruns for p in running) if running else None,
        "latency_ms": trial.data.stages.latencies(graph.EDGES).report(),
    }


def loop_periods_ms(data: TrialData) -> np.ndarray:
    """Milliseconds (n,) between targets."""
    return np.diff(data.target_times_ns) * 1e-6


def _verdict(trial: Trial) -> dict[str, Any]:
    """Whether the trial did its task, in one word, and each part on its own."""
    result = trial.result
    unknown = Part(NOT_MEASURED, trial.unmeasured)
    parts = {k: getattr(result.verdict, k) if result else unknown for k in ("lifted", "held", "clean", "robust")}
    passed = bool(trial.outcome.complete and result and result.complete and result.verdict.lifts_and_holds)
    if not trial.outcome.complete:
        text = f"{trial.outcome.ended}: {trial.outcome.reason}"
    elif trial.task.get("dry_run"):
        text = trial.outcome.reason
    elif result is None:
        text = trial.unmeasured
    elif passed:
        text = "held throughout; the reference asks for no lift" if parts["lifted"].state == NOT_APPLICABLE else "lifted and held"
    else:
        text = "; ".join(f"not {name}: {part.why}" for name, part in parts.items() if name in ("lifted", "held") and not part.ok)
    return {"passed": passed, "summary": text, **{name: dataclasses.asdict(part) for name, part in parts.items()}}


def _provenance(trial: Trial) -> dict[str, Any]:
    """What the placed reference and, where there is one, its demonstration say of their origin."""
    own = dict(trial.reference.provenance) if trial.reference else {}
    return {**own, "demonstration": trial.placed.provenance} if isinstance(trial.placed, Demonstration) else own


def _digests(trial: Trial) -> dict[str, str | None]:
    provenance = trial.reference.provenance if trial.reference else {}
    log = trial.folder.log
    return {
        "placed": trial.reference.digest if trial.reference else None,
        "recording": provenance.get("recording"),
        "object": trial.object.digest if trial.object else None,
        "trial_log": digest(log) if log.is_file() else None,
        **{k: str(v) for k, v in trial.task.get("digests", {}).items()},
    }


def _reference(reference: Reference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    seconds = reference.n_steps * reference.period
    fields = {k: getattr(reference, k) for k in ("name", "hand_name", "object_name", "period", "time_scale")}
    return {**fields, "duration_s": seconds, "diagnosis": reference.diagnosis}


def _estimate_error(data: TrialData) -> dict[str, Any] | None:
    """How far the camera's estimate was from the truth of the twin."""
    errors = estimate_error(data.object_pose, data.truth)
    if errors is None:
        return None
    position, rotation = errors
    return {"position_m": _spread(position), "rotation_rad": _spread(rotation), "n": len(position)}


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99)), "max": float(values.max())}


def _date(data: TrialData) -> str | None:
    """When the trial began, UTC, from its own stamps."""
    stamps = [int(e["stamp_ns"]) for e in data.events[:1]] + [t for t, _ in data.statuses[:1]] + [int(t) for t in data.target_times_ns[:1]]
    return datetime.datetime.fromtimestamp(min(stamps) * 1e-9, tz=datetime.timezone.utc).isoformat(timespec="seconds") if stamps else None
