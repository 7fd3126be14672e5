"""Trials of several real recordings in the twin's mismatched physics, over ROS 2: what `dextrack demo` reports for each, in one table.

    python tests/bench/twin_trials.py [--recordings waterbottle_lift ...] [--out runs] [--seeds 0]

A recording that is refused, or whose trial fails, is a row like any other. Writes tests/bench/results/twin_trials.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from command_line import command_line

from dextrack.files import write_json

RESULT = Path(__file__).parent / "results" / "twin_trials.json"
RECORDINGS = ("waterbottle_lift", "cylindermedium_lift", "elephant_lift", "mouse_lift", "apple_lift")
KEYS = ("verdict", "outcome", "t_err_m", "r_err_rad", "e_wrist", "e_finger_rad", "loop_period_ms", "overruns", "latency_ms", "digests", "seed", "mismatch")


def trial(recording: str, out: Path, seed: int) -> dict[str, Any]:
    """Run one demo and read its report."""
    command = [sys.executable, "-m", "dextrack", "demo", recording, "--out", str(out), "--seed", str(seed)]
    began = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True)
    row: dict[str, Any] = {"recording": recording, "seed": seed, "exit_code": run.returncode, "seconds": round(time.monotonic() - began, 1)}
    folders = sorted(out.glob(f"{recording}-*/report.json"), key=lambda p: p.stat().st_mtime)
    if not folders or folders[-1].stat().st_mtime < time.time() - row["seconds"]:
        return row | {"report": None, "said": run.stdout[-400:] + run.stderr[-400:]}
    report = json.loads(folders[-1].read_text())
    return row | {key: report.get(key) for key in KEYS}


def main() -> None:
    """Run the trials one after the other and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", nargs="+", default=list(RECORDINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = []
    for recording in options.recordings:
        for seed in options.seeds:
            rows.append(trial(recording, options.out, seed))
            print(json.dumps({k: rows[-1].get(k) for k in ("recording", "seed", "exit_code", "outcome", "t_err_m", "seconds")}), flush=True)
    write_json(
        RESULT,
        {
            "command": command_line(),
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
            "trials": len(rows),
            "passed": sum(row["exit_code"] == 0 for row in rows),
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
