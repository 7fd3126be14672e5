"""Where the time of mining goes: inside the engine, planning grasps, looking at what came of them.

    python tests/bench/mining_profile.py --store mined/demonstrations.h5 [--tasks watch_lift mouse_lift]

The references in the store are mined again, on one thread and under Python's profiler, whose clock is processor time: what else the machine does matters
little, and Python's part comes out larger than it is. The share of the engine in a campaign, which nothing slows, is in mining_leap.json.

Writes tests/bench/results/mining_profile.json.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime
import os
import platform
import pstats
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
from command_line import command_line

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.files import digest, write_json
from dextrack.mining.mine import MineConfig, mine
from dextrack.references.library import find_object

RESULTS = Path(__file__).parent / "results"
ENGINE = ("_batch.rollout", "mj_step")
"""Functions of the engine, as the profiler calls them."""
PARTS = {
    "grasps planned": ("grasps.py", "other_grasp"),
    "baselines of grasps": ("baseline.py", "make_baseline"),
    "verdicts on trajectories": ("verdict.py", "judge"),
    "distances to the object": ("tuning.py", "_evaluate", "distance.py", "query"),
    "causes and errors of trajectories": ("audition.py", "is_off"),
    "samples of a search and their cost": ("cost.py", "__call__"),
    "scenes": ("scene.py", "build_scene"),
}
"""Parts that do not overlap: file and name of the function, or of a caller and what it calls."""


def of_task(path: Path, task: str) -> dict[str, Any]:
    """Mine one task; processor seconds, in all and by part."""
    demonstration = store.load(path, task)
    reference = demonstration.reference
    obj = find_object(reference, near=path)
    profile = cProfile.Profile(time.process_time)
    began = time.process_time()
    found = profile.runcall(mine, reference, obj, MineConfig(threads=1), int(demonstration.provenance["seed"]))
    seconds = time.process_time() - began
    rows: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    parts = {"engine": sum(row[3] for (_, _, name), row in rows.items() if any(called in name for called in ENGINE))}
    for name, at in PARTS.items():
        parts[name] = cumulative(rows, *at)
    parts["the rest"] = seconds - sum(parts.values())
    return {"seconds": seconds, "passed": bool(found.verdict["passed"]), "control_steps": found.provenance["control_steps"], "parts": parts}


def cumulative(rows: dict[Any, Any], *at: str) -> float:
    """Seconds in the function ``at`` (file, name) and what it calls; where four are given, of the last two as called by the first two."""
    found = [row for (file, _, name), row in rows.items() if file.endswith("/" + at[-2]) and name == at[-1]]
    if len(at) == 2:
        return float(sum(row[3] for row in found))
    return float(sum(c[3] for row in found for (file, _, name), c in row[4].items() if file.endswith("/" + at[0]) and name == at[1]))


def main() -> None:
    """Mine the tasks again and write where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--hand", default="leap_right")
    parser.add_argument("--tasks", nargs="+", default=["watch_lift", "mouse_lift", "alarmclock_see1", "duck_inspect1"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = {}
    for name in options.tasks:
        rows[name] = of_task(options.store, f"{name}@{options.hand}")
        print(name, {k: round(v, 1) for k, v in rows[name]["parts"].items()}, flush=True)
    seconds = sum(row["seconds"] for row in rows.values())
    shares = {part: sum(row["parts"][part] for row in rows.values()) / seconds for part in next(iter(rows.values()))["parts"]}
    content = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"dextrack": __version__, "mujoco": mujoco.__version__},
        "digests": {"store": digest(options.store)},
        "seconds": seconds,
        "shares": shares,
        "tasks": rows,
    }
    write_json(options.out / "mining_profile.json", content)
    print({k: f"{100 * v:.1f} %" for k, v in shares.items()})


if __name__ == "__main__":
    main()
