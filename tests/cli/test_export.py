"""``dextrack export``: what it prints, and that an error is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dextrack.cli import EXIT_ERROR, main
from dextrack.demonstrations import store
from tests.demonstrations import made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name in ("a_lift", "b_lift"):
        store.save(tmp_path / "d.h5", made.demonstration(name, passed=name == "a_lift"))
    return tmp_path / "d.h5"


@pytest.mark.parametrize("to", ["lerobot", "dextrack"])
def test_both_formats_are_written(path: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", str(path), "--format", to, "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 demonstrations (1 with a verdict that passed)" in shown and "under these terms: none asked" in shown
    assert main(["export", str(path), "--format", to, "--out", str(out), "--force", "--passed-only", "--names", "a_lift", "b_lift"]) == 0
    assert list(json.loads((out / "export.json").read_text())["demonstrations"]) == ["a_lift@leap_right"]


def test_one_hand_of_a_store_of_two(path: Path, tmp_path: Path) -> None:
    store.save(path, made.demonstration("b_lift", hand="allegro_right"))
    for more, expected in ((["--names", "b_lift"], ["b_lift@leap_right"]), ([], ["a_lift@leap_right", "b_lift@leap_right"])):
        assert main(["export", str(path), "--format", "lerobot", "--out", str(tmp_path / "out"), "--force", "--hand", "leap_right", *more]) == 0
        assert list(json.loads((tmp_path / "out" / "export.json").read_text())["demonstrations"]) == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "rosbag", "--out", "{out}"], "'rosbag' is not known"),
        (["--format", "lerobot", "--out", "{store}"], "there already"),
        (["--format", "lerobot", "--out", "{store}/below"], "cannot be written"),
        (["--format", "lerobot", "--out", "{out}", "--names", "c_lift"], "no demonstration 'c_lift'"),
        (["--format", "lerobot", "--out", "{out}", "--hand", "leap_right", "--names", "a_lift", "c_lift"], "no demonstration 'c_lift'"),
        (["--format", "lerobot", "--out", "{out}", "--hand", "leap_left"], "none of these demonstrations for hand leap_left"),
    ],
)
def test_an_error_is_one_line_with_a_remedy(path: Path, tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [a.format(out=tmp_path / "out", store=path) for a in arguments]
    assert main(["export", str(path), *given]) == EXIT_ERROR
    error = capsys.readouterr().err
    assert says in error and "Remedy" in error and len(error.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["d.h5"]
