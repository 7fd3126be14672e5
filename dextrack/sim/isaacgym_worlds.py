"""Worlds in Isaac Gym behind ``TensorBackend``, through its tensor API. Imported by ``isaacgym_backend`` once Isaac Gym is, because it imports torch.

What the tensor API asks, and how it is met here:

- Quaternions are xyzw; they are turned at this edge.
- Joints are in the engine's order; columns are found by name.
- State tensors are a copy that a refresh renews after ``simulate`` (and, on the CPU, ``fetch_results``). So a reset writes its rows into the copy,
  and nothing is refreshed until the engine has stepped: ``tensors`` shows what was reset.
- A set by index reads the rows of full tensors, takes int32 actor indices, and of several before one ``simulate`` the last alone may count. So resets
  are collected, and sent once, just before the step. The indices must live until the engine has read them.
- Targets are sent before ``simulate``, for all worlds, in every step.
- Links move when the engine steps, so pads are computed from the joint positions (``TipKinematics``), in a reset world as in any other.
- Poses are relative to where the hand's root lies, so that it does not matter whether the engine counts from the environment or from the world.
- A state or target that is not finite never reaches the engine, which shares one scene among all worlds; the world counts as bad.
"""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
import torch
from torch import Tensor

from dextrack import rotations_torch
from dextrack.errors import SimulationError
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Floats
from dextrack.sim.isaacgym_scene import GymScene, shape_friction
from dextrack.sim.physics import Physics
from dextrack.sim.tensors import NumpyCalls, WorldTensors
from dextrack.sim.urdf_kinematics import TipKinematics


class IsaacGymWorlds(NumpyCalls):
    """``TensorBackend`` over Isaac Gym, in float32. See ``dextrack.sim.backend.Backend`` and ``dextrack.sim.tensors.TensorBackend`` for the contract."""

    def __init__(
        self, gymtorch: Any, scene: GymScene, hand: HandSpec, base_quaternion_w: Floats, obj: Optional[ObjectSpec], physics: Physics, device: str
    ) -> None:
        """Take over ``scene``, made of ``hand``, ``obj`` and ``physics`` on ``device``; ``gymtorch`` is the module of that name."""
        self.device = device
        self.n_worlds = len(scene.envs)
        self.joint_names = hand.joint_names
        self.period = physics.period
        self._scene, self._gymtorch = scene, gymtorch
        self._friction = None if obj is None else obj.friction * physics.friction_scale
        self._mass = None if obj is None else obj.mass * physics.mass_scale
        self._tips = TipKinematics(scene.urdf, base_quaternion_w, hand.joint_names, hand.fingertips, device)
        self._columns = torch.tensor([scene.dof_names.index(name) for name in hand.joint_names], device=device)
        gym, sim = scene.gym, scene.sim
        self._dof = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))
        self._root = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
        self._joints = self._dof.view(self.n_worlds, -1, 2)
        self._targets = torch.zeros(self._joints.shape[:2], device=device)
        gym.refresh_dof_state_tensor(sim)
        gym.refresh_actor_root_state_tensor(sim)
        self._hands = torch.tensor(scene.hand_actors, device=device)
        self._objects = torch.tensor(scene.object_actors, dtype=torch.int64, device=device)
        self._origin = self._root[self._hands, :3].clone()
        self._centre = None if scene.object_centre_o is None else torch.tensor(scene.object_centre_o, dtype=torch.float32, device=device)
        self._bad = torch.zeros(self.n_worlds, dtype=torch.bool, device=device)
        self._waiting = torch.zeros(self.n_worlds, dtype=torch.bool, device=device)
        self._any_waiting = False

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
        """See ``TensorBackend.reset_tensors``."""
        ids = torch.arange(self.n_worlds, device=self.device) if worlds is None else worlds.to(self.device)
        if len(ids) == 0:
            return
        self._joints[ids[:, None], self._columns, 0] = self._own(hand)
        self._joints[ids[:, None], self._columns, 1] = 0.0 if hand_velocity is None else self._own(hand_velocity)
        if self._centre is not None and object_position_w is not None and object_quaternion_w is not None:
            rows = self._objects[ids]
            quaternion = self._own(object_quaternion_w)
            arm = rotations_torch.rotate(quaternion, self._centre.expand(len(quaternion), 3))
            self._root[rows, :3] = self._own(object_position_w) + arm + self._origin[ids]
            self._root[rows, 3:7] = quaternion[:, [1, 2, 3, 0]]
            self._root[rows, 7:] = 0.0
            if object_velocity_w is not None:
                velocity = self._own(object_velocity_w)
                self._root[rows, 7:10] = velocity[:, :3] + torch.cross(velocity[:, 3:], arm, dim=1)
                self._root[rows, 10:] = velocity[:, 3:]
        self._aim(ids, self._own(hand if targets is None else targets))
        self._bad[ids] = ~self._finite()[ids]
        self._waiting[ids] = True
        self._any_waiting = True

    def step_tensors(self, targets: Tensor) -> None:
        """See ``TensorBackend.step_tensors``."""
        gym, sim = self._scene.gym, self._scene.sim
        indices = self._send_resets()
        self._bad |= self._aim(torch.arange(self.n_worlds, device=self.device), self._own(targets))
        gym.set_dof_position_target_tensor(sim, self._gymtorch.unwrap_tensor(self._targets))
        gym.simulate(sim)
        if not self._scene.gpu:
            gym.fetch_results(sim, True)
        gym.refresh_dof_state_tensor(sim)
        gym.refresh_actor_root_state_tensor(sim)
        # The engine held the addresses of the indices, not the tensors, until here.
        del indices
        self._bad |= ~self._finite()

    def _aim(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Set the targets of the worlds ``ids`` (n,) to (n, 22); those that are not finite stay as they were. Whether a world has such, (n,)."""
        at = (ids[:, None], self._columns)
        finite = torch.isfinite(targets)
        self._targets[at] = torch.where(finite, targets, self._targets[at])
        return ~finite.all(dim=1)

    def _send_resets(self) -> List[Tensor]:
        """Give the engine what was reset since the last step; the indices that it will read, to be kept until it has."""
        if not self._any_waiting:
            return []
        ids = torch.nonzero(self._waiting & ~self._bad).squeeze(-1)
        self._waiting[:] = False
        self._any_waiting = False
        if len(ids) == 0:
            return []
        gym, sim, unwrap = self._scene.gym, self._scene.sim, self._gymtorch.unwrap_tensor
        hands = self._hands[ids].to(torch.int32)
        gym.set_dof_state_tensor_indexed(sim, unwrap(self._dof), unwrap(hands), len(hands))
        if self._centre is None:
            return [hands]
        objects = self._objects[ids].to(torch.int32)
        gym.set_actor_root_state_tensor_indexed(sim, unwrap(self._root), unwrap(objects), len(objects))
        return [hands, objects]

    def tensors(self) -> WorldTensors:
        """See ``TensorBackend.tensors``."""
        joints = self._joints[:, self._columns]
        hand, hand_velocity = joints[..., 0], joints[..., 1]
        tips = self._tips(hand)
        if self._centre is None:
            none = hand[:, :0]
            return WorldTensors(hand, hand_velocity, none, none, none, none, tips)
        root = self._root[self._objects]
        quaternion, angular = root[:, [6, 3, 4, 5]], root[:, 10:]
        arm = rotations_torch.rotate(quaternion, self._centre.expand(len(quaternion), 3))
        return WorldTensors(
            hand=hand,
            hand_velocity=hand_velocity,
            object_position_w=root[:, :3] - arm - self._origin,
            object_quaternion_w=quaternion,
            object_linear_velocity_w=root[:, 7:10] - torch.cross(angular, arm, dim=1),
            object_angular_velocity_w=angular,
            tips_w=tips,
        )

    def bad_mask(self) -> Tensor:
        """See ``TensorBackend.bad_mask``."""
        return self._bad.clone()

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """See ``Backend.vary``; world by world through the host, so slow where there are thousands. Friction is halved at most.

        Raises:
            SimulationError: what is read back is not what was set. NVIDIA's texts differ on whether mass can be changed on the GPU once the simulation is
                prepared (``docker/isaacgym/README.md``). That it reads back does not show that the solver uses it: the conformance case held_sphere does.
        """
        if self._friction is None or self._mass is None:
            return
        for world, (friction, mass) in enumerate(zip(friction_scale, mass_scale)):
            self._set_object(world, shape_friction(self._friction * float(friction), self._friction), self._mass * float(mass))

    def _set_object(self, world: int, friction: float, mass: float) -> None:
        """Give the object of a world its shapes' friction and its mass, kg, and look whether it has them."""
        gym, env, handle = self._scene.gym, self._scene.envs[world], self._scene.object_handles[world]
        shapes = gym.get_actor_rigid_shape_properties(env, handle)
        for shape in shapes:
            shape.friction = friction
        gym.set_actor_rigid_shape_properties(env, handle, shapes)
        bodies = gym.get_actor_rigid_body_properties(env, handle)
        bodies[0].mass = mass
        # Recomputed from the shapes, as the file's inertia was: uniform density over the parts.
        gym.set_actor_rigid_body_properties(env, handle, bodies, recomputeInertia=True)
        frictions = [shape.friction for shape in gym.get_actor_rigid_shape_properties(env, handle)]
        read = (*frictions, gym.get_actor_rigid_body_properties(env, handle)[0].mass)
        # The engine keeps single precision.
        if not np.allclose(read, [*([friction] * len(frictions)), mass], rtol=1e-4, atol=1e-6):
            what = "isaacgym: the object of world %d was given friction %.3f and mass %.4f kg, and has %.3f and %.4f kg."
            raise SimulationError(what % (world, friction, mass, read[0], read[-1]), remedy="simulate on device=cpu, or leave friction and mass as they are.")

    def close(self) -> None:
        """See ``Backend.close``."""
        self._scene.gym.destroy_sim(self._scene.sim)

    def _own(self, values: Tensor) -> Tensor:
        return values.to(device=self.device, dtype=torch.float32)

    def _finite(self) -> Tensor:
        """Whether each world's state is finite, (W,)."""
        finite = torch.isfinite(self._joints).all(dim=2).all(dim=1)
        return finite if self._centre is None else finite & torch.isfinite(self._root[self._objects]).all(dim=1)
