"""What the motors move: the fingers of the twin, or first-order lags that need no physics."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import DexTrackError
from dextrack_deploy.drivers.protocols import Array
from dextrack_deploy.drivers.twin import TwinHand

NO_LOAD_SPEED = 81.0 * 2.0 * math.pi / 60.0
"""Speed of an XC330-M288-T at 5 V without load, rad/s."""
TORQUE_PER_AMPERE = 0.52
"""N m/A: 0.93 N m at 1.80 A."""
FULL_A = 0.5
"""Current limit at which the twin's fingers have their full effort."""


class Plant(Protocol):
    """Sixteen joints with position-controlled motors. Arrays are (n,), in the order of the motors."""

    def refresh(self) -> None:
        """A host is about to read: take a sample now, where that does not keep it waiting."""
        ...

    def sense(self, now: float) -> tuple[Array, Array, Array]:
        """Joint positions, rad, velocities, rad/s, and currents, A, at ``now``, s."""
        ...

    def drive(self, targets: Array, torque: NDArray[np.bool_], limit: Array, now: float) -> None:
        """From now on follow ``targets``, rad, where ``torque`` is on, with at most ``limit`` A."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Lags:
    """Every joint approaches its target with a time constant, no faster than a motor turns; without torque it stays."""

    LAG_S = 0.05
    STIFFNESS = 5.0
    """N m/rad, for the current that a motor shows."""

    def __init__(self, start: Array) -> None:
        """At rest at ``start``, rad."""
        self.position = np.array(start, dtype=np.float64)
        self._velocity = np.zeros_like(self.position)
        self._targets = self.position.copy()
        self._torque = np.zeros(len(self.position), dtype=bool)
        self._limit = np.zeros(len(self.position))
        self._time = -math.inf

    def refresh(self) -> None:
        """Nothing to do: it moves when it is sensed."""

    def sense(self, now: float) -> tuple[Array, Array, Array]:
        """Positions, velocities and currents; see Plant."""
        elapsed = now - self._time if math.isfinite(self._time) else 0.0
        self._time = now
        if elapsed > 0.0:
            reach = NO_LOAD_SPEED * elapsed
            step = np.clip((self._targets - self.position) * -math.expm1(-elapsed / self.LAG_S), -reach, reach)
            step[~self._torque] = 0.0
            self.position += step
            self._velocity = step / elapsed
        current = np.clip(self.STIFFNESS / TORQUE_PER_AMPERE * (self._targets - self.position), -self._limit, self._limit)
        return self.position, self._velocity, np.where(self._torque, current, 0.0)

    def drive(self, targets: Array, torque: NDArray[np.bool_], limit: Array, now: float) -> None:
        """Follow ``targets``; see Plant."""
        self.sense(now)
        self._targets, self._torque, self._limit = targets, torque, limit

    def close(self) -> None:
        """Nothing to let go."""


class TwinFingers:
    """The fingers of a running twin.

    Its link knows the power of the whole hand only: all motors off is ``off``, a mean current limit below half of what cells run ``soft``. A single
    motor without torque is made to follow its own joint, which is nearly limp. Until a motor first gets torque the twin is left as it is, at rest: the
    gears of unpowered motors hold light fingers, and the twin's joints have no such friction.

    A thread talks to the twin, so that a twin that is late does not keep the motors from answering: they then show where they were. It does so when
    targets are new and when a host reads, and not all the time: each exchange wakes two processes.
    """

    PERIOD_S = 0.01
    """Samples are taken at least this often."""
    FRESH_S = 0.002
    """A sample that is not older is new enough for a host that reads."""
    PATIENCE_S = 0.002
    """A host that reads waits this long for a newer one: about as long as the bus and its adapter take anyway."""
    REPEAT_S = 0.25
    """What was sent is sent again after this long: a twin that was reset begins with power and targets of its own."""

    def __init__(self, endpoint: str) -> None:
        """Connect to the twin at ``endpoint``. Raises DriverError when nobody answers."""
        hand = TwinHand(endpoint)
        self._reading, self._read_at = hand.read(), time.monotonic()
        self._wanted: tuple[Array, str] | None = None
        self._error: DexTrackError | None = None
        self._ending, self._asked, self._fresh = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._exchange, args=(hand,), daemon=True)
        self._thread.start()

    def refresh(self) -> None:
        """Have a sample taken; see Plant."""
        if time.monotonic() - self._read_at > self.FRESH_S:
            self._fresh.clear()
            self._asked.set()
            self._fresh.wait(self.PATIENCE_S)

    def sense(self, now: float) -> tuple[Array, Array, Array]:
        """Positions, velocities and currents; see Plant. Raises what ended the thread."""
        if self._error is not None:
            raise self._error
        r = self._reading
        assert r.velocity is not None and r.current is not None
        return r.position, r.velocity, r.current

    def drive(self, targets: Array, torque: NDArray[np.bool_], limit: Array, now: float) -> None:
        """Follow ``targets``; see Plant."""
        if self._wanted is None and not torque.any():
            return
        power = "off" if not torque.any() else "soft" if limit[torque].mean() < 0.5 * FULL_A else "full"
        before, self._wanted = self._wanted, (np.where(torque, targets, self._reading.position), power)
        if before is None or power != before[1] or not np.array_equal(before[0], self._wanted[0]):
            self._asked.set()

    def close(self) -> None:
        """Disconnect."""
        self._ending.set()
        self._asked.set()
        self._thread.join()

    def _exchange(self, hand: TwinHand) -> None:
        """Until the end: send what is wanted where it is new, and take a sample where one is waited for or due."""
        sent: tuple[Array, str] | None = None
        sent_at = -math.inf
        try:
            while not self._ending.is_set():
                self._asked.wait(self.PERIOD_S)
                self._asked.clear()
                wanted, now = self._wanted, time.monotonic()
                stale = sent is None or now - sent_at > self.REPEAT_S
                if wanted is not None:
                    if stale or sent is None or not np.array_equal(wanted[0], sent[0]):
                        hand.write(wanted[0], 0)
                    # After the targets: power that comes back finds the new ones.
                    if stale or sent is None or wanted[1] != sent[1]:
                        hand.set_power(wanted[1])
                    sent, sent_at = wanted, now if stale else sent_at
                if not self._fresh.is_set() or time.monotonic() - self._read_at >= self.PERIOD_S:
                    self._reading, self._read_at = hand.read(), time.monotonic()
                    self._fresh.set()
        except DexTrackError as error:
            self._error = error
        finally:
            hand.close()
