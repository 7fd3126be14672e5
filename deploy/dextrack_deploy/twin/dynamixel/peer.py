"""Peer: motors, wire and adapter behind a pseudo terminal, in real time, with a control socket on loopback for faults.

Control requests are msgpack maps as on the twin's link (``id``, ``do`` and arguments; the reply has ``id``, ``ok`` and ``result`` or ``error``):

======== ============================= ==============================================================
do       arguments                     result
======== ============================= ==============================================================
hello                                  pty, pid, motors (ids)
state                                  for each id: every register by name; and counts of the bus
fault    the fields of a fault         empty
clear                                  empty
renew                                  empty; clears, and every motor is as after power came on (EEPROM stays)
push     motor, angle (rad)            empty; moves a joint by hand (not a twin's)
======== ============================= ==============================================================
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import select
import termios
import time
import tty
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from dextrack.errors import DexTrackError, InputError
from dextrack.link import decode, encode
from dextrack_deploy.twin.dynamixel.faults import Faults, from_dict
from dextrack_deploy.twin.dynamixel.line import Adapter, Answer, Line, Release
from dextrack_deploy.twin.dynamixel.motor import Motor
from dextrack_deploy.twin.dynamixel.packet import Packet, Parser
from dextrack_deploy.twin.dynamixel.plant import Lags, Plant
from dextrack_deploy.twin.dynamixel.responder import READS, Responder
from dextrack_deploy.twin.dynamixel.table import BAUD_RATES, BY_NAME
from dextrack_deploy.twin.link import PROTOCOL

ADDRESS = "127.0.0.1"
TICK_S = 0.01
"""Motors look at their watchdogs, and limp joints are followed, this often."""
TORN_S = 0.1
"""The rest of a packet does not come any more after this long."""
OFFSET = math.pi
"""Angle of a LEAP's motor where its joint is at zero, rad: motor = simulation + pi."""
_BAUD = {getattr(termios, "B%d" % baud): baud for baud in BAUD_RATES}


class Peer:
    """Sixteen motors, or fewer, that a driver reaches through a pseudo terminal."""

    def __init__(self, plant: Plant, count: int = 16, baud: int = BAUD_RATES[-1], adapter: Adapter | None = None) -> None:
        """Open the pseudo terminal and the control socket; ``run`` begins.

        Args:
            plant: what the motors move.
            count: ids 0 to count - 1 are on the bus.
            baud: of the motors.
            adapter: of the host; the defaults when None.
        """
        self.motors = {n: Motor(n, baud) for n in range(count)}
        self.faults = Faults(self.motors)
        self._plant, self._responder = plant, Responder(list(self.motors.values()))
        self._joints = len(plant.sense(time.monotonic())[0])
        self._parser, self._line = Parser(), Line(adapter or Adapter(), time.monotonic())
        self._releases: collections.deque[Release] = collections.deque()
        self._received_at = self._ticked_at = time.monotonic()
        self._counts = {"packets": 0, "strange": 0, "answers": 0}
        # Our own end of the slave stays open: without one, the master reads an error whenever no driver is connected.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.pty = os.ttyname(self._slave)
        """The device that a driver opens."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.maxmsgsize = PROTOCOL.largest_message
        self._socket.bind("tcp://%s:*" % ADDRESS)
        self.control: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where requests are taken."""
        self._exchange(time.monotonic())

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Serve until ``should_stop()``, which is asked at least every ``TICK_S``.

        Raises:
            DriverError: the twin is gone.
        """
        control = int(self._socket.getsockopt(zmq.FD))
        while not should_stop():
            now = time.monotonic()
            due = min([self._ticked_at + TICK_S] + [r.time_s for r in list(self._releases)[:1]])
            select.select([self._master, control], [], [], max(0.0, due - now))
            self._receive(time.monotonic())
            self._deliver(time.monotonic())
            now = time.monotonic()
            if now - self._ticked_at >= TICK_S:
                self._exchange(now)
                self._ticked_at = now
            # ZeroMQ's descriptor only says that something changed: ask it every time.
            while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                self._answer_control()

    def close(self) -> None:
        """Close everything; closing twice is allowed."""
        if not self._context.closed:
            self._socket.close(linger=0)
            self._context.term()
            os.close(self._master)
            os.close(self._slave)
            self._plant.close()

    def _receive(self, now: float) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._master, 4096)
        if not data:
            return
        if now - self._received_at > TORN_S:
            self._parser.forget()
        self._received_at = now
        baud = _BAUD.get(termios.tcgetattr(self._master)[5], 0)
        for packet in self._parser.feed(data):
            self._obey(packet, baud, now)

    def _obey(self, packet: Packet, baud: int, now: float) -> None:
        self._counts["packets"] += 1
        if not packet.intact or not baud:
            self._counts["strange"] += 1
        if not baud:
            return
        heard = self._line.send(packet.size, baud, now)
        if packet.instruction in READS:
            self._plant.refresh()
            self._sense(now)
        else:
            # It asks for nothing that was measured.
            self._watch(now)
        answers = self._responder.answers(packet, baud, now)
        self._counts["answers"] += len(answers)
        self._drive(now)
        # That was a tick: what is asked more often needs none of its own.
        self._ticked_at = now
        spoiled = [Answer(a.delay_s, self.faults.spoil(a.data)) for a in answers]
        self._releases.extend(self._line.answer(spoiled, baud, heard))

    def _deliver(self, now: float) -> None:
        while self._releases and self._releases[0].time_s <= now:
            # A host that does not read loses what does not fit, as with a real adapter.
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, self._releases.popleft().data)

    def _exchange(self, now: float) -> None:
        """Sensors to registers, and registers to motors."""
        self._sense(now)
        self._drive(now)

    def _sense(self, now: float) -> None:
        """Sensors to registers, and what the motors make of them."""
        sensed = self._plant.sense(now)
        for motor, angle, velocity, current in zip(self.motors.values(), *(s.tolist() for s in sensed), strict=False):
            motor.sense(angle + OFFSET, velocity, current, now)
        self._watch(now)

    def _watch(self, now: float) -> None:
        for motor in self.motors.values():
            motor.watch(now)

    def _drive(self, now: float) -> None:
        motors = list(self.motors.values())
        goals, torque = np.array([m.goal - OFFSET for m in motors]), np.array([m.torque for m in motors])
        limits = np.array([m.current_limit for m in motors])
        self._plant.drive(self._padded(goals), self._padded(torque), self._padded(limits), now)

    def _padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values for every joint: one whose motor is not on the bus is without torque."""
        return np.concatenate([values, np.zeros(self._joints - len(values), dtype=values.dtype)])

    def _answer_control(self) -> None:
        client, *rest = self._socket.recv_multipart()
        try:
            request = decode(rest[0]) if len(rest) == 1 else {}
        except ValueError:
            return
        reply: dict[str, Any] = {"id": request.get("id"), "ok": True}
        try:
            reply["result"] = self._do(request)
        except DexTrackError as error:
            reply |= {"ok": False, "error": {"what": error.what, "remedy": error.remedy}}
        except (KeyError, TypeError, ValueError) as error:
            reply |= {"ok": False, "error": {"what": "an argument is missing or wrong (%s)." % error, "remedy": "see dextrack_deploy.twin.dynamixel.peer."}}
        self._socket.send_multipart([client, encode(reply)], zmq.NOBLOCK)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        do, arguments = request.get("do"), {k: v for k, v in request.items() if k not in ("id", "do")}
        if do == "hello":
            return {"pty": self.pty, "pid": os.getpid(), "motors": list(self.motors)}
        if do == "state":
            self._sense(time.monotonic())
            registers = {str(n): {name: motor.get(name) for name in BY_NAME} for n, motor in self.motors.items()}
            return {"motors": registers, "counts": dict(self._counts)}
        if do == "fault":
            self.faults.begin(from_dict(arguments), time.monotonic())
        elif do == "clear":
            self.faults.clear()
        elif do == "renew":
            self.faults.clear()
            for motor in self.motors.values():
                motor.reset(time.monotonic(), boot_s=0.0)
        elif do == "push":
            if not isinstance(self._plant, Lags):
                raise InputError("push: the twin's physics move these joints.", remedy="start a peer with --alone.")
            self._plant.position[int(arguments["motor"])] = float(arguments["angle"])
        else:
            raise InputError("request %r is not known." % (do,), remedy="choose one of: hello, state, fault, clear, renew, push.")
        # What has happened is in the registers when the answer is.
        self._exchange(time.monotonic())
        return {}
