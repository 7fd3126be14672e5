"""The conformance suite on every registered backend: which cases each passes, with their figures; what did not run says why.

    python tests/bench/conformance.py [BACKEND ...] [--hand leap_right]

A backend is named as ``[LABEL=]NAME[:OPTION=VALUE,...]``; none named: all that are registered. Writes tests/bench/results/conformance.json. An earlier run of a
backend that cannot run here stays in it, with the machine and the date it was made on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from backends import Named, every, machine
from command_line import command_line

from dextrack import __version__
from dextrack.errors import DexTrackError
from dextrack.files import write_json
from dextrack.hands import load_hand
from dextrack.sim.conformance import CASES, run

RESULTS = Path(__file__).parent / "results" / "conformance.json"


def checked(backend: Named, hand: str) -> dict[str, Any]:
    """Every case on one backend: ``ran``, ``passed`` and ``figure``; all of them did not run where the backend cannot be made."""
    made = {
        "command": command_line(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "backend": backend.name,
        "options": backend.options,
        "hand": hand,
    }
    try:
        results = run(backend.name, load_hand(hand), backend.options)
    except (DexTrackError, ImportError) as error:
        cases = {case: {"ran": False, "passed": False, "figure": f"not run: {error}"} for case in CASES}
        return {**made, "ran": False, "cases": cases}
    return {**made, "ran": True, "cases": {r.case: {"ran": r.ran, "passed": r.passed, "figure": r.figure} for r in results}}


def main() -> int:
    """Run the benchmark; 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", type=Named.parse, metavar="BACKEND")
    parser.add_argument("--hand", default="leap_right")
    arguments = parser.parse_args()
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = []
    for backend in arguments.backends or every():
        found = checked(backend, arguments.hand)
        for case, row in found["cases"].items():
            print(f"{backend.label} {case}: {'passed' if row['passed'] else 'FAILED' if row['ran'] else 'not run'}: {row['figure']}", flush=True)
            failed += [case] if row["ran"] and not row["passed"] else []
        if found["ran"] or not known.get(backend.label, {}).get("ran", False):
            known[backend.label] = found
    write_json(RESULTS, dict(sorted(known.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
