"""PeerProcess: a bus peer in a process of its own, which ends with its owner; and PeerClient, which makes its faults happen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import zmq

from dextrack.errors import DriverError, RefusedError
from dextrack.link import decode, encode
from dextrack_deploy.twin.dynamixel.faults import Fault, as_dict
from dextrack_deploy.twin.process import Announced

TIMEOUT_S = 2.0
"""A control request without an answer for this long has failed, s."""


class PeerClient:
    """Makes faults happen in a running peer. For one thread."""

    def __init__(self, endpoint: str) -> None:
        """Talk to the peer whose control socket is ``endpoint``."""
        self._endpoint = endpoint
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(endpoint)
        self._id = 0

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask the peer to ``do`` something.

        Raises:
            DriverError: no answer in time.
            RefusedError: the peer refused, with its words.
        """
        self._id += 1
        self._socket.send(encode({"id": self._id, "do": do, **arguments}))
        while self._socket.poll(round(1e3 * TIMEOUT_S)):
            reply = decode(self._socket.recv())
            if reply.get("id") != self._id:
                continue
            if reply["ok"]:
                return dict(reply["result"])
            raise RefusedError(str(reply["error"]["what"]), remedy=str(reply["error"]["remedy"]))
        raise DriverError("bus peer at %s: no answer to %s." % (self._endpoint, do), remedy="check that it runs; start it again.")

    def begin(self, fault: Fault) -> None:
        """Let ``fault`` happen; raises as ``call``."""
        self.call("fault", **as_dict(fault))

    def clear(self) -> None:
        """End what is wrong; see ``Faults.clear``."""
        self.call("clear")

    def register(self, motor: int, name: str) -> int:
        """Value of a register, read from behind the bus."""
        return int(self.call("state")["motors"][str(motor)][name])

    def close(self) -> None:
        """Disconnect; closing twice is allowed."""
        if not self._context.closed:
            self._socket.close(linger=0)
            self._context.term()


class PeerProcess(Announced):
    """A bus peer in a process of its own: ``python -m dextrack_deploy.twin.dynamixel``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start a peer; ``arguments`` are its command line, for example ``["--alone"]``.

        Raises:
            DriverError: it did not start, with what it said.
        """
        super().__init__("bus peer", ["dextrack_deploy.twin.dynamixel", "--parent", str(os.getpid()), *arguments])
        self.pty: str = self.announcement["pty"]
        """The device that a driver opens."""
        self.client = PeerClient(self.announcement["control"])
        """Its control."""

    def close(self) -> None:
        """End the peer; closing twice is allowed."""
        if hasattr(self, "client"):
            self.client.close()
        super().close()

    def __enter__(self) -> PeerProcess:
        """Return the process itself."""
        return self
