"""The page of `dextrack evaluate`: what mining achieved, what failed and why, what had been predicted, and the gallery of failures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dextrack.evaluation import figures, html
from dextrack.evaluation.gallery import Exhibit
from dextrack.evaluation.results import PARTS, Result
from dextrack.files import replacing

HELP = {
    "lifted": "the object is at least 2 cm up wherever the reference's is 3 cm up",
    "held": "at most 5 cm off in 90 % of those frames and in the last",
    "clean": "hand at most 5 mm inside the object (95th percentile), and not in the first frame",
    "robust": "7 of 8 perturbed replays lift and hold too",
}
_MARK = {"passed": "yes", "not applicable": "no lift asked", "failed": "no", "not measured": "-"}


def page(title: str, results: Sequence[Result], numbers: dict[str, Any], exhibits: Sequence[Exhibit]) -> str:
    """The HTML page; ``numbers`` are those of ``results.summary`` and ``prediction_scores``."""
    n = numbers["n"]
    blocks = [html.cards(_cards(numbers))]
    if numbers["causes"]:
        alt = "Number of failed tasks by cause: " + ", ".join(f"{cause} {count}" for cause, count in numbers["causes"].items())
        blocks += [html.heading("Why tasks failed"), html.figure(figures.bars("causes", numbers["causes"], "failed tasks"), _CAUSES, alt)]
    blocks += [html.heading("Every task"), html.table(_HEADER, [_row(r) for r in results])]
    if exhibits:
        blocks += [html.heading("Failures"), html.paragraph(_SHOWN)]
    for e in exhibits:
        said = f" Predicted before mining: {e.prediction}." if e.prediction else ""
        blocks += [html.heading(f"{e.task}: {e.failure.cause}"), html.film_strip(e.strip, f"{e.failure.why}.{said} Evidence: {evidence(e.failure.evidence)}.")]
    failed = sum(r.failure is not None for r in results)
    return html.page(title, f"{n} tasks, {failed} of them with a failure that the gallery explains.", blocks)


def evidence(numbers: dict[str, float]) -> str:
    """Measured numbers in words: ``name value unit`` by the suffix of the name."""
    units = {"_m_s": ("m/s", 1.0), "_rad": ("deg", 180.0 / np.pi), "_m": ("cm", 100.0), "_n": ("N", 1.0), "_s": ("s", 1.0)}
    out = []
    for name, value in numbers.items():
        suffix = next((s for s in units if name.endswith(s)), "")
        unit, factor = units.get(suffix, ("", 1.0))
        out.append(f"{name.removesuffix(suffix).replace('_', ' ')} {factor * value:.3g} {unit}".strip())
    return ", ".join(out) or "none"


def save_table(path: Path, results: Sequence[Result]) -> None:
    """Write one CSV row per task."""
    rows = [r.as_row() for r in results]
    fields = list(dict.fromkeys(k for row in rows for k in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, restval="")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def prediction_scores(results: Sequence[Result]) -> dict[str, Any]:
    """How well the predictions of ``results`` held.

    For each outcome: ``n``, ``accuracy``, ``base_rate`` (share of tasks with that outcome), ``brier`` (mean squared error of the probability), ``brier_base``
    (of a constant probability, the base rate), and ``precision`` and ``recall`` of foreseen failures.
    """
    out: dict[str, Any] = {}
    for outcome in ("tracked", "passed"):
        pairs = [(getattr(r.prediction, outcome), float(getattr(r, outcome))) for r in results if r.prediction is not None and r.state == "mined"]
        if not pairs:
            continue
        p, y = np.array(pairs).T
        fail, said = y < 0.5, p < 0.5
        out[outcome] = {
            "n": len(y),
            "accuracy": float((fail == said).mean()),
            "base_rate": float(y.mean()),
            "brier": float(((p - y) ** 2).mean()),
            "brier_base": float(((y.mean() - y) ** 2).mean()),
            "failure_precision": float((fail & said).sum() / said.sum()) if said.any() else None,
            "failure_recall": float((fail & said).sum() / fail.sum()) if fail.any() else None,
        }
    return out


_CAUSES = "One cause per task that did not pass the whole verdict within 20 degrees; dextrack/mining/failure.py has the rules in words."
_SHOWN = "The blue shape is where the object should be. Pictures are of the replay that failed, or of the recording that was refused."
_HEADER = ("task", "whole verdict", "20°", "error", *PARTS, "time", "cause of failure", "predicted")


def _cards(numbers: dict[str, Any]) -> list[html.Card]:
    n = numbers["n"]

    def share(key: str, name: str, note: str) -> html.Card:
        return html.Card(name, f"{numbers[key]} of {n}", f"{100 * numbers[key] / max(1, n):.0f} %: {note}")

    cards = [
        share("whole_verdict", "whole verdict", "lifted, held, clean and robust"),
        share("within_20deg_and_lifted", "20° and lifted", "within 10 cm and 20 degrees, and really lifted"),
        *(share(part, part, HELP[part]) for part in PARTS),
    ]
    if numbers["mean_seconds"]:
        cards.append(html.Card("time per task", f"{numbers['mean_seconds']:.0f} s", f"{numbers['control_steps'] / 1e6:.1f} million control steps in all"))
    if numbers["demonstrations_per_core_hour"]:
        note = f"{numbers['core_hours']:.2f} core-hours in all"
        cards.append(html.Card("demonstrations per core-hour", f"{numbers['demonstrations_per_core_hour']:.0f}", note))
    if numbers["physics_share"]:
        cards.append(html.Card("physics", f"{100 * numbers['physics_share']:.0f} %", "of mining's wall time inside the engine"))
    scores = numbers.get("prediction", {}).get("passed")
    if scores:
        note = f"of {scores['n']} predicted verdicts were right; Brier score {scores['brier']:.2f}, {scores['brier_base']:.2f} for the base rate"
        cards.append(html.Card("prediction", f"{100 * scores['accuracy']:.0f} %", note))
    return cards


def _row(r: Result) -> list[str]:
    error = f"{100 * r.metrics['t_err_m']:.1f} cm, {np.rad2deg(r.metrics['r_err_rad']):.0f}°" if r.metrics else "-"
    parts = [_MARK[r.part(part)] for part in PARTS]
    seconds = r.cost.get("seconds")
    said = "" if r.prediction is None else f"{'pass' if r.prediction.will_pass else 'fail'}, {100 * r.prediction.passed:.0f} %"
    within = "yes" if r.metrics.get("success_20") else "no"
    cause = f"{r.state}: {r.why}" if r.why and r.failure is None else "" if r.failure is None else f"{r.failure.cause}: {r.failure.why}"
    return [r.task, "passed" if r.passed else "not passed", within, error, *parts, f"{seconds:.0f} s" if seconds else "-", cause, said]
