"""``dextrack data object``: a user's mesh becomes an object that recordings find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from dextrack.cli import EXIT_ERROR, main
from dextrack.objects import ObjectSpec, point_cloud
from dextrack.objects.symmetry import Symmetry
from dextrack.references.library import find_object


@pytest.fixture
def brick(tmp_path: Path, data_folder: Path) -> Path:
    path = tmp_path / "brick.stl"
    trimesh.creation.box((40.0, 50.0, 80.0)).export(path)
    return path


def test_it_is_found_by_name_and_listed(brick: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "object", str(brick), "--unit", "mm"]) == 0
    found = find_object("brick")
    np.testing.assert_allclose(np.ptp(found.vertices, axis=0), [0.04, 0.05, 0.08], atol=1e-6)
    assert found.mass == pytest.approx(500 * 0.04 * 0.05 * 0.08, rel=1e-3) and found.friction == 1.0
    assert found.symmetry is not None and len(found.symmetry.representatives()) == 4
    assert point_cloud(found).shape == (1024, 3)
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert "brick" in shown and "40 x 50 x 80 mm" in shown and "brick.stl" in shown
    assert (data_folder / "objects" / "brick.npz").is_file()


def test_a_second_time_it_is_left_alone_and_other_options_make_it_again(brick: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "object", str(brick), "--unit", "mm"]
    path = data_folder / "objects" / "brick.npz"
    assert main(command) == 0
    before = path.stat().st_mtime_ns
    assert main(command) == 0 and path.stat().st_mtime_ns == before
    assert "already there" in capsys.readouterr().out
    assert main([*command, "--mass", "0.25", "--friction", "0.6", "--symmetry", "none"]) == 0
    again = ObjectSpec.load(path)
    assert (again.mass, again.friction, again.symmetry) == (0.25, 0.6, Symmetry())


def test_a_density_is_kept_within_what_is_plausible_and_says_so(brick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "object", str(brick), "--unit", "mm", "--density", "7800"]) == 0
    assert find_object("brick").mass == 0.4
    assert "--mass says it exactly" in capsys.readouterr().out
    assert main(["data", "object", str(brick), "--unit", "mm", "--mass", "0.4"]) == 0
    assert "--mass says it exactly" not in capsys.readouterr().out


def test_another_file_beside_recordings(brick: Path, tmp_path: Path, data_folder: Path) -> None:
    out = tmp_path / "mine" / "objects" / "block.npz"
    assert main(["data", "object", str(brick), "--unit", "mm", "--name", "block", "--out", str(out)]) == 0
    assert find_object("block", near=tmp_path / "mine" / "recordings").name == "block"
    assert not (data_folder / "objects").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--unit mm makes it 0.08 m"),
        (["--unit", "mm", "--mass", "0.1", "--density", "500"], "a mass and a density"),
        (["--unit", "mm", "--density", "0.5"], "density 0.5 kg/m3"),
        (["--unit", "mm", "--mass", "-1"], "mass -1.0"),
        (["--unit", "mm", "--mass", "nan"], "mass nan"),
        (["--unit", "mm", "--friction", "-1"], "friction"),
        (["--unit", "mm", "--symmetry", "q4"], "not understood"),
        (["--unit", "mm", "--name", "../brick"], "cannot be part of a file name"),
        (["--unit", "mm", "--out", "other.npz"], "bears its name"),
        (["--unit", "mm", "--parts.threshold", "7"], "threshold"),
    ],
)
def test_what_is_refused(brick: Path, data_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert main(["data", "object", str(brick), *options]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert words in shown and "Remedy" in shown and len(shown.strip().splitlines()) == 1
    assert not (data_folder / "objects" / "brick.npz").exists()


def test_a_name_of_an_installed_data_set_is_not_taken_over(brick: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    v = np.array(trimesh.creation.box((0.05,) * 3).vertices)
    f = np.array(trimesh.creation.box().faces, dtype=np.int32)
    ObjectSpec("brick", v, f, ((v, f),), mass=0.1).save(data_folder / "myodm" / "objects" / "brick.npz")
    assert main(["data", "object", str(brick), "--unit", "mm"]) == EXIT_ERROR
    assert "--name mybrick" in capsys.readouterr().err
