"""The sampling tracker on each engine that offers rollouts: demonstrations per minute, and simulated control steps per second.

It measures the last part of mining alone, the search over residuals: no retargeting, no auditions and tuning of grasps before it, which take longer where a
grasp is hard to find, and no judging after it. One task, the box that the tests lift, is searched with the same number of samples on MuJoCo's two cores and on
MuJoCo Warp on each device: the same code, but where its arrays are. The search covers the steps of the stages that --stages says; demonstrations per minute
are what that speed makes of the whole task, when all its stages are searched to the last iteration. A second search is timed, after one that compiles kernels,
which it tells apart. Few samples keep a GPU idle, and a loaded machine slows both; the file has samples and load.

MuJoCo's cores are busy with few samples, and would take a quarter of an hour for those that a GPU wants: they have --host-samples.

    python tests/bench/sampling_backends.py [--samples 2048] [--host-samples 64] [--stages 3] [--members 4] [--devices cuda:0] [--threads 2]

A device that is not there has a row that says so. Writes tests/bench/results/sampling_backends.json; rows of other devices that are there stay, each with its
command and machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

# Read once, at import of numpy and torch: physics gets the threads that --threads says.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
import torch
from backends import merged, of_run

sys.path.insert(0, str(Path(__file__).parents[2]))

from dextrack.errors import DexTrackError
from dextrack.files import write_json
from dextrack.hands import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.mining.engine import Engine
from dextrack.mining.ensemble import MEMBERS
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.objects import signed_distance
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from tests import synthetic

TASK = Path(__file__).parents[1] / "mining" / "box_lift.npz"
RESULT = Path(__file__).parent / "results" / "sampling_backends.json"
NEVER = 1e-9
"""Distance, m, and angle, rad, within which no solution is: every stage is searched to its last iteration."""


def measure(engine: Engine, config: SamplingConfig, stages: int, threads: int) -> dict[str, Any]:
    """The row of one engine; ``reason`` where it did not run."""
    row: dict[str, Any] = {"backend": engine.backend, "device": engine.device or "cpu"}
    if row["device"].startswith("cuda") and not torch.cuda.is_available():
        return {**row, "reason": "no GPU"}
    reference, obj = Reference.load(TASK), synthetic.box()
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
    baseline, distance = make_baseline(reference, scene, config.force), signed_distance(obj)
    horizon = max(config.horizon, 3 * config.knot)
    try:
        began = time.perf_counter()
        rollouts = engine.rollouts(scene, threads)
        for name in ("first", "second"):
            tracker = SamplingTracker(reference, scene, baseline, distance, config, 0, threads, rollouts=rollouts)
            if name == "second":
                row["first_search_s"], began = round(time.perf_counter() - began, 2), time.perf_counter()
            for first in range(0, stages * config.knot, config.knot):
                tracker._improve(first, min(first + horizon, reference.n_steps), config.samples)
                tracker._execute(first, None)
        seconds = time.perf_counter() - began
        rollouts.close()
    except (DexTrackError, ImportError, MemoryError, RuntimeError) as error:
        return {**row, "reason": f"{type(error).__name__}: {error}"}
    all_stages = -(-reference.n_steps // config.knot)
    row |= {"worlds": config.samples * len(config.members), "second_search_s": round(seconds, 2), "control_steps": tracker.ensemble.steps}
    row["control_steps_per_s"] = round(tracker.ensemble.steps / seconds)
    row["engine_share"] = round(tracker.ensemble.physics_seconds / seconds, 3)
    row["demonstrations_per_minute"] = round(60.0 / (seconds * all_stages / stages), 4)
    return row


def main() -> None:
    """Run, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=2048, help="sequences per iteration")
    parser.add_argument("--host-samples", type=int, default=64, help="sequences per iteration on mujoco")
    parser.add_argument("--members", type=int, default=len(MEMBERS), help="uncertain worlds that each is rolled out in, at most 4")
    parser.add_argument("--stages", type=int, default=3, help="stages that are searched")
    parser.add_argument("--iterations", type=int, default=SamplingConfig().iterations, help="iterations of each")
    parser.add_argument("--devices", nargs="+", default=["cuda:0"], help="where mujoco_warp runs; cpu is for checking")
    parser.add_argument("--threads", type=int, default=2, help="threads of mujoco")
    parser.add_argument("--out", type=Path, default=RESULT, help="file of the results")
    arguments = parser.parse_args()
    members = MEMBERS[: arguments.members]
    config = SamplingConfig(samples=arguments.samples, iterations=arguments.iterations, members=members, good=NEVER, good_turn=NEVER)
    rows = []
    for engine in (Engine(), *(Engine("mujoco_warp", device) for device in arguments.devices)):
        samples = arguments.host_samples if engine.backend == "mujoco" else arguments.samples
        row = measure(engine, dataclasses.replace(config, samples=samples), arguments.stages, arguments.threads)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        settings = {k: getattr(arguments, k) for k in ("members", "stages", "iterations", "threads")}
        rows.append({**row, "samples": samples, **settings, **of_run(mujoco, torch, np)})
    rows = merged(arguments.out, rows, ("backend", "device"))
    content = {
        "task": f"box_lift, {Reference.load(TASK).n_steps} control steps, LEAP hand",
        "units": {
            "first_search_s": "s, with the making of the engine's worlds and its kernels",
            "engine_share": "share of the second search that the engine took",
            "demonstrations_per_minute": "searches of the whole task per minute at the second search's speed; no verdict says that each succeeds",
        },
        "results": rows,
    }
    write_json(arguments.out, content)


if __name__ == "__main__":
    main()
