"""Search over x, y and yaw for placements that the arm reaches: a grid, then random steps around the best."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placement.reach import CLEARANCE, INFEASIBLE, POSITION_TOLERANCE, ROTATION_TOLERANCE, Reach, ReachModel
from dextrack_deploy.placement.transform import PlanarTransform

Floats = NDArray[np.float64]

GRID = (6, 6, 12)
"""Candidates in x, y and yaw."""
KEPT = 24
"""Candidates that each round of refinement starts from."""
CHILDREN = 8
"""Random steps from each of them."""
ROUNDS = 3
"""Rounds of refinement; each halves the steps."""
ELBOWS = np.array([
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.4, 0.0, 0.6, 0.0, 1.2, 0.3, -0.6), (-0.4, 0.0, -0.6, 0.0, -1.2, 0.3, 0.6), (0.0, 0.6, 0.0, 0.0, 0.0, 1.0, 1.2),
])  # fmt: skip
"""Starts of inverse kinematics, as joint positions relative to home, rad: ahead, elbow out to either side, and hand up."""
RESTARTS = 96
"""Random starts beside those, where only one placement is possible."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A placement that the arm reaches on the knots of the path."""

    transform: PlanarTransform
    q: Floats
    """(K, 7): joint positions at the knots, rad."""
    cost: float
    why: str
    """What is wrong with it, or nothing."""


def search(model: ReachModel, cell: CellConfig, pivot_w: Floats, wrist_w: Floats, seed: int) -> list[Candidate]:
    """Candidates, best first; those at the end may be out of reach.

    Args:
        model: what scores them.
        cell: whose workspace is searched.
        pivot_w: (3,) m: where the object begins; the candidates carry it over the workspace.
        wrist_w: (K, 3) m: wrist positions; a candidate that takes their middle out of the workspace is not tried.
        seed: of the refinement.
    """
    rng = np.random.default_rng(seed)
    lower, upper = np.array(cell.workspace.lower_w[:2]), np.array(cell.workspace.upper_w[:2])
    spacing = np.array([*(upper - lower) / GRID[:2], 2.0 * np.pi / GRID[2]])
    axes = [lower[i] + (np.arange(GRID[i]) + 0.5) * spacing[i] for i in range(2)] + [np.arange(GRID[2]) * spacing[2]]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    transforms = [_carry(pivot_w, p) for p in places]
    middle = np.array([t.points(0.5 * (wrist_w.min(axis=0) + wrist_w.max(axis=0))) for t in transforms])[:, :2]
    inside = ((middle > lower) & (middle < upper)).all(axis=1)
    places = places[inside] if inside.any() else places
    found = best_start(model, [_carry(pivot_w, p) for p in places], _elbows(model))
    for round_number in range(ROUNDS):
        best = np.argsort(found.cost, kind="stable")[:KEPT]
        places, found = places[best], _rows(found, best)
        steps = rng.normal(size=(len(best), CHILDREN, 3)) * spacing * 0.4 * 0.5**round_number
        children = (places[:, None] + steps).reshape(-1, 3)
        starts = np.repeat(found.q[:, 0], CHILDREN, axis=0)
        more = model.score([_carry(pivot_w, p) for p in children], starts)
        places, found = np.concatenate([places, children]), _join(found, more)
    order = np.argsort(found.cost, kind="stable")[:KEPT]
    return [candidate(_carry(pivot_w, places[i]), found, int(i)) for i in order]


def _carry(pivot_w: Floats, place: Floats) -> PlanarTransform:
    return PlanarTransform.carrying(pivot_w, (float(place[0]), float(place[1])), float(place[2]))


def best_start(model: ReachModel, transforms: list[PlanarTransform], starts: Floats) -> Reach:
    """Score ``transforms`` from each of ``starts`` (S, 7) rad, and keep each one's best."""
    n, m = len(transforms), len(starts)
    tries = model.score([t for t in transforms for _ in range(m)], np.tile(starts, (n, 1)))
    return _rows(tries, np.arange(n) * m + tries.cost.reshape(n, m).argmin(axis=1))


def anchored(model: ReachModel, transform: PlanarTransform, seed: int) -> Candidate:
    """The one candidate there is where the object's place is given: no second place to try, so many starts."""
    starts = np.concatenate([_elbows(model), model.inverse.starts(RESTARTS, seed)])
    return candidate(transform, best_start(model, [transform], starts), 0)


def _elbows(model: ReachModel) -> Floats:
    return np.asarray(np.clip(model.inverse.home + ELBOWS, model.inverse.lower, model.inverse.upper), dtype=np.float64)


def candidate(transform: PlanarTransform, reach: Reach, row: int) -> Candidate:
    """Candidate of one row of ``reach``, with the reason where it is out of reach."""
    why = ""
    if reach.cost[row] >= INFEASIBLE:
        parts = []
        if reach.worst_position[row] > POSITION_TOLERANCE or reach.worst_rotation[row] > ROTATION_TOLERANCE:
            parts.append(f"the arm stays {1e3 * reach.worst_position[row]:.0f} mm and {np.degrees(reach.worst_rotation[row]):.0f} degrees from the wrist path")
        if reach.outside[row] > 0.0:
            parts.append(f"the wrist leaves the workspace by {1e3 * reach.outside[row]:.0f} mm")
        if reach.clearance[row] < CLEARANCE:
            parts.append(f"a link of the arm comes to {1e3 * reach.clearance[row]:.0f} mm over the table")
        why = ", ".join(parts)
    return Candidate(transform, reach.q[row], float(reach.cost[row]), why)


def _rows(reach: Reach, rows: NDArray[np.int64]) -> Reach:
    return Reach(*(getattr(reach, f.name)[rows] for f in dataclasses.fields(Reach)))


def _join(a: Reach, b: Reach) -> Reach:
    return Reach(*(np.concatenate([getattr(a, f.name), getattr(b, f.name)]) for f in dataclasses.fields(Reach)))
