"""Whether arm and hand touch themselves, each other or the table in a pose of the cell."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dextrack.hands import load_hand
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig

TABLE = "table"


class CellCollisions:
    """Collision check of the cell's arm and hand over its table; no object."""

    def __init__(self, cell: CellConfig, hand_and_table: bool = True) -> None:
        """Build the model of ``cell``; ``hand_and_table`` False lets the hand touch the table, as a grasp from a table does."""
        arm, hand = load_arm(cell.arm.model), load_hand(cell.hand.model)
        spec = cell_spec(cell)
        (x0, y0), (x1, y1) = cell.table.lower, cell.table.upper
        spec.worldbody.add_geom(
            name=TABLE, type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0.5 * (x0 + x1), 0.5 * (y0 + y1), -0.05], size=[0.5 * (x1 - x0), 0.5 * (y1 - y0), 0.05]
        )
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._arm = [self._model.joint(n).qposadr[0] for n in arm.joint_names]
        self._fingers = [self._model.joint(n).qposadr[0] for n in hand.finger_joints]
        self._base = {self._model.body(b).id for b in (arm.base_body, arm.shoulder_body)}
        self._hand = {b for b in range(self._model.nbody) if self._below(b, self._model.body(hand.palm_body).id)}
        self._hand_and_table = hand_and_table

    def _below(self, body: int, ancestor: int) -> bool:
        while body not in (0, ancestor):
            body = int(self._model.body_parentid[body])
        return body == ancestor

    def __call__(self, arm: ArrayLike, fingers: ArrayLike) -> str | None:
        """What touches what, with ``arm`` (7,) and ``fingers`` (16,) in rad, or None.

        Fingers that touch each other or the palm do no harm and are not reported.
        """
        self._data.qpos[self._arm] = np.asarray(arm)
        self._data.qpos[self._fingers] = np.asarray(fingers)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        for contact in self._data.contact[: self._data.ncon]:
            bodies = [int(self._model.geom_bodyid[g]) for g in contact.geom]
            if contact.dist < 0.0 and self._counts(bodies):
                names = [TABLE if b == 0 else self._model.body(b).name for b in bodies]
                return f"{names[0]} and {names[1]}"
        return None

    def _counts(self, bodies: list[int]) -> bool:
        in_hand = [b in self._hand for b in bodies]
        if 0 in bodies:
            other = bodies[1] if bodies[0] == 0 else bodies[0]
            return other not in self._base and (self._hand_and_table or other not in self._hand)
        return not all(in_hand)
