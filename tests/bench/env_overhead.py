"""What the tracking environment costs on top of the raw engine: the same scene, worlds, solver, substeps, threads and targets.

Raw is ``mujoco.batch.Batch``: write the targets, step. The environment adds residuals, sensing, reward, termination, resets and the observation.
Both hold a cube in the curled hand, so that contacts cost what they cost in a grasp. Steps of the two are taken in turn, block by block, so
that a busy machine is busy for both; the ratio is of the medians over all steps of the one run. The ratio of processor time stands beside it: on a busy
machine it is the steadier of the two, but with several threads it does not see cores that wait while the environment works on one.

    python tests/bench/env_overhead.py [--worlds 64 256 1024] [--steps 200] [--threads 0]

Writes tests/bench/results/env_overhead.json.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import time
from pathlib import Path

# Read once, at import of numpy and torch: torch gets one core, physics the threads that --threads says.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import mujoco.batch
import numpy as np
import torch

from dextrack import rotations
from dextrack.files import write_json
from dextrack.hands import HandSpec, load_hand
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.tracking.env import TrackingEnv, make_tracking_env
from dextrack.tracking.task import TrackingTask

RESULT = Path(__file__).parent / "results" / "env_overhead.json"
BLOCK = 5
SETTLE = 40


def cube(size: float = 0.05) -> ObjectSpec:
    """A cube of ``size`` m and 60 g."""
    corners = 0.5 * size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
    return ObjectSpec("cube", corners, faces.astype(np.int32), ((corners, faces.astype(np.int32)),), mass=0.06)


def held_cube(hand: HandSpec, frames: int) -> Reference:
    """A reference at rest: palm up 20 cm over the table, fingers curled over a cube that lies on the palm."""
    along, out = (np.array(a, dtype=np.float64) for a in hand.palm_axes_h)
    # Rows are the world's axes in the wrist frame: the palm's normal becomes z.
    base = rotations.from_matrix(np.stack([along, np.cross(out, along), out]))
    curl = np.array(hand.rest) + 0.45 * (np.array(hand.upper) - np.array(hand.rest))
    theta = np.concatenate([[0.0, 0.0, 0.2, 0.0, 0.0, 0.0], curl])
    position = np.array([-0.05, 0.04, 0.255])  # behind the knuckles, where the frame's origin is, and under the fingertips
    return Reference(
        name="held_cube", hand_name=hand.name, object_name="cube", joint_names=hand.joint_names, base_quaternion_w=base, hand=np.tile(theta, (frames, 1)),
        object_position_w=np.tile(position, (frames, 1)), object_quaternion_w=np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)), keypoints_w=np.zeros((frames, 21, 3)),
    )  # fmt: skip


def raw_batch(env: TrackingEnv, threads: int) -> tuple[mujoco.batch.Batch, np.ndarray]:
    """The bare engine at the environment's start, and its controls."""
    scene = build_scene(env.hand, env.task.reference.base_quaternion_w, env.task.object)
    batch = mujoco.batch.Batch(scene.model, env.n_worlds, threads, persistent=True)
    reference = env.task.reference
    batch.bind("qpos")[:] = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    control = batch.bind("ctrl")
    control[:] = reference.hand[0]
    batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL.value)
    return batch, control


def measure(worlds: int, steps: int, threads: int) -> dict[str, float]:
    """Median wall time over ``steps`` steps of each, in ms, what the environment adds to it, and what it adds to processor time."""
    hand = load_hand("leap_right")
    env = make_tracking_env(TrackingTask(held_cube(hand, SETTLE + steps + 2), cube()), hand, n_worlds=worlds, n_threads=threads)
    env.reset()
    batch, control = raw_batch(env, threads)
    targets, actions = np.tile(env.task.reference.hand[0], (worlds, 1)), torch.zeros(worlds, env.action_size)
    substeps, stage = Physics().substeps, mujoco.mjtStage.mjSTAGE_VEL.value
    taken: dict[str, list[float]] = {"raw": [], "env": []}
    spent = {"raw": 0.0, "env": 0.0}
    for n in range(0, SETTLE + steps, BLOCK):
        for name in ("raw", "env"):
            for _ in range(BLOCK):
                begin, used = time.perf_counter(), time.process_time()
                if name == "env":
                    env.step(actions)
                else:
                    control[:] = targets
                    batch.step(nstep=substeps, stage=stage)
                if n >= SETTLE:
                    taken[name].append(time.perf_counter() - begin)
                    spent[name] += time.process_time() - used
    contacts = float(np.mean(batch.bind("ncon")))
    height = env.state[:, hand.dof + 2] - env.task.reference.object_position_w[0, 2]
    raw, whole = (1e3 * float(np.median(taken[k])) for k in ("raw", "env"))
    env.backend.close()
    return {
        "worlds": worlds,
        "raw_ms": round(raw, 3),
        "env_ms": round(whole, 3),
        "overhead": round(whole / raw - 1.0, 4),
        "overhead_cpu": round(spent["env"] / spent["raw"] - 1.0, 4),
        "raw_steps_per_s": round(1e3 * worlds / raw),
        "contacts_per_world": round(contacts, 1),
        "cube_sank_m": round(-float(height.min()), 4),
    }


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 256, 1024], help="worlds of each run")
    parser.add_argument("--steps", type=int, default=200, help="control steps timed of each kind")
    parser.add_argument("--threads", type=int, default=0, help="threads of the engine (0: all cores)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for worlds in arguments.worlds:
        rows.append(measure(worlds, arguments.steps, arguments.threads))
        line = "{worlds:5d} worlds: raw {raw_ms:8.2f} ms, environment {env_ms:8.2f} ms, overhead {overhead:6.1%} ({overhead_cpu:.1%} of processor time)"
        print(line.format(**rows[-1]))
    load = round(os.getloadavg()[0], 2)
    write_json(
        RESULT,
        {
            "command": "python tests/bench/env_overhead.py " + " ".join(sys.argv[1:]),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load_1min": load, "python": platform.python_version()},
            "versions": {"mujoco": mujoco.__version__, "torch": torch.__version__, "numpy": np.__version__},
            "scene": "LEAP hand holding a 5 cm cube, 2 substeps, implicitfast, elliptic cones, Newton with 40 iterations",
            "threads": arguments.threads or os.cpu_count(),
            "results": rows,
        },
    )


if __name__ == "__main__":
    main()
