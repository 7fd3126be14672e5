"""From the shadow simulator's joints to the hand's targets.

The shadow simulator's fingers are already what a PD hand does with the controller's targets. The real hand's position loop trails them once more,
while the arm, which is told velocities too, does not: without correction the fingers close some 50 ms after the wrist has moved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def ahead(position: ArrayLike, velocity: ArrayLike, lag_s: float) -> Floats:
    """Targets (n,) that a loop with a lag of ``lag_s`` s turns into ``position`` (n,), rad, moving at ``velocity`` (n,), rad/s."""
    out: Floats = np.asarray(position, dtype=np.float64) + lag_s * np.asarray(velocity, dtype=np.float64)
    return out
