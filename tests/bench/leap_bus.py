"""The LEAP driver on the modelled bus: how long reading and writing all sixteen motors takes, by baud and by the adapter's latency timer.

    python tests/bench/leap_bus.py [--bauds 57600 4000000] [--latencies 1 16] [--cycles 300]

The real driver and the real Dynamixel SDK talk to the bus peer over a pseudo terminal, in real time. `free` is read and write one after the other
without a pause, `paced` the same at 60 Hz, as a control loop does it; the driver's slower reads (torque, supply, watchdog, ten a second) are among them.
`cycle_ms` is the duration of a read and a write, `jitter_ms` its standard deviation, `late` the share that took longer than a period of 60 Hz.
`model_ms` is the free cycle that the timing model alone gives, with no machine: the difference is what this machine's processes add.

Writes tests/bench/results/leap_bus.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from command_line import command_line
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.twin.dynamixel.line import Adapter, Answer, Line
from dextrack_deploy.twin.dynamixel.process import PeerProcess

from dextrack import __version__
from dextrack.files import write_json

RESULT = Path(__file__).parent / "results" / "leap_bus.json"
BAUDS = (57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
LATENCIES_MS = (1.0, 16.0)
PERIOD_S = 1.0 / 60.0
INSTRUCTION, READ, WRITE = 14 + 16, 8 + 16 * 14, 14 + 16 * 5
"""Bytes of a fast sync read of 16 motors, of its answer with 10 bytes each, and of a sync write of 4 bytes each."""


def model_ms(baud: int, latency_ms: float) -> float:
    """The free cycle of the timing model, in simulated time."""
    line, now, times = Line(Adapter(latency_s=1e-3 * latency_ms)), 0.0, []
    for _ in range(300):
        now = line.answer([Answer(0.0, bytes(READ))], baud, line.send(INSTRUCTION, baud, now))[-1].time_s
        line.send(WRITE, baud, now)
        times.append(now)
    return 1e3 * (times[-1] - times[99]) / 200


def cycles(hand: LeapHand, count: int, period_s: float) -> dict[str, Any]:
    """Read and write ``count`` times, every ``period_s`` or (0) without a pause."""
    durations, started = [], time.perf_counter()
    target = hand.read().position
    for n in range(count):
        wait = started + n * period_s - time.perf_counter()
        if period_s and wait > 0.0:
            time.sleep(wait)
        begin = time.perf_counter()
        hand.read()
        hand.write(target + 0.1 * np.sin(0.05 * n), 0)
        durations.append(time.perf_counter() - begin)
    ms = 1e3 * np.array(durations)
    p50, p99, longest = (round(float(v), 3) for v in np.percentile(ms, [50, 99, 100]))
    row = {"cycle_ms": {"p50": p50, "p99": p99, "max": longest}, "jitter_ms": round(float(ms.std()), 3), "late": float((ms > 1e3 * PERIOD_S).mean())}
    return row | ({} if period_s else {"rate_hz": round(1e3 / float(ms.mean()), 1)})


def measure(baud: int, latency_ms: float, count: int) -> dict[str, Any]:
    """One peer, one driver, both kinds of cycle."""
    with PeerProcess(["--alone", "--baud", str(baud), "--latency-ms", str(latency_ms)]) as peer:
        hand = LeapHand("%s@%d" % (peer.pty, baud), watchdog_s=2.5)
        row: dict[str, Any] = {"baud": baud, "latency_ms": latency_ms, "model_ms": round(model_ms(baud, latency_ms), 3)}
        row |= {"free": cycles(hand, count, 0.0), "paced": cycles(hand, count, PERIOD_S), "retries": hand.retries}
        hand.close()
    return row


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bauds", type=int, nargs="+", default=list(BAUDS))
    parser.add_argument("--latencies", type=float, nargs="+", default=list(LATENCIES_MS))
    parser.add_argument("--cycles", type=int, default=300)
    arguments = parser.parse_args()
    load, rows = os.getloadavg()[0], []
    for latency in arguments.latencies:
        for baud in arguments.bauds:
            rows.append(measure(baud, latency, arguments.cycles))
            print(json.dumps(rows[-1]), flush=True)
    write_json(
        RESULT,
        {
            "command": command_line(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "load_before": round(load, 2),
            "version": __version__,
            "dynamixel_sdk": version("dynamixel-sdk"),
            "cycles": arguments.cycles,
            "rows": rows,
        },
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
