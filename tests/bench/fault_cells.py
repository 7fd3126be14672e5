"""The cells of the fault matrix, and the code that injects each fault into nodes, topics, clock and disk; fault_wire.py has the wires of arm and hand.

A new one is a function here and a line in ``CELLS``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import signal
import threading
import time
from pathlib import Path

import fault_wire
from dextrack_deploy import graph
from dextrack_deploy.status import State
from fault_injection import Cell, Injection, kill_process, repeated, stop_process
from fault_trial import SMALL_DISK_MB, End, RunningCell

SOURCES = (
    "joint encoders", "motor bus", "arm link", "camera pose", "shadow simulator", "controller", "supervisor", "operator heartbeat", "clock", "disk",
)  # fmt: skip
FAULTS = ("lost", "late", "frozen", "jumping", "out of range", "process killed")

FINGERS, ARM, OBJECT, SHADOW, TARGET, STATE = (
    "hand/joint_states", "arm/joint_states", "object_pose", "shadow/joint_states", "target", "supervisor/state",
)  # fmt: skip
STREAMS = (FINGERS, ARM, OBJECT)
"""What carries the stamps of a sensor's clock."""


def spoil(fault: str, *topics: str, then: str = "", after_s: float = 1.0) -> Injection:
    """The relay spoils ``topics``, and spoils them otherwise ``after_s`` later where ``then`` says so."""

    def begin(cell: RunningCell) -> End:
        cell.spoil(fault)
        if then:
            time.sleep(after_s)
            cell.spoil(then)
        return lambda: cell.spoil("none")

    return Injection(f"fault_relay.py {fault}{f', then {then}' if then else ''}: {', '.join(topics)}", begin, topics)


def kill(node: str) -> Injection:
    """The process of ``node`` gets SIGKILL."""
    return kill_process(lambda cell: cell.pid(node), node)


def stop(node: str) -> Injection:
    """The process of ``node`` is stopped, and goes on afterwards."""
    return stop_process(lambda cell: cell.pid(node), node)


def refuse_writes() -> Injection:
    """Every write of the recorder to a file fails, as in a folder that became unwritable."""

    def begin(cell: RunningCell) -> End:
        recorder, limit = cell.pid("recorder"), resource.RLIMIT_FSIZE
        before = resource.prlimit(recorder, limit, (0, resource.prlimit(recorder, limit)[1]))

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(recorder, limit, before)

        return end

    return Injection("RLIMIT_FSIZE of 0 on recorder", begin)


def _slow(cell: RunningCell, ended: threading.Event) -> None:
    """A disk that now and then takes 0.3 s: the writer hangs, and goes on."""
    while not ended.wait(0.2):
        os.kill(cell.pid("recorder"), signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(cell.pid("recorder"), signal.SIGCONT)


def _fill(path: Path, megabytes: int) -> None:
    with open(path, "wb") as filler, contextlib.suppress(OSError):
        for _ in range(megabytes):
            os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, 1 << 20)


def _come_and_go(cell: RunningCell, ended: threading.Event) -> None:
    """Something else fills the disk below the supervisor's limit, and frees it again."""
    filler = cell.prepared.folder.path / "filler"
    while not ended.is_set():
        _fill(filler, SMALL_DISK_MB - 120)
        ended.wait(0.7)
        filler.unlink()
        ended.wait(0.7)


def fill_disk() -> Injection:
    """The disk is full to the last byte."""

    def begin(cell: RunningCell) -> End:
        filler = cell.prepared.folder.path / "filler"
        _fill(filler, SMALL_DISK_MB)
        return filler.unlink

    return Injection("a file that fills the disk to the last byte", begin, on_small_disk=True)


_BEHIND = "the stream goes on {} s late: a driver holds in the gap, and then follows the same path".format
_JOINTS = (("fingers", FINGERS, "hand_driver"), ("arm", ARM, "arm_driver"))


def _encoders() -> list[Cell]:
    cells = []
    for name, topic, driver in _JOINTS:
        cells += [
            Cell("joint encoders", "lost", name, spoil("lost", topic)),
            Cell("joint encoders", "late", name, spoil("late", topic)),
            Cell("joint encoders", "frozen", name, spoil("frozen", topic)),
            Cell("joint encoders", "frozen", f"{name}, fresh stamps", spoil("frozen_fresh", topic)),
            Cell("joint encoders", "jumping", name, spoil("jumping", topic)),
            Cell("joint encoders", "out of range", f"{name}, not a number", spoil("nan", topic)),
            Cell("joint encoders", "out of range", f"{name}, far outside", spoil("tenfold", topic)),
            Cell("joint encoders", "process killed", name, kill(driver)),
        ]  # fmt: skip
    return cells


def _camera() -> list[Cell]:
    source = "camera pose"
    return [
        Cell(source, "lost", "", spoil("lost", OBJECT)),
        Cell(source, "late", "", spoil("late", OBJECT)),
        Cell(source, "frozen", "", spoil("frozen", OBJECT)),
        Cell(source, "frozen", "fresh stamps", spoil("frozen_fresh", OBJECT), "an object that lies still looks the same, and replayed targets need no pose"),
        Cell(source, "jumping", "", spoil("jumping", OBJECT)),
        Cell(source, "out of range", "not a number", spoil("nan", OBJECT)),
        Cell(source, "out of range", "far outside", spoil("tenfold", OBJECT)),
        Cell(source, "out of range", "hardly known", spoil("uncertain", OBJECT)),
        Cell(source, "process killed", "", kill("object_pose")),
    ]


def _stream(source: str, topic: str, node: str) -> list[Cell]:
    """A node of the control loop that publishes targets."""
    return [
        Cell(source, "lost", "", spoil("lost", topic)),
        Cell(source, "late", "", spoil("late", topic), _BEHIND(0.4)),
        Cell(source, "frozen", "", stop(node)),
        Cell(source, "frozen", "one message again and again", spoil("frozen", topic)),
        Cell(source, "jumping", "", spoil("jumping", topic)),
        Cell(source, "out of range", "not a number", spoil("nan", topic)),
        Cell(source, "out of range", "far outside", spoil("tenfold", topic)),
        Cell(source, "process killed", "", kill(node)),
    ]


def _supervisor() -> list[Cell]:
    source = "supervisor"
    return [
        Cell(source, "lost", "", spoil("lost", STATE)),
        Cell(source, "late", "", spoil("late", STATE), "0.4 s is less than the heartbeat's deadline of 0.5 s"),
        Cell(source, "frozen", "", stop("supervisor")),
        Cell(source, "jumping", "between RUN and HOLD", spoil("jumping", STATE)),
        Cell(source, "out of range", "no status", spoil("tenfold", STATE)),
        Cell(source, "process killed", "", kill("supervisor")),
    ]


def _operator() -> list[Cell]:
    source, topic = "operator heartbeat", graph.ENABLE
    return [
        Cell(source, "lost", "", spoil("lost", topic)),
        Cell(source, "late", "", spoil("late", topic), "0.4 s is less than the operator's limit of 1 s"),
        Cell(source, "frozen", "", stop("operator")),
        Cell(source, "frozen", "one message again and again", spoil("frozen", topic)),
        Cell(source, "jumping", "stamps", spoil("stamp_jumping", topic), "the operator is heard in time; the stamp is of another machine's clock"),
        Cell(source, "out of range", "an hour ahead", spoil("stamp_ahead", topic), "the operator is heard in time; the stamp is of another machine's clock"),
        Cell(source, "process killed", "", kill("operator")),
    ]


def _clock() -> list[Cell]:
    source = "clock"
    return [
        Cell(source, "lost", "stamps of zero", spoil("stamp_zero", *STREAMS)),
        Cell(source, "late", "1 s behind", spoil("stamp_behind", *STREAMS)),
        Cell(source, "frozen", "", spoil("stamp_frozen", *STREAMS)),
        Cell(source, "jumping", "by 1 s", spoil("stamp_jumping", *STREAMS)),
        Cell(source, "out of range", "an hour ahead", spoil("stamp_ahead", *STREAMS)),
        Cell(source, "out of range", "an hour ahead, then no sample", spoil("stamp_ahead", *STREAMS, then="lost")),
    ]


def _disk() -> list[Cell]:
    source = "disk"
    return [
        Cell(source, "lost", "writes refused", refuse_writes()),
        Cell(source, "late", "0.3 s at a time", repeated(_slow, "SIGSTOP of recorder for 0.3 s, again and again"), "messages wait for the recorder for 2 s"),
        Cell(source, "frozen", "", stop("recorder")),
        Cell(source, "jumping", "free space", repeated(_come_and_go, "a file that comes and goes on a small disk", on_small_disk=True)),
        Cell(source, "out of range", "full", fill_disk()),
        Cell(source, "process killed", "", kill("recorder")),
    ]


def _approaching() -> list[Cell]:
    """The slow motion before a run: what leads it, what it is planned from, and who may stop it."""
    cells = [
        *_stream("controller", graph.MOTION, "controller"),
        *(c for c in _encoders() if c.fault in ("lost", "jumping", "process killed") or "fresh" in c.variant or "number" in c.variant),
        Cell("supervisor", "lost", "", spoil("lost", STATE)),
        Cell("supervisor", "process killed", "", kill("supervisor")),
        Cell("operator heartbeat", "lost", "", spoil("lost", graph.ENABLE)),
        Cell("operator heartbeat", "process killed", "", kill("operator")),
    ]
    return [dataclasses.replace(c, variant=", ".join(filter(None, (c.variant, "in APPROACH"))), state=State.APPROACH) for c in cells]


CELLS = (
    *_encoders(),
    *fault_wire.motor_bus(),
    *fault_wire.arm_link(),
    *_camera(),
    *_stream("shadow simulator", SHADOW, "shadow_sim"),
    *_stream("controller", TARGET, "controller"),
    *_supervisor(),
    *_operator(),
    *_clock(),
    *_disk(),
    *_approaching(),
)
NOT_INJECTED = (("clock", "process killed", "a clock has no process of ours"),)
"""(source, fault, why not here)."""
