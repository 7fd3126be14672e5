"""The shadow simulator in another process: a trial runs on it; killed, the cell holds; started again, the operator can run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import handmade
import pytest

from tests import python38


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", ["this", "3.8"])
def test_killed_in_the_run_and_started_again(python: str, environment: dict[str, str], tmp_path: Path) -> None:
    placed, thing = handmade.write_trial(tmp_path / "given", 4.0)
    script = Path(__file__).with_name("shadow_lost.py")
    command = [sys.executable, str(script), "--demonstration", str(placed), "--object", str(thing), "--out", str(tmp_path / "trial")]
    if python == "3.8":
        # Where the paper's loop has Isaac Gym: its stand-in, on its Python.
        command += ["--server", str(python38.environment()), "isaacgym", "--server-path", python38.variables()["PYTHONPATH"]]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["seconds_to_hold"] < 0.5 and "its process ended" in told["hold"]
    assert "shadow" in told["refused"]
    assert told["again"]["complete"], told
