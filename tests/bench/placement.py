"""How many references the twin's cell can do, how much slower, and why it cannot do the others.

    dextrack retarget --all --out references
    python tests/bench/placement.py references [--cell twin]

Writes tests/bench/results/placement.json and .md. References are placed as they are, without a demonstration's targets.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from command_line import command_line
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placement import place
from rich.progress import track

from dextrack.errors import RefusedError
from dextrack.files import digest, write_json
from dextrack.references.reference import Reference

RESULTS = Path(__file__).parent / "results"
CAUSES = {
    "slowed down": "slow-down beyond 4 times",
    "from the wrist path": "out of reach",
    "over the table": "a link of the arm would be in the table",
    "leaves the workspace": "wrist leaves the workspace",
    "would touch": "arm and hand would touch",
}
"""What a refusal says -> what it is counted as; the first that fits."""


def row(path: Path, cell: Any) -> dict[str, Any]:
    """Place one reference."""
    reference = Reference.load(path)
    began = time.monotonic()
    facts = {"reference": reference.name, "seconds_long": reference.n_steps * reference.period}
    try:
        placed = place(reference, cell)
    except RefusedError as error:
        why = re.sub(r"^.*?: ", "", error.what)
        cause = next((name for words, name in CAUSES.items() if words in why), "other")
        return {**facts, "fits": False, "cause": cause, "why": why, "seconds": round(time.monotonic() - began, 2)}
    figures = {k: round(v, 4) for k, v in dataclasses.asdict(placed.figures).items()}
    return {**facts, "fits": True, "time_scale": round(placed.time_scale, 3), **figures, "seconds": round(time.monotonic() - began, 2)}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: the counts, then every refusal in its own words."""
    fit = [r for r in rows if r["fits"]]
    lines = [f"{len(fit)} of {len(rows)} references fit.", "", "| why not | references |", "|---|---|"]
    lines += [f"| {cause} | {n} |" for cause, n in Counter(r["cause"] for r in rows if not r["fits"]).most_common()]
    lines += ["", "| reference | fits | slowed down | why not |", "|---|---|---|---|"]
    lines += [f"| {r['reference']} | {'yes' if r['fits'] else 'no'} | {r.get('time_scale', '')} | {r.get('why', '')} |" for r in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Place every reference of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    parser.add_argument("--cell", default="twin")
    options = parser.parse_args()
    cell, paths = load_cell(options.cell), sorted(options.references.glob("*.npz"))
    rows = [row(p, cell) for p in track(paths, description="placing")]
    fit = [r for r in rows if r["fits"]]
    content = {
        "command": command_line(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        "digests": {p.stem: digest(p) for p in paths},
        "cell": options.cell,
        "n": len(rows),
        "fit": len(fit),
        "causes": dict(Counter(r["cause"] for r in rows if not r["fits"]).most_common()),
        "time_scale_median": float(np.median([r["time_scale"] for r in fit])) if fit else None,
        "seconds_median": float(np.median([r["seconds"] for r in rows])),
        "rows": rows,
    }
    write_json(RESULTS / "placement.json", content)
    (RESULTS / "placement.md").write_text(table(rows), encoding="utf-8")
    print({k: content[k] for k in ("n", "fit", "causes", "time_scale_median", "seconds_median")})


if __name__ == "__main__":
    main()
