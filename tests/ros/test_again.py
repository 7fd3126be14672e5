"""What a trial that is done again takes over, and what is said beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import handmade
import pytest
from dextrack_deploy.trial import TrialFolder

from dextrack.errors import InputError, RefusedError


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    """A trial that was prepared with many options, as a dry run."""
    from dextrack_ros.preparation import TrialRequest, prepare

    folder = TrialFolder(tmp_path_factory.mktemp("earlier") / "trial")
    folder.path.mkdir()
    placed, thing = handmade.write_trial(folder.path.parent / "given")
    prepare(TrialRequest(placed, object=str(thing), cell="twin_wire", seed=4, zero_mismatch=True, dry_run=True, speed=0.3), folder)
    return folder


def asked(folder: TrialFolder, *more: str) -> Any:
    """The request of ``dextrack track --again``, as its parser makes it."""
    import tyro
    from dextrack_ros import track

    args = ["--again", str(folder.path), *more]
    return track._request_again(tyro.cli(track.Track, args=args), args, "a command", "track")


def test_everything_is_taken_over_but_the_noise_and_that_nothing_moved(before: TrialFolder) -> None:
    from dextrack_ros.again import lay_there
    from dextrack_ros.preparation import load_request

    then, now = load_request(before), asked(before, "--put-back")
    assert now == dataclasses.replace(then, seed=5, placement_seed=None, dry_run=False, at=lay_there(before), command="a command")
    task = json.loads((before.path / "task.json").read_text())
    x, y, turn = now.at
    assert f"x {100 * x:.1f} cm, y {100 * y:.1f} cm, turned by {turn:.0f} degrees" in task["where"]


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        (["--cell", "twin"], "cell", "twin"),
        (["--speed", "1.0"], "speed", 1.0),
        (["--seed", "0"], "seed", 0),
        (["--no-zero-mismatch"], "zero_mismatch", False),
        (["--dry-run"], "dry_run", True),
        (["--no-record"], "record", False),
    ],
)
def test_an_option_that_is_given_wins_though_it_be_the_default(option: list[str], field: str, value: object, before: TrialFolder) -> None:
    assert getattr(asked(before, "--put-back", *option), field) == value
    assert asked(before, "--at", "0.1", "-0.2", "30").at == (0.1, -0.2, 30.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--put-back", "--at", "0", "0", "0"], "both say where the object lies"),
        (["--name", "other"], "of what the earlier trial was of"),
        (["--object", "other.npz"], "of what the earlier trial was of"),
        (["--reference", "other.npz"], "of what the earlier trial was of"),
    ],
)
def test_contradictions_are_refused(options: list[str], words: str, before: TrialFolder) -> None:
    with pytest.raises(InputError, match=words):
        asked(before, *options)


def test_where_the_object_lies_needs_a_log_that_saw_it(before: TrialFolder, tmp_path: Path) -> None:
    with pytest.raises((InputError, RefusedError), match="(trial.mcap|the camera had 0 poses)"):
        asked(before)
    before.log.write_bytes(b"no log")
    with pytest.raises(InputError, match="trial.mcap"):
        asked(before)
    with pytest.raises(InputError, match="does not say what was asked for"):
        asked(TrialFolder(tmp_path))
