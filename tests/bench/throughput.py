"""Control steps per second against worlds, of the environment and of the raw engine below it, on every backend and device.

The scene is a LEAP hand that holds a cube. Both take the same worlds, solver, substeps and targets, in turns, block by block, so that a busy
machine is busy for both. Raw is what the engine's makers would write: ``mujoco.batch.Batch`` that steps, or MuJoCo Warp's ``step`` in a CUDA graph. The
environment adds residuals, sensing, reward, termination, resets and the observation; 0.9 of raw is aimed at. The first step counts from nothing: it makes the
environment, compiles kernels that are not cached and resets. Memory is what the environment holds after it, of the process or of the GPU.

    python tests/bench/throughput.py [--backends mujoco mujoco_warp] [--worlds 256 1024 4096 8192 16384] [--seconds 10] [--device cuda:0]

A backend with options is named ``[LABEL=]NAME[:OPTION=VALUE,...]``. Isaac Gym has a Python of its own: serve it (docker/isaacgym/README.md), and name
``isaacgym=remote:address=tcp://127.0.0.1:5755,deadline_s=10``, whose rows have the link in them. What did not run says why. Each row has a process of its
own. Writes tests/bench/results/throughput.json and .png; rows of other backends, worlds and devices that are there stay, each with its command and machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Read once, at import of numpy and torch: torch gets one core, physics the threads that --threads says.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mujoco
import numpy as np
import torch
from backends import Named, merged, of_run
from held_cube import cube, held_cube, raw_batch
from matplotlib.figure import Figure

from dextrack.errors import DexTrackError
from dextrack.files import write_json
from dextrack.hands import load_hand
from dextrack.sim import Backend, backend_names, make_backend, register_backend
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.tracking.env import TrackingEnv, make_tracking_env
from dextrack.tracking.task import TrackingTask

RESULTS = Path(__file__).parent / "results"
FRAMES = 300
"""Of the reference, 5 s: episodes end and begin again while time is taken."""
BLOCK, SETTLE = 5, 30
"""Steps between turns, and steps of each before time is taken, in which the cube comes to rest in the hand."""
AIM = 0.9


def memory(device: str) -> int:
    """Bytes in use: of the GPU, by whomever, or of this process."""
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def wait(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def raw_warp(env: TrackingEnv, device: str) -> Callable[[], None]:
    """One control step of bare MuJoCo Warp at the environment's start, with the room that the backend measures."""
    import mujoco_warp as mjw
    import warp as wp

    from dextrack.sim.warp_capacity import probe
    from dextrack.sim.warp_engine import host_model, put_model

    reference = env.task.reference
    scene = build_scene(env.hand, reference.base_quaternion_w, env.task.object)
    contacts, constraints = probe(scene, device)
    with wp.ScopedDevice(device):
        model, data = put_model(scene, 1, device), mjw.make_data(host_model(scene), env.n_worlds, nconmax=contacts, njmax=constraints)
        start = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
        wp.copy(data.qpos, wp.array(np.tile(start, (env.n_worlds, 1)), dtype=float))
        targets = wp.array(np.tile(reference.hand[0], (env.n_worlds, 1)), dtype=float)

    def step() -> None:
        with wp.ScopedDevice(device):
            wp.copy(data.ctrl, targets)
            for _ in range(scene.physics.substeps):
                mjw.step(model, data)

    if not device.startswith("cuda"):
        return step
    step()
    with wp.ScopedDevice(device), wp.ScopedCapture() as capture:
        step()
    graph, in_use = capture.graph, (model, data, targets)

    def launch() -> None:
        # A graph does not keep the arrays that it works on; a name that is used here does.
        assert in_use
        wp.capture_launch(graph, stream=wp.stream_from_torch(device))

    return launch


def raw_mujoco(env: TrackingEnv, threads: int) -> Callable[[], None]:
    """One control step of the bare batch at the environment's start."""
    batch, control = raw_batch(env, threads)
    targets = np.tile(env.task.reference.hand[0], (env.n_worlds, 1))

    def step() -> None:
        control[:] = targets
        batch.step(nstep=Physics().substeps, stage=mujoco.mjtStage.mjSTAGE_VEL.value)

    return step


def rates(steps: dict[str, Callable[[], object]], seconds: float, device: str) -> dict[str, float]:
    """Control steps per second and world of each of ``steps``, taken in turns for ``seconds`` of each: the median over blocks."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(SETTLE):
            step()
        wait(device)
    while min(sum(t) for t in taken.values()) < seconds:
        for name, step in steps.items():
            begin = time.perf_counter()
            for _ in range(BLOCK):
                step()
            wait(device)
            taken[name].append(time.perf_counter() - begin)
    return {name: BLOCK / float(np.median(times)) for name, times in taken.items()}


def measure(backend: Named, worlds: int, seconds: float, device: str, threads: int) -> dict[str, Any]:
    """One row; ``reason`` where it did not run."""
    torch.set_num_threads(1)
    row: dict[str, Any] = {"backend": backend.label, "worlds": worlds, "device": device}

    def make(hand: Any, base_quaternion_w: Any, obj: Any, n_threads: int = 0, **options: Any) -> Backend:
        named = {"n_threads": n_threads} if backend.name == "mujoco" else {"device": device} if backend.name == "mujoco_warp" else {}
        return make_backend(backend.name, hand, base_quaternion_w, obj, **{**options, **named, **backend.options})

    register_backend("measured", make)
    hand = load_hand("leap_right")
    if device.startswith("cuda"):
        torch.zeros(1, device=device)
    before, begin = memory(device), time.perf_counter()
    try:
        env = make_tracking_env(TrackingTask(held_cube(hand, FRAMES), cube()), hand, backend="measured", n_worlds=worlds, n_threads=threads)
        env.reset()
        actions = torch.zeros(worlds, env.action_size, device=device)
        env.step(actions)
        wait(device)
        row["first_step_s"] = round(time.perf_counter() - begin, 2)
        row["memory_per_world"] = round((memory(device) - before) / worlds)
        steps: dict[str, Callable[[], object]] = {"env": lambda: env.step(actions)}
        if backend.name == "mujoco":
            steps["raw"] = raw_mujoco(env, threads)
        elif backend.name == "mujoco_warp":
            steps["raw"] = raw_warp(env, device)
        rate = rates(steps, seconds, device)
    except (DexTrackError, ImportError, MemoryError, RuntimeError) as error:
        return {**row, "reason": f"{type(error).__name__}: {error}"}
    row["env_steps_per_s"] = round(worlds * rate["env"])
    if "raw" in rate:
        row["raw_steps_per_s"], row["env_over_raw"] = round(worlds * rate["raw"]), round(rate["env"] / rate["raw"], 3)
    return row


def why_not(backend: Named, device: str | None) -> str | None:
    """Why ``backend`` cannot run here at all, before trying."""
    if backend.name not in backend_names():
        return f"{backend.name} is not among the registered backends"
    if backend.name == "isaacgym":
        return "it has a Python of its own: serve it, and name isaacgym=remote:address=tcp://127.0.0.1:5755,deadline_s=10"
    if backend.name == "mujoco_warp" and device != "cpu" and not torch.cuda.is_available():
        return "no GPU (--device cpu runs it on Warp's CPU device, which is there for conformance)"
    return None


def figure(rows: list[dict[str, Any]]) -> Figure:
    """Steps per second and the environment's part of raw against worlds; what did not run is named."""
    drawing = Figure(figsize=(10, 4.2), layout="constrained")
    speed, part = drawing.subplots(1, 2)
    for i, label in enumerate(dict.fromkeys(row["backend"] for row in rows)):
        ran = [row for row in rows if row["backend"] == label and "reason" not in row]
        if not ran:
            speed.plot([], [], " ", label=f"{label}: did not run")
            continue
        worlds, name = [row["worlds"] for row in ran], f"{label} ({ran[0]['device']})"
        speed.loglog(worlds, [row["env_steps_per_s"] for row in ran], "o-", color=f"C{i}", label=f"{name}: environment")
        with_raw = [row for row in ran if "env_over_raw" in row]
        if with_raw:
            speed.loglog([row["worlds"] for row in with_raw], [row["raw_steps_per_s"] for row in with_raw], "x--", color=f"C{i}", label=f"{name}: raw engine")
            part.semilogx([row["worlds"] for row in with_raw], [row["env_over_raw"] for row in with_raw], "o-", color=f"C{i}", label=name)
    part.axhline(AIM, color="0.5", linestyle=":", label=f"aimed at: {AIM}")
    part.set(xlabel="worlds", ylabel="environment / raw engine", ylim=(0.0, 1.1))
    speed.set(xlabel="worlds", ylabel="control steps per second, all worlds")
    for axes in (speed, part):
        axes.set_xscale("log", base=2)
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(fontsize=7)
    return drawing


def main() -> None:
    """Run, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backends", type=Named.parse, nargs="+", default=[Named.parse(n) for n in ("mujoco", "mujoco_warp", "isaacgym")])
    parser.add_argument("--worlds", type=int, nargs="+", default=[256, 1024, 4096, 8192, 16384], help="worlds of each run")
    parser.add_argument("--seconds", type=float, default=10.0, help="time taken of environment and raw engine each, per row")
    parser.add_argument("--device", default=None, help="where mujoco_warp runs: cuda:0 where there is one; cpu is for checking this script")
    parser.add_argument("--threads", type=int, default=0, help="threads of mujoco (0: all cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    rows = []
    for backend in arguments.backends:
        device = (arguments.device or "cuda:0") if backend.name == "mujoco_warp" else "cpu"
        for worlds in arguments.worlds:
            reason = why_not(backend, arguments.device)
            row = {"backend": backend.label, "worlds": worlds, "device": device, "reason": reason}
            if reason is None:
                try:
                    # Spawned: what an earlier row left in memory or in a GPU's context is not this row's.
                    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                        row = pool.submit(measure, backend, worlds, arguments.seconds, device, arguments.threads).result()
                except BrokenProcessPool:
                    row["reason"] = "its process ended: out of memory, or a crash of the engine"
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append({**row, **of_run(mujoco, torch, np)})
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = merged(arguments.out / "throughput.json", rows, ("backend", "worlds", "device"))
    content = {
        "scene": "LEAP hand holding a 5 cm cube; steps are control steps of 1/60 s and 2 substeps; implicitfast, elliptic cones, Newton with 40 iterations",
        "units": {
            "memory_per_world": "bytes, of the device; of the process on the CPU",
            "first_step_s": "s, from making the environment to its first step's end",
        },
        "results": rows,
    }
    write_json(arguments.out / "throughput.json", content)
    figure(rows).savefig(arguments.out / "throughput.png", dpi=110)


if __name__ == "__main__":
    main()
