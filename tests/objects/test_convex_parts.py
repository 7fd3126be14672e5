from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from dextrack.errors import InputError, RefusedError
from dextrack.objects import convex_parts as module
from dextrack.objects.convex_parts import PartsConfig, convex_parts


def bracket() -> trimesh.Trimesh:
    """An L of two legs, 40 mm long and 10 mm thick, watertight."""
    outline = [(0, 0), (40, 0), (40, 10), (10, 10), (10, 40), (0, 40)]
    corners = np.array([(*xy, z) for z in (0, 15) for xy in outline]) / 1000.0
    top = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]
    sides = [[i, (i + 1) % 6, (i + 1) % 6 + 6] for i in range(6)] + [[i, (i + 1) % 6 + 6, i + 6] for i in range(6)]
    return trimesh.Trimesh(corners, [f[::-1] for f in top] + [[i + 6 for i in f] for f in top] + sides, process=False)


def decompose(folder: Path, **options: object) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    mesh = bracket()
    return convex_parts("bracket", np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32), cache=folder, **options)  # type: ignore[arg-type]


def test_an_l_is_cut_into_parts_that_fill_it(tmp_path: Path) -> None:
    assert bracket().is_volume
    said: list[str] = []
    parts = decompose(tmp_path, tell=said.append)
    hulls = [trimesh.Trimesh(v, f, process=False) for v, f in parts]
    assert 2 <= len(parts) <= 4 and all(h.is_volume for h in hulls)
    assert sum(h.volume for h in hulls) == pytest.approx(bracket().volume, rel=0.05)
    points = np.random.default_rng(0).uniform((0, 0, 0), (0.04, 0.04, 0.015), (500, 3))
    planes = [ConvexHull(h.vertices).equations for h in hulls]
    inside = np.any([(points @ p[:, :3].T + p[:, 3]).max(axis=1) < 0 for p in planes], axis=0)
    truth = (points[:, :2] < 0.01).any(axis=1)
    assert (inside == truth).mean() > 0.95
    assert any("pieces to cut" in line for line in said), "it tells what it does"


def test_the_second_time_it_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = decompose(tmp_path)
    (entry,) = tmp_path.iterdir()
    monkeypatch.setattr(module, "_decompose", lambda *_: first[:1])
    again = decompose(tmp_path)
    assert len(again) == len(first) and all((a == b).all() for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert len(decompose(tmp_path, config=PartsConfig(threshold=0.5))) == 1, "other settings are another entry"
    entry.write_bytes(b"damaged")
    assert len(decompose(tmp_path)) == 1, "a damaged entry is made again"


def test_at_most_so_many_parts(tmp_path: Path) -> None:
    assert len(decompose(tmp_path, config=PartsConfig(max_parts=1))) == 1


def test_a_crash_of_the_decomposition_is_told_and_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen

    def crashing(command: list[str], **options: object) -> subprocess.Popen[str]:
        code = "import os; print('about to fall', flush=True); os.kill(os.getpid(), 11)"
        return real([sys.executable, "-c", code], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", crashing)
    with pytest.raises(RefusedError, match="exit code -11; it said last: about to fall"):
        decompose(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def noted(*arguments: object, **options: object) -> subprocess.Popen[str]:
        started.append(real(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    def interrupt(stage: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(KeyboardInterrupt):
        decompose(tmp_path, tell=interrupt)
    assert started[0].poll() is not None


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"max_parts": 0}, {"max_vertices": 3}])
def test_strange_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="convex parts"):
        PartsConfig(**options)  # type: ignore[arg-type]
