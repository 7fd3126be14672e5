"""All that is published of mining, in one command: both hands mined, RL where sampling stalled, tables, figures and galleries.

    python tests/bench/publish.py --out runs/published [--hands leap_right allegro_right] [--rl 24]

It takes hours, shows how far it is, and keeps every step: stopped and run again, it goes on. For each hand it calls

- ``dextrack mine --all`` into OUT/<hand>/demonstrations.h5;
- ``dextrack mine --tracker rl --baseline`` what sampling found, into OUT/<hand>/rl.h5, for the demonstrations that lift and hold and are not robust, those
  that survive most perturbed replays first, at most as many as ``--rl`` says (about 0.03 core-hours each);
- ``mining.py`` and ``failures.py``, which write to tests/bench/results.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dextrack.demonstrations import store
from dextrack.references.reference import file_of

BENCH = Path(__file__).parent
RL = ("--rl.budget", "2000000", "--rl.curriculum.steps", "0", "--rl.task.start", "first", "--rl.threads", "1")
"""Two million control steps on one core; training ends before where it comes to its plateau. What sampling found is within the curriculum's last bound from the
beginning, so there is none; and episodes begin at the first frame: on the one task on which both were tried, a policy forgot its baseline's grasp less."""


def stalled(path: Path, hand: str) -> list[str]:
    """Names of the references whose demonstrations lift and hold and are not robust, those that survive most perturbed replays first."""
    found = []
    for name in store.names(path):
        demonstration = store.load(path, name)
        verdict = demonstration.verdict
        if name.endswith("@" + hand) and verdict["lifts_and_holds"] and verdict["robust"]["state"] == "failed":
            found.append((-verdict["robust"]["numbers"]["survived"], demonstration.reference.name))
    return [name for _, name in sorted(found)]


def dextrack(*arguments: str, log: Path | None = None) -> int:
    """Call a verb; what it prints goes to ``log``, or to the terminal."""
    command = [sys.executable, "-m", "dextrack", *arguments]
    if log is None:
        return subprocess.run(command, check=False).returncode
    with log.open("a", encoding="utf-8") as to:
        return subprocess.run(command, check=False, stdout=to, stderr=subprocess.STDOUT).returncode


def learn(folder: Path, hand: str, name: str) -> int:
    """Train the RL tracker on one reference, from what sampling found of it."""
    reference = str(file_of(folder / "references", name, hand))
    baseline = ("--tracker", "rl", "--baseline", str(folder / "demonstrations.h5"))
    return dextrack("mine", reference, *baseline, *RL, "--out", str(folder / "rl.h5"), log=folder / f"rl.{name}.log")


def train(folder: Path, hand: str, most: int, workers: int) -> None:
    """Train on what stalled, as many at a time as there are ``workers``."""
    names, began = stalled(folder / "demonstrations.h5", hand), time.monotonic()
    chosen = names[:most]
    print(f"{hand}: sampling stalled on {len(names)} tasks, RL is tried on {len(chosen)} of them", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        for i, (name, code) in enumerate(zip(chosen, pool.map(lambda n: learn(folder, hand, n), chosen), strict=True), start=1):
            left = (time.monotonic() - began) / i * (len(chosen) - i)
            outcome = {0: "passed", 1: "not passed"}.get(code, f"exit code {code}, see {folder / f'rl.{name}.log'}")
            print(f"{i}/{len(chosen)} {name}: {outcome}, about {left / 60:.0f} min left", flush=True)


def main() -> int:
    """Mine, train, publish; 1 where a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/published"), help="folder of stores and references, one for each hand in it")
    parser.add_argument("--hands", nargs="+", default=["leap_right", "allegro_right"])
    parser.add_argument("--rl", type=int, default=24, help="largest number of tasks of a hand that RL is tried on")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes at a time; one per core")
    options = parser.parse_args()
    for hand in options.hands:
        folder = options.out / hand
        folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / "demonstrations.h5")
        if dextrack("mine", "--all", "--hand", hand, "--out", path, "--references", str(folder / "references"), "--workers", str(options.workers)):
            return 1
        train(folder, hand, options.rl, options.workers)
        learned = ["--rl", str(folder / "rl.h5")] if (folder / "rl.h5").is_file() else []
        for script, more in (("mining", learned), ("failures", [])):
            if subprocess.run([sys.executable, str(BENCH / f"{script}.py"), "--store", path, "--hand", hand, *more], check=False).returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
