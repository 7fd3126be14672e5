"""``dextrack predict``: odds for what can be judged, a reason for what cannot, and nothing of a recording."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dextrack.cli import EXIT_ERROR, main
from tests import synthetic

BOX_LIFT = Path(__file__).parent.parent / "mining" / "box_lift.npz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """References and the object beside them: one good, one cut in half."""
    made = tmp_path / "references"
    made.mkdir()
    shutil.copy(BOX_LIFT, made / "box_lift.npz")
    (made / "half.npz").write_bytes(BOX_LIFT.read_bytes()[: BOX_LIFT.stat().st_size // 2])
    (tmp_path / "objects").mkdir()
    synthetic.box().save(tmp_path / "objects" / "box.npz")
    return made


def test_what_can_be_judged_has_odds_and_what_cannot_a_reason(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    assert main(["predict", str(folder), "--json", str(numbers)]) == 1
    good, bad = json.loads(numbers.read_text())
    assert good["task"] == "box_lift@leap_right" and 0.0 < good["passed"] < 1.0 and good["features"]["held"] > 0.5
    assert bad["task"] == "half@leap_right" and "half.npz" in bad["fault"]
    printed = capsys.readouterr().out
    assert "box_lift@leap_right" in printed and "2 tasks" in printed
    assert main(["predict", str(folder / "box_lift.npz")]) == 0


@pytest.mark.parametrize("what", ["nowhere", "recording"])
def test_what_is_no_reference_is_refused(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "box_lift.npz"
    if what == "recording":
        synthetic.recording().save(path)
    assert main(["predict", str(path)]) == EXIT_ERROR
    assert "dextrack retarget" in capsys.readouterr().err
