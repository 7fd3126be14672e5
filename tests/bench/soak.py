"""Ten minutes of the whole graph at 60 Hz on this machine: what a tick computes, periods, latencies, overruns, memory and file descriptors over time.

    python tests/bench/soak.py [--cell twin_wire] [--minutes 10] [--out runs/soak]

A trial of `dextrack track` whose hand wanders to and fro beside a box for that long, with the processes, the recording and the watches of any trial. With
cell `twin_wire` both bus peers are among the processes. It is a trial of its own kind only in that it is long: what ends another trial early ends this one,
and then the figures are of the part that ran, with the reason.

An overrun is a tick that ended after the next was due, or one that was `skipped`: due while the one before it was late. Both, and periods, are what the
loop measured at its own ticks. `rss_growth_mb` and `descriptors_growth` compare the last tenth of the run with its second one (the first warms up), summed
over the processes of the graph; each process's own are in `processes`. The recorder's log is on the disk, not in memory.

Writes tests/bench/results/soak.json and soak.png.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from command_line import command_line
from dextrack_deploy.trial_log import read_trial
from dextrack_deploy.watch_limits import WatchLimits
from matplotlib.figure import Figure

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.files import write_json
from dextrack.references.reference import CONTROL_PERIOD

sys.path.insert(0, str(Path(__file__).parents[1] / "ros"))
import handmade

RESULT = Path(__file__).parent / "results" / "soak.json"
THERE_AND_BACK_S = 8.0
SAMPLE_S = 2.0
AIMS = {"compute_p99_ms": 8.0, "overrun_rate": 0.001, "consecutive_overruns": 1}


def wander(folder: Path, minutes: float) -> tuple[Path, Path]:
    """(demonstration, object file): the hand-made trial, forward and backward for ``minutes``."""
    placed, thing = handmade.write_trial(folder, THERE_AND_BACK_S / 2)
    once = store.load(placed, store.names(placed)[0])
    rounds = round(60.0 * minutes / THERE_AND_BACK_S)
    order = np.concatenate([[0], np.tile(np.r_[1 : len(once.reference.hand), len(once.reference.hand) - 2 : -1 : -1], rounds)])
    r = once.reference
    reference = dataclasses.replace(
        r, hand=r.hand[order], object_position_w=r.object_position_w[order], object_quaternion_w=r.object_quaternion_w[order], keypoints_w=r.keypoints_w[order]
    )
    long = dataclasses.replace(
        once, reference=reference, targets=reference.hand[1:], hand=reference.hand, hand_velocity=np.gradient(reference.hand, r.period, axis=0),
        object_position_w=reference.object_position_w, object_quaternion_w=reference.object_quaternion_w,
    )  # fmt: skip
    store.save(placed, long, replace=True)
    return placed, thing


def label(process: psutil.Process) -> str:
    """What a process of the graph is called."""
    line = process.cmdline()
    module = next((a for a in line if a.startswith(("dextrack_ros.", "dextrack_deploy."))), "")
    if not module:
        module = next((Path(a).stem for a in line[1:] if a.endswith(".py")), Path(line[0]).name if line else "?")
    return "track" if "track" in line else module.rpartition(".")[2]


class Watch:
    """Memory, file descriptors and processor time of a process and all that come of it."""

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._known: dict[int, tuple[psutil.Process, str]] = {}
        self.rows: list[dict[str, Any]] = []

    def look(self) -> None:
        """Take a sample."""
        for p in [self._root, *self._root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                # Named again each time: a process that was just forked still bears its parent's command line.
                self._known[p.pid] = (p, f"{label(p)} {p.pid}")
        row: dict[str, Any] = {"at": time.time(), "processes": {}}
        for p, name in self._known.values():
            with contextlib.suppress(psutil.Error):
                times = p.cpu_times()
                row["processes"][name] = {"rss_mb": p.memory_info().rss / 1e6, "descriptors": p.num_fds(), "cpu_s": times.user + times.system}
        self.rows.append(row)


def growth(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each process that was there all the time: memory and descriptors, at first and how they grew, and cores in use."""
    tenth = max(len(rows) // 10, 1)
    first, last = rows[tenth : 2 * tenth] or rows[:1], rows[-tenth:]
    names = [n for n in rows[0]["processes"] if all(n in r["processes"] for r in (*first, *last))]
    seconds = rows[-1]["at"] - rows[0]["at"]
    out = {}
    for n in names:
        a, b = ({k: float(np.mean([r["processes"][n][k] for r in part])) for k in ("rss_mb", "descriptors")} for part in (first, last))
        cpu = rows[-1]["processes"][n]["cpu_s"] - rows[0]["processes"][n]["cpu_s"]
        out[n.rpartition(" ")[0]] = {
            "rss_mb": round(a["rss_mb"], 1),
            "rss_growth_mb": round(b["rss_mb"] - a["rss_mb"], 2),
            "descriptors": round(a["descriptors"]),
            "descriptors_growth": round(b["descriptors"] - a["descriptors"], 1),
            "cores": round(cpu / seconds, 3) if seconds else 0.0,
        }
    return dict(sorted(out.items(), key=lambda x: -x[1]["cores"]))


def measure(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a trial that has ended."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    interval = read_trial(folder).run_interval_ns()
    if interval is None:
        return {"minutes": 0.0, "outcome": report["outcome"]}
    begin, end = (t * 1e-9 for t in interval)
    ran = [r for r in rows if begin <= r["at"] <= end]
    processes = growth(ran) if len(ran) > 1 else {}
    ticks = report["loop_duration_ms"].get("n", 0)
    return {
        "minutes": round((end - begin) / 60.0, 3),
        "compute_p99_ms": report["loop_duration_ms"].get("p99"),
        "overrun_rate": report["overruns"] / ticks if ticks else None,
        "consecutive_overruns": report["longest_row"],
        "rss_growth_mb": round(sum(p["rss_growth_mb"] for p in processes.values()), 2),
        "descriptors_growth": round(sum(p["descriptors_growth"] for p in processes.values()), 1),
        "cores": round(sum(p["cores"] for p in processes.values()), 3),
        "outcome": report["outcome"],
        "ticks": ticks,
        "overruns": report["overruns"],
        "skipped": report["skipped"],
        "compute_ms": report["loop_duration_ms"],
        "loop_period_ms": report["loop_period_ms"],
        "latency_ms": report["latency_ms"],
        "processes": processes,
        "over_time": [
            {"s": round(r["at"] - begin, 1), **{k: round(sum(p[k] for p in r["processes"].values()), 1) for k in ("rss_mb", "descriptors")}} for r in ran
        ],
    }


def earlier(path: Path) -> list[dict[str, Any]]:
    """Main figures of the soaks whose result was written to ``path`` before, oldest first: how much they differ says how quiet the machine is."""
    if not path.exists():
        return []
    last = json.loads(path.read_text(encoding="utf-8"))
    kept = ("date", "cell", "minutes", "compute_p99_ms", "overrun_rate", "consecutive_overruns", "rss_growth_mb", "stolen_share")
    return [*last.get("earlier", []), {k: last.get(k) for k in kept}]


def draw(found: dict[str, Any], periods_ms: np.ndarray, path: Path) -> None:
    """Periods, latencies, and memory over time."""
    figure = Figure(figsize=(13.0, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.hist(periods_ms, bins=np.linspace(0.0, 3e3 * CONTROL_PERIOD, 76).tolist(), log=True)
    left.set(xlabel="period between two targets, ms", ylabel="ticks", title=f"{found['ticks']} ticks, {found['overruns']} overruns")
    edges = {k: v for k, v in found["latency_ms"].items() if v["n"]}
    for y, (name, e) in enumerate(edges.items()):
        middle.plot([e["p50"], e["p99"]], [y, y], "o-", color="C0")
        middle.plot([e["max"]], [y], "x", color="C3")
        middle.annotate(name, (e["p50"], y), (0, 6), textcoords="offset points", fontsize=8)
    middle.set(xlabel="latency, ms: median, p99, largest (x)", yticks=[], title="from stamp to stamp")
    middle.set_ylim(-0.5, len(edges) - 0.2)
    seconds = [r["s"] / 60 for r in found["over_time"]]
    right.plot(seconds, [r["rss_mb"] for r in found["over_time"]])
    right.set(xlabel="minutes", ylabel="resident memory of all processes, MB", title=f"grew by {found['rss_growth_mb']} MB")
    right.set_ylim(0.0, 1.2 * max(r["rss_mb"] for r in found["over_time"]))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prepare, run, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="twin_wire")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="folder of the trial; an earlier soak's is removed")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    trial = options.out / "trial"
    if options.out.exists():
        shutil.rmtree(options.out)
    demonstration, thing = wander(options.out, options.minutes)
    load, before = os.getloadavg()[0], psutil.cpu_times()
    command = ["--demonstration", str(demonstration), "--object", str(thing), "--out", str(trial), "--cell", options.cell]
    process = subprocess.Popen([sys.executable, "-m", "dextrack", "track", *command], stdin=subprocess.DEVNULL)
    watch = Watch(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            watch.look()
        time.sleep(SAMPLE_S)
    found, after = measure(trial, watch.rows), psutil.cpu_times()
    content = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.release(), "python": platform.python_version()},
        "load_before": round(load, 2),
        # Of a virtual machine's cores: what the host gave to others meanwhile.
        "stolen_share": round((after.steal - before.steal) / (sum(after) - sum(before)), 5),
        "dextrack": __version__,
        "cell": options.cell,
        "aims": AIMS,
        "limits": {"overruns_in_a_row_that_end_a_trial": next(f.default for f in dataclasses.fields(WatchLimits) if f.name == "overruns")},
        **found,
    }
    write_json(options.result, {**content, "earlier": earlier(options.result)})
    if found["minutes"]:
        draw(found, np.diff(read_trial(trial).target_times_ns) * 1e-6, options.result.with_suffix(".png"))
    print(json.dumps({k: v for k, v in found.items() if not isinstance(v, (dict, list))} | {"outcome": found["outcome"]}))


if __name__ == "__main__":
    main()
