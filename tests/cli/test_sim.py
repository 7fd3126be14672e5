"""``dextrack sim check``: a table and a file of findings, and an exit code that says whether all is well."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dextrack.cli import EXIT_ERROR, main
from dextrack.sim import backend, register_backend
from dextrack.sim.mujoco_backend import make_mujoco


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered is forgotten after the test."""
    monkeypatch.setattr(backend, "_BACKENDS", dict(backend._BACKENDS))


def test_a_sound_backend_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = tmp_path / "numbers.json"
    asked = ["--backend", "mujoco", "--option", "n_threads=1", "--case", "free_fall", "time_step", "--json", str(numbers), "--dump", str(tmp_path / "dump")]
    assert main(["sim", "check", *asked]) == 0
    written = json.loads(numbers.read_text())
    assert written["backend"] == "mujoco" and written["hand"] == "leap_right" and written["passed"]
    assert list(written["cases"]) == ["free_fall", "time_step"] and written["cases"]["free_fall"]["ran"]
    assert "1.2263" in written["cases"]["free_fall"]["figure"]
    printed = capsys.readouterr().out
    assert "free_fall" in printed and "2 of 2 cases passed" in printed
    assert not (tmp_path / "dump").exists()


def test_a_faulty_backend_fails_and_leaves_its_state(registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def slower(*args, physics, **kwargs):
        return make_mujoco(*args, physics=dataclasses.replace(physics, period=2 * physics.period), n_threads=1, **kwargs)

    register_backend("slower", slower)
    assert main(["sim", "check", "--backend", "slower", "--case", "free_fall", "time_step", "--dump", str(tmp_path)]) == 1
    assert "1 of 2 cases passed; failed: time_step" in capsys.readouterr().out
    assert (tmp_path / "slower_time_step.npz").is_file()


def test_a_case_that_cannot_run_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--backend", "mujoco", "--hand", "allegro_right", "--case", "held_sphere", "--dump", str(tmp_path)]
    assert main(["sim", "check", *asked]) == 0
    assert "not run" in capsys.readouterr().out


def test_a_missing_engine_is_told_with_its_remedy(registry, capsys: pytest.CaptureFixture[str]) -> None:
    register_backend("distant", "package_that_nobody_has.engine:make")
    assert main(["sim", "check", "--backend", "distant"]) == EXIT_ERROR
    told = capsys.readouterr().err
    assert "package_that_nobody_has" in told and "make setup" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--backend", "bullet"], "mujoco"),
        (["check", "--backend", "mujoco", "--case", "walking"], "free_fall"),
        (["check", "--backend", "mujoco", "--option", "n_threads"], "NAME=VALUE"),
        (["walk"], "check"),
    ],
)
def test_what_is_not_known_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", *arguments]) == EXIT_ERROR
    assert said in capsys.readouterr().err


def test_help_lists_the_sub_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--help"]) == 0 and main(["sim"]) == EXIT_ERROR
    assert "check" in capsys.readouterr().out


def test_keys_and_serve_are_verbs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "keys", "--out", str(tmp_path / "keys")]) == 0
    assert {p.name for p in (tmp_path / "keys").rglob("*.key*")} == {"server.key", "server.key_secret", "client.key", "client.key_secret"}
    assert main(["sim", "keys", "--out", str(tmp_path / "keys")]) == 2
    assert main(["sim", "serve", "--backend", "mujoco", "--bind", "tcp://0.0.0.0:0"]) == 2
    assert "other machines could reach" in " ".join(capsys.readouterr().err.split())
