"""Bench: the hand while it is being measured. It is moved slowly between steps, and given back as it was found, whatever happens."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.drivers.protocols import HandReading
from numpy.typing import NDArray

from dextrack.errors import DexTrackError

Floats = NDArray[np.float64]

SLOW_RAD_S = 0.6
"""Speed of every way that is not a step, rad/s."""
PERIOD_S = 1.0 / 60.0
USUAL_LATENCY_S = 0.001
"""Latency timer of an adapter that does not tell, s: what the udev rules set."""


class Bench:
    """A context manager. However it ends, the hand is led slowly back to where it was found and then let go, without torque.

    Ctrl-C is heard between two exchanges with the motors and never within one: the bus would stay occupied by what was broken off, and torque on.
    The way back hears it too: a second Ctrl-C lets the hand go where it is. A terminal that is closed, and a polite kill, count as Ctrl-C: a process
    that simply ended would leave the motors with torque.
    """

    def __init__(self, hand: LeapHand) -> None:
        """Take ``hand``, which holds where it is."""
        self._hand = hand
        self._asked = threading.Event()
        self._before: dict[signal.Signals, Any] = {}
        self.found: Floats = hand.read().position
        """Joint positions that the hand was found in (n,), rad."""

    @property
    def latency_s(self) -> float:
        """Time by which the adapter may keep an answer back, s."""
        told = self._hand.info.latency_ms
        return USUAL_LATENCY_S if told is None else 1e-3 * told

    def __enter__(self) -> Bench:
        """Hear Ctrl-C from now on."""
        # Only the main thread gets signals, and may say what becomes of them.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Lead the hand back and let it go."""
        try:
            # A motor with an error ends the way back; torque goes off all the same.
            with contextlib.suppress(DexTrackError):
                self.go(self.found)
        finally:
            try:
                self._hand.set_power("off")
            finally:
                for number, before in self._before.items():
                    signal.signal(number, before)

    @property
    def clamped(self) -> tuple[str, ...]:
        """Joints whose last target the driver did not pass on as it was."""
        return self._hand.clamped

    def read(self) -> HandReading:
        """The newest reading.

        Raises:
            DriverError: a motor is silent or has an error.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        self._listen()
        return self._hand.read()

    def write(self, targets: Floats) -> None:
        """Send targets (n,), rad; raises as ``read``."""
        self._listen()
        self._hand.write(targets, 0)

    def go(self, goal: Floats) -> None:
        """Lead the hand slowly from where it is to the targets ``goal`` (n,), rad; raises as ``read``."""
        start = self.read().position
        ticks = max(1, int(np.ceil(np.abs(goal - start).max() / (SLOW_RAD_S * PERIOD_S))))
        for tick in range(1, ticks + 1):
            self.write(start + (goal - start) * tick / ticks)
            self.read()
            time.sleep(PERIOD_S)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()

    def _listen(self) -> None:
        if self._asked.is_set():
            self._asked.clear()
            raise KeyboardInterrupt
