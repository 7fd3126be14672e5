"""Raising: the hand carries an object a little higher where uncertain worlds leave it too low.

An object that tilts or slips a little in the hand hangs lower than its reference, and is on the table a few frames too early when it is set down: it was
held all the way, and the verdict still calls that no lift. How much is missing is seen in the worlds, so nothing is searched: the wrist goes up by that much
there, and smoothly before and after.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.settings import require
from dextrack.tracking.verdict import EDGE, looked_at

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class RaisingConfig:
    """How much the hand is raised."""

    height: float = 0.027
    """Height of the object's lowest point that is wanted wherever the verdict wants 2 cm, m, ..."""
    share: float = 0.95
    """... in this share of the worlds."""
    most: float = 0.02
    """Largest rise at once, m; what is still missing is seen when the raised targets are tried."""
    times: int = 4
    """How often the hand is raised at most."""
    width: int = 20
    """The rise is whole this many control steps before and after what needs it, ..."""
    smooth: float = 10.0
    """... and smoothed by a Gaussian of so many steps: an arm has to follow."""
    after: int = 40
    """Control steps after the object is first moved over which raising sets in: a hand that rises while it closes grasps something else."""
    away: float = 0.06
    """A world whose object is farther than this from its reference, m, ..."""
    turned: float = 1.3
    """... or turned away by more than this, rad, has lost it: no rise brings it back, and none is measured there."""

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be raised."""
        usual = "`dextrack mine --help` shows the usual one."
        require(self, "raising", ("height", "most", "smooth", "away", "turned"), f"give a positive number; {usual}", more=True)
        require(self, "raising", ("times", "width", "after"), f"give a number of at least 0; {usual}")
        if not 0.0 <= self.share <= 1.0:
            raise InputError(f"raising: share is {self.share}.", remedy="give a share from 0 to 1, usually 0.95.")


class Raising:
    """Raises targets of one reference."""

    def __init__(self, reference: Reference, hull_o: Floats, config: RaisingConfig) -> None:
        """``hull_o`` (H, 3) m is the object's hull. Half of the time that the verdict allows at the edges of a lift is kept in reserve."""
        self._reference, self._hull, self._config = reference, hull_o, config
        height = lowest_z(hull_o, reference.object_position_w, reference.object_quaternion_w)
        self._asked = looked_at(height, round(0.5 * EDGE / reference.period))[1:]
        onset = int(reference.diagnosis["onset"])
        begun = np.clip((np.arange(len(self._asked)) - onset) / max(1, config.after), 0.0, 1.0)
        self._begun = begun**2 * (3.0 - 2.0 * begun)

    def rise(self, position_w: Floats, quaternion_w: Floats) -> Floats:
        """How much the wrist has to rise at each step (N,), m; all zero where nothing is missing.

        Args:
            position_w: of the object after each step in E worlds, (E, N, 3), m.
            quaternion_w: likewise, (E, N, 4) wxyz.
        """
        c, reference = self._config, self._reference
        away = np.linalg.norm(position_w - reference.object_position_w[1:], axis=-1)
        kept = np.logical_and.accumulate((away < c.away) & (rotations.angle(quaternion_w, reference.object_quaternion_w[1:]) < c.turned), axis=1)
        height = np.array([lowest_z(self._hull, p, q) for p, q in zip(position_w, quaternion_w, strict=True)])
        missing = np.where(self._asked & kept, c.height - height, 0.0)
        wanted = np.clip(np.quantile(missing, c.share, axis=0, method="higher"), 0.0, c.most)
        smooth: Floats = gaussian_filter1d(maximum_filter1d(wanted, 2 * c.width + 1), c.smooth, mode="nearest")
        return smooth * self._begun
