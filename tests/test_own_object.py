"""A user's own mesh and hand-made recording, from files to a demonstration, in the commands that the README tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dextrack.cli import EXIT_ERROR, main
from dextrack.demonstrations import store
from dextrack.references.reference import Reference
from tests import bottle


@pytest.mark.slow
def test_from_mesh_and_recording_to_a_demonstration(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bottle.write(tmp_path)
    assert main(["data", "object", "bottle.stl", "--unit", "mm"]) == 0
    assert main(["retarget", "bottle_lift.npz"]) == 0
    reference = Reference.load(tmp_path / "references" / "bottle_lift.npz")
    assert reference.object_name == "bottle" and reference.diagnosis["lift_m"] == pytest.approx(0.12, abs=0.01)
    assert reference.diagnosis["fingertip_error_m"] < 0.02 and reference.diagnosis["penetration_max_m"] < 0.003
    assert main(["mine", "references/bottle_lift.npz", "--threads", "1"]) == 0, "it does not pass its verdict"
    (name,) = store.names(tmp_path / "demonstrations.h5")
    found = store.load(tmp_path / "demonstrations.h5", name)
    assert found.reference.digest == reference.digest and found.verdict["passed"] and found.metrics["success_20"]


def test_a_broken_mesh_stops_it_at_the_first_command(tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = bottle.mesh()
    mesh.update_faces(np.arange(len(mesh.faces)) >= 25)
    mesh.export(tmp_path / "bottle.stl")
    assert main(["data", "object", str(tmp_path / "bottle.stl"), "--unit", "mm"]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert "not closed" in shown and "open edge(s), within" in shown and "Close Holes" in shown


def test_a_recording_without_its_object_says_how_to_make_it(tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, recording = bottle.write(tmp_path)
    assert main(["retarget", str(recording)]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert "object 'bottle' is not known" in shown and "dextrack data object" in shown
