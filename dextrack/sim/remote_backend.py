"""The remote backend: worlds that another process steps (``dextrack sim serve``), over ZeroMQ.

Where the server does not answer in time, or is gone, calls raise ``DriverError`` until ``reset`` of all worlds: it connects again, opens the worlds
anew and puts them where the caller says. Nothing else would be a known state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np

from dextrack.errors import DexTrackError, DriverError, InputError, RefusedError
from dextrack.hands.spec import HandSpec
from dextrack.link import LinkClient
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Floats, Ints, WorldState
from dextrack.sim.physics import Physics
from dextrack.sim.remote.keys import client_keys
from dextrack.sim.remote.protocol import PROTOCOL, hand_facts, pack, pack_object, unpack

CONNECT_S = 5.0
"""How long a server may take to shake hands."""
AGAIN_S = 0.2
"""Between two looks for a server that starts itself again."""


class RemoteBackend:
    """Backend over a server. See ``dextrack.sim.backend.Backend`` for the contract."""

    def __init__(
        self,
        hand: HandSpec,
        base_quaternion_w: Floats,
        obj: Optional[ObjectSpec],
        physics: Physics,
        n_worlds: int,
        table: bool,
        address: str,
        keys: Optional[Path],
        deadline_s: float,
        open_s: float,
    ) -> None:
        """Connect and open the worlds; see ``make_remote``."""
        self.n_worlds, self.joint_names, self.period = n_worlds, hand.joint_names, physics.period
        self._address, self._deadline, self._open_s = address, deadline_s, open_s
        self._curve = None if keys is None else client_keys(keys)
        self._order: Dict[str, Any] = {
            # Chosen once: a client that comes back to a server that still holds its worlds is let in at once.
            "client": uuid.uuid4().hex,
            "hand": hand_facts(hand),
            "base_quaternion": pack(np.asarray(base_quaternion_w, dtype="<f8")),
            "object": pack_object(obj),
            "physics": dataclasses.asdict(physics),
            "n_worlds": n_worlds,
            "table": table,
        }
        self._link: Optional[LinkClient] = None
        self._worlds = ""
        self._known: Dict[str, Any] = {}
        self._connect()

    def reset(
        self,
        hand: Floats,
        object_position_w: Optional[Floats] = None,
        object_quaternion_w: Optional[Floats] = None,
        worlds: Optional[Ints] = None,
        hand_velocity: Optional[Floats] = None,
        targets: Optional[Floats] = None,
        object_velocity_w: Optional[Floats] = None,
    ) -> None:
        """See ``Backend.reset``; of all worlds, it also connects again where the server was lost."""
        if self._link is None and worlds is None:
            self._connect()
        given = {
            "hand": hand,
            "object_position_w": object_position_w,
            "object_quaternion_w": object_quaternion_w,
            "hand_velocity": hand_velocity,
            "targets": targets,
            "object_velocity_w": object_velocity_w,
        }
        arrays = {name: pack(np.asarray(array, dtype="<f8")) for name, array in given.items() if array is not None}
        if worlds is not None:
            arrays["worlds"] = pack(np.asarray(worlds, dtype="<i8"))
        self._known = self._call("reset", arrays=arrays)

    def step(self, targets: Floats) -> None:
        """See ``Backend.step``."""
        self._known = self._call("step", targets=pack(np.asarray(targets, dtype="<f8")))

    def state(self) -> WorldState:
        """See ``Backend.state``: what came with the answer to the last reset or step."""
        if not self._known:
            self._known = self._call("state")
        return WorldState(**{field.name: unpack(self._known[field.name], field.name) for field in dataclasses.fields(WorldState)})

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """See ``Backend.vary``; it takes as long as opening, because an engine may compile again."""
        scales = {"friction_scale": pack(np.asarray(friction_scale, dtype="<f8")), "mass_scale": pack(np.asarray(mass_scale, dtype="<f8"))}
        self._call("vary", self._open_s, **scales)

    def bad_worlds(self) -> Ints:
        """See ``Backend.bad_worlds``."""
        if not self._known:
            self._known = self._call("state")
        return np.asarray(unpack(self._known["bad_worlds"], "bad_worlds"), dtype=np.intp)

    def close(self) -> None:
        """See ``Backend.close``: the server frees the worlds, and serves the next."""
        if self._link is not None:
            try:
                self._link.call("close", worlds=self._worlds)
            except DexTrackError:
                pass  # gone already, or given to another: there is nothing to free
            self._drop()

    def _connect(self) -> None:
        """Open the worlds; a server that makes none any more in its process is asked to start itself again, and awaited."""
        deadline = time.monotonic() + self._open_s
        link = self._greet()
        try:
            opened = link.call("open", self._open_s, **self._order)
            while opened.get("again"):
                with contextlib.suppress(DriverError):
                    link.call("again", CONNECT_S)  # the answer may be lost with its sender: the next session tells
                link.close()
                link = self._greet_next(str(link.hello["session"]), deadline)
                opened = link.call("open", self._open_s, **self._order)
            made = tuple(opened["joint_names"]), opened["period"], opened["n_worlds"]
            if made != (self.joint_names, self.period, self.n_worlds):
                what = "%s at %s: it opened other worlds than were asked for: %s joints, period %r s, %r worlds."
                raise DriverError(what % (PROTOCOL.peer, self._address, len(made[0]), made[1], made[2]), remedy="check its backend with `dextrack sim check`.")
        except BaseException:
            link.close()
            raise
        self._link, self._worlds, self._known = link, str(opened["worlds"]), {}

    def _greet(self) -> LinkClient:
        return LinkClient(PROTOCOL, self._address, self._deadline, CONNECT_S, self._curve)

    def _greet_next(self, session: str, deadline: float) -> LinkClient:
        """Connect to the server when it is no longer that of ``session``."""
        while time.monotonic() < deadline:
            # The next process imports its engine before it listens.
            time.sleep(AGAIN_S)
            with contextlib.suppress(DriverError):
                link = self._greet()
                if link.hello["session"] != session:
                    return link
                link.close()
        what = "%s at %s: it started itself again for other worlds, and did not come back in %g s." % (PROTOCOL.peer, self._address, self._open_s)
        raise DriverError(what, remedy="read what it printed; start it again.")

    def _call(self, do: str, timeout_s: Optional[float] = None, **arguments: Any) -> Dict[str, Any]:
        if self._link is None:
            raise DriverError("simulator server at %s: it was lost." % self._address, remedy="reset all worlds: that connects again.")
        try:
            return self._link.call(do, timeout_s, worlds=self._worlds, **arguments)
        except (DriverError, RefusedError):
            # Late, gone, restarted, or the worlds are another's: what state they are in is not known.
            self._drop()
            raise

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link, self._known = None, {}


def make_remote(
    hand: HandSpec,
    base_quaternion_w: Floats,
    obj: Optional[ObjectSpec] = None,
    physics: Optional[Physics] = None,
    n_worlds: int = 1,
    table: bool = True,
    address: str = "",
    keys: Optional[Path] = None,
    deadline_s: float = 1.0,
    open_s: float = 300.0,
) -> RemoteBackend:
    """The ``remote`` entry of the registry.

    Args:
        hand: the robot hand; the server must know the same.
        base_quaternion_w: (4,) wxyz.
        obj: the object, or None.
        physics: settings.
        n_worlds: worlds to open.
        table: whether there is a table.
        address: where the server listens, as it printed it: ``tcp://127.0.0.1:PORT``.
        keys: folder of ``make_keys``, where the server asks for keys.
        deadline_s: a step without an answer for this long has failed.
        open_s: the same for opening the worlds: an engine may have kernels to compile, and is stepped once so that none is left for later.

    Raises:
        InputError: no address, or no keys in ``keys``.
        DriverError: nobody answers there.
        RefusedError: the server knows another hand, or serves another client.
    """
    if not address:
        raise InputError("backend remote: it has no address.", remedy="start `dextrack sim serve`, and give the address that it prints.")
    return RemoteBackend(hand, base_quaternion_w, obj, physics or Physics(), n_worlds, table, address, keys, deadline_s, open_s)
