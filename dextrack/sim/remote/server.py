"""A server of one backend. It serves one client at a time; a client that fell silent may be followed by another.

It binds to this machine alone, or elsewhere with keys. One thread does everything: a request sees the worlds between two steps.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
import traceback
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

import numpy as np
import zmq
import zmq.auth.thread

from dextrack.errors import DexTrackError, DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.link import decode, encode, reply
from dextrack.sim.backend import Backend, WorldState, make_backend, warm
from dextrack.sim.physics import Physics
from dextrack.sim.remote.keys import CLIENTS, on_this_machine, server_keys
from dextrack.sim.remote.protocol import MOST_WORLDS, PROTOCOL, differences, hand_facts, pack, unpack, unpack_object, with_motors

ONCE = ("isaacgym",)
"""Backends that a process can make once."""
SILENT_S = 5.0
"""A client that asked for nothing for this long may be followed by another."""
RESET_ARRAYS = ("hand", "object_position_w", "object_quaternion_w", "worlds", "hand_velocity", "targets", "object_velocity_w")
STATE_ARRAYS = tuple(WorldState.__dataclass_fields__)


class SimServer:
    """Serves the backend ``name`` to one client at a time."""

    def __init__(self, name: str, endpoint: str = "tcp://127.0.0.1:0", keys: Optional[Path] = None, **options: object) -> None:
        """Listen at ``endpoint``; ``run`` begins.

        Args:
            name: a registered backend.
            endpoint: ``tcp://HOST:PORT`` (port 0: a free one) or ``ipc://PATH``.
            keys: folder of ``make_keys``: then every client must have them.
            **options: for ``make_backend``, beside what the client says.

        Raises:
            RefusedError: others could reach ``endpoint`` and there are no keys; or it is taken.
            InputError: no such endpoint, backend or keys.
        """
        if not on_this_machine(endpoint) and keys is None:
            raise RefusedError(
                "%s: other machines could reach a server there." % endpoint, remedy="give --keys FOLDER (`dextrack sim keys` makes them), or bind 127.0.0.1."
            )
        self._name, self._options = name, options
        self._session = uuid.uuid4().hex
        self._backend: Optional[Backend] = None
        self._spent = False
        """This process makes no worlds any more: it made those that a process can make once, or its engine failed."""
        self.again = False
        """``run`` ended because a new process has to go on."""
        self._worlds, self._client, self._heard = "", "", 0.0
        self._answers: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
            "hello": self._hello,
            "open": self._open,
            "again": self._start_again,
            "reset": self._reset,
            "step": self._step,
            "state": self._state,
            "vary": self._vary,
            "close": self._close_worlds,
        }
        self._context = zmq.Context()
        self._authenticator: Optional[zmq.auth.thread.ThreadAuthenticator] = None
        self._socket = self._context.socket(zmq.ROUTER)
        # The last answer may still leave; the client that misses it goes on all the same.
        self._socket.linger = 500
        self._socket.maxmsgsize = PROTOCOL.largest_message
        try:
            if keys is not None:
                self._require(keys)
            self._socket.bind(endpoint[:-2] + ":*" if endpoint.endswith(":0") else endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise RefusedError("%s: it cannot be opened (%s)." % (endpoint, error), remedy="stop what uses it, or give port 0.") from None
        except BaseException:
            self.close()
            raise
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where it listens, for example ``tcp://127.0.0.1:40123``."""

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Answer requests until ``should_stop()``, which is asked ten times a second, or until a new process has to go on (``again``)."""
        while not (self.again or should_stop()):
            if not self._socket.poll(100):
                continue
            client, *rest = self._socket.recv_multipart()
            if len(rest) != 1:
                continue
            try:
                request = decode(rest[0])
            except ValueError:
                # No client of ours: there is no id to answer to.
                continue
            self._socket.send_multipart([client, encode(reply(request, PROTOCOL, self._session, self._answers))], zmq.NOBLOCK)

    def close(self) -> None:
        """Free the worlds and stop listening; closing twice is allowed."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None
        if not self._context.closed:
            if self._authenticator is not None:
                self._authenticator.stop()
            self._socket.close()
            self._context.term()

    def _require(self, keys: Path) -> None:
        self._socket.curve_publickey, self._socket.curve_secretkey = server_keys(keys)
        self._socket.curve_server = True
        self._authenticator = zmq.auth.thread.ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve(domain="*", location=str(keys / CLIENTS))

    @contextlib.contextmanager
    def _engine(self, doing: str) -> Iterator[None]:
        """What the engine raises is told to the client, and ends the worlds instead of the server; what a request has wrong goes on as it is."""
        try:
            yield
        except (DexTrackError, KeyError, TypeError, ValueError, OverflowError):
            raise
        except Exception as error:  # engines raise whatever they like
            traceback.print_exc()
            self._spent = True
            self._drop_worlds()
            if isinstance(error, ImportError):
                what = "backend %s: its engine is not installed where the server runs (%s)." % (self._name, error)
                raise InputError(what, remedy="install it there, or serve another backend.") from None
            what = "backend %s: %s failed in the server (%s: %s)." % (self._name, doing, type(error).__name__, error)
            raise DriverError(what, remedy="read what the server printed; to reset all worlds starts it again and opens them anew.") from None

    def _drop_worlds(self) -> None:
        backend, self._backend = self._backend, None
        try:
            if backend is not None:
                backend.close()
        except Exception:  # one that failed may be unable to end; its process will
            traceback.print_exc()

    def _hello(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return {
            "protocol": PROTOCOL.name,
            "version": PROTOCOL.version,
            "session": self._session,
            "backend": self._name,
            "python": platform.python_version(),
            "pid": os.getpid(),
        }

    def _open(self, request: Dict[str, Any]) -> Dict[str, Any]:
        client, silent = str(request["client"]), time.monotonic() - self._heard
        if self._backend is not None and client != self._client and silent < SILENT_S:
            raise RefusedError("simulator server: it serves another client, heard %.1f s ago." % silent, remedy="end that one, or start a second server.")
        hand = with_motors(load_hand(str(request["hand"]["name"])), request["hand"])
        different = differences(hand_facts(hand), request["hand"])
        if different:
            more = "; and %d more" % (len(different) - 4) if len(different) > 4 else ""
            what = "hand %s: server (here) and client (there) differ: %s%s." % (hand.name, "; ".join(different[:4]), more)
            raise RefusedError(what, remedy="run the same version of DexTrack on both sides.")
        n_worlds = int(request["n_worlds"])
        if not 0 < n_worlds <= MOST_WORLDS:
            raise InputError("n_worlds: %d is not in [1, %d]." % (n_worlds, MOST_WORLDS), remedy="ask for fewer worlds.")
        self._drop_worlds()
        if self._spent:
            return {"again": True}
        self._spent = self._name in ONCE
        base, obj = unpack(request["base_quaternion"], "base_quaternion"), unpack_object(request["object"])
        options = {"physics": Physics(**request["physics"]), "n_worlds": n_worlds, "table": bool(request["table"])}
        self._worlds = uuid.uuid4().hex
        with self._engine("open"):
            self._backend = make_backend(self._name, hand, base, obj, **options, **self._options)
            warm(self._backend, hand, obj is not None)
        self._client, self._heard = client, time.monotonic()
        return {"worlds": self._worlds, "joint_names": list(self._backend.joint_names), "period": self._backend.period, "n_worlds": self._backend.n_worlds}

    def _start_again(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if self._backend is not None or not self._spent:
            raise RefusedError("simulator server: it serves another client, or has no need to start again.", remedy="open worlds first: the answer tells.")
        self.again = True
        return {}

    def _of(self, request: Dict[str, Any]) -> Backend:
        """The client's worlds."""
        if self._backend is None or request["worlds"] != self._worlds:
            raise RefusedError("simulator server: these worlds are closed, or were given to another client.", remedy="reset: that opens them again.")
        self._heard = time.monotonic()
        return self._backend

    def _reset(self, request: Dict[str, Any]) -> Dict[str, Any]:
        backend = self._of(request)
        given = {name: unpack(request["arrays"][name], name) for name in RESET_ARRAYS if name in request["arrays"]}
        n = len(given["worlds"]) if "worlds" in given else backend.n_worlds
        for name, array in given.items():
            if len(array) != n or (name == "worlds" and n and not 0 <= array.min() <= array.max() < backend.n_worlds):
                raise InputError("reset: %s does not fit %d of %d worlds." % (name, n, backend.n_worlds), remedy="give one row per world that is reset.")
        with self._engine("reset"):
            backend.reset(**given)
            return _state_of(backend)

    def _step(self, request: Dict[str, Any]) -> Dict[str, Any]:
        backend, targets = self._of(request), unpack(request["targets"], "targets")
        shape = (backend.n_worlds, len(backend.joint_names))
        if targets.shape != shape:
            raise InputError("step: targets of shape %s, not %s." % (targets.shape, shape), remedy="give every world a target.")
        with self._engine("step"):
            backend.step(targets)
            return _state_of(backend)

    def _state(self, request: Dict[str, Any]) -> Dict[str, Any]:
        backend = self._of(request)
        with self._engine("state"):
            return _state_of(backend)

    def _vary(self, request: Dict[str, Any]) -> Dict[str, Any]:
        backend, scales = self._of(request), [unpack(request[name], name) for name in ("friction_scale", "mass_scale")]
        with self._engine("vary"):
            backend.vary(*scales)
        return {}

    def _close_worlds(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._of(request)
        self._drop_worlds()
        return {}


def _state_of(backend: Backend) -> Dict[str, Any]:
    state = backend.state()
    packed: Dict[str, Any] = {name: pack(np.asarray(getattr(state, name), dtype="<f8")) for name in STATE_ARRAYS}
    packed["bad_worlds"] = pack(np.asarray(backend.bad_worlds(), dtype="<i8"))
    return packed
