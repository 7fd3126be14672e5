"""Campaigns: every task has a row, whatever becomes of it; what is done stays done; only what is missing is mined."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest

from dextrack.demonstrations import store
from dextrack.errors import InputError, RefusedError
from dextrack.mining import campaign, ledger, tasks, workers
from dextrack.mining.engine import MUJOCO
from dextrack.mining.ledger import Ledger
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from tests import synthetic
from tests.mining import pretend


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "_mine_job", pretend.mine)


def states(rows: list[ledger.Row]) -> dict[str, str]:
    return {row.task.partition("@")[0]: row.state for row in rows}


def test_every_task_has_its_row_whatever_becomes_of_it(tmp_path: Path) -> None:
    folder = pretend.references(tmp_path, ("good", "raises", "diverges", "dies", "stumbles"))
    (folder / "broken.npz").write_text("no reference")
    rows = campaign.run(pretend.wanted(tmp_path / "d.h5", folder), pretend.Quiet())
    assert states(rows) == {"good": "mined", "raises": "failed", "diverges": "refused", "dies": "killed", "stumbles": "mined", "broken": "refused"}
    assert store.names(tmp_path / "d.h5") == ("good@leap_right", "stumbles@leap_right")
    by = {row.task.partition("@")[0]: row for row in rows}
    assert by["raises"].why.startswith("ZeroDivisionError: division by zero (pretend.py:")
    assert "broken.npz" in by["broken"].why and "not finite" in by["diverges"].why
    assert by["dies"].attempt == by["stumbles"].attempt == 2 and by["good"].attempt == 1
    assert "SIGKILL" in by["dies"].why
    assert by["good"].passed and by["good"].lifted and by["good"].seconds > 0 and by["good"].steps == 30
    assert ledger.read(ledger.path_of(tmp_path / "d.h5")) == {row.task: row for row in rows}


def test_a_finished_campaign_does_nothing_and_a_changed_reference_is_mined_again(tmp_path: Path) -> None:
    folder, path = pretend.references(tmp_path, ("a", "b", "diverges")), tmp_path / "d.h5"
    rows = campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    before, lines = path.read_bytes(), ledger.path_of(path).read_bytes()
    again = pretend.Quiet()
    assert campaign.run(pretend.wanted(path, folder), again) == rows
    assert again.events == [] and path.read_bytes() == before and ledger.path_of(path).read_bytes() == lines
    whole = Reference.load(pretend.BOX_LIFT)
    Reference(**{**vars(whole), "name": "b"}).save(folder / "b.npz")
    again = pretend.Quiet()
    campaign.run(pretend.wanted(path, folder), again)
    assert again.phases == ["mine 1 after 2"] and [row.task for row in again.rows] == ["b@leap_right"]
    assert store.load(path, "b@leap_right").reference.digest == whole.digest
    again = pretend.Quiet()
    campaign.run(pretend.wanted(path, folder, force=True), again)
    assert again.phases == ["mine 3 after 0"]


def test_what_failed_by_an_error_is_tried_by_the_next_run(tmp_path: Path) -> None:
    folder, path = pretend.references(tmp_path, ("good", "raises")), tmp_path / "d.h5"
    campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    again = pretend.Quiet()
    campaign.run(pretend.wanted(path, folder), again)
    assert [row.task for row in again.rows] == ["raises@leap_right"]


def test_rows_that_were_lost_are_found_in_the_store(tmp_path: Path) -> None:
    """A kill between store and ledger, a torn last line, a store that was deleted."""
    folder, path = pretend.references(tmp_path, ("a", "b")), tmp_path / "d.h5"
    rows = campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    lines = ledger.path_of(path)
    lines.write_bytes(lines.read_bytes()[:-9])
    quiet = pretend.Quiet()
    found = campaign.run(pretend.wanted(path, folder), quiet)
    assert quiet.events == [] and states(found) == {"a": "mined", "b": "mined"}
    assert [row.metrics for row in found] == [row.metrics for row in rows]
    assert len(lines.read_bytes().splitlines()) == 2
    path.unlink()
    quiet = pretend.Quiet()
    campaign.run(pretend.wanted(path, folder), quiet)
    assert len(quiet.rows) == 2 and len(store.names(path)) == 2


def test_the_longest_are_mined_first_with_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    folder = pretend.references(tmp_path, "abcde")
    quiet = pretend.Quiet()
    before = dict(os.environ)
    campaign.run(pretend.wanted(tmp_path / "d.h5", folder, count=1), quiet)
    assert [e.job.name[0] for e in quiet.events if isinstance(e, workers.Began)] == ["e", "d", "c", "b", "a"]
    assert store.load(tmp_path / "d.h5", "a@leap_right").provenance["threads"] == "1"
    assert dict(os.environ) == before


def test_two_campaigns_on_one_store_are_one_too_many(tmp_path: Path) -> None:
    folder, path = pretend.references(tmp_path, ("a",)), tmp_path / "d.h5"
    first = Ledger(ledger.path_of(path))
    with pytest.raises(RefusedError, match="another process"):
        campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    first.close()
    assert states(campaign.run(pretend.wanted(path, folder), pretend.Quiet())) == {"a": "mined"}


def test_interrupting_ends_the_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    import psutil

    folder, path = pretend.references(tmp_path, "abcdef"), tmp_path / "d.h5"

    class Impatient(pretend.Quiet):
        def row(self, row: ledger.Row) -> None:
            super().row(row)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign.run(pretend.wanted(path, folder, seconds=0.2), Impatient())
    left = [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
    assert left == [] and len(store.names(path)) == 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_that_cannot_start_are_an_error_and_no_endless_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_serve", int)  # int(connection) fails at once
    folder = pretend.references(tmp_path, ("a",))
    with pytest.raises(RefusedError, match="before they begin"):
        campaign.run(pretend.wanted(tmp_path / "d.h5", folder), pretend.Quiet())


def test_an_empty_folder_is_refused(tmp_path: Path, data_folder: Path) -> None:
    (tmp_path / "references").mkdir()
    with pytest.raises(InputError, match="holds no reference"):
        pretend.wanted(tmp_path / "d.h5", tmp_path / "references")
    with pytest.raises(InputError, match="nothing to mine"):
        tasks.everything(tmp_path / "references", "leap_right")


def test_a_reference_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = pretend.references(tmp_path, ("a",))
    with pytest.raises(InputError, match="changed while"):
        campaign._mine_job(folder / "a.npz", "another", tmp_path / "d.h5", False, pretend.Config(), 0, MUJOCO, None, lambda *_: None)  # type: ignore[arg-type]


def test_a_reference_that_was_damaged_meanwhile_does_not_hide_what_is_done(tmp_path: Path) -> None:
    """Whoever interrupts is told what is done, whatever became of the other files."""
    folder, path = pretend.references(tmp_path, ("a", "b")), tmp_path / "d.h5"
    wanted = pretend.wanted(path, folder)
    campaign.run(wanted, pretend.Quiet())
    recorded = [dataclasses.replace(t, recording=path, digest=t.digest if t.name == "a" else "of the recording") for t in wanted.tasks]
    (folder / "b.npz").write_bytes(b"PK")
    assert [row.task for row in campaign.known(dataclasses.replace(wanted, tasks=tuple(recorded)))] == ["a@leap_right"]


def test_a_reference_whose_object_was_not_there_is_mined_when_it_is(tmp_path: Path, data_folder: Path) -> None:
    """What a refusal says to do, done, is enough."""
    folder, path = pretend.references(tmp_path, ("a",)), tmp_path / "d.h5"
    there = tmp_path / "objects" / "box.npz"
    there.rename(tmp_path / "away.npz")
    (row,) = campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    assert row.state == "refused" and "object 'box' is not known" in row.why
    (tmp_path / "away.npz").rename(there)
    assert states(campaign.run(pretend.wanted(path, folder), pretend.Quiet())) == {"a": "mined"}


def test_another_object_or_another_demonstration_in_the_store_is_mined_again(tmp_path: Path) -> None:
    """No array of a reference shows its object's mass; and what another command put into the store is not what this one made."""
    folder, path = pretend.references(tmp_path, ("a", "b")), tmp_path / "d.h5"
    campaign.run(pretend.wanted(path, folder), pretend.Quiet())
    a, heavier = Reference.load(folder / "a.npz"), dataclasses.replace(ObjectSpec.load(tmp_path / "objects" / "box.npz"), mass=0.2)
    heavier.save(folder / "objects" / "box.npz")
    dataclasses.replace(a, provenance={**a.provenance, "object": heavier.digest}).save(folder / "a.npz")
    store.save(path, campaign.marked(store.load(path, "b@leap_right"), "another seed's"), replace=True)
    wanted, quiet = pretend.wanted(path, folder), pretend.Quiet()
    assert campaign.known(wanted)[0].task == "b@leap_right" and len(campaign.known(wanted)) == 1
    campaign.run(wanted, quiet)
    assert sorted(row.task for row in quiet.rows) == ["a@leap_right", "b@leap_right"] and len(campaign.known(wanted)) == 2


def installed(data_folder: Path, with_object: bool = True) -> None:
    """A data set of one recording of a right hand."""
    recording = synthetic.recording()
    recording.save(data_folder / "own" / "recordings" / f"{recording.name}.npz")
    if with_object:
        synthetic.box().save(data_folder / "own" / "objects" / "box.npz")


def test_a_refusal_ends_with_its_cause(tmp_path: Path, data_folder: Path) -> None:
    installed(data_folder, with_object=False)
    folder, path = tmp_path / "references", tmp_path / "d.h5"

    def run() -> list[ledger.Row]:
        return campaign.run(campaign.Campaign(tuple(tasks.everything(folder, "leap_right")), path, pretend.Config(0.0), workers=1), pretend.Quiet())  # type: ignore[arg-type]

    refused = run()
    assert [row.state for row in refused] == ["refused"] and "box" in refused[0].why
    assert run() == refused
    installed(data_folder)
    assert [row.state for row in run()] == ["mined"]


def test_a_left_hand_mines_the_mirror_image_of_what_a_right_one_did(tmp_path: Path, data_folder: Path) -> None:
    installed(data_folder)
    folder = tmp_path / "references"
    name = synthetic.recording().name
    (task,) = tasks.everything(folder, "leap_left")
    assert task.name == f"{name}_mirrored" and task.mirrored and not task.fault
    assert tasks.from_items([task.name], folder, "leap_left") == [task]
    made = campaign._retarget_job(str(task.recording), task.mirrored, "leap_left", 1, lambda *_: None)
    assert made.name == task.name and made.hand_name == "leap_left" and made.object_name == "box_mirrored"
    made.save(task.path)
    (ready,) = tasks.everything(folder, "leap_left")
    assert ready.recording is None and ready.digest == tasks.made_from(made)
