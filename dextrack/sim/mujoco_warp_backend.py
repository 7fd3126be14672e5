"""The MuJoCo Warp backend: thousands of worlds on a GPU, read and written as torch tensors without a copy through the host.

The scene is the ``mujoco`` backend's, with its solver, integrator, cones and substeps, in single precision; the solver stops at a tolerance of 1e-6 where
MuJoCo's is 1e-8. On a GPU two runs agree within rounding only, unless the option ``deterministic`` is set; on Warp's CPU device, which is there to check this
backend and is slow, they are the same.

Room for contacts and constraints is fixed when the backend is made, by ``dextrack.sim.warp_capacity`` unless given. A step that ran out of it is an error.
"""

from __future__ import annotations

import functools
import logging
import math
from typing import TYPE_CHECKING, List, Optional

import numpy as np
import torch
from torch import Tensor

from dextrack import rotations_torch
from dextrack.errors import InputError, SimulationError
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Floats, WorldState
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.sim.tensors import NumpyCalls, WorldTensors

if TYPE_CHECKING:
    from dextrack.sim.warp_engine import WarpEngine

CHECK_EVERY = 30
"""Steps on a GPU between looks at the counts of contacts and constraints, half a second of the worlds' time: a look waits for the GPU."""


class MujocoWarpBackend(NumpyCalls):
    """TensorBackend over ``WarpEngine``. See ``dextrack.sim.tensors.TensorBackend`` for the contract.

    Where contacts or constraints were dropped, ``state`` and ``close`` raise SimulationError, and so does ``step_tensors``: on the CPU at once, on a GPU within
    ``CHECK_EVERY`` steps. So it stays until all worlds are reset together, since no world's state can be trusted before. A world that diverged, or whose
    targets are not finite, is parked until it is reset, and its state is that of the parked world.
    """

    def __init__(self, engine: WarpEngine) -> None:
        """Take over ``engine``."""
        import warp as wp

        scene, self.device = engine.scene, engine.device
        self.n_worlds, self.joint_names, self.period = engine.n_worlds, scene.hand.joint_names, scene.physics.period
        self._engine, self._scene = engine, scene
        data, model = engine.data, engine.model
        self._qpos, self._qvel, self._ctrl = wp.to_torch(data.qpos), wp.to_torch(data.qvel), wp.to_torch(data.ctrl)
        self._warmstart, self._time, self._sites = wp.to_torch(data.qacc_warmstart), wp.to_torch(data.time), wp.to_torch(data.site_xpos)
        self._bad: Tensor = wp.to_torch(engine.bad)
        self._peak: Tensor = wp.to_torch(engine.peak)
        self._counts: List[Tensor] = [wp.to_torch(counts) for counts in (data.nacon, data.ncollision, data.nefc, data.overflow)]
        self._hand_qpos, self._hand_dof = self._indices(scene.hand_qpos), self._indices(scene.hand_dof)
        self._tips = self._indices(np.array([scene.model.site(f.finger + "_tip").id for f in scene.hand.fingertips]))
        self._all = torch.arange(self.n_worlds, device=self.device)
        self._rooms = (data.naconmax, data.njmax)
        self._check_every, self._unchecked = 1 if self.device == "cpu" else CHECK_EVERY, 0
        if scene.object_qpos >= 0:
            from dextrack.sim.warp_engine import object_rows

            self._object, geoms = object_rows(scene)
            self._object_geoms = self._indices(geoms)
            self._friction, self._mass, self._inertia = wp.to_torch(model.geom_friction), wp.to_torch(model.body_mass), wp.to_torch(model.body_inertia)
            self._subtree = wp.to_torch(model.body_subtreemass)
            self._body_weight, self._dof_weight = wp.to_torch(model.body_invweight0), wp.to_torch(model.dof_invweight0)

    def _indices(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self.device)

    def reset_tensors(
        self,
        hand: Tensor,
        object_position_w: Optional[Tensor] = None,
        object_quaternion_w: Optional[Tensor] = None,
        worlds: Optional[Tensor] = None,
        hand_velocity: Optional[Tensor] = None,
        targets: Optional[Tensor] = None,
        object_velocity_w: Optional[Tensor] = None,
    ) -> None:
        """See ``TensorBackend.reset_tensors``; tensors of any precision and device.

        Raises:
            SimulationError: all worlds were to be reset, and contacts or constraints were dropped in steps that had not been checked. The worlds are as they
                were; the next reset of all goes through.
        """
        ids = self._all if worlds is None else worlds.to(self.device)
        if len(ids) == 0:
            return
        if len(ids) == self.n_worlds:
            self._forget_overflow()
        k, d = self._scene.object_qpos, self._scene.object_dof
        qpos, qvel = self._qpos.new_zeros(len(ids), self._qpos.shape[1]), self._qvel.new_zeros(len(ids), self._qvel.shape[1])
        qpos[:, self._hand_qpos] = hand.to(qpos)
        if hand_velocity is not None:
            qvel[:, self._hand_dof] = hand_velocity.to(qvel)
        if k >= 0 and object_position_w is not None and object_quaternion_w is not None:
            quaternion = object_quaternion_w.to(qpos)
            qpos[:, k : k + 3], qpos[:, k + 3 : k + 7] = object_position_w.to(qpos), quaternion
            if object_velocity_w is not None:
                velocity = object_velocity_w.to(qvel)
                qvel[:, d : d + 3], qvel[:, d + 3 : d + 6] = velocity[:, :3], rotations_torch.rotate(rotations_torch.conjugate(quaternion), velocity[:, 3:])
        self._qpos[ids], self._qvel[ids], self._ctrl[ids] = qpos, qvel, (hand if targets is None else targets).to(qpos)
        self._warmstart[ids], self._time[ids], self._bad[ids] = 0.0, 0.0, False
        self._engine.settle()

    def step_tensors(self, targets: Tensor) -> None:
        """See ``TensorBackend.step_tensors``."""
        self._ctrl.copy_(targets)
        self._engine.step()
        self._unchecked += 1
        if self._unchecked >= self._check_every:
            self._check_rooms()

    def tensors(self) -> WorldTensors:
        """See ``TensorBackend.tensors``."""
        k, d = self._scene.object_qpos, self._scene.object_dof
        hand, hand_velocity, tips = self._qpos[:, self._hand_qpos], self._qvel[:, self._hand_dof], self._sites[:, self._tips]
        if k < 0:
            none = self._qpos[:, :0]
            return WorldTensors(hand, hand_velocity, none, none, none, none, tips)
        quaternion = self._qpos[:, k + 3 : k + 7]
        # As MuJoCo, the engine keeps the angular velocity of a free joint in the body's frame.
        angular = rotations_torch.rotate(quaternion, self._qvel[:, d + 3 : d + 6])
        return WorldTensors(hand, hand_velocity, self._qpos[:, k : k + 3], quaternion, self._qvel[:, d : d + 3], angular, tips)

    def bad_mask(self) -> Tensor:
        """See ``TensorBackend.bad_mask``."""
        return self._bad.clone()

    def state(self) -> WorldState:
        """See ``Backend.state``; arrays in double precision."""
        self._check_rooms()
        return super().state()

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """See ``Backend.vary``; what the solver derives from mass is scaled with it, which for a free body is exact."""
        model, body, d = self._scene.model, self._object, self._scene.object_dof
        friction, mass = (torch.as_tensor(scale).to(self._mass) for scale in (friction_scale, mass_scale))
        nominal = self._friction.new_tensor(model.geom_friction[:, 0])[self._object_geoms]
        self._friction[:, self._object_geoms, 0] = nominal * friction[:, None]
        self._mass[:, body] = float(model.body_mass[body]) * mass
        self._inertia[:, body] = self._inertia.new_tensor(model.body_inertia[body]) * mass[:, None]
        self._subtree[:, body] = float(model.body_subtreemass[body]) * mass
        self._subtree[:, 0] = float(model.body_subtreemass[0]) + float(model.body_mass[body]) * (mass - 1.0)
        self._body_weight[:, body] = self._body_weight.new_tensor(model.body_invweight0[body]) / mass[:, None]
        self._dof_weight[:, d : d + 6] = self._dof_weight.new_tensor(model.dof_invweight0[d : d + 6]) / mass[:, None]

    def _forget_overflow(self) -> None:
        """Count contacts and constraints anew; what no check has seen yet is told first, or steps that dropped contacts would pass for good ones."""
        try:
            if self._unchecked:
                self._check_rooms()
        finally:
            # The engine's own counts are the last substep's until its next: watched before that, they would be the peak again.
            for counts in (self._peak, *self._counts):
                counts.zero_()

    def _check_rooms(self) -> None:
        """Raise SimulationError where contacts or constraints were dropped."""
        self._unchecked = 0
        used = self._peak.tolist()
        if used[2]:
            tell_depths()
        if used[0] > self._rooms[0]:
            raise SimulationError(
                "mujoco_warp: %d contacts, or pairs of geoms near enough to be tested, in %d worlds with room for %d; the others were dropped."
                % (used[0], self.n_worlds, self._rooms[0]),
                remedy="raise contacts_per_world beyond %d." % math.ceil(used[0] / self.n_worlds),
            )
        if used[1] > self._rooms[1]:
            raise SimulationError(
                "mujoco_warp: %d constraints in a world with room for %d; the others were dropped." % (used[1], self._rooms[1]),
                remedy="raise constraints_per_world beyond %d." % used[1],
            )

    def close(self) -> None:
        """See ``Backend.close``: the device's memory goes with the engine and the last tensor that shows it.

        Raises:
            SimulationError: contacts or constraints were dropped in steps that had not been checked; it is closed all the same.
        """
        try:
            if self._unchecked:
                self._check_rooms()
        finally:
            self._engine.close()
            vars(self).clear()


@functools.lru_cache(maxsize=1)
def tell_depths() -> None:
    """Say, once in a process, that a contact was left out: the engine found no room to work out how deep two hulls are in each other (its EPA horizon)."""
    why = "mujoco_warp: the depth of a pair of hulls was given up, and their contact left out for a substep: simpler or fewer convex parts need less room."
    logging.getLogger("dextrack.sim").warning(why)


def warp_device(device: Optional[str] = None) -> str:
    """The device that worlds are put on when ``device`` is asked for; None: the first GPU, or the CPU where there is none.

    Raises:
        InputError: MuJoCo Warp is not installed, or ``device`` is none that it and torch can use.
    """
    device = "cuda:0" if device == "cuda" else device
    kind, _, number = (device or "cuda:0").partition(":")
    if device != "cpu" and (kind != "cuda" or not number.isdigit()):
        raise InputError("backend mujoco_warp: device %s is no device." % device, remedy="choose cuda:0, the number of another GPU, or cpu, which is slow.")
    seen = torch.cuda.device_count()
    if device and kind == "cuda" and int(number) >= seen:
        raise InputError(
            "backend mujoco_warp: device %s is not there: torch %s sees %d GPUs." % (device, torch.__version__, seen),
            remedy="install the NVIDIA driver and a CUDA build of torch, or choose %s." % ("cuda:0" if seen else "device cpu, which is slow"),
        )
    try:
        import mujoco_warp  # noqa: F401
        import warp as wp
    except ImportError as error:
        raise InputError("backend mujoco_warp: %s." % error, remedy="pip install dextrack-core[gpu]") from error
    usable = seen > 0 and wp.is_cuda_available()
    if device and kind == "cuda" and not usable:
        raise InputError("backend mujoco_warp: Warp cannot use device %s, which torch sees." % device, remedy="update the NVIDIA driver, or choose device cpu.")
    device = device or ("cuda:0" if usable else "cpu")
    return device


def make_mujoco_warp(
    hand: HandSpec,
    base_quaternion_w: Floats,
    obj: Optional[ObjectSpec] = None,
    physics: Optional[Physics] = None,
    n_worlds: int = 1,
    table: bool = True,
    device: Optional[str] = None,
    contacts_per_world: Optional[int] = None,
    constraints_per_world: Optional[int] = None,
    deterministic: bool = False,
) -> MujocoWarpBackend:
    """The ``mujoco_warp`` entry of the registry.

    Args:
        hand: the robot hand.
        base_quaternion_w: (4,) wxyz, the reference's base frame.
        obj: the object; None: a scene without one.
        physics: settings; the measured defaults when None.
        n_worlds: worlds; a GPU is busy from some thousands on.
        table: whether there is a table.
        device: ``cuda:0``, ``cpu``; None: the first GPU, or the CPU where there is none.
        contacts_per_world: room for contacts, shared by all worlds; None: measured.
        constraints_per_world: room for rows of constraints, of each world; None: measured.
        deterministic: a GPU repeats a run bit for bit, and is slower; the CPU does so anyhow.

    Raises:
        InputError: MuJoCo Warp is not installed, or ``device`` is a GPU that it or torch cannot use.
    """
    device = warp_device(device)
    from dextrack.sim import warp_capacity
    from dextrack.sim.warp_engine import WarpEngine

    logging.getLogger("dextrack.sim").info("mujoco_warp: kernels that this machine has not compiled yet take a minute or more.")
    scene = build_scene(hand, base_quaternion_w, obj, physics, table)
    if contacts_per_world is None or constraints_per_world is None:
        contacts, constraints = warp_capacity.probe(scene, device)
        contacts_per_world, constraints_per_world = contacts_per_world or contacts, constraints_per_world or constraints
    return MujocoWarpBackend(WarpEngine(scene, n_worlds, device, contacts_per_world, constraints_per_world, deterministic))
