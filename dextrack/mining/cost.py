"""What a rollout costs: the object away from its reference, pads away from their contacts, the hand away from its reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from dextrack.mining.baseline import Baseline
from dextrack.objects.distance import SignedDistance
from dextrack.references.reference import Reference
from dextrack.sim.arrays import Array, Arrays, HostArrays
from dextrack.sim.scene import Scene

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
    """Cost of rolled-out states, vectorised over members, samples and steps; computed where the rollouts are."""

    def __init__(
        self, scene: Scene, reference: Reference, baseline: Baseline, distance: SignedDistance, config: CostConfig, arrays: Arrays | None = None
    ) -> None:
        """Keep what the cost compares with, as ``arrays`` (None: numpy's)."""
        arrays = arrays or HostArrays()
        self._xp, self._config, self._plan = arrays.xp, config, baseline.weights
        names = [f.finger for f in scene.hand.fingertips]
        columns = [names.index(f) for f in baseline.fingers]
        self._columns, self._radii = arrays.index(columns), arrays.array([scene.hand.fingertips[i].radius for i in columns])
        self._weights, self._contacts = arrays.array(baseline.weights), arrays.array(baseline.contacts_o)
        self._hand, self._joints, self._object = arrays.array(reference.hand), arrays.index(scene.hand_qpos), scene.object_qpos
        self._position, self._quaternion = arrays.array(reference.object_position_w), arrays.array(reference.object_quaternion_w)
        self._outside: Callable[[Array], Array] = distance.distances if arrays.device is None else distance.on_device(arrays.device)

    def __call__(self, qpos: Array, sensors: Array, first: int) -> Array:
        """Cost (...) of states after steps ``first`` .. ``first`` + H - 1: qpos (..., H, nq), sensors (..., H, F + 1, 3) as of ``Ensemble``."""
        c, xp, horizon = self._config, self._xp, qpos.shape[-2]
        at = slice(first + 1, first + 1 + horizon)
        away, turned = self.object_errors(qpos, first)
        cost = c.position * away + c.rotation * turned
        cost = cost + c.push * xp.clip(xp.linalg.norm(sensors[..., -1, :], axis=-1) - PUSH, 0.0, None)
        tips = sensors[..., self._columns, :]
        if self._plan[at].max() > 1e-3:
            outside = self._outside(tips) - self._radii
            gap = xp.abs(outside)
            cost = cost + c.depth * xp.clip(-outside - 0.002, 0.0, None).sum(axis=-1)
            away = xp.linalg.norm(tips - self._contacts, axis=-1)
            cost = cost + (self._weights[at] * (c.gap * xp.clip(gap - 0.001, 0.0, None) + c.anchor * away)).sum(axis=-1)
        theta = qpos[..., self._joints] - self._hand[at]
        cost = cost + c.wrist * xp.linalg.norm(theta[..., :3], axis=-1) + c.finger * xp.abs(theta[..., 6:]).mean(axis=-1)
        total = cost.mean(axis=-1) + cost[..., -1]
        return xp.where(xp.isfinite(total), total, 1e6)

    def object_errors(self, qpos: Array, first: int) -> tuple[Array, Array]:
        """Distance, m, and angle, rad, of the object from its reference, (..., H) each, after steps ``first`` .. ``first`` + H - 1."""
        k, at, xp = self._object, slice(first + 1, first + 1 + qpos.shape[-2]), self._xp
        away = xp.linalg.norm(qpos[..., k : k + 3] - self._position[at], axis=-1)
        # |<q, q_hat>| avoids a product of quaternions: this runs for millions of states.
        dot = xp.abs((qpos[..., k + 3 : k + 7] * self._quaternion[at]).sum(axis=-1))
        return away, 2.0 * xp.arccos(xp.clip(dot, 0.0, 1.0))

    def over_members(self, cost: Array) -> Array:
        """Reduce costs (E, S) to (S,): a blend of mean and worst member."""
        return (1.0 - self._config.worst) * cost.mean(axis=0) + self._config.worst * self._xp.amax(cost, axis=0)
