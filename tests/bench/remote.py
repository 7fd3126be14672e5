"""What a served backend costs: the round trip of one hand's step to another process on loopback, against the same step in this one.

One world, the hand alone, as the shadow simulator has it; local and remote steps are taken in turn. `link` is a request that needs no engine. A server of
another Python needs its own interpreter, with the packages of docker/isaacgym/requirements.txt, and PYTHONPATH: give it with --server.

    python tests/bench/remote.py [--steps 5000] [--server PYTHON=BACKEND ...] [--server-path PYTHONPATH]

Writes tests/bench/results/remote.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import backends
import numpy as np
from command_line import command_line
from dextrack_deploy.shadow import Engine, ShadowSimulator

from dextrack.files import write_json
from dextrack.hands import load_hand
from dextrack.link import LinkClient
from dextrack.sim.remote.protocol import PROTOCOL

RESULT = Path(__file__).parent / "results" / "remote.json"
AIMS = {"median_ms": 1.0, "p99_ms": 4.0}
SETTLE = 200


def measure(server: str, path: str, steps: int) -> dict[str, Any]:
    """Serve, step, and say how long it took; ``server`` is PYTHON=BACKEND."""
    python, _, backend = server.rpartition("=")
    command = [python or sys.executable, "-m", "dextrack.sim.remote.serve", "--backend", backend]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    try:
        assert process.stdout is not None
        endpoint = json.loads(process.stdout.readline())["endpoint"]
        hand = load_hand("leap_right")
        near, far = ShadowSimulator(hand, [1.0, 0.0, 0.0, 0.0]), ShadowSimulator(hand, [1.0, 0.0, 0.0, 0.0], engine=Engine("remote", endpoint, deadline_s=1.0))
        theta = np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], hand.rest])
        near.reset(theta)
        far.reset(theta)
        took = np.zeros((steps + SETTLE, 2))
        for n in range(steps + SETTLE):
            target = theta + 0.1 * np.sin(0.05 * n)
            for k, simulator in enumerate((near, far)):
                began = time.perf_counter()
                simulator.step(target)
                took[n, k] = 1e3 * (time.perf_counter() - began)
        asked = np.zeros(steps)
        with LinkClient(PROTOCOL, endpoint, 1.0, 5.0) as link:
            python_version = link.hello["python"]
            for n in range(steps):
                began = time.perf_counter()
                link.call("hello")
                asked[n] = 1e3 * (time.perf_counter() - began)
        near.close()
        far.close()
    finally:
        process.terminate()
        process.wait()
    local, remote = took[SETTLE:].T
    engine = backend + (" (stand-in)" if backend == "isaacgym" and "isaacgym_stand_in" in path else "")
    row = {
        "server_python": python_version,
        "backend": engine,
        "steps": steps,
        "link_median_ms": float(np.median(asked)),
        "local_mujoco_median_ms": float(np.median(local)),
    }
    row["link_p99_ms"] = float(np.quantile(asked, 0.99))
    row |= {"median_ms": float(np.median(remote)), "p99_ms": float(np.quantile(remote, 0.99)), "max_ms": float(remote.max())}
    return {**row, "within_aims": all(row[name] <= aim for name, aim in AIMS.items())}


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=5000, help="steps timed of each kind")
    parser.add_argument("--server", nargs="+", default=["=mujoco"], metavar="PYTHON=BACKEND", help="interpreter of the server, and what it serves")
    parser.add_argument("--server-path", default=os.environ.get("PYTHONPATH", ""), help="PYTHONPATH of the servers")
    given = parser.parse_args()
    load, rows = os.getloadavg()[0], []
    for server in given.server:
        rows.append(measure(server, given.server_path, given.steps))
        line = "{server_python} {backend}: median {median_ms:.2f} ms, p99 {p99_ms:.2f}, worst {max_ms:.1f}; mujoco in this process {local_mujoco_median_ms:.2f}"
        print(line.format(**rows[-1]))
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    write_json(RESULT, {"command": command_line(), "date": date, "machine": backends.machine(), "load_1min": round(load, 2), "aims": AIMS, "results": rows})


if __name__ == "__main__":
    main()
