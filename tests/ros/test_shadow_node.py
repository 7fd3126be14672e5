"""The node of the shadow simulator: where a run begins, which motors it has, and how long an error is reported."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from dextrack_deploy.status import State, Status
from std_msgs.msg import String

from dextrack.demonstrations import store
from dextrack.errors import DriverError
from dextrack.hands import load_hand

HAND = load_hand("leap_right")


def test_a_shadow_simulator_begins_its_second_run_from_the_measured_hand_too(started: Callable[..., Any], tmp_path: Path) -> None:
    from dextrack_ros import messages, shadow_sim

    placed, _ = handmade.write_trial(tmp_path)
    node = started(shadow_sim.ShadowSimNode, placed=str(placed))
    published: list[np.ndarray] = []
    node.publish = lambda topic, message: published.append(messages.positions(message, HAND.joint_names))
    reference = handmade.make_reference()
    begin, end = reference.hand[0], reference.hand[-1]

    def run() -> None:
        for state in (State.READY, State.RUN):
            node._hear_status(String(data=Status(state).encode()))
        node._measured = messages.joint_state(time.time_ns(), HAND.joint_names, begin)
        for target in np.linspace(begin, end, 60):
            node._hear_target(messages.joint_state(time.time_ns(), HAND.joint_names, target))
        node._hear_status(String(data=Status(State.HOLD).encode()))

    run()
    assert np.abs(published[-1] - begin).max() > 0.05
    published.clear()
    run()
    np.testing.assert_allclose(published[0], begin, atol=0.01)


def test_a_shadow_simulator_has_the_motors_that_the_demonstration_was_mined_with(started: Callable[..., Any], tmp_path: Path) -> None:
    from dextrack_ros import shadow_sim

    made = handmade.make_demonstration()
    reached = []
    for name, provenance in (("own", {}), ("weak", {"motors": {"kp": 0.5, "kv": 0.25, "effort": [0.26] * 16}})):
        placed = tmp_path / name / "placed.h5"
        placed.parent.mkdir()
        store.save(placed, dataclasses.replace(made, provenance=provenance))
        simulator = started(shadow_sim.ShadowSimNode, placed=str(placed))._simulator
        simulator.reset(made.hand[0])
        reached.append(simulator.step(made.hand[0] + 0.1)[0][6:] - made.hand[0, 6:])
    # In one period the softer fingers come less than half as far.
    assert (reached[1].max() < 0.5 * reached[0].max()) and reached[0].max() < 0.1


def test_an_error_of_a_run_is_reported_until_the_cell_is_home(started: Callable[..., Any], tmp_path: Path) -> None:
    from dextrack_ros import messages, shadow_sim

    placed, _ = handmade.write_trial(tmp_path)
    node = started(shadow_sim.ShadowSimNode, placed=str(placed))
    for state in (State.READY, State.RUN):
        node._hear_status(String(data=Status(state).encode()))
    node._measured = messages.joint_state(time.time_ns(), HAND.joint_names, handmade.make_reference().hand[0])
    node.guarded("hearing target", node._hear_target)(messages.joint_state(time.time_ns(), HAND.joint_names, np.full(22, np.nan)))
    for state in (State.HOLD, State.RETREAT):
        node._hear_status(String(data=Status(state).encode()))
        assert sorted(node._errors) == ["hearing target"]
    node._hear_status(String(data=Status(State.IDLE).encode()))
    assert sorted(node._errors) == []


def test_a_lost_backend_is_reported_until_it_is_found_whatever_targets_come_late(
    started: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dextrack_ros import messages, shadow_sim

    placed, _ = handmade.write_trial(tmp_path)
    node = started(shadow_sim.ShadowSimNode, placed=str(placed))
    for state in (State.READY, State.RUN):
        node._hear_status(String(data=Status(state).encode()))
    begin = handmade.make_reference().hand[0]
    node._measured = messages.joint_state(time.time_ns(), HAND.joint_names, begin)
    hear, target = node.guarded("hearing target", node._hear_target), messages.joint_state(time.time_ns(), HAND.joint_names, begin)
    hear(target)
    assert not node._errors
    worlds, step, reset = node._simulator._worlds, node._simulator._worlds.step, node._simulator._worlds.reset

    def gone(*arguments: Any, **more: Any) -> None:
        raise DriverError("server: its process ended.", remedy="start it again.")

    monkeypatch.setattr(worlds, "step", gone)
    monkeypatch.setattr(worlds, "reset", gone)
    hear(target)
    monkeypatch.setattr(worlds, "reset", reset)
    hear(target)
    assert node._simulator.lost, "a run does not find again what it lost"
    monkeypatch.setattr(worlds, "reset", gone)
    for state in (State.HOLD, State.IDLE):
        node._hear_status(String(data=Status(state).encode()))
        hear(target)
        assert list(node._errors) == ["simulating"], "before anybody has looked for it"
        node._look_for_backend()
        node._search.exception()
        node._look_for_backend()
        assert list(node._errors) == ["simulating"] and "its process ended" in node._errors["simulating"]
    monkeypatch.setattr(worlds, "step", step)
    monkeypatch.setattr(worlds, "reset", reset)
    node._look_for_backend()
    node._search.exception()
    node._look_for_backend()
    assert not node._errors


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 0), (20.0, 9)])
def test_it_goes_back_to_the_measured_hand_as_often_as_it_is_told(
    rate: float, expected: int, started: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty targets at 60 Hz, of which the first begins the run."""
    from dextrack_ros import messages, shadow_sim

    placed, _ = handmade.write_trial(tmp_path)
    node = started(shadow_sim.ShadowSimNode, placed=str(placed), resynchronise_hz=rate)
    put: list[np.ndarray] = []
    monkeypatch.setattr(node._simulator, "resynchronise", put.append)
    for state in (State.READY, State.RUN):
        node._hear_status(String(data=Status(state).encode()))
    measured = handmade.make_reference().hand[0]
    for k in range(30):
        node._measured = messages.joint_state(time.time_ns(), HAND.joint_names, measured + 0.001 * k)
        node._hear_target(messages.joint_state(time.time_ns(), HAND.joint_names, measured))
    assert len(put) == expected
    for k, theta in enumerate(put):
        np.testing.assert_allclose(theta, measured + 0.001 * 3 * (k + 1))
