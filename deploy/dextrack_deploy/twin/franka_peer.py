"""The arm's bus peer: a simulated Franka that speaks libfranka's protocol on loopback, and whose joints drive the twin's arm.

``python -m dextrack_deploy.twin.franka_peer --twin tcp://127.0.0.1:PORT`` prints one line of JSON with its endpoint (the address that the
driver ``franka`` connects to) and runs until SIGINT, SIGTERM, or the end of its parent or of the twin. Each line of JSON on its standard
input is a fault to cause (``franka_sim_host.Faults``), and is answered by a line. ``--setup`` makes the simulator's environment and ends.

The arm is simulated twice: here, 1000 times a second, with the dynamics that libfranka's client meets (communication constraints and motion
limits enforced as the robot enforces them), and in the twin, where it carries the hand past the object. The twin's arm follows this one. Its
command line delays targets (Mismatch.latency_s) and draws lines between them; the peer sends them ahead by as much along the joint
velocities, so that the twin's arm is where this one is, within a few milliseconds and milliradians. The delay of the control loop is then
that of the protocol, as on the robot, and not the twin's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import os
import queue
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import DexTrackError, DriverError, InputError
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig, load_cell
from dextrack_deploy.drivers.franka_payload import payload_of
from dextrack_deploy.twin import franka_setup
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.process import command_line, ending
from dextrack_deploy.twin.simulation import CONTROL_PERIOD_S

Floats = NDArray[np.float64]

SPOKEN = "fr3"
"""The arm whose version of the protocol the simulator speaks, and franky-control's libfranka with it."""
PORT = 1337
"""libfranka's, fixed."""
RATE = 120.0
"""States sent on to the twin per second: each is within 8 ms."""
LOST_CYCLES = 20
"""Commands lost in a row at which a Franka stops with communication_constraints_violation. Source: libfranka's documentation, overview."""
PRIORITY = 5
"""Round-robin priority of the threads that move the twin's arm; without the right to it, they run as everything else does."""
ROTORS = 0.195
"""Inertia of a joint's rotor behind its gear, kg m2, as MuJoCo Menagerie has it for the FR3. Our model's is lighter, which suits controllers
without a delay; against 2 ms of one, as the protocol brings, opposed joints would ring."""
START_S = 60.0
STOP_S = 10.0
_HOST = Path(__file__).with_name("franka_sim_host.py")
_STATE = struct.Struct("<14d")


class FrankaPeer:
    """The simulator as a child process; a context manager that ends it. For one thread, but for ``state``."""

    def __init__(self, cell: CellConfig, host: str = "127.0.0.1", rate: float = RATE, lost_cycles: int = LOST_CYCLES) -> None:
        """Start the simulator with the arm of ``cell`` at its home, carrying its hand, and wait until it listens on ``host``:1337.

        Args:
            cell: what the arm is, where it waits and what it carries.
            host: an address of loopback: 127.0.0.1, or 127.0.0.2 and so on beside it.
            rate: how often ``state`` is new, 1/s.
            lost_cycles: commands lost in a row, of 1 ms each, at which the robot stops. More than a robot's 20 is for a machine that is too busy.

        Raises:
            InputError: the arm is not an FR3, ``host`` is not on loopback, or fewer than 1 lost cycle.
            DriverError: the environment cannot be made, or the simulator did not start, with what it said.
        """
        if cell.arm.model != SPOKEN:
            what = f"Franka's simulator: it speaks the protocol of an {SPOKEN}, and the cell's arm is {cell.arm.model}"
            raise InputError(f"{what}, whose protocol is older.", remedy="rehearse this cell with drivers.arm: twin, as the cell twin_panda does.")
        if not _is_loopback(host):
            raise InputError(f"Franka's simulator: address {host!r} is not on loopback.", remedy="give 127.0.0.1, or another address that begins with 127.")
        if lost_cycles < 1:
            raise InputError(f"Franka's simulator: {lost_cycles} lost cycles.", remedy=f"give 1 or more; a robot stops at {LOST_CYCLES}.")
        python = franka_setup.interpreter()
        self.address = host
        """What the driver ``franka`` connects to."""
        self._folder = tempfile.TemporaryDirectory(prefix="dextrack-franka-")
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._newest: tuple[Floats, Floats] | None = None
        self._fresh = threading.Event()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            model = loaded_model(cell, Path(self._folder.name) / "arm.xml")
            options = {"host": host, "home": list(cell.arm.home), "model": str(model), "channel": theirs.fileno(), "rate": rate, "lost_cycles": lost_cycles}
            command = [str(python), "-I", str(_HOST), json.dumps(options)]
            # It draws nothing, and what we draw with is not in its environment.
            environment = {**os.environ, **franka_setup.NO_DRAWING}
            # A process group of its own: Ctrl-C is for us, and we tell it.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors, env=environment,
                pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._listen, name="franka peer", daemon=True)
        self._reader.start()
        try:
            self._answer(START_S)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the simulator runs."""
        return self.process.poll() is None

    def state(self, timeout_s: float = 1.0) -> tuple[Floats, Floats]:
        """The next state: joint positions (7,) rad and velocities (7,) rad/s.

        Raises:
            DriverError: none came in time.
        """
        self._fresh.clear()
        if not self._fresh.wait(timeout_s) or self._newest is None:
            raise self._ended("it says nothing")
        return self._newest

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[Floats]]:
        """What the joints do meanwhile: rows of time (monotonic, s), q (7) rad and dq (7) rad/s."""
        rows: list[Floats] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                q, dq = self.state()
                rows.append(np.array([time.monotonic(), *q, *dq]))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield rows
        finally:
            done.set()
            thread.join()

    def ask(self, fault: str, **arguments: Any) -> dict[str, Any]:
        """Cause a fault (``franka_sim_host.Faults``); the answer has the robot's mode and the share of commands that came in time.

        Raises:
            InputError: no such fault, or wrong arguments.
            DriverError: no answer.
        """
        try:
            self._channel.send(json.dumps({"fault": fault, **arguments}).encode())
        except OSError:
            raise self._ended("its process ended") from None
        answer = self._answer(5.0)
        if not answer["ok"]:
            raise InputError("fault %s: %s." % (fault, answer["what"]), remedy="see dextrack_deploy/twin/franka_sim_host.py.")
        return answer

    @property
    def said(self) -> str:
        """The end of what the simulator wrote: warnings, and why it stopped a motion."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip()[-4000:]

    def close(self) -> None:
        """End the simulator; closing twice is allowed."""
        # It ends when the channel does.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_S)
        self._channel.close()
        self._errors.close()
        self._folder.cleanup()

    def __enter__(self) -> FrankaPeer:
        """Return the peer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the simulator."""
        self.close()

    def _listen(self) -> None:
        """Sort what comes from the simulator until it ends."""
        _ask_for_priority()
        while True:
            try:
                message = self._channel.recv(1 << 16)
            except OSError:
                message = b""
            if not message:
                self._answers.put({})
                return
            if len(message) == _STATE.size:
                numbers = np.array(_STATE.unpack(message))
                self._newest = numbers[:7], numbers[7:]
                self._fresh.set()
            else:
                self._answers.put(dict(json.loads(message)))

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise self._ended("no answer within %g s" % timeout_s) from None
        if not answer:
            raise self._ended("its process ended")
        return answer

    def _ended(self, how: str) -> DriverError:
        return DriverError(
            "Franka's simulator: %s; it said: %s." % (how, self.said[-800:] or "nothing"),
            remedy="correct what it names; see that nothing else listens on port %d." % PORT,
        )


def loaded_model(cell: CellConfig, path: Path) -> Path:
    """Write the MJCF of the cell's arm with the hand's mass on its flange to ``path``: what the simulator moves. Returns ``path``."""
    arm, payload = load_arm(cell.arm.model), payload_of(cell)
    root = ElementTree.parse(str(arm.mjcf)).getroot()
    flange, joints = root.find(f".//body[@name='{arm.flange}']"), root.find(".//default/joint")
    assert flange is not None and joints is not None
    joints.set("armature", repr(ROTORS))
    i = payload.inertia_f
    full = (i[0, 0], i[1, 1], i[2, 2], i[0, 1], i[0, 2], i[1, 2])
    ElementTree.SubElement(flange, "inertial", pos=_text(payload.center_f), mass=repr(payload.mass), fullinertia=_text(full))
    path.write_text(ElementTree.tostring(root, encoding="unicode"))
    return path


def drive(peer: FrankaPeer, twin: TwinClient, should_stop: Callable[[], bool]) -> None:
    """Let the twin's arm follow the peer's until ``should_stop()``.

    Raises:
        DriverError: the twin or the simulator ended.
    """
    # What the twin's interpolator takes until a target is fully in effect.
    lead = max(float(twin.hello["mismatch"]["latency_s"]), CONTROL_PERIOD_S)
    while not should_stop():
        q, dq = peer.state()
        twin.call("arm.write", q=(q + lead * dq).tolist(), stamp=time.time_ns())


@dataclasses.dataclass(frozen=True)
class Options:
    """A simulated Franka on loopback, for the driver `franka`."""

    twin: str = ""
    """Endpoint of the twin whose arm follows; none when empty."""
    cell: str = "twin"
    """Name of a cell configuration, or a path to one: the twin's."""
    host: str = "127.0.0.1"
    """Address on loopback to listen on; the port is libfranka's, 1337."""
    lost_cycles: int = LOST_CYCLES
    """Commands lost in a row at which it stops; a robot stops at 20."""
    parent: int = 0
    """End when the parent of this process is no longer the process of this id; 0: whatever becomes of it."""
    setup: bool = False
    """Only make the simulator's environment."""


def serve(options: Options) -> None:
    """Run a peer until SIGINT or SIGTERM (or, where asked, the parent's end)."""
    if options.setup:
        print(franka_setup.interpreter())
        return
    should_stop = ending(options.parent)
    with contextlib.ExitStack() as stack:
        twin = stack.enter_context(TwinClient(options.twin, timeout_s=1.0)) if options.twin else None
        peer = stack.enter_context(FrankaPeer(load_cell(options.cell), options.host, lost_cycles=options.lost_cycles))
        stack.callback(lambda: print(peer.said, file=sys.stderr, flush=True))
        print(json.dumps({"endpoint": peer.address, "port": PORT, "pid": os.getpid(), "simulator": peer.process.pid}), flush=True)
        threading.Thread(target=_take_faults, args=(peer,), daemon=True).start()
        _ask_for_priority()
        if twin is not None:
            drive(peer, twin, should_stop)
        while not should_stop():
            peer.state()


def _ask_for_priority() -> None:
    """Let the calling thread run above the nodes, as the simulator does: an arm that is sent on late is in the wrong place. What it starts does not."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))


def _take_faults(peer: FrankaPeer) -> None:
    """Cause what the lines of standard input ask for, until it ends."""
    for line in sys.stdin:
        try:
            answer = peer.ask(**json.loads(line))
        except (DexTrackError, TypeError, ValueError) as error:
            answer = {"ok": False, "what": str(error)}
        print(json.dumps(answer), flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _text(values: Any) -> str:
    return " ".join(repr(float(x)) for x in values)


def main() -> int:
    """Command line of the peer."""
    return command_line(Options, serve)


if __name__ == "__main__":
    sys.exit(main())
