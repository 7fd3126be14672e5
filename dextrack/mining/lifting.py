"""Is the object up where the verdict asks for it? What tries grasps out and tunes them has to know, or it is content with what stays beside the table.

A reference that lifts a thing 5 cm leaves it on the table at an error that a tracker calls small; a verdict does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import EDGE, looked_at

Floats = NDArray[np.float64]

GROUNDED = 0.009
"""Height of its lowest point, m, below which an object that the verdict wants 2 cm up was left on the table; it may be tilted, or late by a little."""
POINTS = 48
"""Points of the hull that are looked at, for every frame of every sample is asked. The lowest point of a sphere of 8 cm is then found to 1.5 mm in the mean."""


class Lift:
    """Where the reference has the object up, and whether it is."""

    def __init__(self, reference: Reference, hull_o: Floats) -> None:
        """Keep where the verdict looks; ``hull_o`` (H, 3) m is the object's hull.

        Half of the time that the verdict allows at the edges of a lift is kept in reserve.
        """
        height = lowest_z(hull_o, reference.object_position_w, reference.object_quaternion_w)
        self._asked = looked_at(height, round(0.5 * EDGE / reference.period))
        self._points = thinned(hull_o, POINTS)

    def grounded(self, position_w: Floats, quaternion_w: Floats, first: int) -> NDArray[np.bool_]:
        """Whether the object is on the table where it should be up.

        Args:
            position_w: (..., H, 3), m, of the object after steps ``first`` .. ``first`` + H - 1.
            quaternion_w: likewise, (..., H, 4) wxyz, unit.
            first: the first of these steps.

        Returns:
            (..., H).
        """
        out = np.zeros(position_w.shape[:-1], dtype=bool)
        asked = np.flatnonzero(self._asked[first + 1 : first + 1 + position_w.shape[-2]])
        if len(asked):
            out[..., asked] = lowest_z(self._points, position_w[..., asked, :], quaternion_w[..., asked, :]) < GROUNDED
        return out


def thinned(points: Floats, count: int) -> Floats:
    """At most ``count`` of ``points`` (n, 3), each as far from those before as can be; the extreme ones along the axes are among them."""
    if len(points) <= count:
        return points
    chosen = list(dict.fromkeys([*points.argmin(axis=0).tolist(), *points.argmax(axis=0).tolist()]))
    away = np.min([np.linalg.norm(points - points[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    out: Floats = points[chosen]
    return out
