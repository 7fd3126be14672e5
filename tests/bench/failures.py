"""The gallery of failures: every task of a store that failed, with its cause, in one figure and one table.

    python tests/bench/failures.py --store mined/demonstrations.h5 [--keep FOLDER]

`dextrack evaluate` shows the same with more pictures, in a page. Causes and pictures that are found are kept in the folder ``--keep``, so that a run that was
broken off goes on.

Writes tests/bench/results/failures_<hand without side>.png and .md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from command_line import command_line

from dextrack.demonstrations import store
from dextrack.evaluation import failure_table, poster
from dextrack.evaluation.film_strip import FilmStrip, KeyFrame
from dextrack.evaluation.gallery import Exhibit, exhibit, exhibit_refused
from dextrack.evaluation.results import Result, refusal
from dextrack.files import digest, replacing, write_json
from dextrack.mining import ledger
from dextrack.mining.failure import Failure, explain
from dextrack.references.library import find_object, find_recording

RESULTS = Path(__file__).parent / "results"
WIDTH = 200
"""Of a picture before it is made smaller, pixels."""


def result_of(path: Path, task: str, rows: dict[str, ledger.Row], keep: Path) -> Result:
    """What became of ``task`` and why."""
    if task not in store.names(path):
        row = rows[task]
        return Result(task, row.state, row.why, failure=refusal(row))
    demonstration = store.load(path, task)
    known = keep / f"{task}.json"
    if known.is_file():
        found = json.loads(known.read_text())
        why = Failure(**found) if found else None
    else:
        why = explain(demonstration, find_object(demonstration.reference, near=path))
        write_json(known, why.as_dict() if why else {})
    return Result(task, ledger.MINED, metrics=demonstration.metrics, verdict=demonstration.verdict, failure=why)


def exhibit_of(path: Path, result: Result, why: Failure, keep: Path) -> Exhibit:
    """The two telling pictures of a failure."""
    known = keep / f"{result.task}.npz"
    if not known.is_file():
        if result.state == ledger.MINED:
            demonstration = store.load(path, result.task)
            made = exhibit(result.task, demonstration, find_object(demonstration.reference, near=path), why, width=WIDTH, brief=True)
        else:
            recording = find_recording(result.task.partition("@")[0])
            made = exhibit_refused(result.task, recording, find_object(recording), why, WIDTH)
        with replacing(known) as temporary, temporary.open("wb") as f:
            telling = made.telling
            np.savez(f, pictures=[made.strip.pictures[-1][i] for i in telling], times=[made.strip.keys[i].time for i in telling])
    with np.load(known, allow_pickle=False) as kept:
        pictures, keys = tuple(kept["pictures"]), tuple(KeyFrame("", float(t)) for t in kept["times"])
    return Exhibit(result.task, why, FilmStrip(("",), keys, (pictures,), (("",) * len(keys),), ()), telling=(0, 1))


def main() -> None:
    """Explain, take pictures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="store that mining wrote, with its ledger beside it")
    parser.add_argument("--hand", default="leap_right")
    parser.add_argument("--keep", type=Path, default=Path("runs/failures"), help="folder for what a broken-off run goes on from, with one for each store")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep = options.keep / digest(options.store)[:12]
    keep.mkdir(parents=True, exist_ok=True)
    rows = ledger.read(ledger.path_of(options.store))
    tasks = [t for t in sorted({*store.names(options.store), *rows}) if t.endswith("@" + options.hand)]
    results, exhibits = [], []
    for task in tasks:
        result = result_of(options.store, task, rows, keep)
        results.append(result)
        if result.failure is not None:
            exhibits.append(exhibit_of(options.store, result, result.failure, keep))
            print(f"{task}: {result.failure.cause}", flush=True)
    hand = options.hand.split("_")[0] if options.hand.endswith("_right") else options.hand
    poster.save(options.out / f"failures_{hand}.png", results, exhibits)
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    machine = f"{os.cpu_count()} cores ({platform.machine()})"
    lead = (
        f"`{command_line()}`, {date}, {machine}, store {digest(options.store)[:12]}.",
        f"Pictures: `failures_{hand}.png`. `dextrack evaluate STORE` makes both for any store, and a page with film strips.",
    )
    with replacing(options.out / f"failures_{hand}.md") as temporary:
        temporary.write_text(failure_table.table(results, f"Failures of mining on {options.hand}", lead), encoding="utf-8")


if __name__ == "__main__":
    main()
