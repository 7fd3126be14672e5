"""What mining achieves on the installed recordings, per task and overall: replay, sampling, and RL where it was tried.

    dextrack mine --all --out mined/demonstrations.h5 --hand leap_right
    python tests/bench/mining.py --store mined/demonstrations.h5 [--rl rl/demonstrations.h5] [--hand leap_right] [--fit]

Mining itself takes hours; this reads what it stored. `Replay` is the retargeted reference itself as targets, judged in the same way. Recordings that the store
has nothing of, whether refused, unusable or lost, are failures among the n. ``--fit`` fits the weights of dextrack/mining/prediction.py on the training part
of the split (dextrack/references/splits.py) and prints them; the predictions that are scored are always those of the committed weights.

What limits the robustness: demonstrations that lift and hold, and are not robust, are replayed again with the verdict's perturbations one at a
time, and with an object that lies a fiftieth of them, about 0.1 mm, elsewhere.

Writes tests/bench/results/mining_<hand without side>.json, .md and .png.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
from command_line import command_line

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import DexTrackError
from dextrack.evaluation.mining_page import prediction_scores
from dextrack.evaluation.mining_table import figure, table
from dextrack.evaluation.results import Result, collect, of_demonstration, summary
from dextrack.files import digest, write_json
from dextrack.hands import load_hand
from dextrack.mining.ensemble import Member
from dextrack.mining.ledger import path_of
from dextrack.mining.mine import demonstrate
from dextrack.mining.prediction_fit import cross_validated, fit
from dextrack.mining.replays import perturbations, survivals
from dextrack.objects import ObjectSpec
from dextrack.references import splits
from dextrack.references.library import find_object, recordings
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices

RESULTS = Path(__file__).parent / "results"
TARGETS = {"within_20deg_and_lifted": 0.75, "whole_verdict": 0.55, "mean_seconds": 60.0, "physics_share": 0.9}
"""The aims of the project for the LEAP hand over all recordings; seconds are those of two cores."""
ALONE = {
    "friction": lambda m: Member(friction_scale=m.friction_scale),
    "mass": lambda m: Member(mass_scale=m.mass_scale),
    "place": lambda m: Member(offset=m.offset, yaw=m.yaw),
    "0.1 mm": lambda m: Member(offset=(m.offset[0] / 50.0, m.offset[1] / 50.0)),
}
"""Parts of a verdict's perturbations."""
COUNTS = ("n", "within_20deg", "within_40deg", "within_20deg_and_lifted", "lifted", "held", "clean", "robust", "whole_verdict")


def replayed(reference: Reference, obj: ObjectSpec) -> Demonstration:
    """The reference's own states as targets, judged: no sampling at all."""
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, obj)
    return demonstrate(scene, reference, obj, reference.hand[1:], {"tracker": "replay", "control_steps": 9 * reference.n_steps}, time.monotonic(), 1)


def method(result: Result | None) -> dict[str, Any] | None:
    """One method's columns of a task's row."""
    if result is None:
        return None
    row = result.as_row()
    kept = {k: row[k] for k in row if k not in ("task", "reference", "hand", "state", "why") and not k.startswith("predicted")}
    return kept | {"evidence": result.failure.evidence if result.failure else None}


def brittleness(path: Path, task: str) -> dict[str, int]:
    """Of the verdict's replays of the demonstration of ``task``, how many survive each part of ``ALONE``."""
    demonstration = store.load(path, task)
    reference, obj = demonstration.reference, find_object(demonstration.reference, near=path)
    made = build_scene(demonstration.hand_spec, reference.base_quaternion_w, obj), reference, hull_vertices(obj.vertices), demonstration.targets, 1
    return {name: sum(survivals(*made, tuple(map(part_of, perturbations())))) for name, part_of in ALONE.items()}


def missing(recording: str, hand: str) -> Result:
    """The failure of a recording that the store has nothing of."""
    return Result(f"{recording}@{hand}", "not mined", "no demonstration and no line in the ledger")


def part(result: Result) -> str:
    """The part of MyoDM's split that a task is in; ``other`` for what is no recording of MyoDM."""
    try:
        return splits.load().part_of(result.task.split("@")[0])
    except DexTrackError:
        return "other"


def by_part(results: list[Result]) -> dict[str, dict[str, Any]]:
    """Counts of each part of the split that has tasks."""
    parts: dict[str, list[Result]] = {}
    for r in results:
        parts.setdefault(part(r), []).append(r)
    return {name: {k: v for k, v in summary(parts[name]).items() if k in COUNTS} for name in sorted(parts)}


def fitted(results: list[Result]) -> dict[str, Any]:
    """Weights of the prediction from the training part of ``results``, and how well such weights foretell objects that they were not fitted on."""
    training = [r for r in results if part(r) == "train"]
    measured = [r.prediction.features for r in training if r.prediction]
    weights, bias = fit(measured, [r.tracked for r in training], [r.passed for r in training])
    objects = [r.task.split("_")[0] for r in training]
    brier = {}
    for outcome in ("tracked", "passed"):
        y = np.array([getattr(r, outcome) for r in training], dtype=float)
        brier[outcome] = {"cross_validated": float(((cross_validated(measured, y > 0.5, objects) - y) ** 2).mean()), "base": float(y.var())}
    return {"n": len(training), "weights": weights, "bias": bias.tolist(), "brier": brier}


def of_store(path: Path | None, hand: str) -> dict[str, Result]:
    """Results of one store for one hand, by task."""
    if path is None:
        return {}
    say = print if sys.stdout.isatty() else (lambda *a, **k: None)
    # A store may have nothing of this hand.
    if not any(name.endswith("@" + hand) for name in store.names(path)):
        return {}
    return {r.task: r for r in collect(path, lambda i, n, name: say(f"{i}/{n} {name}", flush=True), hand)}


def better(sampling: Result, learned: Result) -> Result:
    """The better of both, sampling where they are equal, with what both cost: one was the other's baseline."""
    one, other = sampling.cost, learned.cost
    # Of RL nobody timed the physics.
    cost = {k: one.get(k, 0.0) + other.get(k, 0.0) for k in {*one, *other} - {"peak_rss_mb", "physics_seconds"}}
    return dataclasses.replace(max((sampling, learned), key=lambda x: (x.passed, x.tracked)), cost={**cost, "peak_rss_mb": one.get("peak_rss_mb", 0.0)})


def replay_of(path: Path, task: str) -> Result | None:
    """The result of replaying the reference of ``task``; None where the store has no reference."""
    try:
        reference = store.load(path, task).reference
        obj = find_object(reference, near=path)
        return of_demonstration(task, replayed(reference, obj), obj, foretell=False)
    except DexTrackError as error:
        print(f"{task}: no replay ({error})", file=sys.stderr)
        return None


def main() -> None:
    """Read, replay, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="store of the sampling tracker")
    parser.add_argument("--rl", type=Path, help="store of the RL tracker")
    parser.add_argument("--hand", default="leap_right")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the prediction and print them")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--all", type=int, default=0, help="number of recordings that count; 0: those installed")
    options = parser.parse_args()
    sampling, learned = of_store(options.store, options.hand), of_store(options.rl, options.hand)
    if options.fit:
        print(json.dumps(fitted([r for r in sampling.values() if r.prediction and r.state == "mined"]), indent=2))
        return
    installed = [f"{name}@{options.hand}" for name in recordings()]
    tasks = sorted({*installed, *sampling})
    replay = {task: replay_of(options.store, task) for task in tasks if task in sampling and sampling[task].state == "mined"}
    results = [sampling.get(task) or missing(*task.split("@")) for task in tasks]
    brittle = {r.task: brittleness(options.store, r.task) for r in results if r.verdict.get("lifts_and_holds") and r.part("robust") == "failed" and r.failure}
    write(options, results, {k: v for k, v in replay.items() if v}, learned, brittle)


def write(
    options: argparse.Namespace, results: list[Result], replay: dict[str, Result], learned: dict[str, Result], brittle: dict[str, dict[str, int]]
) -> None:
    """Write the JSON, the Markdown table and the figure."""
    n = max(len(results), options.all)
    numbers = summary(results, n)
    best = [better(r, learned[r.task]) if r.task in learned else r for r in results]
    name = f"mining_{options.hand.split('_')[0] if options.hand.endswith('_right') else options.hand}"
    ledger = path_of(options.store)
    content = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"dextrack": __version__, "mujoco": mujoco.__version__, "numpy": np.__version__},
        "digests": {"store": digest(options.store), "ledger": digest(ledger) if ledger.is_file() else None, "rl": digest(options.rl) if options.rl else None},
        "hand": options.hand,
        "aims": TARGETS,
        **{k: numbers[k] for k in ("n", "within_20deg_and_lifted", "whole_verdict")},
        # Of two cores, as the aim is; each task is mined on one, and wall times would depend on what else the machine does.
        "mean_seconds": numbers["mean_core_seconds"] and numbers["mean_core_seconds"] / 2.0,
        "physics_share": numbers["physics_share"],
        "shares": {k: numbers[k] / n for k in ("within_20deg_and_lifted", "whole_verdict", "within_20deg", "within_40deg")},
        "sampling": numbers,
        "by_part": by_part(results),
        "replay": summary(list(replay.values()), n),
        "sampling_and_rl": summary(best, n) if learned else None,
        "prediction": {
            "train (fitted on)": prediction_scores([r for r in results if part(r) == "train"]),
            "held out": prediction_scores([r for r in results if part(r).startswith("test")]),
        },
        "brittleness": brittle,
        "rows": [task_row(r, replay.get(r.task), learned.get(r.task)) for r in results],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / f"{name}.json", content)
    (options.out / f"{name}.md").write_text(table(content), encoding="utf-8")
    figure(content).savefig(options.out / f"{name}.png", dpi=110)
    print(json.dumps({k: content[k] for k in ("n", "within_20deg_and_lifted", "whole_verdict", "mean_seconds", "physics_share")}))


def task_row(sampling: Result, replay: Result | None, learned: Result | None) -> dict[str, Any]:
    """One task in all methods."""
    row = sampling.as_row()
    mined = sampling.state == "mined"
    out = {k: row[k] for k in ("task", "reference", "hand", "state", "why")} | {"part": part(sampling), "cause": row.get("cause")}
    out["prediction"] = sampling.prediction.as_dict() if sampling.prediction else None
    return out | {"replay": method(replay), "sampling": method(sampling) if mined else None, "rl": method(learned)}


if __name__ == "__main__":
    main()
