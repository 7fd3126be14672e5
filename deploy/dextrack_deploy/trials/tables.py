"""Tables of a session: per object as the paper's 2, 7 and 8, with the counts behind the percentages and what was corrected by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dextrack_deploy.trials.session import Attempt, Session, objects


def reached(rows: Sequence[Attempt]) -> dict[str, Any]:
    """How many of ``rows`` reached each level, and of how many that could: level 3 is out of reach of a short reference."""
    long = [r for r in rows if r.qualifies]
    return {
        "attempts": len(rows),
        "level_1": sum(r.counts >= 1 for r in rows),
        "level_2": sum(r.counts >= 2 for r in rows),
        "level_3": sum(r.counts >= 3 for r in rows),
        "qualify_for_level_3": len(long),
        "to_end": sum(r.to_end and r.counts >= 2 for r in rows),
        "refused": sum(r.ended == "refused" for r in rows),
        "corrected": sum(r.operator_level is not None and r.operator_level != r.level for r in rows),
    }


def summary(session: Session) -> dict[str, Any]:
    """Figures per object, per task and over all attempts."""
    rows = session.rows
    return {
        "objects": {name: reached([r for r in rows if r.object == name]) for name in objects(rows)},
        "tasks": {name: reached([r for r in rows if r.task == name]) for name in session.tasks},
        "all": reached(rows),
    }


def markdown(session: Session) -> str:
    """The session as Markdown: the paper's table, the counts, every attempt."""
    figures = summary(session)
    names = list(figures["objects"])
    groups = [*figures["objects"].values(), figures["all"]]
    lines = [
        f"Success at levels 1/2/3, % of attempts; {session.method} on cell {session.cell}; the paper's Tables 2, 7 and 8 have this form.",
        "",
        "| method | " + " | ".join([*names, "all"]) + " |",
        "|---|" + "---|" * (len(names) + 1),
        f"| {session.method} | " + " | ".join(_percent(g) for g in groups) + " |",
        "",
        "| object | attempts | level 1 | level 2 | level 3 | long enough for level 3 | followed to the end | refused | corrected by hand |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {name} | " + " | ".join(str(v) for v in g.values()) + " |" for name, g in zip([*names, "all"], map(_in_order, groups), strict=True)),
        "",
        "| task | attempt | found | operator | true | highest side, whole | ended | note |",
        "|---|---|---|---|---|---|---|---|",
        *(_attempt(r) for r in sorted(session.rows, key=lambda r: (r.task, r.number))),
        "",
    ]
    return "\n".join(lines)


def _in_order(group: dict[str, Any]) -> dict[str, Any]:
    keys = ("attempts", "level_1", "level_2", "level_3", "qualify_for_level_3", "to_end", "refused", "corrected")
    return {k: group[k] for k in keys}


def _percent(group: dict[str, Any]) -> str:
    n = max(group["attempts"], 1)
    return "/".join(f"{100.0 * group[k] / n:.1f}" for k in ("level_1", "level_2", "level_3"))


def _attempt(r: Attempt) -> str:
    said, true = ("" if v is None else str(v) for v in (r.operator_level, r.true_level))
    high = "{:.1f} cm, {:.1f} cm".format(*(100.0 * r.details.get(k, 0.0) for k in ("side_m", "whole_m"))) if r.details else ""
    end = r.ended if r.ended == "finished" else f"{r.ended}: {r.reason}"
    return f"| {r.task} | {r.number} | {r.level} | {said} | {true} | {high} | {end.replace('|', '/')} | {r.note.replace('|', '/')} |"
