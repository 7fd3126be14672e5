"""A trial that is there to be spoilt: the real processes, started as ``dextrack track`` starts them, and what is seen of them from outside.

Two observers depend on nothing that is spoilt: the twin's command trace, on the device side of the link, and readings of the twin's joints over a link
of our own. The status comes from the trial log and from the operator's own ears, whichever has it first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_relay
import numpy as np
import yaml
from dextrack_deploy import graph
from dextrack_deploy.mcap_reader import McapReader
from dextrack_deploy.status import Reaction, State, Status
from dextrack_deploy.trial import TrialFolder, read_events
from dextrack_deploy.twin.commands import COMMANDS_FILE, Commands, read_commands
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.wire import PEERS_FILE
from dextrack_ros import dds
from dextrack_ros.preparation import PreparedTrial, load_prepared
from dextrack_ros.processes import ONE_THREAD, Processes
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore

from dextrack.errors import DexTrackError, DriverError

BRING_UP_S = 120.0
"""Until the state in which the fault is to begin, on a busy machine."""
AFTER_S = {State.RUN: 1.0, State.APPROACH: 0.4}
"""The fault begins this long after the state in which it is to begin; in APPROACH not before the arm moves: until its motion is planned there is none."""
MOVES_RAD, MOVES_S = 0.01, 30.0
"""A joint that has turned this much moves; the longest wait for it."""
WATCH_S = 4.0
"""It lasts this long, and is watched."""
AFTERWARDS_S = 1.0
"""Then it ends where it can end, and the cell is watched a little longer: what stands must stay where it is."""
READ_PERIOD_S = 1.0 / 30.0
SMALL_DISK_MB = 260
"""Above what the supervisor wants to be free, with room for a log of some seconds."""
_END_S = 5.0

Floats = NDArray[np.float64]


class CellFailed(Exception):
    """The trial did not come as far as the fault; nothing was observed."""


@dataclasses.dataclass(frozen=True)
class Readings:
    """The twin's joints as our own client read them."""

    at_ns: NDArray[np.int64]
    values: Floats
    """(n, 23): arm, then fingers, rad."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """What was seen of one cell."""

    begun_ns: int
    """When the state in which the fault was injected began."""
    injected_ns: int
    undone_ns: int
    """When the fault ended, where it can."""
    end_ns: int
    statuses: tuple[tuple[int, Status], ...]
    """(ns, status) at each change, from then on, as the cell heard it."""
    transitions: tuple[tuple[int, str, str], ...]
    """(ns, state, reason) as the supervisor wrote it down, whether or not anybody heard it."""
    commands: Commands
    readings: Readings


@dataclasses.dataclass
class RunningCell:
    """The processes of a trial, for an injection to mistreat."""

    prepared: PreparedTrial
    processes: Processes
    operator: subprocess.Popen[bytes]
    relay: subprocess.Popen[bytes] | None
    twin_pid: int = 0
    """The process that serves the drivers' link."""

    def pid(self, node: str) -> int:
        """Process id of a node, or of the ``operator``."""
        return self.operator.pid if node == "operator" else self.processes.process(node).popen.pid

    def peer(self, device: str) -> dict[str, Any]:
        """What the bus peer of ``device`` said of itself."""
        return dict(json.loads((self.prepared.folder.path / PEERS_FILE).read_text())[device])

    def spoil(self, fault: str) -> None:
        """Tell the relay."""
        assert self.relay is not None and self.relay.stdin is not None
        # A relay that broke down is found at the end of the cell.
        with contextlib.suppress(BrokenPipeError):
            self.relay.stdin.write(json.dumps({"fault": fault}).encode() + b"\n")
            self.relay.stdin.flush()


End = Callable[[], None]
"""Ends a fault; does nothing where it cannot end."""
Begin = Callable[[RunningCell], End]


def copy_of(template: PreparedTrial, folder: Path) -> PreparedTrial:
    """The prepared trial of ``template`` in a ``folder`` of its own: placing takes longer than a cell."""
    shutil.copytree(template.folder.path, folder, dirs_exist_ok=True)
    old, new = str(template.folder.path.resolve()), str(folder.resolve())
    parameters = folder / template.parameters.name
    parameters.write_text(parameters.read_text().replace(old, new))
    return load_prepared(TrialFolder(folder))


@contextlib.contextmanager
def small_disk(folder: Path, wanted: bool) -> Any:
    """Mount a file system of ``SMALL_DISK_MB`` at ``folder`` for the block, where it is ``wanted``."""
    folder.mkdir(parents=True)
    if not wanted:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def observe(
    template: PreparedTrial, folder: Path, begin: Begin, topics: tuple[str, ...] = (), on_small_disk: bool = False, state: State = State.RUN
) -> Observation:
    """Run a trial in ``folder``, let ``begin`` inject its fault in ``state``, and watch. ``topics`` go through the relay.

    Raises:
        CellFailed: it did not come as far as the fault.
    """
    with small_disk(folder / "disk", on_small_disk), contextlib.ExitStack() as stack:
        prepared = copy_of(template, folder / "disk" / "trial")
        # Beside the disk that may be full: it is an observer.
        (prepared.folder.path / COMMANDS_FILE).symlink_to((folder / COMMANDS_FILE).resolve())
        cell = _start(stack, prepared, folder, topics)
        begun_ns = _wait_for(state, cell, folder)
        reader = stack.enter_context(JointReader(_twin_endpoint(prepared)))
        cell.twin_pid = int(reader.client.hello["pid"])
        time.sleep(max(0.0, begun_ns * 1e-9 + AFTER_S[state] - time.time()))
        _wait_for_motion(reader)
        if _heard(folder)[-1][1].state is not state:
            raise CellFailed(f"{state.value} ended before the fault: {_heard(folder)[-1][1].reason}")
        injected_ns = time.time_ns()
        end = begin(cell)
        time.sleep(max(0.0, injected_ns * 1e-9 + WATCH_S - time.time()))
        undone_ns = time.time_ns()
        end()
        time.sleep(AFTERWARDS_S)
        end_ns = time.time_ns()
        if cell.relay is not None and cell.relay.poll() is not None:
            raise CellFailed(f"the relay ended, and what it was to spoil was lost: {(folder / 'fault_relay.err').read_text()[-300:]}")
        readings = reader.readings()
        stack.close()
        statuses = sorted([*_heard(folder), *_logged(prepared.folder.log)], key=lambda s: s[0])
        seen = tuple((at, status) for at, status in statuses if begun_ns <= at <= end_ns)
        own = tuple(t for t in _written_down(prepared.folder.events) if begun_ns <= t[0] <= end_ns)
        return Observation(begun_ns, injected_ns, undone_ns, end_ns, seen, own, read_commands(folder / COMMANDS_FILE), readings)


def _start(stack: contextlib.ExitStack, prepared: PreparedTrial, folder: Path, topics: tuple[str, ...]) -> RunningCell:
    """Every node, the operator, and the relay where something goes through it."""
    os.environ["ROS_DOMAIN_ID"] = str(dds.free_domain())
    remapped = {t: ["-r", f"{t}:={fault_relay.raw_name(t)}"] for t in topics}
    relay = stack.enter_context(_helper("fault_relay", folder, *topics)) if topics else None
    # Entered before the processes, so that it outlives them: while the nodes end, their operator is there.
    moved = remapped.get(graph.ENABLE, [])
    operator = stack.enter_context(_helper("fault_operator", folder, str(prepared.folder.path), *(["--ros-args", *moved] if moved else [])))
    processes = stack.enter_context(Processes(folder / "log", os.environ))
    cell = RunningCell(prepared, processes, operator, relay)
    # Left first: a stopped process ends only when it goes on.
    stack.callback(lambda: [_continue(cell.pid(n)) for n in (*prepared.nodes, "operator")])
    for name in prepared.nodes:
        more = [argument for topic in graph.node(name).publishes if topic in remapped for argument in remapped[topic]]
        processes.start(name, f"dextrack_ros.{name}", ["--ros-args", "--params-file", str(prepared.parameters), *more])
    return cell


@contextlib.contextmanager
def _helper(module: str, folder: Path, *arguments: str) -> Any:
    """One of our own processes, which ends with its standard input."""
    environment = {**os.environ, **ONE_THREAD, "ROS_LOG_DIR": str(folder)}
    with open(folder / f"{module}.out", "wb") as out, open(folder / f"{module}.err", "wb") as err:
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdin=subprocess.PIPE, stdout=out, stderr=err)
    try:
        yield process
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        if process.poll() is None:
            process.kill()
        process.wait()


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _wait_for(state: State, cell: RunningCell, folder: Path) -> int:
    """When ``state`` began, ns."""
    deadline = time.monotonic() + BRING_UP_S
    while time.monotonic() < deadline:
        heard = _heard(folder)
        began = next((at for at, status in heard if status.state is state), None)
        if began is not None:
            return began
        if heard and heard[-1][1].state in (State.HOLD, State.FAULT):
            raise CellFailed(f"it stopped before {state.value}: {heard[-1][1].reason}")
        gone = [f"{p.name} ended with {code}: {p.last_words()}" for p, code in cell.processes.ended()]
        if gone or cell.operator.poll() is not None:
            raise CellFailed("; ".join(gone) or f"the operator ended: {(folder / 'fault_operator.err').read_text()[-300:]}")
        time.sleep(0.02)
    raise CellFailed(f"{state.value} did not begin within {BRING_UP_S:.0f} s")


def _wait_for_motion(reader: JointReader) -> None:
    deadline = time.monotonic() + MOVES_S
    while time.monotonic() < deadline:
        values = reader.readings().values
        if len(values) and np.ptp(values, axis=0).max() > MOVES_RAD:
            return
        time.sleep(READ_PERIOD_S)
    raise CellFailed(f"no joint moved by {MOVES_RAD} rad within {MOVES_S:.0f} s")


def _heard(folder: Path) -> list[tuple[int, Status]]:
    """What the operator has heard so far.

    Raises:
        CellFailed: it was refused before it moved.
    """
    found, text = [], (folder / "fault_operator.out").read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():
        row = json.loads(line)
        if "state" in row:
            found.append((int(row["at"]), Status(State(row["state"]), Reaction[row["reaction"]], row["reason"], row["pace"])))
        elif not any(status.may_move for _, status in found):
            raise CellFailed(row["error"])
    return found


def _logged(log: Path) -> list[tuple[int, Status]]:
    """The statuses in the trial log, as far as it goes; those that are none are left out."""
    types, found = get_typestore(Stores.ROS2_KILTED), []
    with contextlib.suppress(DexTrackError):
        for message in McapReader(log):
            if message.topic.lstrip("/") == "supervisor/state":
                with contextlib.suppress(DexTrackError):
                    found.append((message.received_ns, Status.decode(types.deserialize_cdr(message.data, message.type).data)))
    return [s for n, s in enumerate(found) if n == 0 or s[1] != found[n - 1][1]]


def _written_down(events: Path) -> list[tuple[int, str, str]]:
    """The supervisor's own changes of state, as far as the disk took them."""
    with contextlib.suppress(DexTrackError):
        return [(e["stamp_ns"], e["after"], e["reason"]) for e in read_events(events)[0] if e["kind"] == "state"]
    return []


def _twin_endpoint(prepared: PreparedTrial) -> str:
    port = yaml.safe_load(prepared.parameters.read_text())["twin"]["ros__parameters"]["port"]
    return f"tcp://127.0.0.1:{port}"


class JointReader:
    """Reads the twin's joints in a thread of its own until the block ends or the twin is gone."""

    def __init__(self, endpoint: str) -> None:
        self.client = TwinClient(endpoint)
        self._rows: list[tuple[int, list[float]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> JointReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.client.close()

    def readings(self) -> Readings:
        """What was read so far."""
        rows = list(self._rows)
        return Readings(np.array([at for at, _ in rows], dtype=np.int64), np.array([v for _, v in rows], dtype=np.float64).reshape(len(rows), -1))

    def _read(self) -> None:
        while not self._ended.wait(READ_PERIOD_S):
            # A twin that hangs may go on; one that is gone answers nothing more, and its joints are nowhere.
            with contextlib.suppress(DriverError):
                values = self.client.call("arm.read")["q"] + self.client.call("hand.read")["position"]
                self._rows.append((time.time_ns(), values))
