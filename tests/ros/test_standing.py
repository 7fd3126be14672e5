"""What a person at the terminal does after a stop: clear the fault, go home, or leave the cell where it stands."""

from __future__ import annotations

import json
import os
import pty
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import handmade
import numpy as np
import pytest
from dextrack_deploy.trial import read_events
from dextrack_deploy.twin.dynamixel.process import PeerProcess
from dextrack_deploy.twin.wire import PEERS_FILE

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import fault_wire  # noqa: E402

pytestmark = pytest.mark.slow

VERB = "import sys; from dextrack_ros.track import main; sys.exit(main(sys.argv[1:]))"
PATIENCE_S = 60.0


class Terminal:
    """``dextrack track`` in a terminal of its own."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        self.folder, self.said = folder, ""
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.execve(sys.executable, [sys.executable, "-c", VERB, *arguments], environment)
        os.set_blocking(self._terminal, False)

    def states(self) -> list[str]:
        events = self.folder / "events.jsonl"
        return [e["after"] for e in read_events(events)[0] if e["kind"] == "state"] if events.exists() else []

    def wait_for(self, state: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self.states() or self.states()[-1] != state:
            assert time.monotonic() < deadline, self._read()
            self._read()
            time.sleep(0.02)

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def wait_for_words(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in " ".join(self._read().split()):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self) -> int:
        """Exit code, once it is over."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._read()
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                self._child = 0
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def close(self) -> None:
        if self._child:
            os.kill(self._child, 9)
            os.waitpid(self._child, 0)
        os.close(self._terminal)

    def _read(self) -> str:
        """What is on the screen: a terminal that nobody reads keeps its writer waiting."""
        try:
            self.said += os.read(self._terminal, 1 << 16).decode(errors="replace")
        except (BlockingIOError, OSError):
            pass
        return self.said


@pytest.fixture
def sit_down(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts the hand-made trial in a terminal."""
    placed, thing = handmade.write_trial(tmp_path / "given", 6.0)
    opened: list[Terminal] = []

    def start(*more: str, ask: bool = False) -> Terminal:
        folder = tmp_path / "trial"
        more = more if ask else (*more, "--no-ask")
        arguments = ["--demonstration", str(placed), "--object", str(thing), "--out", str(folder), "--domain", environment["ROS_DOMAIN_ID"], *more]
        opened.append(Terminal(arguments, environment, folder))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_a_fault_is_reset_and_the_cell_taken_home_by_keys(sit_down: Callable[[], Terminal]) -> None:
    terminal = sit_down()
    terminal.wait_for("RUN")
    terminal.press("e")
    terminal.wait_for("FAULT")
    # Nothing goes on by itself, and nothing ends.
    time.sleep(2.0)
    assert terminal.states()[-1] == "FAULT" and "t: retreat" in terminal._read()
    terminal.press("c")
    terminal.wait_for("HOLD")
    terminal.press("t")
    assert terminal.end() == 1
    assert terminal.states()[-6:] == ["RUN", "FAULT", "HOLD", "RETREAT", "IDLE", "UNCONFIGURED"]
    assert "the operator asked for an emergency stop" in terminal.said


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_a_held_cell_is_left_where_it_stands(key: str, sit_down: Callable[[], Terminal]) -> None:
    terminal = sit_down()
    terminal.wait_for("RUN")
    terminal.press("h")
    terminal.wait_for("HOLD")
    time.sleep(1.0)
    terminal.press(key)
    # The trial was over: leaving is no interruption of it.
    assert terminal.end() == 1
    assert terminal.states()[-2:] == ["HOLD", "UNCONFIGURED"]


@pytest.mark.timeout(240)
def test_an_arm_that_stopped_by_a_reflex_is_recovered_reset_and_taken_home(sit_down: Callable[..., Terminal], tmp_path: Path) -> None:
    """Behind its wire: the error that the driver had of it, and of targets that it refused then, is gone with the recovery."""
    terminal = sit_down("--cell", str(fault_wire.write_cell("arm", tmp_path)), "--speed", "0.5")
    terminal.wait_for("RUN")
    time.sleep(1.0)
    arm = json.loads((terminal.folder / PEERS_FILE).read_text())["arm"]
    fault_wire.ask(types.SimpleNamespace(peer=lambda _: arm), "reflex", name="joint_reflex")
    terminal.wait_for("FAULT")
    time.sleep(1.0)
    terminal.press("c")
    terminal.wait_for("HOLD")
    terminal.press("t")
    assert terminal.end() == 1, terminal.said
    assert terminal.states()[-6:] == ["RUN", "FAULT", "HOLD", "RETREAT", "IDLE", "UNCONFIGURED"]


@pytest.mark.timeout(240)
def test_a_hand_on_a_serial_port_moves_only_on_a_persons_word(sit_down: Callable[..., Terminal], tmp_path: Path) -> None:
    """To the cell the port is a real hand's, whose motors nobody simulates: before each of the three motions it waits, for as long as it takes."""
    with PeerProcess(["--alone"]) as peer:
        file = fault_wire.write_cell("hand", tmp_path)
        file.write_text(file.read_text().replace("hand_address: peer", f"hand_address: {peer.pty}"))
        terminal = sit_down("--cell", str(file))
        for stands, asked in (("IDLE", "approach"), ("READY", "run"), ("HOLD", "retreat")):
            terminal.wait_for(stands)
            terminal.wait_for_words(f"{asked}? It begins with g")
            time.sleep(1.5)
            assert terminal.states()[-1] == stands
            terminal.press("g")
        assert terminal.end() in (0, 1)
    assert terminal.states() == ["IDLE", "APPROACH", "READY", "RUN", "HOLD", "RETREAT", "IDLE", "UNCONFIGURED"]


@pytest.mark.timeout(240)
def test_a_stopped_trial_is_done_again_where_the_object_lies(sit_down: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = sit_down(ask=True)
    terminal.wait_for("RUN")
    terminal.press("h")
    terminal.wait_for("HOLD")
    terminal.press("t")
    terminal.wait_for_words("Enter: no.")
    assert "a: again where the object lies now, x" in terminal.said
    terminal.press("a\n")
    # The second trial passes, and asks nothing.
    assert terminal.end() == 0
    before, after = (json.loads((folder / "task.json").read_text()) for folder in (terminal.folder, newest(tmp_path, terminal.folder)))
    assert f"--again {terminal.folder}" in after["command"] and after["source"] == before["source"]
    placed = np.array(before["placement"]["transform"]["x"]), np.array(after["placement"]["transform"]["x"])
    assert after["at"] is not None and abs(placed[0] - placed[1]) < 0.02
    states = [e["after"] for e in read_events(newest(tmp_path, terminal.folder) / "events.jsonl")[0] if e["kind"] == "state"]
    assert states[-4:] == ["HOLD", "RETREAT", "IDLE", "UNCONFIGURED"]


def newest(parent: Path, besides: Path) -> Path:
    """The other trial folder in ``parent``."""
    (other,) = (f.parent for f in parent.glob("*/task.json") if f.parent != besides and not f.parent.is_symlink())
    return other
