"""What a rollout costs: the object away from its reference, pads away from their contacts, the hand away from its reference."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.mining.baseline import Baseline
from dextrack.objects.distance import SignedDistance
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


PUSH = 8.0
"""Force on the wrist that costs nothing, N: what it takes to carry and accelerate a hand and the heaviest objects."""


@dataclasses.dataclass(frozen=True)
class CostConfig:
    """Weights per control step, SI units."""

    position: float = 20.0
    """Per metre of object position error."""
    rotation: float = 1.0
    """Per rad of object rotation error."""
    gap: float = 20.0
    """Per metre between a pad's surface and the object, where contact is planned."""
    anchor: float = 5.0
    """Per metre between a pad and its planned place on the object."""
    wrist: float = 2.0
    """Per metre of wrist position error."""
    finger: float = 0.05
    """Per rad of finger error, mean over joints."""
    depth: float = 60.0
    """Per metre of a pad's depth in the object beyond 2 mm: a grip that presses deeper is no clean one."""
    push: float = 0.05
    """Per newton on the wrist beyond ``PUSH``: an arm that leans on the object presses fingers into it with more than their own force."""
    residual: float = 0.02
    """Per squared unit of residual, in units of its sampling scale."""
    worst: float = 0.5
    """Share of the worst member in an ensemble's cost; the rest is the mean."""


class TrackingCost:
    """Cost of rolled-out states, vectorised over members, samples and steps."""

    def __init__(self, scene: Scene, reference: Reference, baseline: Baseline, distance: SignedDistance, config: CostConfig) -> None:
        """Keep what the cost compares with."""
        self._scene, self._reference, self._baseline, self._distance, self._config = scene, reference, baseline, distance, config
        names = [f.finger for f in scene.hand.fingertips]
        self._columns = [names.index(f) for f in baseline.fingers]
        self._radii = np.array([scene.hand.fingertips[i].radius for i in self._columns])

    def __call__(self, qpos: Floats, sensors: Floats, first: int) -> Floats:
        """Cost (...) of states after steps ``first`` .. ``first`` + H - 1: qpos (..., H, nq), sensors (..., H, F + 1, 3) as of ``Ensemble``."""
        c, horizon = self._config, qpos.shape[-2]
        at = slice(first + 1, first + 1 + horizon)
        away, turned = self.object_errors(qpos, first)
        cost = c.position * away + c.rotation * turned
        cost = cost + c.push * np.maximum(np.linalg.norm(sensors[..., -1, :], axis=-1) - PUSH, 0.0)
        tips = sensors[..., self._columns, :]
        weights = self._baseline.weights[at]
        if weights.max() > 1e-3:
            outside = self._distance.query(tips)[0] - self._radii
            gap = np.abs(outside)
            cost = cost + c.depth * np.maximum(-outside - 0.002, 0.0).sum(axis=-1)
            away = np.linalg.norm(tips - self._baseline.contacts_o, axis=-1)
            cost = cost + (weights * (c.gap * np.maximum(gap - 0.001, 0.0) + c.anchor * away)).sum(axis=-1)
        theta = qpos[..., self._scene.hand_qpos] - self._reference.hand[at]
        cost = cost + c.wrist * np.linalg.norm(theta[..., :3], axis=-1) + c.finger * np.abs(theta[..., 6:]).mean(axis=-1)
        total = cost.mean(axis=-1) + cost[..., -1]
        return np.where(np.isfinite(total), total, 1e6)

    def object_errors(self, qpos: Floats, first: int) -> tuple[Floats, Floats]:
        """Distance, m, and angle, rad, of the object from its reference, (..., H) each, after steps ``first`` .. ``first`` + H - 1."""
        k, at = self._scene.object_qpos, slice(first + 1, first + 1 + qpos.shape[-2])
        away = np.linalg.norm(qpos[..., k : k + 3] - self._reference.object_position_w[at], axis=-1)
        # |<q, q_hat>| avoids a product of quaternions: this runs for millions of states.
        dot = np.abs((qpos[..., k + 3 : k + 7] * self._reference.object_quaternion_w[at]).sum(axis=-1))
        return away, 2.0 * np.arccos(np.clip(dot, 0.0, 1.0))

    def over_members(self, cost: Floats) -> Floats:
        """Reduce costs (E, S) to (S,): a blend of mean and worst member."""
        blended: Floats = (1.0 - self._config.worst) * cost.mean(axis=0) + self._config.worst * cost.max(axis=0)
        return blended
