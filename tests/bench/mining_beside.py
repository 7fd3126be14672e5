"""A change of mining beside what was published: the tasks of a store against the same tasks of a table that ``mining.py`` wrote.

    dextrack mine NAME ... --out changed/demonstrations.h5
    python tests/bench/mining_beside.py --store changed/demonstrations.h5 [--table tests/bench/results/mining_leap.json]

A whole campaign takes hours; every fourth task says already what a change costs, and whether it does harm. Simulated steps compare between machines, seconds
hardly. Writes tests/bench/results/mining_beside.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
from command_line import command_line

from dextrack.errors import InputError
from dextrack.evaluation.results import collect
from dextrack.files import digest, write_json

RESULTS = Path(__file__).parent / "results"
FIELDS = ("tracked", "passed", "surveyed", "replays_survived", "control_steps", "cpu_seconds")


def beside(store: Path, table: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each task that both have mined."""
    before = {row["task"]: row["sampling"] for row in table["rows"] if row["sampling"]}
    after = {r.task: r.as_row() for r in collect(store, lambda *_: None, table["hand"]) if r.state == "mined"}
    return [{"task": t, "before": {f: before[t][f] for f in FIELDS}, "after": {f: row[f] for f in FIELDS}} for t, row in after.items() if t in before]


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="demonstrations of the changed mining")
    parser.add_argument("--table", type=Path, default=RESULTS / "mining_leap.json", help="what mining.py wrote of the unchanged one")
    options = parser.parse_args()
    rows = beside(options.store, json.loads(options.table.read_text(encoding="utf-8")))
    if not rows:
        raise InputError(f"{options.store} and {options.table}: no task is in both.", remedy="mine tasks of the table.")
    total = {when: {f: sum(row[when][f] or 0 for row in rows) for f in ("tracked", "passed", "control_steps", "cpu_seconds")} for when in ("before", "after")}
    for when, numbers in total.items():
        print(f"{when}: " + ", ".join(f"{field} {value:.6g}" for field, value in numbers.items()) + f", of {len(rows)} tasks")
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine(), "mujoco": mujoco.__version__}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    digests = {"store": digest(options.store), "table": digest(options.table)}
    write_json(RESULTS / "mining_beside.json", {"command": command_line(), "date": now, "machine": machine, "digests": digests, **total, "rows": rows})


if __name__ == "__main__":
    main()
