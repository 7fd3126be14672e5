"""How many of the installed recordings the twin's cell can do, how much slower, and why it cannot do the others.

    dextrack mine --all
    python tests/bench/placement.py references [--demonstrations demonstrations.h5] [--cell twin]

References are placed as they are; with --demonstrations also what was mined of them, whose targets the arm follows in a trial. A recording that has no
reference counts as one that does not fit. Writes tests/bench/results/placement.json and .md.
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
from dextrack_deploy.placement import PlacedTask, place
from rich.progress import track

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.files import digest, write_json
from dextrack.mining import ledger as ledgers
from dextrack.references.library import recordings
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference

RESULTS = Path(__file__).parent / "results"
CAUSES = {
    "slowed down": "slow-down beyond 4 times",
    "from the wrist path": "out of reach",
    "over the table": "a link of the arm would be in the table",
    "leaves the workspace": "wrist leaves the workspace",
    "would touch": "arm and hand would touch",
    "finite numbers": "the shadow simulator diverges",
}
"""What a refusal says -> what it is counted as; the first that fits."""
NO_REFERENCE = "cannot be retargeted"


def placed(task: Reference | Demonstration, cell: Any) -> dict[str, Any]:
    """Place one task."""
    began = time.monotonic()
    try:
        found: PlacedTask[Any] = place(task, cell)  # type: ignore[type-var]
    except RefusedError as error:
        why = re.sub(r"^.*?: ", "", error.what)
        cause = next((name for words, name in CAUSES.items() if words in why), "other")
        return {"fits": False, "cause": cause, "why": why, "seconds": round(time.monotonic() - began, 2)}
    figures = {k: round(v, 4) for k, v in dataclasses.asdict(found.figures).items()}
    return {"fits": True, "time_scale": round(found.time_scale, 3), **figures, "seconds": round(time.monotonic() - began, 2)}


def row(name: str, path: Path | None, why: str, demonstrations: Path | None, cell: Any) -> dict[str, Any]:
    """One recording: its reference, and what was mined of it."""
    if path is None:
        return {"reference": name, "fits": False, "cause": NO_REFERENCE, "why": why}
    reference = Reference.load(path)
    found = {"reference": name, "seconds_long": reference.n_steps * reference.period, **placed(reference, cell)}
    key = f"{name}@{reference.hand_name}"
    if demonstrations is not None and key in store.names(demonstrations):
        found["demonstration"] = placed(store.load(demonstrations, key), cell)
    return found


def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many fit, and why the others do not."""
    fit = [r for r in rows if r["fits"]]
    return {
        "n": len(rows),
        "fit": len(fit),
        "causes": dict(Counter(r["cause"] for r in rows if not r["fits"]).most_common()),
        "time_scale_median": float(np.median([r["time_scale"] for r in fit])) if fit else None,
    }


def table(content: dict[str, Any]) -> str:
    """Markdown: the counts, then every refusal in its own words."""
    mined = content["demonstrations"]
    lines = [f"{content['fit']} of {content['n']} recordings fit cell {content['cell']} as references, placed as they are."]
    lines += [f"Of {mined['n']} demonstrations mined of them, {mined['fit']} fit, with their own targets."] if mined["n"] else []
    lines += ["", "| why not | references | demonstrations |", "|---|---|---|"]
    lines += [f"| {c} | {content['causes'].get(c, 0)} | {mined['causes'].get(c, 0)} |" for c in {**content["causes"], **mined["causes"]}]
    lines += ["", "| recording | fits | slowed down | why not | its demonstration | slowed down | why not |", "|---|---|---|---|---|---|---|"]
    for r in content["rows"]:
        d = r.get("demonstration", {})
        own = f"{'yes' if d['fits'] else 'no'} | {d.get('time_scale', '')} | {d.get('why', '')}" if d else "| |"
        lines.append(f"| {r['reference']} | {'yes' if r['fits'] else 'no'} | {r.get('time_scale', '')} | {r.get('why', '')} | {own} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Place every installed recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path, help="folder of the recordings' references")
    parser.add_argument("--demonstrations", type=Path, help="store of what was mined of them; its ledger says why there is no reference")
    parser.add_argument("--cell", default="twin")
    options = parser.parse_args()
    cell, paths = load_cell(options.cell), {Reference.load(p).name: p for p in sorted(options.references.glob("*.npz"))}
    ledger = ledgers.read(ledgers.path_of(options.demonstrations)) if options.demonstrations else {}
    refused = {key.partition("@")[0]: r.why for key, r in ledger.items() if r.state == ledgers.REFUSED}
    names = sorted({*paths, *(Recording.load(p).name for p in recordings().values())})
    given = [(n, paths.get(n), refused.get(n, "it has no reference"), options.demonstrations, cell) for n in names]
    rows = [row(*one) for one in track(given, description="placing")]
    content = {
        "command": command_line(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        "digests": {**{p.stem: digest(p) for p in paths.values()}, **({"demonstrations": digest(options.demonstrations)} if options.demonstrations else {})},
        "cell": options.cell,
        **counted(rows),
        "demonstrations": counted([r["demonstration"] for r in rows if "demonstration" in r]),
        "seconds_median": float(np.median([r["seconds"] for r in rows if "seconds" in r])),
        "rows": rows,
    }
    write_json(RESULTS / "placement.json", content)
    (RESULTS / "placement.md").write_text(table(content), encoding="utf-8")
    print({k: content[k] for k in ("n", "fit", "causes", "time_scale_median", "demonstrations", "seconds_median")})


if __name__ == "__main__":
    main()
