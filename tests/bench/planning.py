"""What it costs to solve for a grasp roughly instead of thoroughly before it is tried out: time, and how far such grasps carry the object.

    python tests/bench/planning.py --store mined/demonstrations.h5 [--tasks watch_lift mouse_lift] [--grasps 14]

For each task the same grasps are planned with both schedules (``gauss_newton.THOROUGH`` and ``gauss_newton.ROUGH``), in turns, and tried out as mining does,
on one core. Writes tests/bench/results/planning.json.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import time
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
from command_line import command_line

from dextrack.demonstrations import store
from dextrack.files import digest, write_json
from dextrack.hands import load_hand
from dextrack.mining.audition import AuditionConfig, Auditions
from dextrack.mining.grasps import other_grasp
from dextrack.mining.sampling import SamplingConfig
from dextrack.references import gauss_newton
from dextrack.references.library import find_object
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices

RESULT = Path(__file__).parent / "results" / "planning.json"
SCHEDULES = {"thorough": gauss_newton.THOROUGH, "rough": gauss_newton.ROUGH}
TASKS = (
    "watch_lift", "mouse_lift", "alarmclock_see1", "duck_inspect1", "wineglass_drink2", "cubelarge_pass1", "airplane_pass1", "toothpaste_squeeze1",
    "banana_pass1", "hammer_use1",
)  # fmt: skip


def of_task(path: Path, task: str, count: int) -> dict[str, Any]:
    """With each schedule: milliseconds for a first look at a grasp, and by grasp the share of the way's first part that it carries the object."""
    reference = store.load(path, task).reference
    obj = find_object(reference, near=path)
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, obj)
    config = AuditionConfig(grasps=count)
    last = min(int(reference.diagnosis["onset"]) + config.ahead, reference.n_steps)
    other_grasp(reference, obj, 1, 0, last)  # what is made once for an object, is
    row: dict[str, Any] = {"task": task}
    for name, schedule in SCHEDULES.items():
        with mock.patch.object(gauss_newton, "ROUGH", schedule):
            began = time.process_time()
            for number in range(1, count):
                other_grasp(reference, obj, number, 0, last)
            seconds = time.process_time() - began
            auditions = Auditions(reference, obj, scene, hull_vertices(obj.vertices), config, SamplingConfig().force, 0, 1)
            for _ in auditions.run():
                pass
        row[name] = {"ms": round(1e3 * seconds / (count - 1), 1), "carried": {str(k): round(v, 4) for k, v in auditions.first.items()}}
    return row


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="demonstrations")
    parser.add_argument("--hand", default="leap_right")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="names of references")
    parser.add_argument("--grasps", type=int, default=AuditionConfig().grasps, help="tried with each schedule, the reference's own among them")
    options = parser.parse_args()
    rows = []
    for name in options.tasks:
        rows.append(of_task(options.store, f"{name}@{options.hand}", options.grasps))
        print(name, {s: (rows[-1][s]["ms"], round(float(np.mean(list(rows[-1][s]["carried"].values()))), 3)) for s in SCHEDULES}, flush=True)
    worthy = AuditionConfig().worthy
    summary = {}
    for name in SCHEDULES:
        carried = [share for row in rows for share in row[name]["carried"].values()]
        summary[name] = {
            "ms": float(np.mean([row[name]["ms"] for row in rows])),
            "grasps": len(carried),
            "carried": float(np.mean(carried)),
            "worthy": int(sum(share >= worthy for share in carried)),
        }
    print(summary)
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine(), "mujoco": mujoco.__version__}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    write_json(RESULT, {"command": command_line(), "date": now, "machine": machine, "store": digest(options.store), "summary": summary, "rows": rows})


if __name__ == "__main__":
    main()
