"""The fault matrix of tests/bench: its rules on made observations, and the whole of it on six cells."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.status import Reaction, State, Status
from dextrack_deploy.twin.commands import Commands, Written

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import fault_cells  # noqa: E402
import fault_rules  # noqa: E402
import fault_wire  # noqa: E402
from fault_trial import Observation, Readings  # noqa: E402

PERIOD, SECOND = 1.0 / 60.0, 1_000_000_000
SPEED = 0.3
"""Of every joint of the made run, rad/s."""
LIMIT = 2.0
KNOWN = {
    name: fault_rules.Device(tuple(f"{name}{i}" for i in range(n)), np.full(n, LIMIT), SPEED * PERIOD * np.arange(600)[:, None] * np.ones(n))
    for name, n in (("arm", 7), ("hand", 16))
}
"""A plan in which every joint turns at one speed."""


def observed(path: Callable[[float], float], hold_at: float | None = None, joints: Callable[[float], float] | None = None) -> Observation:
    """A run of 6 s with the fault in the second from 1 to 5: every joint is commanded to ``path(seconds)`` and reads ``joints``, or the same."""
    seconds = np.arange(0.0, 6.0, PERIOD)
    at = (SECOND * (1.0 + seconds)).astype(np.int64)
    values = np.array([path(s) for s in seconds])
    read = values if joints is None else np.array([joints(s) for s in seconds])
    arm, hand = (Written(at, at, values[:, None] * np.ones(n)) for n in (7, 16))
    statuses = [(SECOND, Status(State.RUN))]
    if hold_at is not None:
        statuses.append((round(SECOND * (1.0 + hold_at)), Status(State.HOLD, Reaction.STOP_ARM, "a test")))
    times = (round(SECOND * s) for s in (1.0, 2.0, 6.0, 7.0))
    return Observation(*times, tuple(statuses), (), Commands(hand, arm, (), (), 0), Readings(at, read[:, None] * np.ones(23)))


def until(end: float) -> Callable[[float], float]:
    """The plan, and from ``end`` s on standing still."""
    return lambda s: SPEED * min(s, end)


def test_a_cell_that_holds_and_stands_is_safe_with_its_figures() -> None:
    row = fault_rules.judge(observed(until(1.4), hold_at=1.2), KNOWN)
    assert row["safe"] and row["problems"] == [] and row["reaction"] == "HOLD (STOP_ARM) after 0.20 s: a test"
    assert row["seconds_to_safe"] == pytest.approx(0.4, abs=1.1 * PERIOD)
    assert row["largest_step_after_rad"] == pytest.approx(SPEED * PERIOD, rel=0.01)
    assert row["largest_step_share_of_limit"] == pytest.approx(SPEED / LIMIT, rel=0.01)


def test_a_run_goes_on_only_for_a_reason() -> None:
    going_on = observed(until(9.0))
    assert fault_rules.judge(going_on, KNOWN)["problems"] == ["the run went on"]
    row = fault_rules.judge(going_on, KNOWN, "it is a test")
    assert row["safe"] and row["seconds_to_safe"] is None and row["reaction"] == "none needed: it is a test"


@pytest.mark.parametrize(
    ("path", "hold_at", "joints", "problem"),
    [
        (lambda s: until(1.3)(s) + (0.1 if s > 1.25 else 0.0), 1.2, None, "times its velocity limit x period"),
        (until(2.0), 1.2, None, "targets still changed 0.8"),
        (lambda s: until(1.3)(s) + 0.02 * max(s - 5.2, 0.0), 1.2, None, "it stood, and moved again 4.2"),
        (lambda s: until(1.3)(s) + 0.02 * max(s - 5.2, 0.0), None, None, "it stood, and moved again 4.2"),
        (lambda s: until(9.0)(s) + 1.0 * min(max(s - 1.5, 0.0), 2.5), 4.0, None, "targets were off their path"),
        (lambda s: until(9.0)(s) + 1.5 * max(min(s, 1.4) - 1.0, 0.0) if s < 1.4 else until(1.4)(1.4) + 0.6, 1.4, None, "targets were off their path"),
        (until(1.3), 1.2, lambda s: until(1.3)(s) + 0.1 * max(s - 3.0, 0.0), "the arm moved by"),
    ],
    ids=["a jump", "motion after hold", "motion when the fault ends", "the same without a hold", "astray for long", "far astray", "joints that do not obey"],
)
def test_each_rule_finds_what_breaks_it(path: Any, hold_at: float | None, joints: Any, problem: str) -> None:
    row = fault_rules.judge(observed(path, hold_at, joints), KNOWN)
    assert not row["safe"] and problem in " ".join(row["problems"])


def test_an_arm_that_was_stopped_is_told_nothing_more() -> None:
    seen = observed(until(1.3), hold_at=1.2)
    arm = seen.commands.arm
    stopped = dataclasses.replace(seen.commands, arm_stops_ns=(int(arm.at_ns[-4]),))
    assert "3 targets were written to the arm after its stop" in fault_rules.judge(dataclasses.replace(seen, commands=stopped), KNOWN)["problems"]
    last = dataclasses.replace(seen.commands, arm_stops_ns=(int(arm.at_ns[-1]),))
    assert fault_rules.judge(dataclasses.replace(seen, commands=last), KNOWN)["safe"]


def test_a_late_stream_is_on_its_path() -> None:
    late = observed(lambda s: SPEED * (s if s < 1.0 else max(1.0, s - 0.4)))
    assert fault_rules.judge(late, KNOWN, "it is a test")["safe"]


def told(seen: Observation, hand: np.ndarray, read: np.ndarray, powers: tuple[tuple[int, str], ...] = ()) -> Observation:
    """``seen``, with targets (n, 16) and joints (n, 16) of the hand's own."""
    commands = dataclasses.replace(seen.commands, hand=dataclasses.replace(seen.commands.hand, values=hand), powers=powers)
    joints = np.concatenate([seen.readings.values[:, :7], read], axis=1)
    return dataclasses.replace(seen, commands=commands, readings=Readings(seen.readings.at_ns, joints))


def test_a_motor_that_stands_where_it_is_does_not_move_and_one_that_goes_elsewhere_does() -> None:
    seen = observed(until(1.3), hold_at=1.2)
    targets, late = seen.commands.hand.values.copy(), (seen.commands.hand.at_ns - SECOND) / SECOND > 4.5
    read = targets - 0.02
    targets[late] = read[late]
    assert fault_rules.judge(told(seen, targets, read), KNOWN)["safe"]
    targets[late, 5] += 0.04
    assert "moved again" in " ".join(fault_rules.judge(told(seen, targets, read), KNOWN)["problems"])


def test_what_a_motor_without_torque_does_is_no_command() -> None:
    seen = observed(until(1.3), hold_at=1.2)
    targets, seconds = seen.commands.hand.values.copy(), (seen.commands.hand.at_ns - SECOND) / SECOND
    falls = 0.3 * np.clip(seconds - 1.0, 0.0, 3.0)
    targets[:, 5] -= falls
    fallen = told(seen, targets, targets.copy())
    assert not fault_rules.judge(fallen, KNOWN)["safe"]
    assert fault_rules.judge(fallen, KNOWN, limp=(5,))["safe"]
    # Nor is it when the whole hand was told to drop its torque; but what it is told before still is.
    everything = seen.commands.hand.values - falls[:, None]
    dropped = told(seen, everything, everything.copy(), ((seen.injected_ns + 1, "off"),))
    assert fault_rules.judge(dropped, KNOWN)["safe"]
    assert not fault_rules.judge(told(seen, everything, everything.copy(), ((seen.injected_ns + SECOND, "off"),)), KNOWN)["safe"]


def test_every_source_and_fault_has_a_row_or_a_reason() -> None:
    found = [(c.source, c.fault) for c in fault_cells.CELLS]
    absent = [(source, fault) for source, fault, _ in fault_cells.NOT_INJECTED]
    assert {*found, *absent} == {(s, f) for s in fault_cells.SOURCES for f in fault_cells.FAULTS}
    assert not {*found} & {*absent} and len({c.name for c in fault_cells.CELLS}) == len(found)


@pytest.mark.parametrize(("wired", "other"), [("hand", "arm"), ("arm", "hand")])
def test_only_one_device_is_behind_its_wire(wired: str, other: str, tmp_path: Path) -> None:
    cell = load_cell(fault_wire.write_cell(wired, tmp_path))
    assert getattr(cell.drivers, f"{wired}_address") == "peer" and getattr(cell.drivers, wired) == fault_wire.WIRED[wired][1]
    assert getattr(cell.drivers, other) == "twin" == cell.drivers.object_pose
    assert {c.wired for c in fault_cells.CELLS if c.source in ("motor bus", "arm link") and c.variant != "both devices"} == {"hand", "arm"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_six_cells_of_the_real_matrix(tmp_path: Path) -> None:
    wires = ("motor_bus:process_killed:the_bus", "arm_link:lost:user_stop,_then_released")
    cells = ("camera_pose:lost", "operator_heartbeat:late", "controller:process_killed", *wires)
    command = [sys.executable, str(BENCH / "fault_matrix.py"), "--out", str(tmp_path), "--cells", *cells]
    run = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=570)
    result = json.loads((tmp_path / "fault_matrix.json").read_text())
    slow = [row for row in result["rows"] if row["injected_in"] == "APPROACH"]
    rows = {(row["source"], row["fault"]): row for row in result["rows"] if row not in slow}
    assert run.returncode == 0 and len(rows) == 5 and len(slow) == 1 and result["failed"] == {}, run.stdout + run.stderr
    lost, late, killed = rows["camera pose", "lost"], rows["operator heartbeat", "late"], rows["controller", "process killed"]
    assert lost["state"] == "HOLD" and "object lost" in lost["reaction"] and lost["seconds_to_safe"] < 1.0
    assert late["reaction"].startswith("none needed") and late["seconds_to_safe"] is None
    # What the cell followed ends before the node's heartbeat is missed.
    assert killed["state"] == "HOLD" and "stale command" in killed["reaction"] and killed["seconds_to_safe"] < 1.0
    assert slow[0]["source"] == "controller" and slow[0]["state"] == "HOLD" and "motion/joint_targets" in slow[0]["reaction"]
    # Behind a wire of its own: the bus is silent, and the robot says itself why it stopped.
    bus, stop = rows["motor bus", "process killed"], rows["arm link", "lost"]
    assert bus["state"] in ("HOLD", "FAULT") and bus["seconds_to_safe"] < 1.0
    assert stop["state"] == "FAULT" and "user stop" in stop["reaction"] and stop["seconds_to_safe"] < 1.0
    assert all(0.0 <= row["largest_step_share_of_limit"] <= 2.0 for row in rows.values()) and late["largest_step_after_rad"] > 1e-3
    # What is there already is not measured again; the page and the figure are whole.
    again = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0 and "0 cells to measure, 6 are there already" in again.stdout
    assert "| camera pose | lost |" in (tmp_path / "fault_matrix.md").read_text()
    assert (tmp_path / "fault_matrix.png").read_bytes().startswith(b"\x89PNG")
