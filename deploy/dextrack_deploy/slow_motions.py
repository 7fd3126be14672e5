"""SlowMotions: the motions of APPROACH and RETREAT for one trial in one cell, planned from what is measured.

Both keep to a column above where the hand is: an approach comes down it, a retreat goes up it. Where a plan collides, the next one is tried:
other heights for an approach, a smaller opening of the fingers for a retreat that begins close to the table. What touches the table or the
object where a motion begins may go on touching; nothing else may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import OBJECT, Physics
from dextrack.sim.scene import add_object
from dextrack_deploy.approach import Motion, MotionLimits, plan_approach, plan_retreat
from dextrack_deploy.arm.collision import CellCollisions
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placed import reference_of
from dextrack_deploy.slow_speed import FINGER_ACCELERATION, FINGER_VELOCITY, SPEED

Floats = NDArray[np.float64]

HEIGHTS = (0.12, 0.20, 0.06)
"""How far above the start an approach comes down from, m; the first that is free is taken."""
RISE = 0.12
"""How far a retreat goes up before it goes home, m."""
OPENINGS = (1.0, 0.5, 0.2, 0.0)
"""Parts of the way to the open pose that a retreat opens the fingers before it rises; the first that is free is taken."""
STEP = 0.03
"""Distance of two points of a column, m."""
REACHED_M, REACHED_RAD = 0.002, 0.02


class SlowMotions:
    """Plans of one trial. Planning takes up to a second: not for the control loop's thread."""

    def __init__(self, cell: CellConfig, placed: Reference | Demonstration, obj: ObjectSpec | None = None, start_arm: ArrayLike | None = None) -> None:
        """Plan for ``cell``, to where what was ``placed`` begins.

        Args:
            cell: the cell.
            placed: the placed reference or demonstration.
            obj: the object, which an approach keeps clear of; None: only the table is known.
            start_arm: (7,) arm joints where the trial begins, from placement; found by inverse kinematics when None.

        Raises:
            RefusedError: the arm does not reach where the trial begins.
        """
        self._inverse, reference = InverseKinematics(cell), reference_of(placed)
        hand, arm = load_hand(cell.hand.model), self._inverse.kinematics.arm
        n = len(hand.finger_joints)
        self.names = (*arm.joint_names, *hand.finger_joints)
        """Joint names of a motion: arm, then fingers."""
        self._limits = MotionLimits(
            self.names,
            np.concatenate([self._inverse.lower, hand.lower]),
            np.concatenate([self._inverse.upper, hand.upper]),
            np.concatenate([SPEED * arm.velocity, np.full(n, FINGER_VELOCITY)]),
            np.concatenate([SPEED * arm.acceleration, np.full(n, FINGER_ACCELERATION)]),
        )
        self._rest = np.array(hand.rest)
        self._fingers = reference.hand[0, 6:].copy()
        self._table = CellCollisions(cell)
        self._object = None if obj is None else ObjectCollisions(cell, obj, placed.object_position_w[0], placed.object_quaternion_w[0])
        self.start_arm = self._start(reference) if start_arm is None else np.array(start_arm, dtype=np.float64)
        """(7,): arm joints where the trial begins, rad."""

    def approach(self, arm: ArrayLike, fingers: ArrayLike) -> Motion:
        """Plan from the measured ``arm`` (7,) and ``fingers`` (16,) to where the trial begins.

        Raises:
            RefusedError: no plan is free of collisions and within the limits; with the reason of the first.
        """

        def plan(height: float) -> Motion:
            down = list(self._column(self.start_arm, height)[::-1])
            return plan_approach(arm, fingers, self.start_arm, self._fingers, self._rest, self._limits, descent=down, collides=self._touches)

        return _first(plan, HEIGHTS)

    def retreat(self, arm: ArrayLike, fingers: ArrayLike) -> Motion:
        """Plan from the measured ``arm`` (7,) and ``fingers`` (16,) up and home, with the hand open; where the object is by now is not known.

        Raises:
            RefusedError: no plan is free of collisions and within the limits; with the reason of the first.
        """
        rise = list(self._column(np.asarray(arm, dtype=np.float64), RISE))

        def plan(opening: float) -> Motion:
            return plan_retreat(arm, fingers, self._inverse.home, self._rest, self._limits, rise, opening, self._table)

        return _first(plan, OPENINGS)

    def _touches(self, arm: Floats, fingers: Floats) -> str | None:
        touch = self._table(arm, fingers)
        return touch if touch is not None or self._object is None else self._object(arm, fingers)

    def _start(self, reference: Reference) -> Floats:
        theta = reference.hand[0]
        quaternion = rotations.multiply(reference.base_quaternion_w, rotations.from_hinges(theta[3:6]))
        found = self._inverse.solve(theta[:3], quaternion)
        if found.position_error > REACHED_M or found.rotation_error > REACHED_RAD:
            what = f"the arm misses the start of {reference.name} by {found.position_error * 1e3:.1f} mm and {found.rotation_error:.3f} rad."
            raise RefusedError(what, remedy="place the reference where the arm reaches it.")
        return found.q

    def _column(self, q: Floats, height: float) -> Floats:
        """Arm joints (k, 7) along the straight way up from ``q``, lowest first; it ends where the arm reaches no higher."""
        position, quaternion = self._inverse.kinematics.palm_pose(q)
        matrix = rotations.to_matrix(quaternion)
        column, last = [], q
        for z in np.linspace(0.0, height, max(round(height / STEP), 1) + 1)[1:]:
            found = self._inverse.refine(last[None], (position + [0.0, 0.0, z])[None], matrix[None], iterations=30, posture=last)
            if found.position_error[0] > REACHED_M or found.rotation_error[0] > REACHED_RAD:
                break
            last = found.q[0]
            column.append(last)
        return np.array(column).reshape(-1, len(q))


class ObjectCollisions:
    """Whether arm or hand touch an object that stands still."""

    def __init__(self, cell: CellConfig, obj: ObjectSpec, position_w: ArrayLike, quaternion_w: ArrayLike) -> None:
        """Put ``obj`` at ``position_w`` (3,) m and ``quaternion_w`` (4,) into a model of ``cell``."""
        spec = cell_spec(cell)
        add_object(spec, obj, Physics())
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        names = (*InverseKinematics(cell).kinematics.arm.joint_names, *load_hand(cell.hand.model).finger_joints)
        self._joints = np.array([self._model.joint(n).qposadr[0] for n in names])
        self._object = self._model.body(OBJECT).id
        start = int(self._model.joint(OBJECT + "_free").qposadr[0])
        self._data.qpos[start : start + 7] = np.concatenate([np.asarray(position_w), np.asarray(quaternion_w)])

    def __call__(self, arm: Floats, fingers: Floats) -> str | None:
        """What touches the object, with ``arm`` (7,) and ``fingers`` (16,) in rad, or None."""
        self._data.qpos[self._joints] = np.concatenate([arm, fingers])
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        for contact in self._data.contact[: self._data.ncon]:
            bodies = [int(self._model.geom_bodyid[g]) for g in contact.geom]
            if contact.dist < 0.0 and self._object in bodies:
                other = bodies[1] if bodies[0] == self._object else bodies[0]
                return f"{self._model.body(other).name} and {OBJECT}"
        return None


def _first(plan: Callable[[float], Motion], choices: Iterable[float]) -> Motion:
    """The first plan that is not refused; where all are, the refusal of the first."""
    refusal: RefusedError | None = None
    for choice in choices:
        try:
            return plan(choice)
        except RefusedError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal
