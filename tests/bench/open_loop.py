"""How far references are carried with no search at all, by the finger gains and the engine's substeps: why the LEAP's gains are not the paper's.

    dextrack retarget --all --out references
    python tests/bench/open_loop.py references [--gains 20 5] [--substeps 2 8]

Targets are the baseline of mining with a constant squeeze; damping is a twentieth of the stiffness, so the lag is the same. `carried` is the share of the way
from the onset to the end until the object is 3 cm or 40 degrees off, best of the squeezes; `excess_speed_p90` how fast fingers move beside their reference
before the hand comes near the object, and `saturated` the share of joints at their effort limit there: where nothing is touched both should be near 0.

Writes tests/bench/results/open_loop_<hand without side>.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
from command_line import command_line

from dextrack import __version__
from dextrack.files import digest, write_json
from dextrack.hands import load_hand
from dextrack.mining.audition import is_off, share_until
from dextrack.mining.baseline import make_baseline
from dextrack.mining.replays import replay
from dextrack.references.library import find_object
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene

RESULTS = Path(__file__).parent / "results"
SQUEEZES = (1.5, 2.5, 4.0)
LAG = 0.05
"""kv / kp, s."""
ASTRAY, ASTRAY_TURN = 0.03, 0.7
FREE = slice(20, -45)
"""Of the frames before the onset, those in which the hand moves and touches nothing."""


def measure(path: Path, kp: float, substeps: int) -> tuple[float, float, float]:
    """(carried, p90 of the excess speed, rad/s, share of saturated joints) of one reference."""
    reference = Reference.load(path)
    obj = find_object(reference, near=path)
    hand = dataclasses.replace(load_hand(reference.hand_name), finger_kp=kp, finger_kv=LAG * kp)
    scene = build_scene(hand, reference.base_quaternion_w, obj, Physics(substeps=substeps))
    baseline, onset = make_baseline(reference, scene, 2.0), int(reference.diagnosis["onset"])
    gains = [g[6:] for g in hand.gains()]
    carried = []
    for squeeze in SQUEEZES:
        targets = np.clip(baseline.squeezed(squeeze), *hand.limits())
        reached = replay(scene, reference, targets)
        off = is_off(reference, reached.object_position_w[1:], reached.object_quaternion_w[1:], 0, ASTRAY, ASTRAY_TURN)
        carried.append(float(share_until(reference, off.argmax() if off.any() else reference.n_steps)))
    velocity, wanted = reached.hand_velocity[:onset, 6:], np.gradient(reference.hand, reference.period, axis=0)[:onset, 6:]
    torque = gains[0] * (targets[:onset, 6:] - reached.hand[:onset, 6:]) - gains[1] * velocity
    excess = np.abs(velocity - wanted)[FREE]
    saturated = np.abs(torque)[FREE] > gains[2]
    return max(carried), float(np.percentile(excess, 90)) if excess.size else 0.0, float(saturated.mean()) if saturated.size else 0.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    parser.add_argument("--gains", type=float, nargs="+", default=[20.0, 5.0])
    parser.add_argument("--substeps", type=int, nargs="+", default=[2, 8])
    arguments = parser.parse_args()
    paths = sorted(arguments.references.glob("*.npz"))
    if not paths:
        parser.error(f"{arguments.references} has no references; make some with `dextrack retarget --all --out {arguments.references}`")
    rows: list[dict[str, Any]] = []
    with get_context("spawn").Pool() as pool:
        for substeps in arguments.substeps:
            for kp in arguments.gains:
                carried, speed, saturated = np.array(pool.starmap(measure, [(p, kp, substeps) for p in paths], chunksize=4)).T
                row = {"finger_kp": kp, "finger_kv": LAG * kp, "substeps": substeps, "n": len(paths), "carried": float(carried.mean())}
                row |= {"to_the_end": int((carried == 1.0).sum()), "excess_speed_p90": float(speed.mean()), "saturated": float(saturated.mean())}
                rows.append(row)
                print(row, flush=True)
    hand = Reference.load(paths[0]).hand_name
    write_json(
        RESULTS / f"open_loop_{hand.rsplit('_', 1)[0]}.json",
        {
            "command": command_line(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, MuJoCo {mujoco.__version__}",
            "version": __version__,
            "hand": hand,
            "squeezes": list(SQUEEZES),
            "references": {p.stem: digest(p) for p in paths},
            "rows": rows,
        },
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
