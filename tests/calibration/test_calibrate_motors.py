"""`dextrack calibrate motors` over a real pseudo terminal with the real Dynamixel SDK, against motors whose parameters it is not told."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import dextrack_assets
import numpy as np
import pytest
from dextrack_calibration.cli import calibrate
from dextrack_calibration.motors import bench, rehearsal
from dextrack_calibration.motors.bench import Bench
from dextrack_calibration.motors.excite import excite
from dextrack_calibration.motors.plan import Planner
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers import leap_port
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.twin.dynamixel.faults import Silent

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.hands.motors import Motors, MotorValues, load_motors

HAND = load_hand("leap_right")
REST = np.array(HAND.rest)
TRUE = {"1": MotorValues(6.2, 0.19, 0.21, 0.017), "15": MotorValues(3.9, 0.16, 0.23, 0.011)}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine lets a peer's answer wait longer than a USB adapter does."""
    monkeypatch.setattr(leap_port, "UNKNOWN_PATIENCE_MS", 1500.0)


def write_motors(path: Path, joints: dict[str, MotorValues]) -> Path:
    path.write_text(json.dumps({"hand": HAND.name, "joints": {name: vars(m) for name, m in joints.items()}}))
    return path


def torque(peer: rehearsal.PeerProcess) -> list[int]:
    return [peer.client.register(motor, "torque_enable") for motor in (0, 5, 15)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_recovers_motors_that_it_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, truth = tmp_path / "motors.json", write_motors(tmp_path / "truth.json", TRUE)
    assert calibrate.main(["motors", "--rehearse", "--truth", str(truth), "--joints", "1", "15", "--repeats", "2", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    for joint, true in TRUE.items():
        found = written["joints"][joint]
        for name in ("kp", "kv", "effort", "delay"):
            assert found[name] == pytest.approx(getattr(true, name), rel=0.10), f"{name} of joint {joint}"
            assert 0.0 < found["standard_error"][name] < 0.15 * found[name]
    assert written["provenance"]["firmware"] == [52] * 16 and written["provenance"]["rehearsal"] is True
    assert written["provenance"]["port"].startswith("/dev/") and len(written["digest"]) == 64
    picture = out.with_suffix(".svg").read_text()
    assert picture.count("joint ") >= 2 and "fitted" in picture
    shown = capsys.readouterr().out
    assert "kp N m/rad" in shown and str(out) in shown
    # What was written is what readers read, and what simulators can take over.
    hand = load_motors(out).fingers(HAND).on(HAND)
    assert hand.effort[1] == written["joints"]["1"]["effort"] and hand.effort[2] == HAND.effort[2]


def test_a_joint_that_does_not_move_is_refused_and_the_hand_is_let_go() -> None:
    stuck = Motors(HAND.name, {"6": MotorValues(5.0, 0.25, 0.26, 0.01, friction=2.0)})
    with rehearsal.simulated(stuck) as peer:
        hand = LeapHand(peer.pty, watchdog_s=2.5)
        plan = Planner(HAND).plan("6", 1)
        with pytest.raises(RefusedError, match="joint 6 went .*blocked, or its motor does not drive it"), Bench(hand) as taken:
            assert torque(peer) == [1, 1, 1]
            excite(taken, plan)
        assert torque(peer) == [0, 0, 0]
        hand.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leads_the_hand_back_and_lets_it_go_and_so_does_the_end_of_a_terminal(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    monkeypatch.setattr(bench, "SLOW_RAD_S", 2.0)
    before = signal.getsignal(number)
    with rehearsal.simulated(rehearsal.made_up(HAND, 1)) as peer:
        hand = LeapHand(peer.pty, watchdog_s=2.5)
        with pytest.raises(KeyboardInterrupt), Bench(hand) as taken:
            taken.go(REST + 0.5 * np.eye(16)[6])
            assert taken.read().position[6] > REST[6] + 0.2
            threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
            for _ in range(100_000):
                taken.read()
        assert torque(peer) == [0, 0, 0]
        assert abs(hand.read().position[6] - REST[6]) < 0.1
        hand.close()
    assert signal.getsignal(number) is before


def test_a_motor_that_falls_silent_is_named() -> None:
    with rehearsal.simulated(rehearsal.made_up(HAND, 1)) as peer:
        hand = LeapHand(peer.pty, watchdog_s=2.5)
        with pytest.raises(DriverError, match=r"motor 9 \(joint 9\)"), Bench(hand) as taken:
            peer.client.begin(Silent(9))
            taken.read()
        hand.close()


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    for arguments, what in ((["--seed", "3"], "of a rehearsal"), (["--hand", "allegro_right"], "no motors on a bus")):
        with pytest.raises(InputError, match=what):
            calibrate.main(["motors", *arguments, "--out", str(tmp_path / "motors.json")])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[", "no measured motors"),
        ("{}", "no measured motors"),
        ('{"hand": "leap_right", "joints": {}}', "field joints is empty"),
        ('{"hand": "leap_right", "joints": {"1": {"kp": 5}}}', "no measured motors"),
        ('{"hand": "leap_right", "joints": {"1": {"kp": -5, "kv": 0.2, "effort": 0.2, "delay": 0}}}', "kp is -5"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "motors.json"
    path.write_text(text)
    with pytest.raises(InputError, match=what):
        load_motors(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_motors(tmp_path / "gone.json")


def test_the_motors_of_another_hand_are_refused() -> None:
    motor = MotorValues(5.0, 0.25, 0.26, 0.01)
    with pytest.raises(InputError, match="they are leap_left's, not leap_right's"):
        Motors("leap_left", {"1": motor}).fingers(HAND)
    with pytest.raises(InputError, match="joint 16 is unknown"):
        Motors(HAND.name, {"16": motor}).fingers(HAND)
    assert Motors(HAND.name, {"1": motor}).lag_s == pytest.approx(0.06)


def test_a_cell_takes_the_lag_of_measured_motors(tmp_path: Path) -> None:
    write_motors(tmp_path / "motors.json", {"1": MotorValues(5.0, 0.2, 0.26, 0.02), "2": MotorValues(5.0, 0.2, 0.26, 0.02)})
    shipped = dextrack_assets.path("cells", "twin.yaml").read_text()
    given = next(line for line in shipped.splitlines() if line.strip().startswith("lag_s:"))
    own = tmp_path / "lab.yaml"
    own.write_text(shipped.replace(given, "  motors: motors.json"))
    assert load_cell(own).hand.lag_s == pytest.approx(0.06)
    own.write_text(shipped.replace(given, given + "\n  motors: motors.json"))
    with pytest.raises(InputError, match="hand.lag_s is given beside hand.motors"):
        load_cell(own)
    own.write_text(shipped.replace(given, "  motors: gone.json"))
    with pytest.raises(InputError, match="gone.json: it cannot be read"):
        load_cell(own)
