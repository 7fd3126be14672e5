"""What was tried where mining fails: a horizon and samples that grow with every try at a place, finger synergies, and a contact schedule for each finger.

    python tests/bench/search_variants.py --store mined/demonstrations.h5 [--searches NAME ...] [--hardenings NAME ...] [--seeds 2]

``--searches`` are searched again with the most promising grasp of their auditions, by each variant of the sampling tracker, from the same seeds: how far the
object is carried in the nominal world, and what it costs. Left out, they are the demonstrations that do not lift and hold. ``--hardenings``, by default those
that do and are not robust, have their targets polished once more, with a constant squeeze of each finger and with one that follows a schedule: in how many of
polishing's worlds they hold. Tasks are shared by the cores. Writes tests/bench/results/search_variants.json.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
from command_line import command_line

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.files import digest, write_json
from dextrack.mining.audition import is_off, share_until
from dextrack.mining.baseline import make_baseline
from dextrack.mining.grasps import other_grasp
from dextrack.mining.hardening import HardeningConfig
from dextrack.mining.polishing import Polishing, PolishingConfig
from dextrack.mining.replays import Spent, replay
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.mining.tuning import TuningConfig
from dextrack.objects.distance import signed_distance
from dextrack.references.library import find_object
from dextrack.sim import make_rollouts
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices, judge

RESULT = Path(__file__).parent / "results" / "search_variants.json"
SEARCHES: dict[str, dict[str, Any]] = {
    "fixed": {"farther": 0.0, "more": 0, "synergies": 0},
    "adaptive": {"farther": 0.5, "more": 1, "synergies": 0},
    "synergies": {"farther": 0.0, "more": 0, "synergies": 3},
}
"""Settings of the sampling tracker."""
SCHEDULES = (1, 3)
"""Times in a grasp at which each finger has a squeeze of its own."""
AWAY, TURNED = 0.04, 0.7
"""The object is carried until it is farther than this from its reference, m, or turned away by more than this, rad."""


def searched(path: Path, task: str, seeds: int) -> list[dict[str, Any]]:
    """The searches of one task: a row for each variant and seed."""
    demonstration = store.load(path, task)
    reference, own = demonstration.reference, int(demonstration.provenance["seed"])
    obj = find_object(reference, near=path)
    scene, hull, distance = build_scene(demonstration.hand_spec, reference.base_quaternion_w, obj), hull_vertices(obj.vertices), signed_distance(obj)
    whole = dict(demonstration.provenance["auditions"]["whole"])
    number = int(max(whole, key=lambda grasp: whole[grasp]))
    guide = other_grasp(reference, obj, number, own)
    assert guide is not None
    rows = []
    for seed in range(own, own + seeds):
        for variant, settings in SEARCHES.items():
            began, config = time.process_time(), SamplingConfig(**settings)
            tracker = SamplingTracker(guide, scene, make_baseline(guide, scene, config.force), distance, config, seed, 1)
            reached = replay(scene, reference, tracker.solve(), Spent())
            off = is_off(reference, reached.object_position_w[1:], reached.object_quaternion_w[1:], 0, AWAY, TURNED)
            until = int(off.argmax()) if off.any() else len(off)
            verdict = judge(reference, hull, reached.object_position_w, reached.object_quaternion_w, reached.penetration)
            cost = {"control_steps": tracker.ensemble.steps, "processor_s": round(time.process_time() - began, 1)}
            carried = round(float(share_until(reference, until)), 3)
            rows.append({"task": task, "variant": variant, "grasp": number, "seed": seed, "carried": carried, "holds": verdict.lifts_and_holds, **cost})
    return rows


def hardened(path: Path, task: str) -> list[dict[str, Any]]:
    """The targets of one demonstration polished once more: a row for each schedule."""
    demonstration = store.load(path, task)
    reference, p = demonstration.reference, demonstration.provenance
    obj = find_object(reference, near=path)
    scene, hull, distance = build_scene(demonstration.hand_spec, reference.base_quaternion_w, obj), hull_vertices(obj.vertices), signed_distance(obj)
    grasp, seed = int(p["attempts"][p["attempt"]]["grasp"]), int(p["tries"][p["try"]]["seed"])
    rows = []
    for schedule in SCHEDULES:
        began = time.process_time()
        config = PolishingConfig(rounds=1, enough=1.0, hopeless=0.0, hardening=HardeningConfig(budget=PolishingConfig().hardening.budget, hopeless=0.0))
        made = (reference, obj, scene, hull, distance, config, TuningConfig(schedule=schedule), SamplingConfig().force)
        polishing = Polishing(*made, seed=seed, rollouts=make_rollouts("mujoco", scene, 1), threads=1)
        best = polishing.run(demonstration.targets, grasp)
        steps = int(sum(a["control_steps"] for a in polishing.attempts))
        before = p["polishing"]["held"] if "polishing" in p else None
        cost = {"control_steps": steps, "processor_s": round(time.process_time() - began, 1)}
        rows.append({"task": task, "schedule": schedule, "held_before": before, "held": best.held, "parts": best.parts, **cost})
    return rows


def failed(demonstration: Demonstration) -> str:
    """Which part a demonstration has in this: ``searches``, ``hardenings``, or none."""
    verdict = demonstration.verdict
    if not verdict["lifts_and_holds"]:
        return "searches"
    return "hardenings" if verdict["robust"]["state"] == "failed" else ""


def all_of(work: Any, names: list[str], what: str) -> Iterator[dict[str, Any]]:
    """The rows of ``work`` for every task, which the cores share."""
    began = time.monotonic()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=multiprocessing.get_context("spawn")) as pool:
        for i, rows in enumerate(pool.map(work, names), start=1):
            left = (time.monotonic() - began) / i * (len(names) - i)
            print(f"{what} {i}/{len(names)} {names[i - 1]}, about {left / 60:.0f} min left", flush=True)
            yield from rows


def summary(rows: list[dict[str, Any]], by: str, fields: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Means over the rows of each variant."""
    kinds = dict.fromkeys(str(row[by]) for row in rows)
    return {kind: {f: round(float(np.mean([row[f] for row in rows if str(row[by]) == kind])), 4) for f in fields} for kind in kinds}


def main() -> None:
    """Search, harden, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="demonstrations of the sampling tracker")
    parser.add_argument("--searches", nargs="*", help="tasks that are searched again")
    parser.add_argument("--hardenings", nargs="*", help="tasks that are hardened again")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each task with each variant")
    options = parser.parse_args()
    part = {name: failed(store.load(options.store, name)) for name in store.names(options.store)}
    searches, hardenings = (
        [n for n in part if n.split("@")[0] in given] if given is not None else [n for n in part if part[n] == kind]
        for given, kind in ((options.searches, "searches"), (options.hardenings, "hardenings"))
    )
    by_variant = list(all_of(functools.partial(searched, options.store, seeds=options.seeds), searches, "search"))
    by_schedule = list(all_of(functools.partial(hardened, options.store), hardenings, "hardening"))
    means = {
        "searches": summary(by_variant, "variant", ("carried", "holds", "control_steps", "processor_s")),
        "hardenings": summary(by_schedule, "schedule", ("held", "control_steps", "processor_s")),
    }
    for kind, table in means.items():
        for variant, numbers in table.items():
            print(f"{kind} {variant}: " + ", ".join(f"{field} {value:g}" for field, value in numbers.items()))
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine(), "mujoco": mujoco.__version__}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    head = {"command": command_line(), "date": now, "machine": machine, "store": digest(options.store)}
    rows = {"searches": by_variant, "hardenings": by_schedule}
    write_json(RESULT, {**head, "n": {"searches": len(searches), "hardenings": len(hardenings)}, "means": means, "rows": rows})


if __name__ == "__main__":
    main()
