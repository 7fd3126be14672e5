"""Whole trials in the twin, as the operator starts them: real processes, real DDS, and everything that may go wrong in between."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import handmade
import psutil
import pytest
from dextrack_deploy import graph
from dextrack_deploy.mcap_reader import McapReader
from dextrack_deploy.trial import read_events
from dextrack_deploy.trial_log import read_trial
from dextrack_deploy.twin.commands import COMMANDS_FILE, read_commands
from lifecycle_msgs.msg import Transition
from std_srvs.srv import Trigger
from test_node import Remote

pytestmark = pytest.mark.slow

VERB = "import sys; from dextrack_ros.track import main; sys.exit(main(sys.argv[1:]))"
RUN_S = 6.0
BRING_UP_S = 60.0


@dataclasses.dataclass
class Trial:
    """A running ``dextrack track``."""

    process: subprocess.Popen
    folder: Path
    screen: Path

    def state(self) -> str:
        """The state that the cell was in last."""
        return next((e["after"] for e in reversed(self.events()) if e["kind"] == "state"), "")

    def events(self) -> list[dict[str, Any]]:
        return read_events(self.folder / "events.jsonl")[0] if (self.folder / "events.jsonl").exists() else []

    def wait_for(self, state: str) -> None:
        deadline = time.monotonic() + BRING_UP_S
        while self.state() != state:
            assert time.monotonic() < deadline and self.process.poll() is None, self.screen.read_text()
            time.sleep(0.02)

    def node(self, name: str) -> psutil.Process:
        """The process of a node."""
        return next(p for p in psutil.Process(self.process.pid).children() if f"dextrack_ros.{name}" in p.cmdline())

    def end(self) -> tuple[int, str, dict[str, Any]]:
        """(exit code, what was on screen, report) once the trial is over."""
        code = self.process.wait(90.0)
        report = json.loads((self.folder / "report.json").read_text())
        assert (self.folder / "report.html").stat().st_size > 1000
        return code, " ".join(self.screen.read_text().split()), report


def left_behind(launcher: int) -> list[str]:
    """Processes that still run and belong to the trial that process ``launcher`` started."""
    found = []
    for p in psutil.process_iter():
        try:
            if p.pid != launcher and p.environ().get("DEXTRACK_PARENT") == str(launcher) and p.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(p.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture
def track(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Starts ``dextrack track`` on the hand-made demonstration; at the end nothing of it may be left, in processes or shared memory."""
    from dextrack_ros.processes import shared_memory

    placed, thing = handmade.write_trial(tmp_path / "given", RUN_S)
    shared = shared_memory()
    started: list[Trial] = []

    def run(*more: str, out: Path | None = None, source: Path = placed) -> Trial:
        folder, screen = out or tmp_path / "trial", tmp_path / f"screen{len(started)}.txt"
        arguments = ["--demonstration", str(source), "--object", str(thing), "--out", str(folder), "--domain", environment["ROS_DOMAIN_ID"], *more]
        with open(screen, "wb") as output:
            process = subprocess.Popen([sys.executable, "-c", VERB, *arguments], env=environment, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
        started.append(Trial(process, folder, screen))
        return started[-1]

    yield run
    for trial in started:
        if trial.process.poll() is None:
            trial.process.kill()
            trial.process.wait()
        deadline = time.monotonic() + 15.0
        while left_behind(trial.process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left_behind(trial.process.pid) == []
    assert shared_memory() <= shared


def test_a_trial_finishes_and_goes_home(track: Callable[..., Trial]) -> None:
    trial = track()
    code, screen, report = trial.end()
    assert code == 0 and "passed: held throughout" in screen
    states = [e["after"] for e in trial.events() if e["kind"] == "state"]
    assert states == ["IDLE", "APPROACH", "READY", "RUN", "HOLD", "RETREAT", "IDLE", "UNCONFIGURED"]
    assert report["outcome"]["ended"] == "finished" and report["outcome"]["ticks"] == report["outcome"]["n_ticks"] >= RUN_S * 60
    # What preflight found is kept, and what the hand does not measure is said.
    checks = next(e["checks"] for e in trial.events() if e["kind"] == "request" and e["event"] == "approach")
    assert "motor temperature: not measured." in checks
    data = read_trial(trial.folder)
    assert data.problems == ()
    # Every topic of the graph is in the log, at its rate.
    reader = McapReader(trial.folder / "trial.mcap")
    topics = {m.topic.lstrip("/") for m in reader}
    assert topics == {t.name.lstrip("/") for t in graph.TOPICS} - {graph.ESTOP, "arm/samples"}, "the twin has no emergency stop, and nobody asked for samples"
    for stream, rate in ((data.hand, 60), (data.arm, 60), (data.state, 60), (data.object_pose, 30), (data.truth, 60)):
        seconds = (stream.stamp_ns[-1] - stream.stamp_ns[0]) * 1e-9
        assert len(stream.stamp_ns) / seconds > 0.8 * rate
    # The palm did what the reference asks: 10 cm.
    start, end = data.run_interval_ns()
    inside = (data.state.stamp_ns > start) & (data.state.stamp_ns < end)
    palm = data.state.position[inside][:, :3]
    assert abs(float(((palm[-1] - palm[0]) ** 2).sum() ** 0.5) - handmade.TRAVEL_M) < 0.01
    for edge, _, _ in graph.EDGES:
        assert report["latency_ms"][edge]["n"] > 100 and 0.0 < report["latency_ms"][edge]["p50"] < 150.0
    assert not (set(report["latency_ms"]["sensor->command"]) & {"negative"})


def test_a_dry_run_moves_nothing(track: Callable[..., Trial]) -> None:
    trial = track("--dry-run")
    code, screen, _ = trial.end()
    assert code == 0 and "dry run" in screen
    assert {e["after"] for e in trial.events() if e["kind"] == "state"} == {"IDLE", "UNCONFIGURED"}
    data = read_trial(trial.folder)
    assert len(data.target.stamp_ns) == 0
    assert float(abs(data.arm.position - data.arm.position[0]).max()) < 2e-3  # encoder noise


@pytest.mark.parametrize("name", [n.name for n in graph.NODES])
def test_a_killed_node_holds_the_trial_with_its_reason(name: str, track: Callable[..., Trial]) -> None:
    trial = track()
    trial.wait_for("RUN")
    time.sleep(1.0)
    trial.node(name).kill()
    code, screen, report = trial.end()
    assert code == 1
    death = f"the process of node {name} was killed by SIGKILL"
    assert death in screen and death in report["outcome"]["reason"]
    assert report["outcome"]["ended"] in ("held", "fault") and not report["verdict"]["passed"]
    assert 0 < report["outcome"]["ticks"] < report["outcome"]["n_ticks"] or name == "supervisor"
    assert [e for e in trial.events() if e["kind"] == "node ended" and e["node"] == name]
    if name != "supervisor":
        assert next(e for e in reversed(trial.events()) if e["kind"] == "state" and e["before"] == "RUN")["after"] in ("HOLD", "FAULT")
    # Nothing is lost: the log is whole, or whole up to the last second before its writer was killed.
    reader = McapReader(trial.folder / "trial.mcap")
    last = max(m.received_ns for m in reader)
    if name == "recorder":
        assert "breaks off" in reader.problems[0]
        assert last > next(e["stamp_ns"] for e in trial.events() if e["kind"] == "node ended") - 1.5e9
    else:
        assert reader.problems == []
    # The arm stood still soon after.
    data = read_trial(trial.folder)
    if name in ("controller", "shadow_sim", "supervisor", "velocity", "object_pose", "hand_driver"):
        late = data.arm.position[data.arm.stamp_ns > data.arm.stamp_ns[-1] - 100_000_000]
        assert float(abs(late - late[0]).max()) < 2e-3


def test_a_stopped_object_stream_holds_the_trial(track: Callable[..., Trial], observer: object, spin: Callable[..., bool]) -> None:
    trial = track()
    trial.wait_for("RUN")
    assert Remote(observer, spin, "object_pose").change(Transition.TRANSITION_DEACTIVATE)
    code, screen, report = trial.end()
    assert code == 1
    assert report["outcome"]["ended"] == "held" and "object lost: the object's newest pose is" in report["outcome"]["reason"]
    assert "object lost" in screen


def test_a_filling_disk_holds_the_trial(track: Callable[..., Trial], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        trial = track(out=disk / "trial")
        trial.wait_for("RUN")
        (disk / "filler").write_bytes(bytes(200_000_000))
        code, screen, report = trial.end()
        assert code == 1
        assert report["outcome"]["ended"] == "held" and "trial log" in report["outcome"]["reason"] and "MB are free" in report["outcome"]["reason"]
        assert "trial log" in screen
        reader = McapReader(trial.folder / "trial.mcap")
        assert sum(1 for _ in reader) > 500 and reader.problems == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _ask(observer: Any, spin: Callable[..., bool], service: str) -> bool:
    """Ask the supervisor as `ros2 service call` does."""
    client = observer.create_client(Trigger, f"supervisor/{service}")
    assert spin(observer, client.service_is_ready)
    future = client.call_async(Trigger.Request())
    assert spin(observer, future.done)
    return bool(future.result().success)


def test_a_paused_run_stands_still_and_goes_on(track: Callable[..., Trial], observer: object, spin: Callable[..., bool]) -> None:
    trial = track()
    trial.wait_for("RUN")
    time.sleep(2.0)
    assert _ask(observer, spin, "pause")
    time.sleep(3.0)
    assert _ask(observer, spin, "resume")
    code, _, report = trial.end()
    assert code == 0 and report["outcome"]["ended"] == "finished" and report["verdict"]["passed"]
    data = read_trial(trial.folder)
    paused, resumed = (next(e["stamp_ns"] for e in trial.events() if e["kind"] == "request" and e["event"] == name) for name in ("pause", "resume"))
    # After half a second of braking and trailing, until it goes on.
    still = data.arm.position[(data.arm.stamp_ns > paused + 700_000_000) & (data.arm.stamp_ns < resumed)]
    assert len(still) > 60 and float(abs(still - still[0]).max()) < 5e-3
    begin, end = data.run_interval_ns()
    assert (end - begin) * 1e-9 == pytest.approx(RUN_S + (resumed - paused) * 1e-9, abs=1.0)


def test_slow_motion_takes_longer_and_reaches_the_same(track: Callable[..., Trial]) -> None:
    trial = track("--speed", "0.5")
    code, _, report = trial.end()
    assert code == 0 and report["verdict"]["passed"] and report["outcome"]["ticks"] == report["outcome"]["n_ticks"]
    begin, end = read_trial(trial.folder).run_interval_ns()
    assert (end - begin) * 1e-9 == pytest.approx(2.0 * RUN_S, rel=0.1)


def test_an_emergency_stop_ends_in_fault(track: Callable[..., Trial], observer: object, spin: Callable[..., bool]) -> None:
    trial = track()
    trial.wait_for("RUN")
    assert _ask(observer, spin, "estop")
    code, _, report = trial.end()
    assert code == 1 and report["outcome"]["ended"] == "fault" and "emergency stop" in report["outcome"]["reason"]
    commands = read_commands(trial.folder / COMMANDS_FILE)
    assert commands.arm_stops_ns and commands.arm.at_ns[-1] <= commands.arm_stops_ns[0], "the arm's own stop is the last that it is told"
    data = read_trial(trial.folder)
    late = data.arm.position[data.arm.stamp_ns > data.arm.stamp_ns[-1] - 100_000_000]
    assert float(abs(late - late[0]).max()) < 2e-3


def test_an_operator_who_falls_silent_holds_the_cell(track: Callable[..., Trial]) -> None:
    trial = track()
    trial.wait_for("RUN")
    trial.process.send_signal(signal.SIGSTOP)
    trial_state = trial.state()
    deadline = time.monotonic() + 10.0
    while trial_state == "RUN" and time.monotonic() < deadline:
        time.sleep(0.02)
        trial_state = trial.state()
    trial.process.send_signal(signal.SIGCONT)
    assert trial_state == "HOLD"
    code, _, report = trial.end()
    assert code == 1 and "operator silent" in report["outcome"]["reason"]


@pytest.mark.parametrize("moment", ["placing", "starting", "RUN", "RETREAT"])
def test_ctrl_c_at_any_moment_ends_everything(moment: str, track: Callable[..., Trial]) -> None:
    trial = track()
    if moment in ("RUN", "RETREAT"):
        trial.wait_for(moment)
    else:
        deadline = time.monotonic() + BRING_UP_S
        while moment not in trial.screen.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
    time.sleep(0.5)
    trial.process.send_signal(signal.SIGINT)
    code, screen, report = trial.end()
    assert code == 130 and "interrupted" in screen
    assert report["outcome"]["ended"] == "interrupted"
    if moment == "RUN":
        assert "the operator asked to hold" in json.dumps(trial.events())


def test_a_killed_launcher_leaves_no_node(track: Callable[..., Trial]) -> None:
    """What is left behind is asked by the fixture."""
    trial = track()
    trial.wait_for("RUN")
    trial.process.kill()
    trial.process.wait()
    deadline = time.monotonic() + 15.0
    while left_behind(trial.process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(trial.process.pid) == []
    reader = McapReader(trial.folder / "trial.mcap")
    assert sum(1 for _ in reader) > 500 and reader.problems == []


def test_two_trials_do_not_share_a_folder(track: Callable[..., Trial]) -> None:
    first = track()
    first.wait_for("IDLE")
    second = track()
    assert second.process.wait(30.0) != 0
    assert f"process {first.process.pid} is writing a trial there" in second.screen.read_text()
    assert first.end()[0] == 0
    third = track()
    assert third.process.wait(30.0) != 0
    assert "there is a trial in this folder already" in third.screen.read_text()
    assert json.loads((first.folder / "report.json").read_text())["outcome"]["ended"] == "finished"


def test_a_damaged_demonstration_is_refused_with_its_reason(track: Callable[..., Trial], tmp_path: Path) -> None:
    given = (tmp_path / "given" / "placed.h5").read_bytes()
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(given[: len(given) // 2])
    code, screen, report = track(source=damaged).end()
    assert code == 2 and "damaged.h5" in screen and "Remedy" in screen
    assert report["outcome"]["ended"] == "refused" and "damaged.h5" in report["outcome"]["reason"]
