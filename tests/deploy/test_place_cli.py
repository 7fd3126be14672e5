"""`dextrack place` as an operator runs it: what it prints, the page, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy.placement import lying_at

from dextrack import rotations
from dextrack.references.reference import Reference
from tests.deploy.placement.test_place import lift


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "dextrack", "place", *arguments], capture_output=True, text=True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "made_lift.npz"
    lift().save(path)
    return path


def test_a_placement_is_said_drawn_and_written(saved: Path, tmp_path: Path) -> None:
    out = run(str(saved), "--out", str(tmp_path / "pages"), "--json", str(tmp_path / "figures.json"))
    assert out.returncode == 0, out.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert f"slowed down {figures['time_scale']:.2f} times" in out.stdout
    page = (tmp_path / "pages" / "made_lift.html").read_text()
    assert "Placement of made_lift" in page and page.count("<svg") == 2 and "NaN" not in page
    assert "http://" not in page and "https://" not in page


def test_it_is_placed_where_the_object_is_said_to_lie(saved: Path, tmp_path: Path) -> None:
    first = run(str(saved), "--out", str(tmp_path))
    x, y = (float(word) / 100.0 for word in (first.stdout.split(" x ")[1].split(" cm")[0], first.stdout.split(" y ")[1].split(" cm")[0]))
    again = run(str(saved), "--at", str(x), str(y), "0", "--out", str(tmp_path))
    assert f"x {100 * x:.1f} cm, y {100 * y:.1f} cm" in again.stdout or "cannot be placed where the object lies" in again.stderr
    far = run(str(saved), "--at", "2.0", "0", "0", "--out", str(tmp_path))
    assert far.returncode == 2 and "cannot be placed where the object lies" in far.stderr and "Remedy" in far.stderr


def test_an_object_lies_turned_about_the_vertical() -> None:
    reference: Reference = lift()
    position, quaternion = lying_at(reference, 0.1, -0.2, 90.0)
    assert position == pytest.approx([0.1, -0.2, reference.object_position_w[0, 2]])
    assert rotations.rotate(quaternion, [1.0, 0.0, 0.0]) == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    out = run(str(tmp_path / "none.npz"))
    assert out.returncode == 2 and "none.npz" in out.stderr
