"""Benchmarks over backends leave none out: what did not run says why, and how it would."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from dextrack.sim import backend_names

BENCH = Path(__file__).resolve().parents[1] / "bench"
THE_PROJECTS = {"isaacgym", "mujoco", "mujoco_warp", "remote"}
"""Backends of the registry; tests add some of their own."""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of tests/bench, whose scripts find each other by the folder that they are in."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which they set for good
    return importlib.import_module


def test_a_replay_tells_why_backends_that_were_not_named_do_not_run(bench: Callable[[str], ModuleType]) -> None:
    named = [bench("backends").Named.parse(text) for text in ("mujoco_warp:device=cpu", "isaacgym=remote:address=tcp://127.0.0.1:5755")]
    reasons = bench("cross_backend").unasked(named)
    assert reasons.keys() & THE_PROJECTS == {"mujoco"} and reasons["mujoco"] == "it was not named."
    reasons = bench("cross_backend").unasked(named[:1])
    assert "not installed here" in reasons["isaacgym"] and "no address" in reasons["remote"]


def test_the_committed_replays_name_every_backend() -> None:
    assert set(backend_names()) >= THE_PROJECTS
    content = json.loads((BENCH / "results" / "cross_backend.json").read_text(encoding="utf-8"))
    served = {"remote_mujoco": "remote", "isaacgym_stand_in": "remote"}
    for row in content["rows"]:
        ran = {served.get(label, label) for label in row["backends"].keys() - {"as mined"}}
        assert ran | row["not_run"].keys() == THE_PROJECTS and "isaacgym" not in ran
        assert all(row["not_run"].values())


def test_throughput_tells_how_isaac_gym_is_measured(bench: Callable[[str], ModuleType]) -> None:
    throughput, named = bench("throughput"), bench("backends").Named
    reason = throughput.why_not(named.parse("isaacgym"), None)
    served = named.parse(reason.split()[-1])
    assert (served.label, served.name, served.options) == ("isaacgym", "remote", {"address": "tcp://127.0.0.1:5755", "deadline_s": 10})
    assert throughput.why_not(served, None) is None and reason.split()[-1] in " ".join(throughput.__doc__.split())


def test_rows_of_other_runs_stay_and_say_of_which_they_are(bench: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """What did not run here replaces nothing that ran elsewhere."""
    path, key = tmp_path / "r.json", ("backend", "worlds")
    old = [{"backend": "a", "worlds": 1, "rate": 5}, {"backend": "b", "worlds": 1, "rate": 6}, {"backend": "c", "worlds": 1, "reason": "no GPU"}]
    path.write_text(json.dumps({"command": "python then", "machine": "one", "results": old}), encoding="utf-8")
    new = [{"backend": "a", "worlds": 1, "reason": "no GPU"}, {"backend": "b", "worlds": 1, "rate": 7}, {"backend": "c", "worlds": 1, "reason": "none yet"}]
    found = {row["backend"]: row for row in bench("backends").merged(path, [{**row, "command": "python now"} for row in new], key)}
    assert found["a"] == {**old[0], "command": "python then", "machine": "one"}
    assert (found["b"]["rate"], found["b"]["command"]) == (7, "python now") and found["c"]["reason"] == "none yet"
    assert bench("backends").merged(tmp_path / "none.json", new, key) == new
