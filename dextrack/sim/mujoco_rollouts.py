"""Rollouts of the ``mujoco`` backend: ``mujoco.batch`` on the cores of the host, one call for a whole horizon, bit-identical at any thread count."""

from __future__ import annotations

from typing import Optional, Tuple

import mujoco
import mujoco.batch
import numpy as np

from dextrack.errors import InputError
from dextrack.sim.arrays import HostArrays
from dextrack.sim.backend import Floats, Ints
from dextrack.sim.physics import OBJECT
from dextrack.sim.scene import Scene


class MujocoWorlds:
    """See ``dextrack.sim.rollouts.RolloutWorlds``. A world that diverged repeats its last state."""

    def __init__(self, scene: Scene, n_worlds: int, threads: int) -> None:
        """``n_worlds`` worlds of ``scene`` on at most ``threads`` threads (0: all cores)."""
        self.scene, self.n_worlds = scene, n_worlds
        self.batch = mujoco.batch.Batch(scene.model, n_worlds, min(threads, n_worlds) if threads else 0)

    def vary(self, friction_scale: Floats, mass_scale: Floats, gain_scale: Floats) -> None:
        """See ``RolloutWorlds.vary``."""
        model, batch = self.scene.model, self.batch
        body = model.body(OBJECT).id
        geoms = np.flatnonzero(model.geom_bodyid == body)
        batch.expand("geom_friction")[:, geoms, 0] = model.geom_friction[geoms, 0] * friction_scale[:, None]
        batch.expand("body_mass")[:, body] = model.body_mass[body] * mass_scale
        batch.expand("body_inertia")[:, body] = model.body_inertia[body] * mass_scale[:, None]
        fingers = np.array([model.actuator(name).id for name in self.scene.hand.finger_joints])
        for field in ("actuator_gainprm", "actuator_biasprm"):
            batch.expand(field)[:, fingers] = getattr(model, field)[fingers] * gain_scale[:, None, None]
        batch.set_const()

    def reset(self, hand: Floats, object_position_w: Floats, object_quaternion_w: Floats) -> None:
        """See ``RolloutWorlds.reset``."""
        self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.batch.bind("qpos")[:] = self.scene.qpos(hand, object_position_w, object_quaternion_w)
        self.batch.bind("ctrl")[:] = hand

    def state(self) -> Floats:
        """See ``RolloutWorlds.state``."""
        return np.array(self.batch.state)

    def set_state(self, state: Floats) -> None:
        """See ``RolloutWorlds.set_state``."""
        self.batch.state[:] = state

    def qpos(self) -> Floats:
        """See ``RolloutWorlds.qpos``."""
        return np.array(self.batch.bind("qpos"))

    def run(self, targets: Floats, rows: Optional[Ints] = None) -> Tuple[Floats, Floats]:
        """See ``RolloutWorlds.run``."""
        k = self.scene.physics.substeps
        control = np.repeat(targets, k, axis=1)
        record = self.batch.rollout(control.shape[1], control=control, record=("qpos", "sensordata"), ids=rows)
        return record["qpos"][:, k - 1 :: k], record["sensordata"][:, k - 1 :: k]


class MujocoRollouts:
    """See ``dextrack.sim.rollouts.Rollouts``: worlds are made when they are asked for, and end with who has them."""

    def __init__(self, scene: Scene, threads: int = 0) -> None:
        """Worlds of ``scene``, on ``threads`` threads (0: all cores)."""
        self.arrays = HostArrays()
        self._scene, self._threads = scene, threads

    def worlds(self, n_worlds: int) -> MujocoWorlds:
        """See ``Rollouts.worlds``."""
        return MujocoWorlds(self._scene, n_worlds, self._threads)

    def close(self) -> None:
        """See ``Rollouts.close``: there is nothing to free."""


def device_of(device: Optional[str]) -> str:
    """The CPU; see ``dextrack.sim.rollouts.rollout_device``.

    Raises:
        InputError: another device was asked for.
    """
    if device not in (None, "cpu"):
        raise InputError("backend mujoco: device is %s, and it runs on the CPU alone." % device, remedy="choose backend mujoco_warp, or leave the device out.")
    return "cpu"


def make_rollouts(scene: Scene, threads: int, device: Optional[str]) -> MujocoRollouts:
    """See ``dextrack.sim.rollouts.make_rollouts``."""
    device_of(device)
    return MujocoRollouts(scene, threads)
