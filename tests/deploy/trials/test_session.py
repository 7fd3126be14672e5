"""Sessions: what is left, what is kept, what is refused; and their tables, against counts made by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from dextrack_deploy.trials.assess import assess
from dextrack_deploy.trials.session import FILE, Attempt, Session
from dextrack_deploy.trials.tables import markdown, summary

from dextrack.errors import InputError, RefusedError

WANTED = Session("demonstrations.h5", ("apple_lift", "mouse_lift"), 2, "twin")


def row(task: str, number: int, level: int, **more: object) -> Attempt:
    values: dict = {"qualifies": True, "to_end": level == 3, "ended": "finished", "reason": "every target was given", **more}
    return Attempt(task=task, object=task.partition("_")[0], number=number, folder=f"{task}-{number}", level=level, **values)


def test_every_task_comes_once_before_any_comes_again() -> None:
    assert list(WANTED.left()) == [("apple_lift", 1), ("mouse_lift", 1), ("apple_lift", 2), ("mouse_lift", 2)]
    assert list(WANTED.with_row(row("mouse_lift", 1, 2)).left()) == [("apple_lift", 1), ("apple_lift", 2), ("mouse_lift", 2)]


def test_a_session_comes_back_as_it_was_and_goes_on(tmp_path: Path) -> None:
    session = Session.begin(tmp_path, WANTED).with_row(row("apple_lift", 1, 3, details={"side_m": 0.1}, true_level=2)).corrected("apple_lift", 1, 2, "fell")
    session.save(tmp_path)
    assert Session.load(tmp_path) == session == Session.begin(tmp_path, WANTED)
    found = session.row("apple_lift", 1)
    assert (found.level, found.operator_level, found.counts, found.note) == (3, 2, 2, "fell")
    back = session.corrected("apple_lift", 1, None, "").row("apple_lift", 1)
    assert (back.counts, back.note) == (3, "fell")


def test_another_session_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    Session.begin(tmp_path, WANTED)
    with pytest.raises(RefusedError, match="attempts is 2, not 3"):
        Session.begin(tmp_path, dataclasses.replace(WANTED, attempts=3))


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "rows": [{"task": "a"}]}', '{"version": 7, "rows": []}'])
def test_a_damaged_session_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=FILE):
        Session.load(tmp_path)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for wrong in ({"tasks": ()}, {"attempts": 0}, {"tasks": ("a", "a")}):
        with pytest.raises(InputError):
            dataclasses.replace(WANTED, **wrong)
    with pytest.raises(InputError, match="session.json"):
        Session.load(tmp_path)
    with pytest.raises(InputError, match="was not made"):
        WANTED.corrected("apple_lift", 1, 2, "")
    with pytest.raises(InputError, match="0 to 3"):
        WANTED.with_row(row("apple_lift", 1, 1)).corrected("apple_lift", 1, 4, "")


def test_tables_count_what_the_operator_says() -> None:
    session = WANTED
    for r in (
        row("apple_lift", 1, 3),
        row("apple_lift", 2, 1, operator_level=2),
        row("mouse_lift", 1, 0, ended="refused", reason="the arm does not reach it", qualifies=False),
        row("mouse_lift", 2, 2, qualifies=False, to_end=True),
    ):
        session = session.with_row(r)
    figures = summary(session)
    assert figures["objects"]["apple"] == {
        "attempts": 2, "level_1": 2, "level_2": 2, "level_3": 1, "qualify_for_level_3": 2, "to_end": 1, "refused": 0, "corrected": 1,
    }  # fmt: skip
    assert figures["tasks"]["mouse_lift"]["to_end"] == 1 and figures["all"]["qualify_for_level_3"] == 2
    text = markdown(session)
    # Tables 2, 7 and 8 of the paper: one method a row, one object a column, levels 1/2/3 in per cent.
    assert "| method | apple | mouse | all |" in text
    assert "| replay | 100.0/100.0/50.0 | 50.0/50.0/0.0 | 75.0/75.0/25.0 |" in text
    assert "| mouse_lift | 1 | 0 |  |  |  | refused: the arm does not reach it |  |" in text


def test_a_trial_becomes_a_row_by_the_estimate_and_by_the_truth(made_trial) -> None:
    folder = made_trial.write()
    found = assess(folder, folder.parent, "box_lift", 2)
    assert (found.task, found.object, found.number, found.folder) == ("box_lift", made_trial.reference.object_name, 2, folder.name)
    assert found.ended == "finished" and found.true_level is not None
    assert found.details["whole_m"] >= 0.0 and json.dumps(dataclasses.asdict(found))


def test_a_trial_that_never_ran_is_a_row_too(made_trial) -> None:
    made_trial.run = False
    folder = made_trial.write()
    found = assess(folder, folder.parent, "box_lift", 1)
    assert (found.level, found.ended, found.details, found.true_level) == (0, "refused", {}, None)
    assert "object not in place" in found.reason
