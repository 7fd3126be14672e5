"""Player: the clock of a motion, which plays, pauses, steps and changes its speed. It knows no viewer; callers tell it the time."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds of motion per second, to choose from."""
REST = 0.6
"""Seconds for which a loop rests at the last frame before it begins again."""


class Player:
    """What frame to show when. Any thread may call it."""

    def __init__(self, time: Floats) -> None:
        """Stand paused at the first of the frames at ``time`` (T,), s, from 0, increasing."""
        self._time = time
        self._lock = threading.Lock()
        self._at = 0.0
        self._since: float | None = None
        self._speed = 1.0
        self.loop = True
        """Whether it begins again after the end; else it stops there."""

    @property
    def playing(self) -> bool:
        """Whether the motion is going on by itself."""
        return self._since is not None

    def frame(self, now: float) -> int:
        """The frame to show at ``now`` s on the caller's clock, which never goes back."""
        with self._lock:
            at = self._position(now)
            last = float(self._time[-1])
            if self._since is not None and at > last + (REST if self.loop else 0.0):
                self._at, self._since = (0.0, now) if self.loop else (last, None)
                at = self._at
            return self._nearest(at)

    def toggle(self, now: float) -> None:
        """Play or pause; play at the end begins at the first frame."""
        with self._lock:
            at = min(self._position(now), float(self._time[-1]))
            if self._since is not None:
                self._at, self._since = at, None
            else:
                self._at, self._since = (0.0 if at >= self._time[-1] else at), now

    def seek(self, frame: int) -> None:
        """Pause at ``frame``, or at the first or last where it lies outside."""
        with self._lock:
            self._at, self._since = float(self._time[int(np.clip(frame, 0, len(self._time) - 1))]), None

    def step(self, frames: int, now: float) -> None:
        """Pause ``frames`` further on, or back where they are negative."""
        self.seek(self.frame(now) + frames)

    def set_speed(self, speed: float, now: float) -> None:
        """Go on at ``speed`` seconds of motion per second."""
        with self._lock:
            self._at = self._position(now)
            self._since = None if self._since is None else now
            self._speed = speed

    def _position(self, now: float) -> float:
        """Seconds into the motion; beyond its end while a loop rests."""
        return self._at if self._since is None else self._at + self._speed * (now - self._since)

    def _nearest(self, at: float) -> int:
        after = int(np.searchsorted(self._time, at).clip(1, len(self._time) - 1))
        return after if self._time[after] - at <= at - self._time[after - 1] else after - 1
