"""Our retargeting beside dex-retargeting (position mode) and mink, in one run, method after method on each recording.

(a) bare hand: a file of real keypoint detections, wrist-centred, without object. (b) every installed MyoDM recording, with its object.
All methods see the same keypoints, resampled and slowed down alike, unscaled: position mode scales nothing, and neither do we. All are judged on the
same: the distance of the four pads from the person's fingertips, by our kinematics; in (b) also how far the pads are from the object's surface while
the person's fingertip touches it, the deepest penetration of the hand, and the largest step of a finger joint. Time is processor time of one thread,
for the machine may be busy, without building models and distance fields; that of ours with contact includes slowing down, contact plan and diagnosis.

    pip install -c constraints.txt -e '.[robot,bench]'
    python tests/bench/retarget.py KEYPOINTS.npz [--limit N] [--paper-every 8] [--rate 30]

Writes tests/bench/results/retarget.json: (a) under ``bare_hand``, (b) under ``methods``, overall, and ``recordings``, one by one.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Read once, at import of numpy and torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from command_line import command_line
from retarget_rivals import DEX_POINTS, Dex, Mink, solve

from dextrack import rotations
from dextrack.errors import RefusedError
from dextrack.files import write_json
from dextrack.hands import HandSpec, load_hand
from dextrack.hands.spec import KEYPOINTS
from dextrack.objects.distance import SignedDistance, signed_distance
from dextrack.references.diagnosis import hand_penetration
from dextrack.references.fit import FitConfig, fit_hand
from dextrack.references.jacobians import HandJacobians
from dextrack.references.library import find_object, find_recording, recordings
from dextrack.references.recording import Recording
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.references.resample import Resampled
from dextrack.references.retarget import RetargetConfig, prepare, retarget

RESULT = Path(__file__).parent / "results" / "retarget.json"
TOUCH = 0.01
"""A person's fingertip this near to the surface touches, m: keypoints lie inside the finger."""
REPEATS = 3
DEFINITIONS = {
    "frames_per_s": "frames / processor time of one thread, model building and distance fields excluded",
    "fingertip_error_m": "mean distance of the four pads from the person's fingertips, unscaled, over all frames",
    "gap_error_m": "mean of |distance of a pad's centre to the object - the pad's radius| over fingers and frames where the person's fingertip is within 1 cm",
    "penetration_m": "mean over recordings of the hand's deepest penetration into the object",
    "jump_max_rad": "largest step of a finger joint from one frame to the next; in (b) the mean over recordings",
    "acceleration_rad_s2": "root mean square of the finger joints' second differences",
}
Method = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Row = dict[str, float]


def keypoint_methods(hand: HandSpec, period: float) -> dict[str, Method]:
    """Methods that know keypoints only: name -> (keypoints (T, 21, 3)) -> (base, theta)."""
    tips = [f.finger + "_tip" for f in hand.fingertips]
    heavy = (FitConfig().keypoint_scale / FitConfig().tip_scale) ** 2
    weights = [k.weight * (heavy if k.human in tips else 1.0) for k in hand.keypoints]
    rivals = {
        "dex-retargeting (its LEAP points)": Dex(hand, DEX_POINTS),
        "dex-retargeting (fingertips only)": Dex(hand, tips),
        "mink (our weights, 1 step)": Mink(hand, weights, 1),
        "mink (our weights, 5 steps)": Mink(hand, weights, 5),
    }

    def ours(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fitted = fit_hand(keypoints, hand, period=period)
        return fitted.base_quaternion_w, fitted.theta

    def theirs(rival: Dex | Mink) -> Method:
        return lambda keypoints: solve(rival, keypoints, hand)

    return {"dextrack (keypoints)": ours, **{name: theirs(rival) for name, rival in rivals.items()}}


def pads(hand: HandSpec, base: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Centres of the pads, (T, F, 3), m."""
    kinematics = HandJacobians(hand, base)
    return kinematics.points(kinematics.pose(theta), kinematics.index([f.body for f in hand.fingertips]), np.array([f.offset for f in hand.fingertips]))


def human_tips(hand: HandSpec, keypoints: np.ndarray) -> np.ndarray:
    """The person's fingertips, one for each pad, (T, F, 3), m."""
    return keypoints[:, [KEYPOINTS.index(f.finger + "_tip") for f in hand.fingertips]]


def judge(hand: HandSpec, keypoints: np.ndarray, base: np.ndarray, theta: np.ndarray, period: float) -> Row:
    """What needs no object."""
    error = np.linalg.norm(pads(hand, base, theta) - human_tips(hand, keypoints), axis=-1)
    fingers = theta[:, 6:]
    return {
        "fingertip_error_m": float(error.mean()),
        "fingertip_error_p95_m": float(np.percentile(error, 95)),
        "jump_max_rad": float(np.abs(np.diff(fingers, axis=0)).max()),
        "acceleration_rad_s2": float(np.sqrt((np.diff(fingers, 2, axis=0) ** 2).mean()) / period**2),
    }


def judge_touch(hand: HandSpec, motion: Resampled, distance: SignedDistance, base: np.ndarray, theta: np.ndarray) -> Row:
    """Gap and penetration; the gap is absent where the person never touches."""
    inverse = rotations.conjugate(motion.object_quaternion_w)[:, None]

    def away(points_w: np.ndarray) -> np.ndarray:
        local = rotations.rotate(np.broadcast_to(inverse, points_w.shape[:-1] + (4,)), points_w - motion.object_position_w[:, None])
        return distance.query(local)[0]

    touching = away(human_tips(hand, motion.keypoints_w)) < TOUCH
    gap = np.abs(away(pads(hand, base, theta)) - np.array([f.radius for f in hand.fingertips]))[touching]
    depth = hand_penetration(hand, base, theta, motion.object_position_w, motion.object_quaternion_w, distance)
    return {"penetration_m": float(depth.max())} | ({"gap_error_m": float(gap.mean())} if touching.any() else {})


def bare_hand(hand: HandSpec, keypoints: np.ndarray, rate: float) -> dict[str, Row]:
    """(a): every method on ``keypoints`` (T, 21, 3), ``REPEATS`` times in turn; the median time counts."""
    methods = keypoint_methods(hand, 1.0 / rate)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    rows: dict[str, Row] = {}
    for _ in range(REPEATS):
        for name, method in methods.items():
            began = time.process_time()
            base, theta = method(keypoints)
            seconds[name].append(time.process_time() - began)
            rows[name] = judge(hand, keypoints, base, theta, 1.0 / rate)
    return {name: {"frames_per_s": len(keypoints) / float(np.median(seconds[name])), **row} for name, row in rows.items()}


def one_recording(hand: HandSpec, recording: Recording, methods: dict[str, Method], turn: int, paper: bool) -> dict[str, Row]:
    """(b): every method on one recording, beginning with another one each ``turn``."""
    obj = find_object(recording)
    distance, defaults = signed_distance(obj), RetargetConfig()
    motion = prepare(recording, obj, hand, defaults, seed=0).motion
    solvers = {"dextrack (contact, Gauss-Newton)": defaults}
    if paper:
        solvers["dextrack (contact, the paper's L-BFGS)"] = dataclasses.replace(defaults, solver="lbfgs")

    def with_contact(config: RetargetConfig) -> Callable[[], tuple[np.ndarray, np.ndarray, Resampled]]:
        def run() -> tuple[np.ndarray, np.ndarray, Resampled]:
            r = retarget(recording, obj, hand, config)
            # Its own motion: one that waits for slow motors is longer.
            return r.base_quaternion_w, r.hand, Resampled(r.keypoints_w, r.object_position_w, r.object_quaternion_w, r.time_scale)

        return run

    def without(method: Method) -> Callable[[], tuple[np.ndarray, np.ndarray, Resampled]]:
        return lambda: (*method(motion.keypoints_w), motion)

    jobs = [*((name, with_contact(config)) for name, config in solvers.items()), *((name, without(method)) for name, method in methods.items())]
    rows = {}
    for name, method in jobs[turn % len(jobs) :] + jobs[: turn % len(jobs)]:
        began = time.process_time()
        base, theta, own = method()
        seconds = time.process_time() - began
        rows[name] = {"frames": float(len(theta)), "seconds": seconds, **judge(hand, own.keypoints_w, base, theta, CONTROL_PERIOD)}
        rows[name] |= judge_touch(hand, own, distance, base, theta)
    return rows


def overall(rows: list[dict[str, Row]]) -> dict[str, dict[str, float]]:
    """Per method: frames per second over all, means over recordings."""
    out = {}
    for name in sorted({name for row in rows for name in row}):
        mine = [row[name] for row in rows if name in row]
        frames, seconds = (sum(r[k] for r in mine) for k in ("frames", "seconds"))
        means = {k: float(np.mean([r[k] for r in mine if k in r])) for k in sorted(set().union(*mine) - {"frames", "seconds"})}
        out[name] = {"recordings": len(mine), "frames": frames, "frames_per_s": frames / seconds, **means}
    return out


def rounded(value: Any) -> Any:
    """``value`` with its numbers to 4 significant digits."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    print(title)
    for name, r in sorted(rows.items(), key=lambda item: item[1]["fingertip_error_m"]):
        touch = "" if "gap_error_m" not in r else f", gap {1e3 * r['gap_error_m']:6.2f} mm, inside {1e3 * r['penetration_m']:6.2f} mm"
        print(f"  {name:40s} {r['frames_per_s']:6.0f} frames/s, fingertips {1e3 * r['fingertip_error_m']:6.3f} mm{touch}, jump {r['jump_max_rad']:.3f} rad")


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("keypoints", type=Path, help=".npz with an array `keypoints` (T, 21, 3) of a right hand, m")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second of that file, which does not tell it")
    parser.add_argument("--limit", type=int, default=0, help="recordings of MyoDM at most, evenly chosen; 0: all")
    parser.add_argument("--paper-every", type=int, default=8, help="the paper's solver runs on every n-th recording")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hand = load_hand("leap_right")
    detected = np.load(arguments.keypoints, allow_pickle=False)["keypoints"].astype(np.float64)
    bare = bare_hand(hand, detected, arguments.rate)
    show(f"(a) bare hand, {len(detected)} frames", bare)
    names = list(recordings("myodm"))
    if arguments.limit:
        names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, arguments.limit).astype(int))]
    methods, rows, refused, digests = keypoint_methods(hand, CONTROL_PERIOD), {}, {}, hashlib.sha256()
    for i, name in enumerate(names):
        recording = find_recording(f"myodm/{name}")
        digests.update(recording.digest.encode())
        try:
            rows[name] = one_recording(hand, recording, methods, i, i % arguments.paper_every == 0)
        except RefusedError as error:
            refused[name] = error.what
        print(f"\r{i + 1} of {len(names)}: {name:30s}", end="", flush=True)
    print()
    everything = overall(list(rows.values()))
    show(f"(b) MyoDM, {len(rows)} recordings, {len(refused)} refused", everything)
    write_json(
        arguments.out,
        {
            "command": command_line(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 2)},
            "versions": {"python": platform.python_version()} | {p: version(p) for p in ("numpy", "scipy", "torch", "dex-retargeting", "pin", "nlopt", "mink")},
            "inputs": {"keypoints_sha256": hashlib.sha256(arguments.keypoints.read_bytes()).hexdigest(), "myodm_recordings_sha256": digests.hexdigest()},
            "hand": hand.name,
            "definitions": DEFINITIONS,
            "bare_hand": rounded(bare),
            "methods": rounded(everything),
            "refused": refused,
            "recordings": rounded(rows),
        },
    )


if __name__ == "__main__":
    main()
