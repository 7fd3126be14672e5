"""How well the arm reaches wrist paths: many candidate placements at once, on a few knots of the path each."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack.rotations import to_matrix
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.arm.kinematics import jacobian
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placement.transform import PlanarTransform

Floats = NDArray[np.float64]

POSITION_TOLERANCE = 1e-3
"""Distance from a knot that counts as reached, m."""
ROTATION_TOLERANCE = 5e-3
"""Angle from a knot that counts as reached, rad."""
MARGIN_WISH = 0.25
"""Distance from the joint limits, beyond the cell's margin, above which more is worth nothing, rad."""
MANIPULABILITY_WISH = 0.06
"""Manipulability above which more is worth nothing; an FR3 has about 0.1 in the middle of its reach."""
CLEARANCE = 0.01
"""Least distance of the arm's links from the table, m."""


@dataclasses.dataclass(frozen=True)
class Reach:
    """What candidate placements are worth. Arrays have one row per candidate."""

    q: Floats
    """(B, K, 7): joint positions at the knots, rad."""
    cost: Floats
    """(B): below ``INFEASIBLE`` where every knot is reached, smaller is better."""
    worst_position: Floats
    """(B): largest distance from a knot, m."""
    worst_rotation: Floats
    """(B): largest angle from a knot, rad."""
    clearance: Floats
    """(B): least height of a link over the table, m."""
    outside: Floats
    """(B): how far the wrist leaves the workspace, m."""
    margin: Floats
    """(B): least distance from a joint limit beyond the cell's margin, rad."""
    slowdown: Floats
    """(B): estimate of the factor by which the path must be slowed down, at least 1."""


INFEASIBLE = 1e3
"""Cost from which a candidate does not do."""


class ReachModel:
    """Scores placements of one wrist path in one cell."""

    def __init__(self, cell: CellConfig, position_w: Floats, quaternion_w: Floats, times: Floats) -> None:
        """Take the knots of the path: positions (K, 3) m, quaternions (K, 4), times (K,) s."""
        self._cell = cell
        self.inverse = InverseKinematics(cell)
        self._position, self._matrix, self._times = position_w, to_matrix(quaternion_w), times
        self._capsules = _capsules(cell)
        arm = self.inverse.kinematics.arm
        self._velocity = cell.arm.velocity_fraction * arm.velocity
        self._acceleration = cell.arm.acceleration_fraction * arm.acceleration

    def score(self, candidates: list[PlanarTransform], starts: Floats) -> Reach:
        """Score ``candidates``, each from its joint positions ``starts`` (B, 7) rad at the first knot."""
        turn = np.array([to_matrix(c.quaternion) for c in candidates])
        shift = np.array([(c.x, c.y, 0.0) for c in candidates])
        q, postures = np.asarray(starts), np.asarray(starts)
        path, position, rotation = [], [], []
        for k in range(len(self._position)):
            want_p, want_r = turn @ self._position[k] + shift, turn @ self._matrix[k]
            found = self.inverse.refine(q, want_p, want_r, iterations=25 if k == 0 else 5, posture=None if k == 0 else postures)
            q = found.q
            postures = q if k == 0 else postures
            path.append(q)
            position.append(found.position_error)
            rotation.append(found.rotation_error)
        wrist = np.einsum("bij,kj->bki", turn, self._position) + shift[:, None]
        return self._judge(np.stack(path, axis=1), np.max(position, axis=0), np.max(rotation, axis=0), wrist)

    def _judge(self, q: Floats, worst_position: Floats, worst_rotation: Floats, wrist: Floats) -> Reach:
        frames = self.inverse.kinematics.frames(q)
        j = jacobian(*frames)
        manipulability = np.sqrt(np.maximum(0.0, np.linalg.det(j @ np.swapaxes(j, -1, -2)))).min(axis=1)
        margin = np.minimum(q - self.inverse.lower, self.inverse.upper - q).min(axis=(1, 2))
        clearance = self._clearance(*frames)
        box = self._cell.workspace
        outside = np.maximum(np.maximum(box.lower_w - wrist, wrist - box.upper_w), 0.0).max(axis=(1, 2))
        slowdown = self._slowdown(q)
        wishes = np.maximum(0.0, 1.0 - margin / MARGIN_WISH) + np.maximum(0.0, 1.0 - manipulability / MANIPULABILITY_WISH)
        travel = np.abs(np.diff(q, axis=1)).sum(axis=(1, 2))
        away = np.linalg.norm(q[:, 0] - self.inverse.home, axis=-1)
        cost = slowdown + 2.0 * wishes + 0.02 * travel + 0.1 * away
        short = np.maximum(0.0, CLEARANCE - clearance)
        unmet = np.maximum(0.0, worst_position - POSITION_TOLERANCE) + np.maximum(0.0, worst_rotation - ROTATION_TOLERANCE) + short + outside
        cost = np.where(unmet > 0.0, INFEASIBLE * (1.0 + unmet), cost)
        return Reach(q, cost, worst_position, worst_rotation, clearance, outside, margin, slowdown)

    def table_clearance(self, q: Floats) -> float:
        """Least height over the table of the links from the elbow on, for joint positions ``q`` (T, 7) rad, in m."""
        positions, matrices = self.inverse.kinematics.frames(q)
        return float(self._clearance(positions[None], matrices[None])[0])

    def _clearance(self, positions: Floats, matrices: Floats) -> Floats:
        """Least height (B) of the capsules of the links from the elbow on."""
        lowest = np.full(positions.shape[:2], np.inf)
        for frame, point, radius in self._capsules:
            height = positions[:, :, frame, 2] + matrices[:, :, frame, 2] @ point - radius
            lowest = np.minimum(lowest, height)
        return np.asarray(lowest.min(axis=1))

    def _slowdown(self, q: Floats) -> Floats:
        """Factor (B) by which time must be stretched for velocities and accelerations between knots to hold."""
        dt = np.diff(self._times)[:, None]
        v = np.diff(q, axis=1) / dt
        factor = (np.abs(v) / self._velocity).max(axis=(1, 2))
        if len(dt) > 1:
            a = np.diff(v, axis=1) / (0.5 * (dt[1:] + dt[:-1]))
            factor = np.maximum(factor, np.sqrt((np.abs(a) / self._acceleration).max(axis=(1, 2))))
        return np.asarray(np.maximum(factor, 1.0))


def _capsules(cell: CellConfig) -> list[tuple[int, Floats, float]]:
    """(frame, point in the frame, radius) of both ends of every collision capsule from link 4 on."""
    arm = load_arm(cell.arm.model)
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    found = []
    for g in range(model.ngeom):
        joint = int(model.body_jntadr[model.geom_bodyid[g]])
        if model.geom_contype[g] and model.geom_type[g] == mujoco.mjtGeom.mjGEOM_CAPSULE and joint >= 3:
            axis = to_matrix(model.geom_quat[g])[:, 2] * model.geom_size[g, 1]
            found += [(joint, model.geom_pos[g] + s * axis, float(model.geom_size[g, 0])) for s in (-1.0, 1.0)]
    return found
