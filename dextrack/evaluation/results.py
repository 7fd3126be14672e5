"""Results of mining as rows: what became of every task, what it cost, why it failed, and what had been predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import DexTrackError, InputError, RefusedError
from dextrack.mining import ledger
from dextrack.mining.failure import Failure, explain, refused
from dextrack.mining.prediction import Prediction, predict
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.tracking.verdict import OK

PARTS = ("lifted", "held", "clean", "robust")
_COST = ("seconds", "cpu_seconds", "control_steps", "physics_seconds")


@dataclasses.dataclass(frozen=True)
class Result:
    """One task."""

    task: str
    """``<reference>@<hand>``."""
    state: str
    """``mined``, ``refused``, ``failed`` or ``killed``, as in the ledger."""
    why: str = ""
    """Reason where it was not mined, or where what was mined cannot be explained."""
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict)
    cost: dict[str, float] = dataclasses.field(default_factory=dict)
    """``seconds``, ``cpu_seconds``, ``control_steps``, ``physics_seconds``, ``attempt_seconds``, as far as they are known."""
    failure: Failure | None = None
    """None when the whole verdict passed within 20 degrees, and where ``why`` says why it is not known."""
    prediction: Prediction | None = None
    """None where it could not be made."""
    finger_speed: float | None = None
    """Largest part of its motor's speed that a finger joint takes in the nominal replay: beyond 1 the motor comes late. None where nothing was mined."""

    surveyed: float | None = None
    """Share of the worlds by which polishing chooses in which it lifts and holds. None where nothing was polished."""

    @property
    def tracked(self) -> bool:
        """Within the paper's 20 degrees, and lifted by our verdict."""
        return bool(self.metrics.get("success_20")) and self.part("lifted") == "passed"

    @property
    def passed(self) -> bool:
        """Whether the whole verdict passed."""
        return bool(self.verdict.get("passed"))

    def part(self, name: str) -> str:
        """State of a part of the verdict; ``not measured`` where there is none."""
        return str(self.verdict.get(name, {}).get("state", "not measured"))

    def as_row(self) -> dict[str, Any]:
        """One flat JSON-able row."""
        reference, _, hand = self.task.partition("@")
        row: dict[str, Any] = {"task": self.task, "reference": reference, "hand": hand, "state": self.state, "why": self.why}
        row |= {"tracked": self.tracked, "passed": self.passed, **{part: self.part(part) for part in PARTS}}
        row |= {k: self.metrics.get(k) for k in ("t_err_m", "r_err_rad", "e_wrist", "e_finger_rad", "success_20", "success_40")}
        row["replays_survived"] = self.verdict.get("robust", {}).get("numbers", {}).get("survived")
        row |= {"finger_speed": self.finger_speed, "surveyed": self.surveyed, **{k: self.cost.get(k) for k in _COST}}
        if f := self.failure:
            row |= {"cause": f.cause, "perturbed_cause": f.perturbed, "failed_part": f.part, "frame": f.frame, "finding": f.why}
        if self.prediction:
            row |= {"predicted_tracked": self.prediction.tracked, "predicted_passed": self.prediction.passed, "predicted_because": self.prediction.because}
        return row


def refusal(row: ledger.Row) -> Failure | None:
    """The failure of a task whose recording was refused; None where something else was wrong."""
    hopeless = row.state == ledger.REFUSED and row.error in ("", RefusedError.__name__)
    return refused(row.why) if hopeless else None


def collect(path: Path, tell: Callable[[int, int, str], None] | None = None, hand: str = "") -> list[Result]:
    """Results of every task in the store at ``path`` and in the ledger beside it, sorted by name.

    Args:
        path: the demonstration store.
        hand: whose tasks; empty: every hand's.
        tell: called with (number done, of how many, name) before each task: a cause of failure costs seconds of replays.

    Raises:
        InputError: the store is damaged, or it is missing and no ledger lies beside it, or there is nothing of the hand.
    """
    rows = ledger.read(ledger.path_of(path))
    # Where every task was refused there is a ledger alone.
    names = () if rows and not path.exists() else store.names(path)
    tasks = sorted(task for task in {*names, *rows} if hand in ("", task.partition("@")[2]))
    if hand and not tasks:
        raise InputError(f"{path}: it has no task of hand {hand}.", remedy="choose one that it was mined for, or leave the hand out.")
    out = []
    for i, task in enumerate(tasks):
        if tell:
            tell(i, len(tasks), task)
        row = rows.get(task)
        if task in names:
            demonstration = store.load(path, task)
            try:
                out.append(of_demonstration(task, demonstration, find_object(demonstration.reference, near=path), row))
            except DexTrackError as error:  # of one task: the others can be explained
                out.append(Result(task, ledger.MINED, str(error), demonstration.metrics, demonstration.verdict, _cost(demonstration, row)))
        elif row is not None:
            out.append(Result(task, row.state, row.why, failure=refusal(row), cost=_ledger_cost(row)))
    return out


def of_demonstration(task: str, demonstration: Demonstration, obj: ObjectSpec, row: ledger.Row | None = None, foretell: bool = True) -> Result:
    """The result of a stored demonstration; ``row`` is the ledger's, ``foretell`` whether its prediction is made too."""
    return Result(
        task=task,
        state=ledger.MINED,
        metrics=demonstration.metrics,
        verdict=demonstration.verdict,
        cost=_cost(demonstration, row),
        failure=explain(demonstration, obj),
        prediction=_predicted(demonstration, obj) if foretell else None,
        finger_speed=float(demonstration.hand_spec.finger_speed(demonstration.hand, demonstration.reference.period).max()),
        surveyed=demonstration.provenance.get("polishing", {}).get("held"),
    )


def _cost(demonstration: Demonstration, row: ledger.Row | None) -> dict[str, float]:
    """What the demonstration says that it cost, and what the ledger knows better."""
    p = demonstration.provenance
    cost: dict[str, float] = {k: float(p[k]) for k in ("seconds", "cpu_seconds", "control_steps", "physics_seconds") if k in p}
    # Wall time of the very attempt whose physics was timed.
    cost["attempt_seconds"] = cost.get("seconds", 0.0)
    return cost | ({} if row is None else _ledger_cost(row))


def _ledger_cost(row: ledger.Row) -> dict[str, float]:
    known = {k: float(getattr(row, k)) for k in ("seconds", "cpu_seconds", "control_steps", "peak_rss_mb")}
    return {k: v for k, v in known.items() if v > 0.0}


def _predicted(demonstration: Demonstration, obj: ObjectSpec) -> Prediction | None:
    try:
        return predict(demonstration.reference, obj)
    except DexTrackError:
        return None


def summary(results: Sequence[Result], total: int | None = None) -> dict[str, Any]:
    """Counts and shares; ``total`` is the number of tasks there should be, of which those without a result count as failures.

    ``demonstrations_per_core_hour`` counts whole verdicts; its hours are of processor time where the ledger has it, of wall time otherwise.
    """
    n = max(len(results), total or 0)
    passed, tracked = sum(r.passed for r in results), sum(r.tracked for r in results)
    seconds = [r.cost["seconds"] for r in results if r.cost.get("seconds")]
    core = sum(r.cost.get("cpu_seconds") or r.cost.get("seconds", 0.0) for r in results)
    timed = [r.cost for r in results if r.cost.get("physics_seconds") and r.cost.get("attempt_seconds")]
    causes: dict[str, int] = {}
    for r in results:
        if r.failure is not None:
            causes[r.failure.cause] = causes.get(r.failure.cause, 0) + 1
    return {
        "n": n,
        "within_20deg": sum(bool(r.metrics.get("success_20")) for r in results),
        "within_40deg": sum(bool(r.metrics.get("success_40")) for r in results),
        "within_20deg_and_lifted": tracked,
        "whole_verdict": passed,
        "whole_verdict_within_motor_speed": sum(r.passed and (r.finger_speed or 0.0) <= 1.0 for r in results),
        **{part: sum(r.part(part) in OK for r in results) for part in PARTS},
        "mean_seconds": sum(seconds) / len(seconds) if seconds else None,
        "mean_core_seconds": core / len(seconds) if seconds else None,
        "core_hours": core / 3600.0,
        "demonstrations_per_core_hour": passed / (core / 3600.0) if core else None,
        "peak_rss_mb": max((r.cost.get("peak_rss_mb", 0.0) for r in results), default=0.0) or None,
        "control_steps": sum(int(r.cost.get("control_steps", 0)) for r in results),
        "physics_share": sum(c["physics_seconds"] for c in timed) / sum(c["attempt_seconds"] for c in timed) if timed else None,
        "causes": dict(sorted(causes.items(), key=lambda item: -item[1])),
    }
