"""The arm's driver against the simulated Franka: tracking of a 60 Hz stream, delay, reading at full rate, overshoot of a step, cost.

    python tests/bench/franka_stream.py [--seconds 10] [--host 127.0.0.1]

Run it on an idle machine: libfranka answers a thousand times a second. Writes tests/bench/results/franka_stream.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from command_line import command_line
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.franka import FrankaArm
from dextrack_deploy.twin.franka_peer import FrankaPeer

from dextrack.files import write_json

RESULT = Path(__file__).parent / "results" / "franka_stream.json"
CELL = load_cell("twin")
HOME = np.array(CELL.arm.home)
TICK = 1.0 / 60.0
FREQUENCY_HZ, AMPLITUDE_RAD = 0.4, 0.2
STEP = np.array([0.9, 0.6, 0.9, 0.7, 0.9, 0.9, 0.9])


def percentiles(values: np.ndarray) -> dict[str, float]:
    """Median, 99th percentile and greatest."""
    return {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99)), "max": float(values.max())}


def simulator_cpu_s(peer: FrankaPeer) -> float:
    """CPU time of the simulator's process so far, s."""
    fields = Path(f"/proc/{peer.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def tracking(peer: FrankaPeer, arm: FrankaArm, seconds: float) -> dict[str, Any]:
    """A sine of all joints, 60 targets a second: the delay that explains each joint best, and what error it leaves."""
    rows, begin = [], time.monotonic()
    cpu, simulated = time.process_time(), simulator_cpu_s(peer)
    writes = []
    while (now := time.monotonic() - begin) < seconds:
        target = HOME + AMPLITUDE_RAD * (1.0 - np.cos(2.0 * np.pi * FREQUENCY_HZ * now))
        called = time.perf_counter()
        arm.write(target)
        writes.append(time.perf_counter() - called)
        rows.append([now, *target, *arm.read().q])
        time.sleep(TICK - (time.monotonic() - begin) % TICK)
    table = np.array(rows)
    t, settled = table[:, 0], table[:, 0] > 1.0
    joints = []
    for i in range(7):
        target, measured = table[:, 1 + i], table[:, 8 + i]
        delays = np.arange(0.0, 0.12, 0.001)
        errors = [float(np.sqrt(np.mean((np.interp(t - d, t, target) - measured)[settled] ** 2))) for d in delays]
        best = int(np.argmin(errors))
        at_once = float(np.abs(target - measured)[settled].max())
        joints.append({"joint": i + 1, "delay_ms": round(1e3 * delays[best]), "rms_mrad_after_delay": 1e3 * errors[best], "max_mrad_at_once": 1e3 * at_once})
    return {
        "peak_speed_radps": 2.0 * np.pi * FREQUENCY_HZ * AMPLITUDE_RAD,
        "joints": joints,
        "write_us": {k: 1e6 * v for k, v in percentiles(np.array(writes)).items()},
        "driver_cpu_of_a_core": (time.process_time() - cpu) / seconds,
        "simulator_cpu_of_a_core": (simulator_cpu_s(peer) - simulated) / seconds,
        "commands_in_time": peer.ask("none")["success_rate"],
    }


def reading(arm: FrankaArm, seconds: float) -> dict[str, Any]:
    """Read as often as there is something new, while the arm holds."""
    stamps, took = [], []
    begin, written = time.monotonic(), 0.0
    while (now := time.monotonic()) - begin < seconds:
        if now - written > TICK:
            arm.write(HOME)
            written = now
        called = time.perf_counter()
        stamp = arm.read().stamp
        took.append(time.perf_counter() - called)
        if not stamps or stamp != stamps[-1]:
            stamps.append(stamp)
        time.sleep(2e-4)
    intervals = np.diff(np.array(stamps)) / 1e6
    return {"samples_per_s": len(stamps) / seconds, "interval_ms": percentiles(intervals), "read_us": percentiles(1e6 * np.array(took))}


def step(peer: FrankaPeer, arm: FrankaArm) -> dict[str, Any]:
    """A step of all joints at once and back: how far the arm overshoots the velocities that targets are limited to."""
    published = load_arm(CELL.arm.model)
    with peer.watched() as rows:
        for goal in (HOME + STEP, HOME):
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                arm.write(goal)
                time.sleep(TICK)
    speed = np.abs(np.array(rows)[:, 8:]).max(axis=0)
    return {
        "greatest_speed_radps": speed.tolist(),
        "limited_to_radps": arm._stream._limiter.velocity.tolist(),
        "published_radps": published.velocity.tolist(),
        "mode_after": arm.read().mode,
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    with FrankaPeer(CELL, options.host, rate=500.0) as peer:
        began = time.monotonic()
        arm = FrankaArm(peer.address, CELL)
        connect_s = time.monotonic() - began
        try:
            found = {
                "connect_s": connect_s,
                "tracking": tracking(peer, arm, options.seconds),
                "reading": reading(arm, min(5.0, options.seconds)),
                "step": step(peer, arm),
            }
        finally:
            arm.close()
    write_json(
        RESULT,
        {
            "command": command_line(),
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
            **found,
        },
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
