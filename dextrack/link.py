"""Requests between processes: one msgpack map per request and one per reply, over ZeroMQ.

Request: ``v`` (version of the protocol), ``id`` (chosen by the client, returned with the reply), ``session`` (from ``hello``; empty in
``hello`` itself), ``do`` (what is asked) and its arguments. Reply: ``id``, ``ok``, and ``result`` or ``error`` with ``kind``, ``what`` and
``remedy``: an exception of ours crosses the link with its words.

A session ends with the server: a client of an earlier one is refused, so that a request never reaches a server that was restarted in between.

An answer is only sure to be read while its sender lives: ZeroMQ drops what lies unread from a peer that is gone. So a server that ends by itself
does that on a request whose answer its client can do without.
"""

from __future__ import annotations

import dataclasses
import math
import time
from types import TracebackType
from typing import Any, Callable, Dict, Mapping, Optional, Type, TypeVar

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from dextrack.errors import DexTrackError, DriverError, InputError, RefusedError, SimulationError

_ERRORS = {"InputError": InputError, "RefusedError": RefusedError, "SimulationError": SimulationError, "DriverError": DriverError}
_Self = TypeVar("_Self", bound="LinkClient")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Who speaks on a link."""

    name: str
    """Of the protocol, as ``hello`` returns it."""
    version: int
    """What both sides must have in common."""
    peer: str
    """What the server is called in messages."""
    largest_message: int
    """Bytes; a longer message is dropped unread."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Keys of an encrypted link (CURVE), in Z85."""

    server_public: bytes
    """Whom the client means to talk to."""
    public: bytes
    """The client's own."""
    secret: bytes
    """The client's own."""


def encode(message: Dict[str, Any]) -> bytes:
    """Pack a message of plain values."""
    return bytes(msgpack.packb(message))


def decode(raw: bytes) -> Dict[str, Any]:
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


Answers = Mapping[str, Callable[[Dict[str, Any]], Dict[str, Any]]]


def reply(request: Dict[str, Any], protocol: Protocol, session: str, answers: Answers) -> Dict[str, Any]:
    """The reply of a server of ``session`` to one request: what its entry of ``answers`` returns, or why not. Whatever it holds, the server goes on."""
    do = request.get("do")
    try:
        if request.get("v") != protocol.version:
            what = "%s: it speaks version %d of %s, and the request is of version %r." % (protocol.peer, protocol.version, protocol.name, request.get("v"))
            raise RefusedError(what, remedy="run the same version of DexTrack on both sides.")
        if not isinstance(do, str) or do not in answers:
            raise InputError("request: %r is not known." % (do,), remedy="choose one of: %s." % ", ".join(answers))
        if do != "hello" and request.get("session") != session:
            raise RefusedError("request %s: it belongs to another session." % do, remedy="the %s was started again: connect again." % protocol.peer)
        return {"id": request.get("id"), "ok": True, "result": answers[do](request)}
    except DexTrackError as error:
        kind, what, remedy = type(error).__name__, error.what, error.remedy
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        kind, remedy = "InputError", "run one version of DexTrack on both sides."
        what = "request %r: an argument is missing or wrong (%s)." % (do, error)
    return {"id": request.get("id"), "ok": False, "error": {"kind": kind, "what": what, "remedy": remedy}}


class LinkClient:
    """A client of a server. For one thread; every call answers, or raises within its timeout."""

    def __init__(self, protocol: Protocol, endpoint: str, timeout_s: float, connect_timeout_s: float, curve: Optional[Curve] = None) -> None:
        """Connect to ``endpoint`` (``tcp://127.0.0.1:PORT``) and shake hands.

        Args:
            protocol: what both sides speak.
            endpoint: where the server listens.
            timeout_s: a request without an answer for this long has failed.
            connect_timeout_s: the same for ``hello``.
            curve: keys, where the server asks for them.

        Raises:
            DriverError: nobody answers there, or not in this version of the protocol.
        """
        self.protocol, self.endpoint = protocol, endpoint
        self._timeout = timeout_s
        self._id = 0
        self._session = ""
        self._lost = False
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.maxmsgsize = protocol.largest_message
        # Nothing is queued for a server that is not there: it would be delivered, stale, to the next one. The price: what a server that is gone
        # answered is dropped unread.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if curve is not None:
            self._socket.curve_serverkey, self._socket.curve_publickey, self._socket.curve_secretkey = curve.server_public, curve.public, curve.secret
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
            remedy = "give tcp://HOST:PORT, as the %s printed it." % protocol.peer
            raise DriverError("%s: %r is no endpoint (%s)." % (protocol.peer, endpoint, error), remedy=remedy) from None
        except BaseException:
            self.close()
            raise

    def call(self, do: str, timeout_s: Optional[float] = None, **arguments: Any) -> Dict[str, Any]:
        """Ask the server to ``do`` something and return its result.

        Raises:
            DriverError: no answer in time, or the connection is lost.
            InputError: the arguments are longer than a message may be; nothing was sent.
            InputError, RefusedError, SimulationError: the server refused, with its words.
        """
        self._id += 1
        raw = encode({"v": self.protocol.version, "id": self._id, "session": self._session, "do": do, **arguments})
        if len(raw) > self.protocol.largest_message:
            what = "request %s: %d bytes, and the %s reads %d at most." % (do, len(raw), self.protocol.peer, self.protocol.largest_message)
            raise InputError(what, remedy="send less at once, such as fewer worlds or simpler meshes.")
        deadline = time.monotonic() + (self._timeout if timeout_s is None else timeout_s)
        self._send(raw, do, deadline)
        while True:
            answer = self._receive(do, deadline)
            # Answers to requests that were given up may still come in.
            if answer.get("id") == self._id:
                break
        if answer.get("ok"):
            return dict(answer["result"])
        error = answer["error"]
        raise _ERRORS.get(error["kind"], DriverError)(str(error["what"]), remedy=str(error["remedy"]))

    def close(self) -> None:
        """Drop the connection; closing twice is allowed."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)
            self._context.term()

    def __enter__(self: _Self) -> _Self:
        """Return the client itself."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Close."""
        self.close()

    def _greet(self, timeout_s: float) -> Dict[str, Any]:
        hello = self.call("hello", timeout_s)
        name, version = hello.get("protocol"), hello.get("version")
        if name != self.protocol.name or version != self.protocol.version:
            what = "it speaks %s version %s, not %s version %d." % (name, version, self.protocol.name, self.protocol.version)
            raise DriverError("%s %s" % (self._who, what), remedy="run both sides from the same version of DexTrack.")
        self._session = str(hello["session"])
        return hello

    def _send(self, raw: bytes, do: str, deadline: float) -> None:
        while True:
            try:
                self._socket.send(raw, zmq.NOBLOCK)
                return
            except zmq.Again:
                self._wait(do, deadline, zmq.POLLOUT)

    def _receive(self, do: str, deadline: float) -> Dict[str, Any]:
        while True:
            # An answer is never there at once: to try first would only cost an exception.
            self._wait(do, deadline, zmq.POLLIN)
            try:
                return decode(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                continue
            except ValueError as error:
                remedy = "check that a %s listens there." % self.protocol.peer
                raise DriverError("%s its answer to %s is %s." % (self._who, do, error), remedy=remedy) from None

    def _wait(self, do: str, deadline: float, event: int) -> None:
        """Wait until the socket is ready for ``event``; raise when the connection breaks or time is up."""
        left = deadline - time.monotonic()
        if event != self._awaited:
            self._poller.modify(self._socket, event)
            self._awaited = event
        ready = self._poller.poll(max(0, math.ceil(left * 1e3)))
        # An answer that is here counts, whoever has left since.
        if not any(socket is self._socket for socket, _ in ready) and ready:
            recv_monitor_message(self._monitor, zmq.NOBLOCK)
            self._lost = True
            cause, remedy = "its process ended", "start the %s again." % self.protocol.peer
            if do == "hello":
                # Who asks for keys drops whoever has none of its own, and who is no server of ours whoever speaks ZeroMQ: without a word.
                cause = "it ended, is no %s, or refuses this client's keys" % self.protocol.peer
                remedy = "compare the address with the one that the server printed, and give keys to both sides, made together, or to none."
            raise DriverError("%s the connection was lost during %s: %s." % (self._who, do, cause), remedy=remedy)
        if not ready and left <= 0.0:
            cause, remedy = "it is busy for longer, or hangs", "allow it more time, or start the %s again." % self.protocol.peer
            if self._lost:
                cause = "the connection was lost"
            elif do == "hello":
                cause, remedy = "nobody listens there, or the process hangs", "check that the %s runs, and that it printed this address." % self.protocol.peer
            raise DriverError("%s no answer to %s in time: %s." % (self._who, do, cause), remedy=remedy)

    @property
    def _who(self) -> str:
        return "%s at %s:" % (self.protocol.peer, self.endpoint)
