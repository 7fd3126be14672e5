"""What was tried where mining fails, each variant with the same budget, seeds and grasps.

    dextrack retarget --all --out references
    python tests/bench/search_variants.py --references references [--tasks toothbrush_lift knife_lift]

- Tuning: a contact schedule for each finger (``TuningConfig.schedule``) beside a squeeze that is constant: how far the best grasp carries the object, and in
  how many of polishing's worlds, which tuning never saw, it lifts and holds.
- Search: a horizon and samples that grow with every try at a place (``SamplingConfig.farther`` and ``more``), in half as many tries, and synergies of the
  fingers (``SamplingConfig.synergies``), beside neither: how far the object is carried in the nominal world.

Both begin with what auditions find, as mining does. The tasks, by default twelve that the LEAP failed to lift in a campaign, are shared by the cores. Writes
tests/bench/results/search_variants.json, after every task.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
from command_line import command_line

from dextrack.files import digest, write_json
from dextrack.hands import load_hand
from dextrack.mining.audition import AuditionConfig, Auditions, Tried, is_off, share_until
from dextrack.mining.polishing import SURVEY_SEED
from dextrack.mining.replays import Spent, replay, replays
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.mining.tuning import Tuning, TuningConfig, drawn
from dextrack.objects.distance import signed_distance
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.references.reference import Reference
from dextrack.sim import make_rollouts
from dextrack.sim.scene import Scene, build_scene
from dextrack.tracking.verdict import hull_vertices, judge

RESULT = Path(__file__).parent / "results" / "search_variants.json"
TASKS = (
    "toothbrush_lift", "knife_lift", "knife_chop1", "scissors_use1", "eyeglasses_pass1", "flute_pass1", "airplane_pass1", "flashlight_on2",
    "spheremedium_inspect1", "duck_pass1", "elephant_pass1", "pyramidmedium_pass1",
)  # fmt: skip
TUNINGS: dict[str, dict[str, Any]] = {
    "constant": {"schedule": 1},
    "scheduled": {"schedule": 3},
}
"""Settings of tuning."""
SEARCHES: dict[str, dict[str, Any]] = {
    "fixed": {"farther": 0.0, "more": 0, "retries": 10, "retries_each": 4, "synergies": 0},
    "adaptive": {"farther": 0.25, "more": 1, "retries": 5, "retries_each": 2, "synergies": 0},
    "synergies": {"farther": 0.0, "more": 0, "retries": 10, "retries_each": 4, "synergies": 3},
}
"""Settings of the sampling tracker."""
SURVEYED = 24
"""Worlds in which a tuned grasp is replayed."""


class Task:
    """A reference in its scene, and its auditions."""

    def __init__(self, path: Path) -> None:
        self.reference = Reference.load(path)
        self.obj: ObjectSpec = find_object(self.reference, near=path)
        self.scene: Scene = build_scene(load_hand(self.reference.hand_name), self.reference.base_quaternion_w, self.obj)
        self.hull, self.distance = hull_vertices(self.obj.vertices), signed_distance(self.obj)
        self.rollouts = make_rollouts("mujoco", self.scene, 1)
        made = (self.reference, self.obj, self.scene, self.hull, AuditionConfig(), SamplingConfig().force)
        self.auditions = Auditions(*made, seed=0, threads=1, rollouts=self.rollouts)
        self.best: Tried = max(self.auditions.run(), key=lambda tried: tried.carried)

    def tuned(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What tuning with ``settings`` comes to."""
        config = TuningConfig(**settings)
        tuning = Tuning(self.scene, self.hull, self.distance, config, 0, self.rollouts)
        found = list(tuning.run(self.auditions.promising()))[-1]
        targets = np.clip(found.baseline.squeezed(found.squeeze), *self.scene.hand.limits())
        worlds = drawn(TuningConfig(gain=0.0), SURVEYED, [SURVEY_SEED])
        held = replays(self.scene, self.reference, self.hull, targets, 1, worlds, Spent())[0]
        told = {"generations": sum(int(t["generations"]) for t in tuning.told), "carried": found.carried, "held": float(np.mean(held))}
        return {**told, "control_steps": tuning.steps}

    def searched(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What a search with ``settings`` comes to."""
        guide, reference, config = self.best.guide, self.reference, SamplingConfig(**settings)
        config = SamplingConfig(**settings, squeeze_first=min(self.best.squeeze, config.squeeze_most))
        tracker = SamplingTracker(guide, self.scene, self.best.baseline, self.distance, config, 0, 1, self.rollouts)
        reached = replay(self.scene, reference, tracker.solve(), Spent())
        c = AuditionConfig()
        off = is_off(reference, reached.object_position_w[1:], reached.object_quaternion_w[1:], 0, c.away, c.turned)
        carried = float(share_until(reference, int(off.argmax()) if off.any() else len(off)))
        verdict = judge(reference, self.hull, reached.object_position_w, reached.object_quaternion_w, reached.penetration)
        return {"carried": carried, "lifts_and_holds": verdict.lifts_and_holds, "control_steps": tracker.ensemble.steps}


def of_task(path: Path) -> list[dict[str, Any]]:
    """A row for each variant."""
    task, rows = Task(path), []
    for kind, variants, work in (("tuning", TUNINGS, task.tuned), ("search", SEARCHES, task.searched)):
        for variant, settings in variants.items():
            began = time.process_time()
            found = work(settings)
            cost = {"processor_s": time.process_time() - began}
            rows.append({"task": task.reference.name, "grasp": task.best.number, "kind": kind, "variant": variant, **found, **cost})
    return rows


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over the rows of each variant."""
    out = {}
    for kind, variant in dict.fromkeys((row["kind"], row["variant"]) for row in rows):
        own = [row for row in rows if (row["kind"], row["variant"]) == (kind, variant)]
        fields = [f for f in own[0] if f not in ("task", "grasp", "kind", "variant")]
        out[f"{kind}, {variant}"] = {f: float(np.mean([row[f] for row in own])) for f in fields}
    return out


def main() -> None:
    """Try all, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True, help="folder of references for the LEAP")
    parser.add_argument("--tasks", nargs="*", default=TASKS, help="names of references")
    options = parser.parse_args()
    paths = [options.references / f"{name}.npz" for name in options.tasks]
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine(), "mujoco": mujoco.__version__}
    digests = {path.stem: digest(path) for path in paths}
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=multiprocessing.get_context("spawn")) as pool:
        for i, found in enumerate(pool.map(of_task, paths), start=1):
            rows += found
            left = (time.monotonic() - began) / i * (len(paths) - i)
            print(f"{i}/{len(paths)} {found[0]['task']}, about {left / 60:.0f} min left", flush=True)
            for row in found:
                shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k not in ("task", "grasp", "kind", "variant")}
                print(f"  {row['kind']}, {row['variant']}: {shown}", flush=True)
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            head = {"command": command_line(), "date": now, "machine": machine, "digests": digests, "n": i}
            write_json(RESULT, {**head, "means": means(rows), "rows": rows})
    for variant, numbers in means(rows).items():
        print(f"{variant}: " + ", ".join(f"{field} {value:.4g}" for field, value in numbers.items()))


if __name__ == "__main__":
    main()
