"""The fault matrix for people: a table in Markdown, and a figure with a square for each source and fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from fault_cells import FAULTS, NOT_INJECTED, SOURCES
from matplotlib.patches import Patch, Rectangle

COLOURS = {
    "FAULT": ("#e0803a", "FAULT: the arm's own stop"),
    "HOLD": ("#f2c45a", "HOLD"),
    "drivers": ("#8fb8de", "targets stand still without the supervisor"),
    "none": ("#a8d5a2", "none needed: the run goes on"),
    "unsafe": ("#c0392b", "not safe"),
    "not": ("#eeeeee", "not injected here"),
    "missing": ("#ffffff", "not run yet"),
}
Row = dict[str, Any]


def kind(row: Row) -> str:
    """The key of ``COLOURS`` for a row."""
    if not row["safe"]:
        return "unsafe"
    if row["reaction"].startswith("none needed"):
        return "none"
    return row["state"] if row["state"] in ("FAULT", "HOLD") else "drivers"


def worst(rows: list[Row]) -> Row:
    """Of a cell's variants, the one that the figure shows."""
    return max(rows, key=lambda r: (not r["safe"], r["seconds_to_safe"] is None, r["seconds_to_safe"] or 0.0, r["largest_step_share_of_limit"]))


def write_table(path: Path, result: dict[str, Any]) -> None:
    """One line for each row, and those that are missing with their reasons."""
    rows = result["rows"]
    lines = [
        "# Fault matrix",
        "",
        f"{sum(r['safe'] for r in rows)} of {len(rows)} rows are safe. `{result['command']}`, {result['date']}, {result['machine']}.",
        "Faults begin in RUN, 1 s after it did, but where the variant says APPROACH.",
        "A step is the largest between two commanded targets after the fault; its share is of the joint's velocity limit x control period, and a guard",
        "allows 2 (a late tick makes up for one before). Rules of `safe`:",
        "",
        *(f"> {line}" for line in result["rules"].splitlines()),
        "",
        "| source | fault | variant | injected by | reaction | s to safe | largest step, rad (share) | safe |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        seconds = "goes on" if r["seconds_to_safe"] is None else f"{r['seconds_to_safe']:.2f}"
        step = f"{r['largest_step_after_rad']:.4f} ({r['largest_step_share_of_limit']:.2f})"
        safe = "yes" if r["safe"] else "**no**: " + "; ".join(r["problems"])
        cells = (r["source"], r["fault"], r["variant"], r["injected_by"], r["reaction"], seconds, step, safe)
        lines.append("| " + " | ".join(str(c).replace("|", "/").replace("\n", " ") for c in cells) + " |")
    lines += ["", *(f"Not injected here: {s}, {f}: {why}." for s, f, why in NOT_INJECTED)]
    lines += [f"Not measured: {name}: {why}." for name, why in result["failed"].items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(path: Path, rows: list[Row]) -> None:
    """The matrix: coloured by reaction, in each cell the seconds to safe, the largest step and how many variants there are."""
    by_cell: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_cell.setdefault((row["source"], row["fault"]), []).append(row)
    absent = {(s, f) for s, f, _ in NOT_INJECTED}
    figure, axes = plt.subplots(figsize=(11.0, 8.5), layout="constrained")
    for y, source in enumerate(SOURCES):
        for x, fault in enumerate(FAULTS):
            found = by_cell.get((source, fault), [])
            shown = worst(found) if found else None
            key = kind(shown) if shown else "not" if (source, fault) in absent else "missing"
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=COLOURS[key][0], edgecolor="#999999", linewidth=0.6))
            axes.text(x, y, _words(shown, len(found), key), ha="center", va="center", fontsize=8, color="white" if key == "unsafe" else "black")
    axes.set_xticks(range(len(FAULTS)), FAULTS)
    axes.set_yticks(range(len(SOURCES)), SOURCES)
    axes.set_xlim(-0.5, len(FAULTS) - 0.5)
    axes.set_ylim(len(SOURCES) - 0.5, -0.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title("What the cell does about each fault (of several variants: the worst)", pad=12)
    figure.legend(handles=[Patch(facecolor=c, edgecolor="#999999", label=label) for c, label in COLOURS.values()], loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _words(row: Row | None, variants: int, key: str) -> str:
    if row is None:
        return "not injected\nhere" if key == "not" else ""
    seconds = "goes on" if row["seconds_to_safe"] is None else f"{row['seconds_to_safe']:.2f} s"
    more = f"\n{variants} variants" if variants > 1 else ""
    return f"{seconds}\nstep {1e3 * row['largest_step_after_rad']:.0f} mrad{more}"
