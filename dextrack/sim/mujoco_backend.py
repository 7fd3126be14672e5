"""The MuJoCo backend: worlds stepped on all cores by ``mujoco.batch``, bit-identical at any thread count."""

from __future__ import annotations

from typing import Optional

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Floats, Ints, WorldState
from dextrack.sim.physics import OBJECT, Physics
from dextrack.sim.scene import Scene, build_scene


class MujocoBackend:
    """Backend over ``mujoco.batch.Batch``. See ``dextrack.sim.backend.Backend`` for the contract."""

    def __init__(self, scene: Scene, n_worlds: int, n_threads: int = 0) -> None:
        """Make ``n_worlds`` worlds of ``scene`` on ``n_threads`` threads (0: all cores)."""
        self.scene = scene
        self.n_worlds = n_worlds
        self.joint_names = scene.hand.joint_names
        self.period = scene.physics.period
        # A persistent batch keeps the kinematics that step() ends with, so fresh tip positions cost nothing extra.
        self._batch = mujoco.batch.Batch(scene.model, n_worlds, n_threads, persistent=True)
        self._qpos = self._batch.bind("qpos")
        self._qvel = self._batch.bind("qvel")
        self._ctrl = self._batch.bind("ctrl")
        self._sites = self._batch.bind("site_xpos")
        self._tips = np.array([scene.model.site(f.finger + "_tip").id for f in scene.hand.fingertips])
        if scene.object_qpos >= 0:
            self._object = scene.model.body(OBJECT).id
            self._object_geoms = np.flatnonzero(scene.model.geom_bodyid == self._object)
        self._warnings = np.zeros(n_worlds, dtype=np.int64)

    def reset(
        self,
        hand: Floats,
        object_position_w: Optional[Floats] = None,
        object_quaternion_w: Optional[Floats] = None,
        worlds: Optional[Ints] = None,
        hand_velocity: Optional[Floats] = None,
        targets: Optional[Floats] = None,
        object_velocity_w: Optional[Floats] = None,
    ) -> None:
        """See ``Backend.reset``."""
        ids = np.arange(self.n_worlds) if worlds is None else np.asarray(worlds)
        if len(ids) == 0:
            return
        # The batch takes indices in their order only.
        ordered = np.sort(ids)
        self._batch.reset(ordered, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self._qpos[ids] = self.scene.qpos(hand, object_position_w, object_quaternion_w)
        self._qvel[ids] = 0.0
        if hand_velocity is not None:
            self._qvel[np.ix_(ids, self.scene.hand_dof)] = hand_velocity
        if object_velocity_w is not None and object_quaternion_w is not None:
            d = self.scene.object_dof
            self._qvel[ids, d : d + 3] = object_velocity_w[:, :3]
            self._qvel[ids, d + 3 : d + 6] = rotations.rotate(rotations.conjugate(object_quaternion_w), object_velocity_w[:, 3:])
        self._ctrl[ids] = hand if targets is None else targets
        self._warnings[ids] = self._warning_count()[ids]
        self._batch.forward(ordered, stage=mujoco.mjtStage.mjSTAGE_VEL.value)

    def step(self, targets: Floats) -> None:
        """See ``Backend.step``."""
        self._ctrl[:] = targets
        self._batch.step(nstep=self.scene.physics.substeps, stage=mujoco.mjtStage.mjSTAGE_VEL.value)

    def state(self) -> WorldState:
        """See ``Backend.state``."""
        k, d = self.scene.object_qpos, self.scene.object_dof
        hand, hand_velocity = self._qpos[:, self.scene.hand_qpos], self._qvel[:, self.scene.hand_dof]
        if k < 0:
            none = self._qpos[:, :0]
            return WorldState(hand, hand_velocity, none, none, none, none, self._sites[:, self._tips])
        quaternion = self._qpos[:, k + 3 : k + 7]
        return WorldState(
            hand=hand,
            hand_velocity=hand_velocity,
            object_position_w=self._qpos[:, k : k + 3],
            object_quaternion_w=quaternion,
            object_linear_velocity_w=self._qvel[:, d : d + 3],
            # MuJoCo keeps the angular velocity of a free joint in the body's frame.
            object_angular_velocity_w=rotations.rotate(quaternion, self._qvel[:, d + 3 : d + 6]),
            tips_w=self._sites[:, self._tips],
        )

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """See ``Backend.vary``."""
        model = self.scene.model
        friction = self._batch.expand("geom_friction")
        friction[:, self._object_geoms, 0] = model.geom_friction[self._object_geoms, 0] * np.asarray(friction_scale)[:, None]
        mass = self._batch.expand("body_mass")
        mass[:, self._object] = model.body_mass[self._object] * np.asarray(mass_scale)
        inertia = self._batch.expand("body_inertia")
        inertia[:, self._object] = model.body_inertia[self._object] * np.asarray(mass_scale)[:, None]
        self._batch.set_const()

    def bad_worlds(self) -> Ints:
        """See ``Backend.bad_worlds``."""
        finite = np.isfinite(self._qpos).all(axis=1) & np.isfinite(self._qvel).all(axis=1)
        return np.flatnonzero(~finite | (self._warning_count() > self._warnings))

    def _warning_count(self) -> NDArray[np.int64]:
        """Bad positions, velocities or accelerations that the engine met, per world (a warning is its last argument and its count)."""
        kinds = [mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC]
        counts: NDArray[np.int64] = np.asarray(self._batch.warning, dtype=np.int64)[:, [int(k) for k in kinds], 1].sum(axis=1)
        return counts

    def close(self) -> None:
        """See ``Backend.close``: the batch's threads end with it."""
        del self._batch


def make_mujoco(
    hand: HandSpec,
    base_quaternion_w: Floats,
    obj: Optional[ObjectSpec] = None,
    physics: Optional[Physics] = None,
    n_worlds: int = 1,
    n_threads: int = 0,
    table: bool = True,
) -> MujocoBackend:
    """The ``mujoco`` entry of the registry; ``n_threads`` 0 uses all cores."""
    return MujocoBackend(build_scene(hand, base_quaternion_w, obj, physics, table), n_worlds, n_threads)
