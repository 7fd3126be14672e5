"""Memory of a mining campaign that runs, until it ends: driver and workers together, looked at twice a second.

    dextrack mine --all --workers 2 &
    python tests/bench/mining_memory.py $!

Resident memory counts what processes share once for each; the proportional share (PSS) counts it once.

Writes tests/bench/results/mining_memory.json.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil
from command_line import command_line

from dextrack import __version__
from dextrack.files import write_json

RESULTS = Path(__file__).parent / "results"
EVERY_S = 0.5


def of_campaign(driver: psutil.Process) -> list[psutil.Process]:
    """The driver and its workers; empty once it is gone."""
    with contextlib.suppress(psutil.Error):
        return [driver, *(p for p in driver.children() if "spawn_main" in " ".join(p.cmdline()))]
    return []


def resident_mb(processes: list[psutil.Process]) -> list[float]:
    """Of each that is still there, MB."""
    out = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            out.append(process.memory_info().rss / 1e6)
    return out


def proportional_mb(processes: list[psutil.Process]) -> float:
    """Of all that are still there together, MB."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss / 1e6
    return total


def watch(pid: int) -> dict[str, Any]:
    """Look until the process ``pid`` ends."""
    driver = psutil.Process(pid)
    words = [Path(word).name if "/" in word else word for word in driver.cmdline()]
    began, looks, workers = time.monotonic(), 0, 0
    peak = {"together_resident": 0.0, "together_proportional": 0.0, "driver": 0.0, "largest_worker": 0.0}
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        processes = of_campaign(driver)
        each = resident_mb(processes)
        if each:
            now = {"together_resident": sum(each), "driver": each[0], "largest_worker": max(each[1:], default=0.0)}
            now["together_proportional"] = proportional_mb(processes)
            peak = {key: max(value, now[key]) for key, value in peak.items()}
            looks, workers = looks + 1, max(workers, len(each) - 1)
        time.sleep(EVERY_S)
    return {"campaign": " ".join(words), "seconds": time.monotonic() - began, "looks": looks, "workers": workers, "peak_mb": peak}


def main() -> None:
    """Watch a campaign and write what it needed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pid", type=int, help="of the driver: `dextrack mine`")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not psutil.pid_exists(options.pid):
        parser.error(f"there is no process {options.pid}.")
    found = watch(options.pid)
    content = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"dextrack": __version__},
        **found,
    }
    write_json(options.out / "mining_memory.json", content)
    print(found)


if __name__ == "__main__":
    main()
