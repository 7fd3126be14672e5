"""`dextrack trials` in the twin: attempts that are judged, broken off and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import handmade
import pytest

VERB = "import sys; from dextrack_ros.trials import main; sys.exit(main(sys.argv[1:]))"


def test_a_task_that_is_not_in_the_store_is_refused_before_anything_runs(environment: dict[str, str], tmp_path: Path) -> None:
    placed, _ = handmade.write_trial(tmp_path)
    arguments = ["run", str(tmp_path / "s"), "--demonstrations", str(placed), "--tasks", "apple_lift", "--yes"]
    out = subprocess.run([sys.executable, "-m", "dextrack", "trials", *arguments], env=environment, capture_output=True, text=True)
    assert out.returncode == 2 and "it holds no apple_lift" in out.stderr and "handmade" in out.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_session_breaks_off_and_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    placed, thing = handmade.write_trial(tmp_path, 3.0)
    (tmp_path / "objects").mkdir()
    os.replace(thing, tmp_path / "objects" / thing.name)
    folder = tmp_path / "session"
    command = [sys.executable, "-c", VERB, "run", str(folder), "--demonstrations", str(placed), "--tasks", "handmade", "--attempts", "2", "--yes"]

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    broken = start()
    events = folder / "handmade-1" / "events.jsonl"
    deadline = time.monotonic() + 60.0
    while not (events.exists() and '"after":"RUN"' in events.read_text()):
        assert time.monotonic() < deadline and broken.poll() is None
        time.sleep(0.05)
    # As a terminal does it: to everyone in the foreground.
    os.killpg(broken.pid, signal.SIGINT)
    said, _ = broken.communicate(timeout=90.0)
    assert broken.returncode == 130 and "does not count" in said
    assert json.loads((folder / "session.json").read_text())["rows"] == []

    going_on = start()
    said, _ = going_on.communicate(timeout=240.0)
    assert going_on.returncode == 0, said
    rows = json.loads((folder / "session.json").read_text())["rows"]
    assert [(r["number"], r["ended"], r["level"], r["true_level"]) for r in rows] == [(1, "finished", 0, 0), (2, "finished", 0, 0)]
    assert rows[0]["folder"] == "handmade-1-a" and "| replay | 0.0/0.0/0.0 | 0.0/0.0/0.0 |" in (folder / "trials.md").read_text()
