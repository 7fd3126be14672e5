"""What the engine's sparse Jacobian is worth: the same targets replayed with a dense and a sparse one.

    python tests/bench/jacobian.py --store mined/demonstrations.h5 [--tasks apple_lift mug_pass1] [--repeats 5]

MuJoCo takes a dense Jacobian below 60 degrees of freedom unless it is told otherwise. Each demonstration's targets are stepped with either on one core, in
turns, and the fastest of the repeats counts. Beside the times stand how far apart both end after half a second, before rounding is blown up by what a grasp
in contact is sensitive to, and how far the object ends from the reference. Writes tests/bench/results/jacobian.json.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from command_line import command_line

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.files import digest, write_json
from dextrack.references.library import find_object
from dextrack.sim.scene import Scene, build_scene

RESULT = Path(__file__).parent / "results" / "jacobian.json"
KINDS = {"dense": mujoco.mjtJacobian.mjJAC_DENSE, "sparse": mujoco.mjtJacobian.mjJAC_SPARSE}
EARLY = 30
"""Control steps after which both are compared."""


def replay(scene: Scene, demonstration: Demonstration, kind: str) -> dict[str, Any]:
    """Step the targets; microseconds per control step, Newton iterations of a control step's last engine step, the state early and at the end."""
    reference, model = demonstration.reference, scene.model
    model.opt.jacobian = KINDS[kind]
    data = mujoco.MjData(model)
    data.qpos[:] = scene.qpos(demonstration.hand[0], demonstration.object_position_w[0], demonstration.object_quaternion_w[0])
    iterations, early = 0, data.qpos.copy()
    began = time.perf_counter()
    for n, target in enumerate(demonstration.targets):
        data.ctrl[:] = target
        mujoco.mj_step(model, data, scene.physics.substeps)
        iterations += data.solver_niter[0]
        if n + 1 == EARLY:
            early = data.qpos.copy()
    seconds, k = time.perf_counter() - began, scene.object_qpos
    return {
        "us_per_step": 1e6 * seconds / len(demonstration.targets),
        "iterations": iterations / len(demonstration.targets),
        "early": early,
        "end_error_m": float(np.linalg.norm(data.qpos[k : k + 3] - reference.object_position_w[-1])),
    }


def of_task(path: Path, name: str, repeats: int) -> dict[str, Any]:
    """The row of one demonstration."""
    demonstration = store.load(path, name)
    reference = demonstration.reference
    scene = build_scene(demonstration.hand_spec, reference.base_quaternion_w, find_object(reference, near=path))
    runs = [{kind: replay(scene, demonstration, kind) for kind in KINDS} for _ in range(repeats)]
    row: dict[str, Any] = {"task": name}
    for kind in KINDS:
        best = min((run[kind] for run in runs), key=lambda r: r["us_per_step"])
        row[kind] = {key: round(best[key], 4) for key in ("us_per_step", "iterations", "end_error_m")}
    row["faster"] = round(row["dense"]["us_per_step"] / row["sparse"]["us_per_step"], 3)
    row["apart_after_half_a_second"] = float(np.abs(runs[0]["dense"]["early"] - runs[0]["sparse"]["early"]).max())
    return row


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="demonstrations")
    parser.add_argument("--tasks", nargs="*", default=[], help="names of references; every one in the store when left out")
    parser.add_argument("--repeats", type=int, default=5, help="replays with each")
    options = parser.parse_args()
    names = [n for n in store.names(options.store) if not options.tasks or n.split("@")[0] in options.tasks]
    rows = []
    for name in names:
        rows.append(of_task(options.store, name, options.repeats))
        row = rows[-1]
        print(
            f"{name}: {row['dense']['us_per_step']:.0f} us dense, {row['sparse']['us_per_step']:.0f} us sparse, {row['faster']:.2f} times as fast", flush=True
        )
    faster = np.array([row["faster"] for row in rows])
    summary = {"n": len(rows), "faster_median": float(np.median(faster)), "faster_least": float(faster.min()), "faster_most": float(faster.max())}
    print(", ".join(f"{key} {value:.4g}" for key, value in summary.items()))
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine(), "mujoco": mujoco.__version__}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    head = {"command": command_line(), "date": now, "machine": machine, "store": digest(options.store)}
    write_json(RESULT, {**head, **summary, "rows": rows})


if __name__ == "__main__":
    main()
