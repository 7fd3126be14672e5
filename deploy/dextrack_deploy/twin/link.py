"""The link to the twin: one msgpack map per request and one per reply, over ZeroMQ on loopback.

Request: ``v`` (protocol version), ``id`` (chosen by the client, returned with the reply), ``session`` (from ``hello``; empty in ``hello``
itself), ``do`` (what is asked) and its arguments. Reply: ``id``, ``ok``, and ``result`` or ``error`` with ``kind``, ``what`` and ``remedy``.

======== =============================== =====================================================================================
do       arguments                       result
======== =============================== =====================================================================================
hello                                    protocol, version, session, cell, hand, hand_joints, arm_joints, object, mismatch, ...
hand.read                                stamp, position, velocity, current
hand.write targets (16), stamp           stamp (arrival)
hand.power power (full, soft, off)       stamp
arm.read                                 stamp, q, dq
arm.write q (7), stamp                   stamp (arrival)
arm.stop                                 stamp
camera.read                              empty before the first sample; else number, stamp, position, quaternion
truth.read                               stamp, time_s, position, quaternion, qpos, hand_contacts, table_contacts
reset    position, quaternion, arm, hand moved_m, turned_rad, still (an argument left out or None: as at the last reset)
status                                   time_s, lateness, ages of commands, settled, mismatch
======== =============================== =====================================================================================

Stamps are integer nanoseconds since the epoch. Quaternions are wxyz. A session ends with the server: a client of an earlier one is refused,
so that a command never reaches a twin that was restarted in between.
"""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from dextrack.errors import DriverError, InputError, RefusedError, SimulationError

PROTOCOL = "dextrack-twin"
VERSION = 1
LARGEST_MESSAGE = 1 << 16
"""Bytes; a longer message is dropped unread."""
TIMEOUT_S = 0.25
"""A request without an answer for this long has failed. Three camera periods: longer than any stall that a running cell survives."""
SLOW_TIMEOUT_S = 10.0
"""The same for ``hello`` and ``reset``, which may wait for a busy machine and for the object to settle."""

_ERRORS = {"InputError": InputError, "RefusedError": RefusedError, "SimulationError": SimulationError, "DriverError": DriverError}


def encode(message: dict[str, Any]) -> bytes:
    """Pack a message of plain values."""
    return bytes(msgpack.packb(message))


def decode(raw: bytes) -> dict[str, Any]:
    """Unpack a message.

    Raises:
        ValueError: these bytes are not one msgpack map with text keys.
    """
    try:
        message = msgpack.unpackb(raw, strict_map_key=True)
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        raise ValueError("not a msgpack message: %s" % error) from None
    if not isinstance(message, dict):
        raise ValueError("not a map")
    return message


class TwinClient:
    """A client of the twin. For one thread; every call answers, or raises within its timeout."""

    def __init__(self, endpoint: str, timeout_s: float = TIMEOUT_S, connect_timeout_s: float = SLOW_TIMEOUT_S) -> None:
        """Connect to ``endpoint`` (``tcp://127.0.0.1:PORT``) and shake hands.

        Raises:
            DriverError: nobody answers there, or not in this version of the protocol.
        """
        self.endpoint = endpoint
        self._timeout = timeout_s
        self._id = 0
        self._session = ""
        self._lost = False
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.maxmsgsize = LARGEST_MESSAGE
        # Nothing is queued for a server that is not there: it would be delivered, stale, to the next one.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller = zmq.Poller()
        self._awaited: int = zmq.POLLIN
        self._poller.register(self._socket, self._awaited)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(endpoint)
            self.hello = self._greet(connect_timeout_s)
        except zmq.ZMQError as error:
            self.close()
            raise DriverError("twin: %r is no endpoint (%s)." % (endpoint, error), remedy="give tcp://127.0.0.1:PORT, as the twin printed it.") from None
        except BaseException:
            self.close()
            raise

    def call(self, do: str, timeout_s: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Ask the twin to ``do`` something and return its result.

        Raises:
            DriverError: no answer in time, or the connection is lost.
            InputError, RefusedError, SimulationError: the twin refused, with its words.
        """
        self._id += 1
        deadline = time.monotonic() + (self._timeout if timeout_s is None else timeout_s)
        self._send(encode({"v": VERSION, "id": self._id, "session": self._session, "do": do, **arguments}), do, deadline)
        while True:
            reply = self._receive(do, deadline)
            # Answers to requests that were given up may still come in.
            if reply.get("id") == self._id:
                break
        if reply.get("ok"):
            return dict(reply["result"])
        error = reply["error"]
        raise _ERRORS.get(error["kind"], DriverError)(str(error["what"]), remedy=str(error["remedy"]))

    def close(self) -> None:
        """Drop the connection; closing twice is allowed."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)
            self._context.term()

    def __enter__(self) -> TwinClient:
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _greet(self, timeout_s: float) -> dict[str, Any]:
        hello = self.call("hello", timeout_s)
        if hello.get("protocol") != PROTOCOL or hello.get("version") != VERSION:
            raise DriverError(
                "twin at %s: it speaks %s version %s, not %s version %d." % (self.endpoint, hello.get("protocol"), hello.get("version"), PROTOCOL, VERSION),
                remedy="run twin and drivers from the same version of DexTrack.",
            )
        self._session = str(hello["session"])
        return hello

    def _send(self, raw: bytes, do: str, deadline: float) -> None:
        while True:
            try:
                self._socket.send(raw, zmq.NOBLOCK)
                return
            except zmq.Again:
                self._wait(do, deadline, zmq.POLLOUT)

    def _receive(self, do: str, deadline: float) -> dict[str, Any]:
        while True:
            # An answer is never there at once: to try first would only cost an exception.
            self._wait(do, deadline, zmq.POLLIN)
            try:
                return decode(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                continue
            except ValueError as error:
                raise DriverError("twin at %s: its answer to %s is %s." % (self.endpoint, do, error), remedy="check that a twin listens there.") from None

    def _wait(self, do: str, deadline: float, event: int) -> None:
        """Wait until the socket is ready for ``event``; raise when the connection breaks or time is up."""
        left = deadline - time.monotonic()
        if event != self._awaited:
            self._poller.modify(self._socket, event)
            self._awaited = event
        ready = self._poller.poll(max(0, math.ceil(left * 1e3)))
        if any(socket is self._monitor for socket, _ in ready):
            recv_monitor_message(self._monitor, zmq.NOBLOCK)
            self._lost = True
            raise DriverError("twin at %s: the connection was lost during %s: its process ended." % (self.endpoint, do), remedy="start the twin again.")
        if not ready and left <= 0.0:
            cause = "the connection was lost" if self._lost else "nobody listens there, or the process hangs"
            raise DriverError("twin at %s: no answer to %s in time: %s." % (self.endpoint, do, cause), remedy="check that the twin runs; start it again.")
