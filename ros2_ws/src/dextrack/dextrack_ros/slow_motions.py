"""SlowMotions: plans the motions of APPROACH and RETREAT from what the cell measures, beside the control loop."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from dextrack_deploy.approach import Motion, MotionLimits, plan_approach, plan_retreat
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.cell import CellConfig
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]

SPEED = 0.25
"""Part of the arm's velocity and acceleration limits that a slow motion uses."""
_FINGER_VELOCITY, _FINGER_ACCELERATION = 1.0, 4.0
_RISE_M = 0.12
"""An approach comes down from this far above the start, and a retreat goes up this far, m."""
_RISE_POINTS = 4
_REACHED_M, _REACHED_RAD = 0.002, 0.02


class SlowMotions:
    """One planner per trial; ``approach`` and ``retreat`` answer with a future, because planning takes longer than a control period."""

    def __init__(self, cell: CellConfig, reference: Reference) -> None:
        """Plan for ``cell``, to where ``reference`` begins.

        Raises:
            RefusedError: the arm does not reach where the trial begins.
        """
        self._inverse = InverseKinematics(cell)
        hand, arm = load_hand(cell.hand.model), self._inverse.kinematics.arm
        self.names = (*arm.joint_names, *hand.finger_joints)
        n = len(hand.finger_joints)
        self._limits = MotionLimits(
            self.names,
            np.concatenate([self._inverse.lower, hand.lower]),
            np.concatenate([self._inverse.upper, hand.upper]),
            np.concatenate([SPEED * arm.velocity, np.full(n, _FINGER_VELOCITY)]),
            np.concatenate([SPEED * arm.acceleration, np.full(n, _FINGER_ACCELERATION)]),
        )
        self._rest = np.array(hand.rest)
        self._start = reference.hand[0]
        position = self._start[:3]
        quaternion = rotations.multiply(reference.base_quaternion_w, rotations.from_hinges(self._start[3:6]))
        found = self._inverse.solve(position, quaternion)
        if found.position_error > _REACHED_M or found.rotation_error > _REACHED_RAD:
            what = f"the arm misses the start of {reference.name} by {found.position_error * 1e3:.1f} mm and {found.rotation_error:.3f} rad."
            raise RefusedError(what, remedy="place the reference where the arm reaches it.")
        self._goal = found.q
        self._above = self._column(found.q)[::-1]
        self._worker = ThreadPoolExecutor(1, "planner")

    def approach(self, arm: Floats, fingers: Floats) -> Future[Motion]:
        """Plan from the measured joints to where the trial begins."""
        return self._worker.submit(plan_approach, arm, fingers, self._goal, self._start[6:], self._rest, self._limits, descent=list(self._above))

    def retreat(self, arm: Floats, fingers: Floats) -> Future[Motion]:
        """Plan from the measured joints straight up and then home."""
        return self._worker.submit(lambda: plan_retreat(arm, fingers, self._inverse.home, self._rest, self._limits, rise=list(self._column(arm))))

    def close(self) -> None:
        """End the planner."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _column(self, q: Floats) -> Floats:
        """Joint positions (k, 7) along the straight way up from ``q``, lowest first; it ends where the arm reaches no higher."""
        position, quaternion = self._inverse.kinematics.palm_pose(q)
        matrix = rotations.to_matrix(quaternion)
        column, last = [], np.asarray(q)
        for height in np.linspace(0.0, _RISE_M, _RISE_POINTS + 1)[1:]:
            found = self._inverse.refine(last[None], (position + [0.0, 0.0, height])[None], matrix[None], iterations=30, posture=last)
            if found.position_error[0] > _REACHED_M or found.rotation_error[0] > _REACHED_RAD:
                break
            last = found.q[0]
            column.append(last)
        return np.array(column).reshape(-1, len(q))
