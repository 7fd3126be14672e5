"""Campaigns that are killed, and that run out of disk: the store can be read at any moment, and what was reported as done stays done."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from dextrack.demonstrations import store
from dextrack.mining import campaign, ledger
from tests.mining import pretend


def start(path: Path, folder: Path, seconds: float, limit: int | None = None) -> subprocess.Popen:
    """A campaign as a process of its own, in its own group, with files of at most ``limit`` bytes."""

    def confine() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    root = Path(__file__).parents[2]
    places = [str(root / place) for place in ("", "assets")]
    return subprocess.Popen(
        [sys.executable, pretend.__file__, str(path), str(folder), str(seconds)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=confine, start_new_session=True,
    )  # fmt: skip


def workers_of(driver: subprocess.Popen) -> list[psutil.Process]:
    try:
        children = psutil.Process(driver.pid).children()
        return [p for p in children if "spawn_main" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return []


def running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # whoever inherits an orphan may be slow to bury it
    except psutil.NoSuchProcess:
        return False


def wait_for(happened: object, seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def reported(path: Path) -> set[str]:
    return {row.task for row in ledger.read(ledger.path_of(path)).values() if row.state == "mined"}


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on an idle machine
def test_twenty_kills_of_workers_and_driver_lose_nothing_that_was_done(tmp_path: Path) -> None:
    folder, path = pretend.references(tmp_path, [f"task_{k:02d}" for k in range(40)]), tmp_path / "demonstrations.h5"
    rng = np.random.default_rng(0)
    driver, done, killed = start(path, folder, 0.2), set[str](), {"worker": 0, "driver": 0}
    while sum(killed.values()) < 20:
        wait_for(lambda driver=driver: driver.poll() is not None or len(workers_of(driver)) == 2)
        time.sleep(float(rng.uniform(0.1, 0.7)))
        alive = workers_of(driver)
        if killed["driver"] < 7 and rng.random() < 0.4:
            driver.kill()
            driver.wait()
            killed["driver"] += 1
            wait_for(lambda alive=alive: not any(running(p) for p in alive))
        elif alive:
            alive[int(rng.integers(len(alive)))].kill()
            killed["worker"] += 1
        if path.exists():
            for name in set(store.names(path)) - done:
                store.load(path, name)
        assert done <= reported(path) <= (set(store.names(path)) if path.exists() else set())
        done = reported(path)
        if driver.poll() is not None:
            if len(done) == 40:  # more kills than tasks: begin anew
                path.unlink()
                done = set()
            driver = start(path, folder, 0.2)
    assert driver.wait(120) == 0
    rows = campaign.run(pretend.wanted(path, folder), pretend.Quiet()) if len(reported(path)) < 40 else []
    assert all(row.state == "mined" for row in rows) and len(reported(path)) == 40
    for name in store.names(path):
        store.load(path, name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demonstrations.h5", "demonstrations.ledger.jsonl", "objects", "references"]
    assert killed["driver"] == 7


def test_a_full_disk_ends_the_campaign_and_the_next_goes_on(tmp_path: Path) -> None:
    """The limit on file sizes fails a write as a full disk does."""
    folder, path = pretend.references(tmp_path, "abcdef"), tmp_path / "d.h5"
    driver = start(path, folder, 0.0, limit=60_000)
    errors = driver.communicate(timeout=60)[1]
    assert driver.returncode == 1 and "InputError" in errors and "cannot be written" in errors
    done = reported(path)
    assert 0 < len(done) < 6 and done <= set(store.names(path))
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())
    assert start(path, folder, 0.0).wait(60) == 0
    assert len(reported(path)) == 6 == len(store.names(path))
