"""Several recordings in one run: what is done is kept, what is refused is told, and a damaged file is made again."""

from __future__ import annotations

import dataclasses
import json
import pickle
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dextrack.cli import retarget as verb
from dextrack.errors import InputError, RefusedError
from dextrack.references.reference import Reference
from tests import synthetic


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of two good recordings and one in which the object never moves."""
    monkeypatch.setenv("DEXTRACK_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "zoo"
    good = synthetic.recording()
    still = dataclasses.replace(good, name="box_still", object_position_w=np.tile(good.object_position_w[:1], (len(good.time), 1)))
    for recording in (good, dataclasses.replace(good, name="box_again"), still):
        recording.save(folder / "recordings" / f"{recording.name}.npz")
    synthetic.box().save(folder / "objects" / "box.npz")
    return tmp_path


def test_all_recordings_are_retargeted_once_and_the_hopeless_one_is_listed(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--all", "--iterations", "3", "--out", str(zoo / "references"), "--json", str(zoo / "all.json")]
    assert verb.main(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 made, 0 already there, 1 refused" in shown
    assert "box_still" in shown and "never moves" in shown
    rows = {row["reference"]: row for row in json.loads((zoo / "all.json").read_text())}
    assert "never moves" in rows["box_still"]["refused"] and not (zoo / "references" / "box_still.npz").exists()
    assert rows["box_lift"]["digest"] == Reference.load(zoo / "references" / "box_lift.npz").digest
    assert verb.main(arguments) == 0
    assert "0 made, 2 already there, 1 refused" in " ".join(capsys.readouterr().out.split())


def test_two_workers_make_what_one_makes(zoo: Path) -> None:
    made = {}
    for workers in ("1", "2"):
        assert verb.main(["--all", "--iterations", "3", "--workers", workers, "--out", str(zoo / workers), "--json", str(zoo / "all.json")]) == 0
        rows = json.loads((zoo / "all.json").read_text())
        made[workers] = [(row["reference"], row.get("digest"), row.get("refused")) for row in rows]
        assert [reference for reference, *_ in made[workers]] == sorted(["box_lift", "box_again", "box_still"])
    assert made["1"] == made["2"]
    with pytest.raises(InputError, match="workers is -1"):
        verb.main(["--all", "--workers", "-1"])


def test_a_killed_worker_is_told(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Future[object], timeout: float | None = None) -> object:
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(Future, "result", killed)
    with pytest.raises(RefusedError, match="a worker process was killed"):
        verb.main(["--all", "--iterations", "3", "--workers", "2", "--out", str(zoo / "references")])


def test_an_error_comes_back_from_another_process_as_it_was() -> None:
    found = pickle.loads(pickle.dumps(RefusedError("a thing: it is wrong.", remedy="mend it.")))
    assert isinstance(found, RefusedError) and (found.what, found.remedy) == ("a thing: it is wrong.", "mend it.") and "mend it" in str(found)


def test_another_hands_reference_is_not_replaced(zoo: Path) -> None:
    out = zoo / "references"
    for hand in ("leap_right", "allegro_right", "allegro_right", "leap_right"):
        assert verb.main(["box_lift", "--iterations", "3", "--hand", hand, "--out", str(out)]) == 0
    (out / "box_lift.npz").unlink()
    assert verb.main(["box_lift", "--iterations", "3", "--hand", "allegro_right", "--out", str(out)]) == 0
    assert [p.name for p in out.glob("*.npz")] == ["box_lift@allegro_right.npz"], "it has its file"
    assert verb.main(["box_lift", "--iterations", "3", "--out", str(out)]) == 0
    assert {p.name: Reference.load(p).hand_name for p in out.glob("*.npz")} == {"box_lift.npz": "leap_right", "box_lift@allegro_right.npz": "allegro_right"}


def test_a_damaged_reference_and_one_of_other_settings_are_made_again(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = zoo / "references"
    several = ["box_lift", "box_again", "--iterations", "3", "--out", str(out)]
    assert verb.main(several) == 0
    (out / "box_lift.npz").write_bytes(b"not a reference")
    capsys.readouterr()
    assert verb.main(several) == 0
    assert "1 made, 1 already there, 0 refused" in " ".join(capsys.readouterr().out.split())
    assert verb.main([*several, "--speed-limit", "0.4"]) == 0
    assert "2 made" in capsys.readouterr().out


def test_a_reference_of_an_earlier_version_is_made_again_and_can_be_shown(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = zoo / "references" / "box_lift.npz"
    one = ["box_lift", "--iterations", "3", "--out", str(path.parent)]
    assert verb.main(one) == 0
    made = Reference.load(path)
    without = {k: v for k, v in made.diagnosis.items() if not k.startswith("finger_s")}
    old = dataclasses.replace(made, diagnosis=without, provenance={k: v for k, v in made.provenance.items() if k != "algorithm"})
    old.save(path)
    verb.show(Console(), old)
    assert "fastest finger" in capsys.readouterr().out
    assert verb.main(one) == 0
    assert Reference.load(path).diagnosis == made.diagnosis


def test_no_recording_at_all_is_an_error(zoo: Path) -> None:
    with pytest.raises(InputError, match="no recording is named"):
        verb.main(["--out", str(zoo)])
