"""The RL tracker, run to its plateau, beside the sampling tracker on the same tasks: verdicts, errors, core-hours, control steps, learning curves.

    python tests/bench/rl_vs_sampling.py [--tasks waterbottle_lift ...] [--methods sampling rl sampling+rl] [--steps 3000000] [--threads 2]

It can be run in pieces: each task and method is a row that is put into tests/bench/results/rl_vs_sampling.json when it is done, and training goes on
from its checkpoint in --work when --steps is raised. ``rl`` has the reference as its baseline, ``sampling+rl`` the targets that sampling found; what
those cost is in the row of ``sampling``. Core time is the process's: of all its threads, and over all pieces. ``--figure FILE`` draws the curves of
the rows that are there and runs nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

# Read once, at import of numpy: its threads are not those of physics and torch, which --threads says.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import torch
from command_line import command_line

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.files import write_json
from dextrack.hands import load_hand
from dextrack.mining.mine import MineConfig, mine
from dextrack.mining.rl_config import RLConfig
from dextrack.mining.rl_tracker import track_by_rl
from dextrack.objects import ObjectSpec
from dextrack.references.library import find_object, find_recording
from dextrack.references.reference import Reference
from dextrack.references.retarget import retarget

RESULT = Path(__file__).parent / "results" / "rl_vs_sampling.json"
TASKS = ("waterbottle_lift", "apple_lift", "cylindermedium_lift", "stapler_lift", "elephant_lift")
METHODS = ("sampling", "rl", "sampling+rl")
PARTS = ("lifted", "held", "clean", "robust")


def task_of(name: str, folder: Path) -> tuple[Reference, ObjectSpec]:
    """The reference of recording ``name`` in ``folder``, made where there is none, and its object."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        recording = find_recording(name)
        folder.mkdir(parents=True, exist_ok=True)
        retarget(recording, find_object(recording), load_hand("leap_right")).save(path)
    reference = Reference.load(path)
    return reference, find_object(reference, near=path)


def solve(name: str, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one method on one task and describe the outcome."""
    reference, obj = task_of(name, options.references)
    used, began = time.process_time(), time.monotonic()
    mined = options.work / "sampling.h5"
    if method == "sampling":
        found = mine(reference, obj, MineConfig(threads=options.threads), options.seed)
        store.save(mined, found, replace=True)
    else:
        baseline = store.load(mined, f"{name}@{reference.hand_name}") if method == "sampling+rl" else None
        config = RLConfig(budget=options.steps, threads=options.threads)
        checkpoint = options.work / f"{name}.{method}.safetensors"

        def tell(done: float, error: float) -> None:
            print(
                f"{name} {method}: {100 * done:3.0f} % of {options.steps} steps, object {1e2 * error:.1f} cm off, {time.monotonic() - began:.0f} s", flush=True
            )

        found = track_by_rl(reference, obj, baseline, config, options.seed, tell, checkpoint)
    return describe(found, method, max(time.process_time() - used, found.provenance.get("cpu_seconds", 0.0)))


def describe(found: Demonstration, method: str, core_seconds: float) -> dict[str, Any]:
    """The row of a demonstration."""
    p = found.provenance
    row = {
        "task": found.reference.name,
        "method": method,
        "passed": found.verdict["passed"],
        "verdict": {part: {"state": found.verdict[part]["state"], "why": found.verdict[part]["why"]} for part in PARTS},
        **{k: found.metrics[k] for k in ("t_err_m", "r_err_rad", "e_wrist", "e_finger_rad", "success_20", "success_40")},
        "core_hours": round(core_seconds / 3600, 4),
        "control_steps": p["control_steps"],
        "frames": found.reference.n_steps,
        "seed": p["seed"],
        "digests": {"reference": p["reference"], "object": p["object"]},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_1min": round(os.getloadavg()[0], 2),
    }
    return row | {k: p[k] for k in ("stopped", "zero", "closed_loop", "curve", "baseline") if k in p}


def put(row: dict[str, Any], threads: int) -> None:
    """Put ``row`` into the result, in place of the one of the same task and method."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.is_file() else []
    rows = [r for r in rows if (r["task"], r["method"]) != (row["task"], row["method"])] + [row]
    rows.sort(key=lambda r: (r["task"], METHODS.index(r["method"])))
    write_json(
        RESULT,
        {
            "command": command_line(),
            "date": row["date"],
            "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": threads or os.cpu_count(), "python": platform.python_version()},
            "versions": {"mujoco": mujoco.__version__, "torch": torch.__version__},
            "rows": rows,
        },
    )


def draw(path: Path) -> None:
    """Draw the curves of the rows to ``path``: one panel per task, error and return over control steps."""
    from matplotlib.figure import Figure

    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    tasks = sorted({r["task"] for r in rows})
    figure = Figure(figsize=(3.2 * len(tasks), 5.0), layout="constrained")
    axes = figure.subplots(2, len(tasks), sharex="col", squeeze=False)
    for column, task in zip(axes.T, tasks, strict=True):
        column[0].set_title(task)
        column[1].set_xlabel("control steps, thousands")
        for row in (r for r in rows if r["task"] == task):
            if "curve" in row:
                steps = [e["control_steps"] / 1e3 for e in row["curve"]]
                (line,) = column[0].plot(steps, [100 * e["t_err_m"] for e in row["curve"]], label=row["method"])
                column[1].plot(steps, [e["return_per_step"] for e in row["curve"]], color=line.get_color())
                column[1].axhline(row["zero"]["return_per_step"], color=line.get_color(), linestyle=":")
            else:
                column[0].axhline(100 * row["t_err_m"], color="black", linestyle="--", label=row["method"])
        column[0].legend(fontsize=7)
    axes[0, 0].set_ylabel("object off, cm")
    axes[1, 0].set_ylabel("reward per step\n(dotted: baseline alone)")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Run what is asked for, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["sampling", "rl"])
    parser.add_argument("--steps", type=int, default=RLConfig().budget, help="largest number of control steps of RL")
    parser.add_argument("--threads", type=int, default=0, help="of physics, and of torch in its turn; 0: all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--references", type=Path, default=Path("references"), help="folder of references; missing ones are made there")
    parser.add_argument("--work", type=Path, default=Path("runs/rl_vs_sampling"), help="folder of checkpoints and of what sampling found")
    parser.add_argument("--figure", type=Path, help="draw the curves to this file and run nothing")
    options = parser.parse_args()
    if options.figure:
        draw(options.figure)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.tasks:
        for method in options.methods:
            row = solve(name, method, options)
            put(row, options.threads)
            print(json.dumps({k: row[k] for k in ("task", "method", "passed", "t_err_m", "r_err_rad", "core_hours", "control_steps")}), flush=True)


if __name__ == "__main__":
    main()
