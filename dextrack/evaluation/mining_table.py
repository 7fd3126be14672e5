"""Mining's numbers as a Markdown table and as a figure; both are made from what `tests/bench/mining.py` writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dextrack.evaluation.results import PARTS
from dextrack.mining.replays import REPLAYS
from dextrack.tracking.verdict import ROBUST_FRACTION

METHODS = (("replay", "replay"), ("sampling", "sampling"), ("sampling_and_rl", "sampling + RL"))
_COLOURS = {"replay": "#8a5a44", "sampling": "#d55e00", "sampling_and_rl": "#0072b2"}
_COUNTS = (
    ("within_40deg", "10 cm, 40°"),
    ("within_20deg", "10 cm, 20°"),
    ("within_20deg_and_lifted", "20° and lifted"),
    *((part, part) for part in PARTS),
    ("whole_verdict", "whole verdict"),
)
_ROWS = (*_COUNTS, ("whole_verdict_within_motor_speed", "whole verdict, fingers never faster than their motors"))
_BANDS = ((0.0, "less than 0.3"), (0.3, "0.3 to 0.75"), (0.75, "0.75 to 0.9"), (0.9, "0.9 and more, not all"), (1.0, "all"))
"""Shares of the worlds by which polishing chooses: least of each band, and its name."""
_SHORT = {"passed": "✓", "failed": "✗", "not applicable": "n/a", "not measured": "-"}


def table(content: dict[str, Any]) -> str:
    """The Markdown page: overall numbers, how well the prediction held, and one row per task."""
    n, methods = content["n"], [(key, name) for key, name in METHODS if content.get(key)]
    lines = [f"# Mining on {content['hand']}: {n} recordings", "", f"`{content['command']}`, {content['date'][:10]}, {content['machine']['cores']} cores.", ""]
    lines += ["| | " + " | ".join(name for _, name in methods) + " |", "|---|" + "---|" * len(methods)]
    for key, label in _ROWS:
        lines.append(f"| {label} | " + " | ".join(f"{content[m][key]} ({100 * content[m][key] / max(1, n):.0f} %)" for m, _ in methods) + " |")
    for key, label, form in (
        ("mean_seconds", "mean wall time per task, on one core", "{:.1f} s"),
        ("mean_core_seconds", "mean core-seconds per task", "{:.1f} s"),
        ("peak_rss_mb", "largest memory of a worker", "{:.0f} MB"),
        ("control_steps", "control steps simulated", "{:,.0f}"),
        ("demonstrations_per_core_hour", "whole verdicts per core-hour", "{:.1f}"),
        ("physics_share", "wall time inside the engine", "{:.0%}"),
    ):
        lines.append(f"| {label} | " + " | ".join(_number(content[m][key], form) for m, _ in methods) + " |")
    lines += ["", "| part of the split | n | 20° and lifted | whole verdict |", "|---|---|---|---|"]
    for part, c in content["by_part"].items():
        lines.append(f"| {part.replace('_', ' ')} | {c['n']} | {c['within_20deg_and_lifted']} | {c['whole_verdict']} |")
    lines += ["", "Causes of failure of sampling: " + (", ".join(f"{c} {k}" for c, k in content["sampling"]["causes"].items()) or "none") + ".", ""]
    lines += [*_surveys(content["rows"]), *_brittleness(content["brittleness"]), *_prediction(content["prediction"]), "", *_tasks(content["rows"])]
    return "\n".join(lines) + "\n"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _surveys(rows: list[dict[str, Any]]) -> list[str]:
    """How well the worlds by which polishing chooses foretell those that judge."""
    surveyed = [row["sampling"] for row in rows if row["sampling"] and row["sampling"].get("surveyed") is not None]
    if not surveyed:
        return []
    lines = ["Of the worlds by which polishing chooses, none of which judges, a demonstration lifts and holds in a share; of those with such a share pass:", ""]
    lines += ["| share | n | whole verdict |", "|---|---|---|"]
    least = np.array([low for low, _ in _BANDS])
    bands = np.searchsorted(least, [s["surveyed"] for s in surveyed], side="right") - 1
    for band, (_, label) in reversed(list(enumerate(_BANDS))):
        mine = [s for s, at in zip(surveyed, bands, strict=True) if at == band]
        lines.append(f"| {label} | {len(mine)} | {sum(s['passed'] for s in mine)} |")
    return [*lines, ""]


def _brittleness(tasks: dict[str, dict[str, int]]) -> list[str]:
    if not tasks:
        return []
    parts = list(next(iter(tasks.values())))
    lines = [
        f"{len(tasks)} lift and hold, and are not robust. Of {REPLAYS} replays, so many survive one perturbation alone, or an object 0.1 mm elsewhere:",
        "",
        "| task | " + " | ".join(parts) + " |",
        "|---|" + "---|" * len(parts),
    ]
    lines += [f"| {task.partition('@')[0]} | " + " | ".join(str(survived[part]) for part in parts) + " |" for task, survived in tasks.items()]
    enough = ROBUST_FRACTION * REPLAYS
    return [*lines, "| enough of them in | " + " | ".join(str(sum(s[part] >= enough for s in tasks.values())) for part in parts) + " |", ""]


def _prediction(scores: dict[str, Any]) -> list[str]:
    lines = [
        "What the reference alone foretells (dextrack/mining/prediction.py), against what came of it; failures are what is foreseen:",
        "",
        "| part | outcome | n | share that did | foreseen rightly | precision | recall | Brier | Brier of the base rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part, by_outcome in scores.items():
        for outcome, s in by_outcome.items():
            numbers = [_number(s[k], "{:.2f}") for k in ("base_rate", "accuracy", "failure_precision", "failure_recall", "brier", "brier_base")]
            lines.append(f"| {part.replace('_', ' ')} | {outcome} | {s['n']} | " + " | ".join(numbers) + " |")
    return lines


def _tasks(rows: list[dict[str, Any]]) -> list[str]:
    header = ("task", "replay", "error", "20°", "40°", *PARTS, "core time", "steps", "RL", "cause of failure", "foreseen")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        s, said = row["sampling"], row["prediction"]
        cells = [row["reference"], _outcome(row["replay"])]
        if s is None:
            cells += ["-"] * 9
        else:
            cells += [f"{100 * s['t_err_m']:.1f} cm, {np.rad2deg(s['r_err_rad']):.0f}°", *("✓" if s[k] else "✗" for k in ("success_20", "success_40"))]
            cells += [_SHORT[s[part]] for part in PARTS]
            cells += [_number(s.get("cpu_seconds") or s["seconds"], "{:.0f} s"), _number(s["control_steps"], "{:,.0f}")]
        why = s["finding"] if s and s.get("finding") else row["why"]
        cells += [_outcome(row["rl"]), f"{row['cause']}: {why}" if row["cause"] else why, f"{100 * said['passed']:.0f} %" if said else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _outcome(method: dict[str, Any] | None) -> str:
    """A method's result in a word."""
    if method is None:
        return "-"
    return "passed" if method["passed"] else "lifted, 20°" if method["tracked"] else "failed"


def figure(content: dict[str, Any]) -> Figure:
    """Three diagrams: how many tasks each method solves, why sampling fails, and what was foreseen against what came of it."""
    drawn = Figure(figsize=(13.0, 4.6), layout="constrained")
    counts, causes, foreseen = drawn.subplots(1, 3, width_ratios=(1.35, 1.0, 0.9))
    _draw_counts(counts, content)
    names = list(content["sampling"]["causes"].items())
    bars = causes.barh([c for c, _ in names], [k for _, k in names], color=_COLOURS["sampling"])
    causes.bar_label(bars, padding=2)
    causes.invert_yaxis()
    causes.set_title("Why sampling failed")
    causes.set_xlabel("tasks")
    causes.xaxis.set_major_locator(MaxNLocator(integer=True))
    foreseen.yaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_foreseen(foreseen, content["rows"])
    for axes in (counts, causes, foreseen):
        axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _draw_counts(axes: Axes, content: dict[str, Any]) -> None:
    methods = [(key, name) for key, name in METHODS if content.get(key)]
    x, width = np.arange(len(_COUNTS)), 0.8 / len(methods)
    for i, (key, name) in enumerate(methods):
        shares = [100.0 * content[key][count] / max(1, content["n"]) for count, _ in _COUNTS]
        axes.bar(x + (i - 0.5 * (len(methods) - 1)) * width, shares, width, label=name, color=_COLOURS[key])
    for count, aim in content["aims"].items():
        keys = [key for key, _ in _COUNTS]
        if count in keys:
            at = keys.index(count)
            axes.plot([at - 0.45, at + 0.45], [100.0 * aim] * 2, color="#1f2328", linestyle="--", linewidth=1.4)
            axes.annotate("aim", (at + 0.45, 100.0 * aim), xytext=(2, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xticks(x, [label for _, label in _COUNTS], rotation=35, ha="right")
    axes.set_ylabel(f"% of {content['n']} recordings")
    axes.set_ylim(0.0, 108.0)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    axes.set_title(f"Tasks solved, {content['hand']}")


def _draw_foreseen(axes: Axes, rows: list[dict[str, Any]]) -> None:
    mined = [row for row in rows if row["sampling"] and row["prediction"] and row["part"] != "train"]
    p = np.array([row["prediction"]["passed"] for row in mined])
    y = np.array([bool(row["sampling"]["passed"]) for row in mined])
    edges = np.linspace(0.0, 1.0, 6)
    axes.hist([p[y], p[~y]] if len(p) else [[], []], bins=edges.tolist(), stacked=True, label=["passed", "failed"], color=["#00664c", "#c9cdd2"])
    axes.set_xlabel("foreseen probability of the whole verdict")
    axes.set_ylabel("tasks")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Foreseen, of held-out tasks")
