"""`dextrack trials` in the twin: attempts that are judged, broken off and gone on with."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dextrack_assets
import handmade
import pytest
import yaml
from dextrack_deploy.trials.session import FILE, Attempt
from rich.console import Console

from dextrack.errors import RefusedError

if TYPE_CHECKING:
    from dextrack_ros.trials import Run

VERB = "import sys; from dextrack_ros.trials import main; sys.exit(main(sys.argv[1:]))"


def test_a_task_that_is_not_in_the_store_is_refused_before_anything_runs(environment: dict[str, str], tmp_path: Path) -> None:
    placed, _ = handmade.write_trial(tmp_path)
    arguments = ["run", str(tmp_path / "s"), "--demonstrations", str(placed), "--tasks", "apple_lift", "--yes"]
    out = subprocess.run([sys.executable, "-m", "dextrack", "trials", *arguments], env=environment, capture_output=True, text=True)
    assert out.returncode == 2 and "it holds no apple_lift" in out.stderr and "handmade" in out.stderr
    assert not (tmp_path / "s").exists()


def options(tmp_path: Path, **more: object) -> Run:
    """Of a session with two attempts at the hand-made task."""
    from dextrack_ros.trials import Run

    placed, _ = handmade.write_trial(tmp_path)
    return Run(tmp_path / "session", placed, ("handmade",), **{"attempts": 2, **more})


def made(run: Run, task: str, number: int) -> Attempt:
    return Attempt(task, "box", number, f"{task}-{number}", "finished", "held", 2, True, True)


def test_without_a_terminal_nothing_moves_unasked(environment: dict[str, str], tmp_path: Path) -> None:
    placed, _ = handmade.write_trial(tmp_path)
    command = [sys.executable, "-m", "dextrack", "trials", "run", str(tmp_path / "s"), "--demonstrations", str(placed), "--tasks", "handmade"]
    out = subprocess.run(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert out.returncode == 2 and "no terminal to ask in" in out.stderr and not (tmp_path / "s").exists()


def test_a_real_arm_is_never_moved_without_asking(tmp_path: Path) -> None:
    from dextrack_ros import trials

    cell = yaml.safe_load(dextrack_assets.path("cells", "twin_wire.yaml").read_text())
    cell["drivers"]["arm_address"] = "172.16.0.2"
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(cell))
    run = options(tmp_path, yes=True, cell=str(tmp_path / "lab.yaml"))
    with pytest.raises(RefusedError, match="--yes would move the arm of cell"):
        trials._run(run, Console())
    # Its hand is a peer, and so is all of the shipped one.
    trials._require_somebody(dataclasses.replace(run, cell="twin_wire"))


@pytest.mark.parametrize("nothing", [KeyboardInterrupt, EOFError])
def test_an_attempt_that_was_made_is_kept_though_nobody_answers(nothing: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dextrack_ros import trials

    asked: list[str] = []

    def answer(_: object, question: str) -> str:
        asked.append(question)
        if len(asked) == 2:
            raise nothing
        return ""

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "input", answer)
    monkeypatch.setattr(trials, "_attempt", made)
    with pytest.raises(KeyboardInterrupt):
        trials._run(options(tmp_path), Console())
    rows = json.loads((tmp_path / "session" / FILE).read_text())["rows"]
    assert [(r["number"], r["level"], r["operator_level"]) for r in rows] == [(1, 2, None)]


def test_every_attempt_begins_where_the_operator_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dextrack_deploy.trial import TrialFolder
    from dextrack_ros import track, trials
    from dextrack_ros.preparation import prepare

    told, commands = [], []

    class Ended:
        def __init__(self, command: list[str], **_: object) -> None:
            commands.append(command[command.index("track") + 1 :])

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(trials.subprocess, "Popen", Ended)
    monkeypatch.setattr(trials, "assess", lambda folder, session, task, number: made(None, task, number))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "input", lambda _, question: told.append(question) or "")
    run = options(tmp_path, domain=7)
    assert trials._run(run, Console()) == 0 and len(commands) == 2
    prompts = [t for t in told if "Lay the object" in t]
    assert len(prompts) == 2 and prompts[0] == prompts[1]
    for n, command in enumerate(commands):
        parsed = track.tyro.cli(track.Track, args=command)
        assert parsed.domain == 7 and parsed.seed == n + 1
        out = tmp_path / f"prepared{n}"
        out.mkdir()
        prepared = prepare(dataclasses.replace(track._request(parsed, "", "track"), object=str(tmp_path / "box.npz")), TrialFolder(out))
        assert f"where the trial begins: {prepared.where}. Enter" in prompts[0]


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
