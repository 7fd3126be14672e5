"""The twin's camera with its pose estimator: samples at its own rate, with noise, that can be read only after a latency."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack_deploy.twin import sensors
from dextrack_deploy.twin.mismatch import Mismatch

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class CameraSample:
    """The object as the camera sees it."""

    number: int
    """0 for the first sample after a reset."""
    time_s: float
    """Simulated time that the sample shows."""
    position_w: Array
    """(3,) m."""
    quaternion_w: Array
    """(4,) wxyz."""


class Camera:
    """Takes a sample at each multiple of its period and hands it out a latency later."""

    def __init__(self, mismatch: Mismatch, seed: int) -> None:
        """Noise, rate and latency are ``mismatch``'s."""
        self._mismatch = mismatch
        self._seed = seed
        self._next = 0
        self._coming: collections.deque[CameraSample] = collections.deque()
        self._shown: CameraSample | None = None

    def due(self, time_s: float) -> bool:
        """Whether a sample is to be taken at simulated time ``time_s``."""
        return time_s + 1e-9 >= self._next / self._mismatch.camera_rate_hz

    def take(self, time_s: float, position_w: Array, quaternion_w: Array) -> None:
        """Take a sample of the object's true pose, (3,) m and (4,) wxyz."""
        m = self._mismatch
        noise = sensors.normal(self._seed, sensors.CAMERA, self._next, 6)
        self._coming.append(CameraSample(self._next, time_s, *sensors.noisy_pose(position_w, quaternion_w, noise, m.object_noise_m, m.object_noise_rad)))
        self._next += 1

    def read(self, time_s: float) -> CameraSample | None:
        """The newest sample that has arrived by ``time_s``; None before the first."""
        while self._coming and self._coming[0].time_s + self._mismatch.camera_latency_s <= time_s + 1e-9:
            self._shown = self._coming.popleft()
        return self._shown
