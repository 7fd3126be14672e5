"""Real mining whose workers and driver are killed twenty times at random: is the store whole each time, and does it end with what mining without kills gives?

    dextrack retarget --all
    python tests/bench/mining_kills.py references [--kills 20] [--work runs/mining_kills]

`dextrack mine` with two workers and little to try, as its own process. After each kill (SIGKILL) every demonstration in the store is read, what the ledger
reports as mined has to be in it, and nothing that was there may be gone or changed. A killed driver is started again. What is mined in the end is compared, bit
by bit, with the same tasks mined once without kills. Memory is the resident one of driver and workers together, looked at four times a second.

Writes tests/bench/results/mining_kills.json.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
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
from mining_memory import of_campaign, resident_mb

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.files import write_json
from dextrack.mining import ledger
from dextrack.references.reference import Reference

RESULT = Path(__file__).parent / "results" / "mining_kills.json"
SMALL = ("--grasps", "1", "--audition.grasps", "3", "--tuning.budget", "0", "--hardening.budget", "0", "--sampling.samples", "4", "--sampling.iterations", "1")
"""A task then takes seconds: what takes longer than a worker lives would never be done."""
BETWEEN_S = (1.0, 12.0)
AGAIN = 3
DRIVERS = 0.3
"""Share of kills that the driver gets."""


class Campaign:
    """`dextrack mine` as a process, and what all of its processes need."""

    def __init__(self, references: list[Path], path: Path) -> None:
        self._command = [sys.executable, "-m", "dextrack", "mine", *map(str, references), "--out", str(path), "--workers", "2", *SMALL]
        self.path, self.peak_mb = path, 0.0
        self.start()

    def start(self) -> None:
        """Begin, or go on."""
        self.driver = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def workers(self) -> list[psutil.Process]:
        """Those that are at work."""
        with contextlib.suppress(psutil.Error):
            return of_campaign(psutil.Process(self.driver.pid))[1:]
        return []

    def watch(self, seconds: float) -> None:
        """Let it work for so long, or until it ends, and note its memory."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.driver.poll() is None:
            with contextlib.suppress(psutil.Error):
                self.peak_mb = max(self.peak_mb, sum(resident_mb(of_campaign(psutil.Process(self.driver.pid)))))
            time.sleep(0.25)

    def finish(self) -> None:
        """Let it end."""
        while self.driver.poll() is None:
            self.watch(60.0)


def targets(path: Path) -> dict[str, bytes]:
    """Every demonstration in the store, read whole: name -> its targets."""
    return {name: store.load(path, name).targets.tobytes() for name in store.names(path)} if path.exists() else {}


def reported(path: Path, *states: str) -> set[str]:
    """What the ledger says is mined, or in one of ``states``."""
    return {row.task for row in ledger.read(ledger.path_of(path)).values() if row.state in (states or (ledger.MINED,))}


def kill(campaign: Campaign, rng: np.random.Generator) -> str:
    """Kill one of the driver's workers or, by chance or where there is none, the driver; who it was."""
    alive = campaign.workers()
    if alive and rng.random() >= DRIVERS:
        with contextlib.suppress(psutil.NoSuchProcess):  # one that ended just now
            alive[int(rng.integers(len(alive)))].kill()
            return "worker"
    campaign.driver.kill()
    campaign.driver.wait()
    psutil.wait_procs(alive, timeout=30.0)
    return "driver"


def disturbed(references: list[Path], path: Path, kills: int) -> dict[str, Any]:
    """Mine with ``kills`` kills; what was found after each."""
    rng, rows, before = np.random.default_rng(0), [], dict[str, bytes]()
    campaign, began = Campaign(references, path), time.monotonic()
    while len(rows) < kills:
        campaign.watch(float(rng.uniform(*BETWEEN_S)))
        if campaign.driver.poll() is not None:
            if len(reported(path, ledger.MINED, ledger.REFUSED)) == len(references):
                break
            campaign.start()
            continue
        who = kill(campaign, rng)
        said, found = reported(path), targets(path)
        whole = said <= set(found) and all(found.get(name) == value for name, value in before.items())
        rows.append({"s": round(time.monotonic() - began, 1), "killed": who, "mined": len(found), "whole": whole})
        print(rows[-1], flush=True)
        before = found
        if who == "driver":
            campaign.start()
    campaign.finish()
    # A task whose workers were killed twice is left to the next run.
    for _ in range(AGAIN):
        if len(reported(path, ledger.MINED, ledger.REFUSED)) < len(references):
            campaign.start()
            campaign.finish()
    return {"kills": rows, "peak_rss_mb": round(campaign.peak_mb)}


def main() -> int:
    """Mine twice, with kills and without; 0 where there were enough kills, the store was whole each time and the results are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=24, help="references at most, the shortest")
    parser.add_argument("--work", type=Path, default=Path("runs/mining_kills"))
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    references = sorted(options.references.glob("*.npz"), key=lambda path: (Reference.load(path).n_steps, path.name))[: options.tasks]
    result = disturbed(references, options.work / "disturbed.h5", options.kills)
    quiet = Campaign(references, options.work / "quiet.h5")
    quiet.finish()
    one, other = targets(options.work / "disturbed.h5"), targets(quiet.path)
    content = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        "dextrack": __version__,
        "tasks": len(references),
        "mined": {"with_kills": len(one), "without": len(other)},
        "same": sum(one.get(name) == value for name, value in other.items()),
        "whole_each_time": all(row["whole"] for row in result["kills"]),
        "peak_rss_mb": {"with_kills": result["peak_rss_mb"], "without": round(quiet.peak_mb)},
        "kills": result["kills"],
    }
    write_json(RESULT, content)
    print({k: v for k, v in content.items() if k != "kills"})
    if len(result["kills"]) < options.kills:
        print(f"all was mined after {len(result['kills'])} kills: give more --tasks", file=sys.stderr)
        return 1
    return 0 if content["whole_each_time"] and one == other else 1


if __name__ == "__main__":
    sys.exit(main())
