"""The wires of arm and hand in the fault matrix: cells in which one device is behind its own wire, the faults of both, and the code that injects them.

The driver of a wired device speaks the maker's protocol through the maker's library to a bus peer, and the peer moves the twin. Each has a cell of its
own, with the other device the plain twin's, so that a run in real time fits on two cores. The hand's peer takes faults on its control socket; the arm's
on its standard input, a pipe that the twin node holds and that anybody of the same user can open.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dextrack_assets
import yaml
from dextrack_deploy.cell.config import PEER, TWIN
from dextrack_deploy.twin.dynamixel.faults import BadChecksum, BrownOut, Fault, LostBytes, LowVoltage, Misread, Overheating, Overload, Silent, Stalled
from dextrack_deploy.twin.dynamixel.process import PeerClient
from fault_injection import Cell, Injection, kill_process, repeated, stop_process
from fault_trial import CellFailed, End, RunningCell

WIRED = {"hand": ("twin", "leap"), "arm": ("twin_wire", "franka")}
"""Device: the shipped cell with the limits that its driver keeps, and the driver."""
ALWAYS = 50_000
"""Answers of the motors: more than a cell sees."""
MOTOR = 5
"""The one that a fault of a single motor befalls: a finger's middle joint, which the run moves."""
JOINT, FAR_RAD = 4, 5.0
"""Of the arm: whose sensor is wrong, and an error that takes it outside its limits."""
LOST_S = 3.5
"""A link that is there again before the fault's end: whatever waited for it must not move then."""
ANSWER_S = 2.0


def write_cell(device: str, folder: Path) -> Path:
    """Write the cell in which only ``device`` is behind its wire to ``folder``; returns the file."""
    shipped, driver = WIRED[device]
    cell = yaml.safe_load(dextrack_assets.path("cells", f"{shipped}.yaml").read_text(encoding="utf-8"))
    cell["name"] = f"twin_wired_{device}"
    cell["drivers"] = {"arm": TWIN, "hand": TWIN, "object_pose": TWIN, device: driver, f"{device}_address": PEER}
    path = folder / f"{cell['name']}.yaml"
    path.write_text(yaml.safe_dump(cell, sort_keys=False), encoding="utf-8")
    return path


# The hand's motors.


def befall(*faults: Fault) -> Injection:
    """The motors' peer gets ``faults``; in the end everything is cool, supplied and plugged in again."""

    def begin(cell: RunningCell) -> End:
        client = PeerClient(cell.peer("hand")["control"])
        for fault in faults:
            client.begin(fault)

        def end() -> None:
            client.clear()
            client.close()

        return end

    return Injection("Dynamixel peer: " + ", ".join(map(str, faults)), begin)


def stutter(stopped_s: float, going_s: float) -> Injection:
    """The motors' peer stops and goes on, again and again: answers wait."""

    def work(cell: RunningCell, ended: threading.Event) -> None:
        pid = int(cell.peer("hand")["pid"])
        while not ended.wait(going_s):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(pid, signal.SIGCONT)

    return repeated(work, f"SIGSTOP of the Dynamixel peer for {stopped_s:g} s every {stopped_s + going_s:g} s")


def _motors(cell: RunningCell) -> int:
    return int(cell.peer("hand")["pid"])


# The arm's link.


def ask(cell: RunningCell, fault: str, **arguments: object) -> None:
    """Cause a fault of ``franka_sim_host.Faults``.

    Raises:
        CellFailed: it was refused, or nobody answered.
    """
    pid = cell.peer("arm")["pid"]
    # Our own ends of the two pipes that the twin node has made for its peer: it writes and reads nothing there.
    with open(f"/proc/{pid}/fd/0", "wb", buffering=0) as told, open(f"/proc/{pid}/fd/1", "rb", buffering=0) as answers:
        told.write(json.dumps({"fault": fault, **arguments}).encode() + b"\n")
        answer = answers.readline() if select.select([answers], [], [], ANSWER_S)[0] else b'{"ok": false, "what": "no answer"}'
    if not json.loads(answer)["ok"]:
        raise CellFailed(f"fault {fault} of the arm's peer: {json.loads(answer)['what']}")


def asked(fault: str, at_the_end: str = "", **arguments: object) -> Injection:
    """The simulated Franka gets ``fault``, and in the end ``at_the_end``."""

    def begin(cell: RunningCell) -> End:
        ask(cell, fault, **arguments)
        return lambda: ask(cell, at_the_end) if at_the_end else None

    words = " ".join([fault, *(f"{k}={v}" for k, v in arguments.items())])
    return Injection(f"Franka peer: {words}{f', then {at_the_end}' if at_the_end else ''}", begin)


def again_and_again(period_s: float, what: str, *turns: Callable[[RunningCell], None]) -> Injection:
    """``turns`` in turn, every ``period_s``, and the last one in the end."""

    def work(cell: RunningCell, ended: threading.Event) -> None:
        n = 0
        while not ended.wait(period_s):
            turns[n % len(turns)](cell)
            n += 1
        turns[-1](cell)

    return repeated(work, f"Franka peer: {what} every {period_s:g} s")


def _stall(cell: RunningCell) -> None:
    ask(cell, "freeze", seconds=0.02)


def _lose(cell: RunningCell) -> None:
    ask(cell, "lose", seconds=0.5)


def _off(rad: float) -> Callable[[RunningCell], None]:
    return lambda cell: ask(cell, "out_of_range", joint=JOINT, rad=rad)


def off(rad: float) -> Injection:
    """The sensor of a joint of the arm is off by ``rad``, and in the end right."""

    def begin(cell: RunningCell) -> End:
        _off(rad)(cell)

        def end() -> None:
            # An arm that was thrown further than the twin takes has ended its peer.
            with contextlib.suppress(FileNotFoundError):
                _off(0.0)(cell)

        return end

    return Injection(f"Franka peer: out_of_range joint={JOINT} rad={rad:g}, then 0", begin)


def jumping(rad: float) -> Injection:
    """The sensor of a joint of the arm is off by ``rad``, and right, and off again."""
    return again_and_again(0.3, f"out_of_range joint={JOINT} rad={rad:g} and 0", _off(rad), _off(0.0))


def _peer(cell: RunningCell) -> int:
    return int(cell.peer("arm")["pid"])


def _simulator(cell: RunningCell) -> int:
    return int(cell.peer("arm")["simulator"])


def _both_devices(source: str) -> Cell:
    """In the plain twin one process is at the other end of both drivers."""
    return Cell(source, "process killed", "both devices", kill_process(lambda cell: cell.twin_pid, "the twin's server, the device side of the drivers' link"))


def motor_bus() -> list[Cell]:
    """What can be wrong between the hand's driver and its motors, and with these."""
    source, every = "motor bus", tuple(range(16))
    asked_again = "an answer that is lost once is asked for again"
    rows: list[tuple[str, str, Injection, str, tuple[int, ...]]] = [
        ("lost", "a byte of every answer", befall(LostBytes(times=ALWAYS)), "", ()),
        ("lost", "a byte of one answer", befall(LostBytes()), asked_again, ()),
        ("lost", "noise: checksums wrong", befall(BadChecksum(times=ALWAYS)), "", ()),
        ("lost", "a motor's plug", befall(Silent(MOTOR)), "", ()),
        ("lost", "every motor's plug", befall(*map(Silent, every)), "", ()),
        ("late", "answers wait 0.02 s", stutter(0.02, 0.1), "a read that waits is within its timeout, or is asked for again", ()),
        ("late", "answers wait 0.3 s", stutter(0.3, 0.2), "", ()),
        ("frozen", "", stop_process(_motors, "the Dynamixel peer"), "", ()),
        ("jumping", "one position by 1500 counts", befall(Misread(MOTOR)), "one reading that cannot be is left out", ()),
        ("jumping", "positions by 1500 counts", befall(Misread(MOTOR, times=ALWAYS)), "", ()),
        ("jumping", "positions by a turn", befall(Misread(MOTOR, counts=-4096, times=ALWAYS)), "", ()),
        ("out of range", "80 degrees", befall(Overheating(MOTOR)), "", (MOTOR,)),
        ("out of range", "68 degrees, no hardware error", befall(Overheating(MOTOR, celsius=68.0)), "", ()),
        ("out of range", "stalled at its current limit", befall(Stalled(MOTOR)), "a firm grasp draws as much for seconds; the watch waits longer", ()),
        ("out of range", "overload", befall(Overload(MOTOR)), "", (MOTOR,)),
        ("out of range", "3.2 V", befall(LowVoltage(MOTOR)), "", ()),
        ("process killed", "a motor's: brown-out", befall(BrownOut((MOTOR,))), "", (MOTOR,)),
        ("process killed", "every motor's: brown-out", befall(BrownOut(every)), "", every),
        ("process killed", "the bus", kill_process(_motors, "the Dynamixel peer"), "", ()),
    ]  # fmt: skip
    wired = [Cell(source, fault, variant, injection, may, "hand", limp) for fault, variant, injection, may, limp in rows]
    return [*wired, _both_devices(source)]


def arm_link() -> list[Cell]:
    """What can be wrong between the arm's driver and its robot, and with the robot."""
    source = "arm link"
    rows: list[tuple[str, str, Injection, str]] = [
        ("lost", "connection cut", asked("drop"), ""),
        ("lost", "every state", asked("lose", seconds=LOST_S), ""),
        ("lost", "ten states", asked("lose", seconds=0.01), "a robot bridges lost commands until it has missed too many in a row"),
        ("lost", "user stop, then released", asked("user_stop", at_the_end="release"), ""),
        ("late", "states wait 0.02 s", again_and_again(0.2, "freeze seconds=0.02", _stall), "the robot waits with them, and then both go on"),
        ("late", "states missing for 0.5 s at a time", again_and_again(0.7, "lose seconds=0.5", _lose), ""),
        ("frozen", "", stop_process(_simulator, "the simulated Franka"), ""),
        ("jumping", "a joint's sensor by 0.05 rad", jumping(0.05), ""),
        ("jumping", "a joint's sensor by 0.3 rad", jumping(0.3), ""),
        ("out of range", "a joint's sensor", off(FAR_RAD), ""),
        ("out of range", "collision: joint reflex", asked("reflex", name="joint_reflex"), ""),
        ("out of range", "joint velocity", asked("reflex", name="joint_velocity_violation"), ""),
        ("process killed", "the robot's", kill_process(_simulator, "the simulated Franka"), ""),
        ("process killed", "its link to the twin", kill_process(_peer, "the Franka peer"), ""),
    ]  # fmt: skip
    wired = [Cell(source, fault, variant, injection, may, "arm") for fault, variant, injection, may in rows]
    return [*wired, _both_devices(source)]
