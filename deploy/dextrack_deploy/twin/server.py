"""The twin as a process: real time behind the link, on loopback only.

``python -m dextrack_deploy.twin.server --object FILE`` prints one line of JSON with its endpoint and serves until SIGINT or SIGTERM.
One thread steps the physics and answers requests, so that a request sees the world between two steps and never within one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from dextrack.errors import InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.hands.motors import load_motors
from dextrack.link import decode, encode, reply
from dextrack.objects.spec import ObjectSpec
from dextrack_deploy.cell import load_cell
from dextrack_deploy.twin.commands import CommandTrace
from dextrack_deploy.twin.link import PROTOCOL
from dextrack_deploy.twin.mismatch import Mismatch
from dextrack_deploy.twin.pacing import Pacer
from dextrack_deploy.twin.process import command_line, ending
from dextrack_deploy.twin.simulation import Twin

ADDRESS = "127.0.0.1"
STEPS_PER_BEAT = 2
"""Physics steps taken together: waking up costs more than a step."""
MOST_PER_TURN = 16
"""Requests or beats done before the other kind gets its turn."""


class TwinServer:
    """Runs a Twin in real time and answers the link."""

    def __init__(self, twin: Twin, port: int = 0, trace: CommandTrace | None = None) -> None:
        """Listen on ``port`` of 127.0.0.1 (0: any free one); ``run`` begins. Accepted commands are noted in ``trace``, which the server closes.

        Raises:
            RefusedError: the port is taken.
        """
        self._twin = twin
        self._trace = trace
        self._session = uuid.uuid4().hex
        self._commanded: dict[str, dict[str, float | int]] = {}
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.maxmsgsize = PROTOCOL.largest_message
        try:
            self._socket.bind("tcp://%s:%s" % (ADDRESS, port or "*"))
        except zmq.ZMQError as error:
            self.close()
            raise RefusedError("twin: port %d cannot be opened (%s)." % (port, error), remedy="stop what uses it, or give port 0.") from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where it listens, for example ``tcp://127.0.0.1:40123``."""
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._pacer = Pacer(STEPS_PER_BEAT * twin.timestep_s)
        self._requests: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "hand.read": self._read_hand,
            "hand.write": self._write_hand,
            "hand.power": self._power_hand,
            "arm.read": self._read_arm,
            "arm.write": self._write_arm,
            "arm.stop": self._stop_arm,
            "camera.read": self._read_camera,
            "truth.read": self._read_truth,
            "reset": self._reset,
            "status": self._status,
        }

    @property
    def twin(self) -> Twin:
        """The twin that is run; look at it from the thread that calls ``run`` only."""
        return self._twin

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Step in real time and answer requests until ``should_stop()``, which is asked every few milliseconds.

        Raises:
            SimulationError: the physics diverged.
        """
        if self._twin.step_number:
            self._twin.reset()
        self._pacer.start()
        while not should_stop():
            wait_ms = max(0, math.ceil(1e3 * self._pacer.seconds_to_next()))
            if self._poller.poll(wait_ms):
                self._answer_waiting()
            if self._trace is not None:
                self._trace.flush_due()
            for _ in range(MOST_PER_TURN):
                if not self._pacer.take():
                    break
                self._twin.step(STEPS_PER_BEAT)

    def close(self) -> None:
        """Stop listening; closing twice is allowed."""
        if not self._context.closed:
            self._socket.close(linger=0)
            self._context.term()
        if self._trace is not None:
            self._trace.close()

    def _answer_waiting(self) -> None:
        for _ in range(MOST_PER_TURN):
            # Asked, and not found out by an exception: nearly every request comes alone.
            if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return
            client, *rest = self._socket.recv_multipart(zmq.NOBLOCK)
            if len(rest) != 1:
                continue
            try:
                request = decode(rest[0])
            except ValueError:
                # No client of ours: there is no id to answer to.
                continue
            self._socket.send_multipart([client, encode(reply(request, PROTOCOL, self._session, self._requests))], zmq.NOBLOCK)

    def _now(self) -> int:
        return self._pacer.stamp(self._twin.time_s)

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        twin = self._twin
        return {
            "protocol": PROTOCOL.name,
            "version": PROTOCOL.version,
            "session": self._session,
            "pid": os.getpid(),
            "cell": twin.cell.name,
            "hand": twin.hand.name,
            "hand_joints": list(twin.hand.finger_joints),
            "arm_joints": list(twin.scene.arm.joint_names),
            "object": twin.object.name,
            "object_digest": twin.object.digest,
            "mismatch": twin.mismatch.as_dict(),
            "seed": twin.seed,
            "timestep_s": twin.timestep_s,
        }

    def _read_hand(self, request: dict[str, Any]) -> dict[str, Any]:
        sample = self._twin.read_hand()
        assert sample.current is not None
        position, velocity, current = sample.position.tolist(), sample.velocity.tolist(), sample.current.tolist()
        return {"stamp": self._pacer.stamp(sample.time_s), "position": position, "velocity": velocity, "current": current}

    def _write_hand(self, request: dict[str, Any]) -> dict[str, Any]:
        self._twin.write_hand(request["targets"])
        return self._note("hand", request, request["targets"])

    def _power_hand(self, request: dict[str, Any]) -> dict[str, Any]:
        self._twin.set_hand_power(request["power"])
        if self._trace is not None:
            self._trace.note("hand.power", power=request["power"])
        return {"stamp": self._now()}

    def _read_arm(self, request: dict[str, Any]) -> dict[str, Any]:
        sample = self._twin.read_arm()
        return {"stamp": self._pacer.stamp(sample.time_s), "q": sample.position.tolist(), "dq": sample.velocity.tolist()}

    def _write_arm(self, request: dict[str, Any]) -> dict[str, Any]:
        self._twin.write_arm(request["q"])
        return self._note("arm", request, request["q"])

    def _stop_arm(self, request: dict[str, Any]) -> dict[str, Any]:
        self._twin.stop_arm()
        if self._trace is not None:
            self._trace.note("arm.stop")
        return {"stamp": self._now()}

    def _read_camera(self, request: dict[str, Any]) -> dict[str, Any]:
        sample = self._twin.read_camera()
        if sample is None:
            return {}
        position, quaternion = sample.position_w.tolist(), sample.quaternion_w.tolist()
        noise, stamp = self._twin.mismatch, self._pacer.stamp(sample.time_s)
        deviation = [noise.object_noise_m, noise.object_noise_rad]
        return {"number": sample.number, "stamp": stamp, "position": position, "quaternion": quaternion, "deviation": deviation}

    def _read_truth(self, request: dict[str, Any]) -> dict[str, Any]:
        truth = self._twin.truth()
        return {
            "stamp": self._pacer.stamp(truth.time_s),
            "time_s": truth.time_s,
            "position": truth.object_position_w.tolist(),
            "quaternion": truth.object_quaternion_w.tolist(),
            "qpos": truth.qpos.tolist(),
            "hand_contacts": truth.hand_contacts,
            "table_contacts": truth.table_contacts,
        }

    def _reset(self, request: dict[str, Any]) -> dict[str, Any]:
        settled = self._twin.reset(request.get("position"), request.get("quaternion"), request.get("arm"), request.get("hand"))
        self._commanded.clear()
        self._pacer.start()
        return dataclasses.asdict(settled)

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        now = time.monotonic()
        ages = {device: now - noted["at"] for device, noted in self._commanded.items()}
        return {
            "stamp": self._now(),
            "time_s": self._twin.time_s,
            "hand_command_age_s": ages.get("hand"),
            "arm_command_age_s": ages.get("arm"),
            "commands": {device: noted["count"] for device, noted in self._commanded.items()},
            "arm_peak_speed": self._twin.arm_peak_speed,
            "hand_power": self._twin.hand_power,
            "settled": dataclasses.asdict(self._twin.settled),
            "mismatch": self._twin.mismatch.as_dict(),
            "cpu_s": time.process_time(),
            **self._pacer.report(),
        }

    def _note(self, device: str, request: dict[str, Any], targets: list[float]) -> dict[str, Any]:
        count, stamp = self._commanded.get(device, {"count": 0})["count"], int(request.get("stamp") or 0)
        self._commanded[device] = {"at": time.monotonic(), "count": int(count) + 1, "stamp": stamp}
        if self._trace is not None:
            self._trace.write("%s.write" % device, targets, stamp)
        return {"stamp": self._now()}


@dataclasses.dataclass(frozen=True)
class Options:
    """The twin: a simulated cell in real time, with physics that mining never used."""

    object: Path
    """Object file (.npz) that `dextrack data install` made."""
    cell: str = "twin"
    """Name of a cell configuration, or a path to one."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one and prints it."""
    seed: int = 0
    """Seed of the sensors' noise."""
    position: tuple[float, float] = (0.0, 0.0)
    """Where the object's origin lies on the table, x and y, m."""
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Orientation of the object, wxyz."""
    mismatch: Mismatch = dataclasses.field(default_factory=Mismatch)
    """How the twin differs from mining's simulation."""
    zero_mismatch: bool = False
    """Mining's own physics and perfect sensors instead; the trial is labelled so."""
    commands: Path | None = None
    """Append every accepted command to this file (see ``commands``)."""
    parent: int = 0
    """End when the parent of this process is no longer the process of this id; 0: whatever becomes of it."""


def serve(options: Options) -> None:
    """Run a twin until SIGINT or SIGTERM (or, where asked, the parent's end)."""
    if options.zero_mismatch and options.mismatch != Mismatch():
        raise InputError("--zero-mismatch excludes every --mismatch option.", remedy="give one or the other.")
    should_stop = ending(options.parent)
    cell = load_cell(options.cell)
    hand = load_hand(cell.hand.model)
    twin = Twin(
        cell,
        # What is rehearsed is the cell as it was measured.
        load_motors(Path(cell.hand.motors)).fingers(hand).on(hand) if cell.hand.motors else hand,
        ObjectSpec.load(options.object),
        Mismatch.none() if options.zero_mismatch else options.mismatch,
        options.seed,
        object_position_w=(*options.position, 0.0),
        object_quaternion_w=options.quaternion,
    )
    server = TwinServer(twin, options.port, None if options.commands is None else CommandTrace(options.commands))
    try:
        print(json.dumps({"endpoint": server.endpoint, "pid": os.getpid(), "mismatch": twin.mismatch.as_dict()}), flush=True)
        server.run(should_stop)
    finally:
        server.close()


def main() -> int:
    """Command line of the twin."""
    return command_line(Options, serve)


if __name__ == "__main__":
    sys.exit(main())
