"""``dextrack doctor`` as a process: quick, complete, one exit code for each answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dextrack_deploy.cli import doctor
from dextrack_deploy.doctor import Finding, Level
from dextrack_deploy.doctor.finding import ok, problem, warning

from dextrack.errors import InputError

SCRIPT = Path(sys.executable).parent / "dextrack"


def test_this_machine_and_the_twin(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run([SCRIPT, "doctor", "--json", tmp_path / "doctor.json"], capture_output=True, text=True, cwd=tmp_path)
    seconds = time.monotonic() - began
    assert seconds < 15.0 and "Traceback" not in done.stderr  # 5 s on a machine that is not busy: the checks have 4 s together
    value = json.loads((tmp_path / "doctor.json").read_text())
    assert value["cell"] == "twin" and value["seconds"] < 4.5 and value["code"] and value["date"]
    assert all(set(f) == {"name", "level", "what", "remedy"} for f in value["findings"])
    for f in value["findings"]:
        assert f["what"] in done.stdout and f["remedy"] in done.stdout
    problems = [f["name"] for f in value["findings"] if f["level"] == "problem"]
    assert set(problems) <= {"ROS 2", "ROS package"}  # of a Python for which there is no ROS 2 here; no device is one of the twin's
    assert value["problems"] == len(problems) and done.returncode == (1 if problems else 0)
    assert done.stdout.splitlines()[-1].startswith(f"cell twin: {'no problems' if not problems else len(problems)}")


def test_a_device_that_is_named_and_not_there_is_a_problem(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "doctor", "--port", "/dev/no-such-port"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (k,) = (k for k, line in enumerate(lines) if line.startswith("problem ") and "/dev/no-such-port is not there" in line)
    assert lines[k + 1].strip().startswith("to do: ")


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no-such-cell"):
        doctor.main(["--cell", "no-such-cell"])
    with pytest.raises(InputError, match="cannot be written"):
        doctor.main(["--json", str(tmp_path)])


@pytest.mark.parametrize(
    "findings, code, last",
    [
        ([ok("disk", "fine.")], 0, "no problems, no warnings, no notes (1 check,"),
        ([ok("disk", "fine."), warning("load", "much.", "less.")], 0, "no problems, 1 warning, no notes"),
        ([problem("disk", "full.", "empty it."), problem("arm", "gone.", "find it."), Finding("x", Level.NOTE, "y.")], 1, "2 problems, no warnings, 1 note"),
    ],
)
def test_exit_codes(findings, code, last, monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "examine", lambda system, case: findings)
    assert doctor.main([]) == code
    assert last in capsys.readouterr().out


def test_long_lines_and_brackets_are_printed_as_they_are(monkeypatch, capsys) -> None:
    command = "`printf '[bold]" + "x" * 300 + "' | sudo tee /etc/file`"
    monkeypatch.setattr(doctor, "examine", lambda system, case: [problem("limits", "[red] are low.", command)])
    doctor.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "problem limits  [red] are low." and lines[1].endswith(command)
