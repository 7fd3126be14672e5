"""Whether a Franka's joint sensors can be believed: positions that change by more than the velocities beside them explain."""

from __future__ import annotations

import numpy as np

from dextrack_deploy.drivers.protocols import Array

JUMP_RAD = 0.02
"""Between a change of position and what the velocities give, rad. In ``WITHIN_S``, an arm at 10 rad/s2 makes 0.012 of it."""
WITHIN_S = 0.05
"""Samples further apart than this are not compared."""


class SensorWatch:
    """Compares each sample with the one before.

    The impedance controller runs on this computer and turns positions into torques: it would follow a sensor that lies, and move the arm.
    """

    def __init__(self) -> None:
        """No sample yet."""
        self._last: tuple[int, Array, Array] | None = None

    def jumped(self, robot_ms: int, q: Array, dq: Array) -> list[int]:
        """Joints (1 to 7) whose position jumped since the sample before. ``robot_ms`` is the robot's own clock; ``q`` in rad, ``dq`` in rad/s."""
        last, self._last = self._last, (robot_ms, q, dq)
        if last is None:
            return []
        seconds = 1e-3 * (robot_ms - last[0])
        if not 0.0 < seconds <= WITHIN_S:
            return []
        off = np.abs(q - last[1] - 0.5 * seconds * (dq + last[2]))
        return [int(j) + 1 for j in np.flatnonzero(off > JUMP_RAD)]
