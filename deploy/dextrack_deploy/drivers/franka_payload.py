"""What the arm carries: mass, centre of mass and inertia of hand and plate, as libfranka's ``setLoad`` takes them."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig

Floats = NDArray[np.float64]

LARGEST_KG = 3.0
"""Payload of FR3 and Panda."""


@dataclasses.dataclass(frozen=True)
class Payload:
    """A rigid body on the flange.

    Raises:
        InputError: it weighs nothing or more than the arm carries, or no body has this inertia.
    """

    mass: float
    """kg."""
    center_f: Floats
    """Centre of mass in the flange's frame, (3,) m."""
    inertia_f: Floats
    """Inertia about the centre of mass, axes of the flange's frame, (3, 3) kg m2."""

    def __post_init__(self) -> None:
        """Refuse what is no body: an arm that believes it compensates the wrong weight."""
        center, inertia = np.array(self.center_f, dtype=np.float64), np.array(self.inertia_f, dtype=np.float64)
        object.__setattr__(self, "center_f", center)
        object.__setattr__(self, "inertia_f", inertia)
        if not 0.0 < self.mass <= LARGEST_KG:
            raise InputError(f"payload: its mass is {self.mass} kg.", remedy=f"give kilograms, above 0 and at most {LARGEST_KG}.")
        if center.shape != (3,) or not np.isfinite(center).all() or np.linalg.norm(center) > 0.5:
            raise InputError(f"payload: its centre of mass is at {center}.", remedy="give 3 numbers, in metres from the flange.")
        if inertia.shape != (3, 3) or not np.isfinite(inertia).all() or not np.allclose(inertia, inertia.T, atol=1e-9):
            raise InputError("payload: its inertia is no symmetric 3 by 3 matrix.", remedy="give kg m2 about the centre of mass.")
        moments = np.linalg.eigvalsh(inertia)
        if moments[0] <= 0.0 or moments[0] + moments[1] < moments[2] * (1.0 - 1e-6):
            raise InputError(f"payload: no body has the moments of inertia {moments} kg m2.", remedy="give kg m2 about the centre of mass.")


def payload_of(cell: CellConfig) -> Payload:
    """Hand and plate of ``cell`` as one rigid body, the fingers at the hand's rest pose; from the models that the cell is simulated with."""
    arm, hand = load_arm(cell.arm.model), load_hand(cell.hand.model)
    model = cell_spec(cell).compile()
    data = mujoco.MjData(model)
    for name, angle in zip(hand.finger_joints, hand.rest, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)
    flange = model.body(arm.flange).id
    carried = [b for b in range(model.nbody) if flange in _chain(model, b) and model.body_mass[b] > 0.0]
    mass = float(model.body_mass[carried].sum())
    center_w = (model.body_mass[carried, None] * data.xipos[carried]).sum(axis=0) / mass
    inertia_w = np.zeros((3, 3))
    for b in carried:
        turn, off = data.ximat[b].reshape(3, 3), data.xipos[b] - center_w
        inertia_w += turn @ np.diag(model.body_inertia[b]) @ turn.T + model.body_mass[b] * (off @ off * np.eye(3) - np.outer(off, off))
    to_flange = data.xmat[flange].reshape(3, 3).T
    inertia_f = to_flange @ inertia_w @ to_flange.T
    return Payload(mass, to_flange @ (center_w - data.xpos[flange]), 0.5 * (inertia_f + inertia_f.T))


def _chain(model: mujoco.MjModel, body: int) -> list[int]:
    """``body`` and its parents up to the world."""
    chain = [body]
    while chain[-1] != 0:
        chain.append(int(model.body_parentid[chain[-1]]))
    return chain
