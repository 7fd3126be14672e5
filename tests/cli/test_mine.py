"""``dextrack mine`` of several tasks: what it says, how long it thinks it takes, what Ctrl-C leaves, and a run from recordings to demonstrations."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from dextrack.cli import EXIT_ERROR, EXIT_INTERRUPTED, campaign, main
from dextrack.demonstrations import store
from dextrack.mining import ledger
from dextrack.mining.ledger import Ledger, Row
from dextrack.mining.tasks import Task
from tests import synthetic
from tests.mining import pretend

TINY = ["--sampling.samples", "4", "--sampling.iterations", "1", "--hardening.budget", "20000", "--polishing.hardening.budget", "20000", "--workers", "2"]


def row(name: str, **parts: str) -> Row:
    verdict = {part: {"state": state, "why": ""} for part, state in parts.items()} | {"passed": set(parts.values()) == {"passed"}}
    metrics = {"t_err_m": 0.012, "r_err_rad": 0.2, "success_20": True}
    return Row(f"{name}@leap_right", ledger.MINED, "", verdict=verdict, metrics=metrics, seconds=61.0, steps=100)


def test_what_passes_comes_first_and_fits_into_80_columns() -> None:
    good = row("waterbottle_shake_1", lifted="passed", held="passed", clean="passed", robust="passed")
    fair = row("apple_pass_1", lifted="passed", held="passed", clean="failed", robust="passed")
    refused = Row("cup_lift@leap_right", ledger.REFUSED, "", why="the object [cup] leaps.")
    console = Console(width=80, record=True)
    console.print(campaign.table([refused, fair, good], "d.h5"))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["waterbottle_shake_1", "passed", "yes", "yes", "yes", "yes", "1.2", "11", "61"] in lines
    assert [line[0] for line in lines if line and line[0] in ("waterbottle_shake_1", "apple_pass_1", "cup_lift")] == [
        "waterbottle_shake_1",
        "apple_pass_1",
        "cup_lift",
    ]
    text = campaign.summary([refused, fair, good])
    assert "3 tasks: 2 mined, 1 passed, 2 lifted within 20 deg, 1 refused" in text and "the object [cup] leaps." in text


def test_no_distance_is_told_while_grasps_are_tried() -> None:
    assert campaign.off(0.0123) == "object 1.2 cm off in the worst world"
    assert campaign.off(float("nan")) == "trying grasps"


def test_the_estimate_follows_the_cost_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, 2 s a step: the rest is packed onto them, longest first."""
    now = [0.0]
    monkeypatch.setattr(campaign.time, "monotonic", lambda: now[0])
    tasks = [Task(name, "h", Path(), "", steps) for name, steps in (("a", 100), ("b", 60), ("c", 50), ("d", 30))]
    estimate = campaign.Estimate(tasks, (), 2)
    assert estimate.seconds() is None
    for key in ("a@h", "b@h"):
        estimate.began(key)
    now[0] = 20.0
    estimate.told("a@h", 0, 0.1)
    estimate.told("b@h", 0, 1 / 6)
    # Left are 180 s of a, 100 s of b and then the 100 s of c; d follows a.
    assert estimate.seconds() == pytest.approx(240.0)
    now[0] = 120.0
    estimate.ended("b@h", 120.0, again=False)
    estimate.told("a@h", 0, 0.6)
    assert estimate.seconds() == pytest.approx(140.0)  # 80 s of a and then d, or c
    estimate.began("c@h")
    estimate.ended("c@h", 5.0, again=True)
    assert estimate.seconds() == pytest.approx(140.0)


def test_durations_read_well() -> None:
    assert [campaign.duration(s) for s in (7.4, 99.0, 3000.0, 7300.0)] == ["7 s", "99 s", "50 min", "2 h 2 min"]


def test_status_shows_the_ledger_and_mines_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "d.h5"
    assert main(["mine", "--status", "--out", str(path)]) == EXIT_ERROR
    assert "there is no ledger" in capsys.readouterr().err
    book = Ledger(ledger.path_of(path))
    book.append(row("apple_lift", lifted="passed", held="passed", clean="passed", robust="passed"))
    # Even while a campaign writes to it.
    assert main(["mine", "--status", "--out", str(path), "--json", str(tmp_path / "rows.json")]) == 0
    book.close()
    assert "apple_lift" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())[0]["task"] == "apple_lift@leap_right"
    assert not path.exists()


def test_what_cannot_be_mined_is_said(tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "d.h5")]
    motors = tmp_path / "motors.json"
    motors.write_text('{"hand": "leap_left", "joints": {"1": {"kp": 4.0, "kv": 0.2, "effort": 0.2, "delay": 0.01}}}')
    for arguments, words in (
        ([], "not said what to mine"),
        (["--all", "--references", str(tmp_path)], "nothing to mine"),
        ([str(tmp_path)], "holds no reference"),
        (["apple_lift", "mug_lift"], "apple_lift"),
        ([str(tmp_path / "gone.npz")], "gone.npz"),
        (["--all", "--workers", "-1"], "workers is -1"),
        (["apple_lift", "--motors", str(tmp_path / "none.json")], "none.json"),
        (["apple_lift", "--motors", str(motors)], "they are leap_left's, not leap_right's"),
    ):
        assert main(["mine", *arguments, *out]) == EXIT_ERROR
        assert words in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)  # a minute on an idle machine
def test_from_recordings_to_demonstrations(tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that can be mined, one of the other hand, whose mirror image is, one that is broken, and a reference without its recording."""
    folder = data_folder / "synthetic"
    recording = synthetic.recording()
    recording.save(folder / "recordings" / "box_lift.npz")
    synthetic.box().save(folder / "objects" / "box.npz")
    dataclasses.replace(recording, name="box_left", side="left").save(folder / "recordings" / "box_left.npz")
    (folder / "recordings" / "box_broken.npz").write_text("no recording")
    references = pretend.references(tmp_path, ("extra",))
    arguments = ["mine", "--all", "--references", str(references), "--out", str(tmp_path / "d.h5"), *TINY, "--again.tries", "1", "--tuning.budget", "50000"]
    assert main(arguments) == 0
    assert store.names(tmp_path / "d.h5") == ("box_left_mirrored@leap_right", "box_lift@leap_right", "extra@leap_right")
    rows = ledger.read(ledger.path_of(tmp_path / "d.h5"))
    states = {k.partition("@")[0]: r.state for k, r in rows.items()}
    assert states == {"box_lift": "mined", "box_left_mirrored": "mined", "box_broken": "refused", "extra": "mined"}
    assert rows["box_lift@leap_right"].cpu_seconds > 0 and rows["box_lift@leap_right"].control_steps > rows["box_lift@leap_right"].steps
    before = (references / "box_lift.npz").stat().st_mtime_ns, (tmp_path / "d.h5").read_bytes()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "workers" not in capsys.readouterr().out.split("tasks:")[0]
    assert ((references / "box_lift.npz").stat().st_mtime_ns, (tmp_path / "d.h5").read_bytes()) == before


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(tmp_path: Path) -> None:
    references = pretend.references(tmp_path, "abcdef", steps=80)
    arguments = ["mine", str(references), "--out", str(tmp_path / "d.h5"), *TINY[2:], "--sampling.samples", "64"]
    with subprocess.Popen(
        [sys.executable, "-m", "dextrack", *arguments],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "COLUMNS": "200"},
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "mine: 6 tasks, 2 workers\n"
        deadline = time.monotonic() + 60
        while sum(p.cpu_times().user > 1.0 for p in psutil.Process(process.pid).children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        output, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED and errors == ""
    assert "of 6 tasks are done and kept. Run the same command again" in output
    # The resource tracker of multiprocessing is among them: it ends once it hears that the driver did.
    assert not psutil.wait_procs(workers, timeout=20.0)[1]
