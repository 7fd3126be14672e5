"""Stand-in for isaacgym.gymapi: the calls and records that the backend uses, under the names and arguments of the published stubs."""

# An Isaac Gym server runs Python 3.8, whose zip knows no strict=.
# ruff: noqa: B905

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from .records import (
    AssetOptions,
    IndexRange,
    PhysXParams,
    PlaneParams,
    Quat,
    RigidBodyProperties,
    RigidShapeProperties,
    SimParams,
    Tensor,
    Transform,
    Vec3,
)
from .worlds import DOF_MODE_POS, Actor, Asset, Env

__all__ = [
    "DOF_MODE_POS", "AssetOptions", "Gym", "IndexRange", "PhysXParams", "PlaneParams", "Quat", "RigidBodyProperties", "RigidShapeProperties", "SimParams",
    "Tensor", "Transform", "Vec3", "acquire_gym",
]  # fmt: skip

SIM_FLEX, SIM_PHYSX = 0, 1
UP_AXIS_Y, UP_AXIS_Z = 0, 1
DOF_MODE_NONE = 0
DOMAIN_ACTOR, DOMAIN_ENV, DOMAIN_SIM = 0, 1, 2
DTYPE_FLOAT32, DTYPE_UINT8, DTYPE_INT16, DTYPE_UINT32, DTYPE_UINT64 = 0, 1, 2, 3, 4

COUNT_FROM_WORLD = False
"""Whether poses in the tensors count from the world's origin. The examples of IsaacGymEnvs count from the environment's; a test tries the other."""


class Sim:
    def __init__(self, params: SimParams) -> None:
        self.params = params
        self.plane: PlaneParams | None = None
        self.envs: list[Env] = []
        self.prepared = False
        self.pending: dict[str, Any] = {}
        self.visible: dict[str, np.ndarray] = {}
        self.buffers: dict[str, np.ndarray] = {}

    def read(self) -> dict[str, np.ndarray]:
        """What the engine would put into the tensors now."""
        roots, bodies, dofs = [], [], []
        for env in self.envs:
            shift = np.concatenate([env.origin if COUNT_FROM_WORLD else np.zeros(3), np.zeros(10)])
            roots += [env.body(actor.name + "/" + actor.asset.root) + shift for actor in env.actors]
            bodies += [env.body(actor.name + "/" + link) + shift for actor in env.actors for link in actor.asset.links]
            dofs += [(env.data.qpos[q], env.data.qvel[d]) for q, d, _ in env.joints()]
        return {key: np.array(rows, dtype=np.float32) for key, rows in (("root", roots), ("body", bodies), ("dof", dofs))}


class Gym:
    """The calls. Parameters have the names of the stubs."""

    def create_sim(self, compute_device: int = 0, graphics_device: int = 0, type: int = SIM_FLEX, params: SimParams = None) -> Sim | None:
        if type != SIM_PHYSX:
            raise RuntimeError("stand-in: the tensor API is PhysX's.")
        # There is no GPU in here; the real one, too, returns nothing where it finds none.
        return None if params.use_gpu_pipeline else Sim(params)

    def destroy_sim(self, arg0: Sim) -> None:
        arg0.envs.clear()

    def add_ground(self, sim: Sim, params: PlaneParams) -> None:
        if (params.normal.x, params.normal.y, params.normal.z) != (0.0, 0.0, 1.0):
            raise RuntimeError("stand-in: the ground's normal is not z.")
        sim.plane = params

    def load_asset(self, sim: Sim, rootpath: str, filename: str, options: AssetOptions = None) -> Asset:
        return Asset(Path(rootpath), filename, options or AssetOptions())

    def get_asset_dof_names(self, arg0: Asset) -> list[str]:
        return list(arg0.dofs)

    def get_asset_dof_properties(self, arg0: Asset) -> np.ndarray:
        return arg0.drives()

    def get_asset_rigid_body_names(self, arg0: Asset) -> list[str]:
        return list(arg0.links)

    def get_asset_rigid_body_count(self, arg0: Asset) -> int:
        return len(arg0.links)

    def get_asset_rigid_shape_count(self, arg0: Asset) -> int:
        return len(arg0.shapes)

    def get_asset_rigid_body_shape_indices(self, arg0: Asset) -> list[IndexRange]:
        return arg0.ranges()

    def get_asset_rigid_shape_properties(self, arg0: Asset) -> list[RigidShapeProperties]:
        return [_copy(shape) for shape in arg0.shapes]

    def set_asset_rigid_shape_properties(self, arg0: Asset, arg1: list[RigidShapeProperties]) -> None:
        arg0.shapes = [_copy(shape) for shape in arg1]

    def create_env(self, arg0: Sim, arg1: Vec3, arg2: Vec3, arg3: int) -> Env:
        i = len(arg0.envs)
        arg0.envs.append(Env(np.array([(i % arg3) * (arg2.x - arg1.x), (i // arg3) * (arg2.y - arg1.y), 0.0])))
        return arg0.envs[-1]

    def begin_aggregate(self, arg0: Env, arg1: int, arg2: int, arg3: bool) -> bool:
        return True

    def end_aggregate(self, arg0: Env) -> bool:
        return True

    def create_actor(self, env: Env, asset: Asset, pose: Transform, name: str = None, group: int = -1, filter: int = -1, segmentationId: int = 0) -> int:
        env.actors.append(Actor(asset, pose, name, group, filter, len(env.actors)))
        return env.actors[-1].index

    def get_actor_index(self, arg0: Env, arg1: int, arg2: int) -> int:
        if arg2 != DOMAIN_SIM:
            return arg1
        if arg0.model is None:
            raise RuntimeError("stand-in: indices of the simulation are known after prepare_sim.")
        return arg0.first + arg1

    def set_actor_dof_properties(self, arg0: Env, arg1: int, arg2: np.ndarray) -> bool:
        arg0.actors[arg1].drives = arg2.copy()
        return True

    def get_actor_rigid_shape_properties(self, arg0: Env, arg1: int) -> list[RigidShapeProperties]:
        return [_copy(shape) for shape in arg0.actors[arg1].shapes]

    def set_actor_rigid_shape_properties(self, arg0: Env, arg1: int, arg2: list[RigidShapeProperties]) -> bool:
        arg0.actors[arg1].shapes = [_copy(shape) for shape in arg2]
        arg0.set_friction(arg0.actors[arg1])
        return True

    def get_actor_rigid_body_properties(self, arg0: Env, arg1: int) -> list[RigidBodyProperties]:
        actor, out = arg0.actors[arg1], []
        for link in actor.asset.links:
            out.append(RigidBodyProperties())
            out[-1].mass = float(arg0.model.body(actor.name + "/" + link).mass[0])
        return out

    def set_actor_rigid_body_properties(self, env: Env, actorHandle: int, props: list[RigidBodyProperties], recomputeInertia: bool = False) -> bool:
        env.set_mass(env.actors[actorHandle], props[0].mass, recomputeInertia)
        return True

    def prepare_sim(self, arg0: Sim) -> bool:
        first = 0
        for env in arg0.envs:
            env.prepare(arg0.params, arg0.plane)
            env.first = first
            first += len(env.actors)
        arg0.prepared = True
        arg0.visible = arg0.read()
        # Nothing is in the tensors before the first refresh.
        arg0.buffers = {key: np.full_like(values, np.nan) for key, values in arg0.visible.items()}
        return True

    def acquire_actor_root_state_tensor(self, arg0: Sim) -> Tensor:
        return _acquire(arg0, "root")

    def acquire_rigid_body_state_tensor(self, arg0: Sim) -> Tensor:
        return _acquire(arg0, "body")

    def acquire_dof_state_tensor(self, arg0: Sim) -> Tensor:
        return _acquire(arg0, "dof")

    def refresh_actor_root_state_tensor(self, arg0: Sim) -> bool:
        return _refresh(arg0, "root")

    def refresh_rigid_body_state_tensor(self, arg0: Sim) -> bool:
        return _refresh(arg0, "body")

    def refresh_dof_state_tensor(self, arg0: Sim) -> bool:
        return _refresh(arg0, "dof")

    def set_dof_state_tensor_indexed(self, arg0: Sim, arg1: Tensor, arg2: Tensor, arg3: int) -> bool:
        return _pend_indexed(arg0, "dof", arg1, arg2, arg3)

    def set_actor_root_state_tensor_indexed(self, arg0: Sim, arg1: Tensor, arg2: Tensor, arg3: int) -> bool:
        return _pend_indexed(arg0, "root", arg1, arg2, arg3)

    def set_dof_position_target_tensor(self, arg0: Sim, arg1: Tensor) -> bool:
        _check(arg1, DTYPE_FLOAT32, len(arg0.buffers["dof"]))
        arg0.pending["targets"] = arg1
        return True

    def simulate(self, arg0: Sim) -> None:
        if not arg0.prepared:
            raise RuntimeError("stand-in: simulate before prepare_sim.")
        _apply(arg0)
        for env in arg0.envs:
            _step(env, arg0.params.substeps)

    def fetch_results(self, arg0: Sim, arg1: bool) -> None:
        arg0.visible = arg0.read()


def acquire_gym() -> Gym:
    return Gym()


def _copy(record: RigidShapeProperties) -> RigidShapeProperties:
    out = RigidShapeProperties()
    for name in record.FIELDS:
        setattr(out, name, getattr(record, name))
    return out


def _acquire(sim: Sim, key: str) -> Tensor:
    if not sim.prepared:
        raise RuntimeError("stand-in: tensors exist after prepare_sim.")
    buffer = sim.buffers[key]
    return Tensor.of(lambda: buffer, DTYPE_FLOAT32, buffer.shape)


def _refresh(sim: Sim, key: str) -> bool:
    sim.buffers[key][:] = sim.visible[key]
    return True


def _check(tensor: Tensor, dtype: int, count: int) -> None:
    if tensor.dtype != dtype:
        raise TypeError("stand-in: a tensor of the wrong type (values are float32, indices int32).")
    if int(np.prod(tensor.shape)) != count:
        raise ValueError("stand-in: a tensor of %d values, not %d." % (int(np.prod(tensor.shape)), count))


def _pend_indexed(sim: Sim, key: str, values: Tensor, indices: Tensor, count: int) -> bool:
    _check(values, DTYPE_FLOAT32, sim.buffers[key].size)
    _check(indices, DTYPE_UINT32, count)
    sim.pending[key] = (values, indices)
    return True


def _apply(sim: Sim) -> None:
    """Read what is pending from its memory, and give it to the worlds."""
    pending, sim.pending = sim.pending, {}
    chosen, values = {}, {}
    for key in ("dof", "root"):
        if key in pending:
            given, indices = pending[key]
            chosen[key], values[key] = set(indices.memory().tolist()), given.memory()
    targets = pending["targets"].memory().ravel() if "targets" in pending else None
    actor_index = dof = 0
    for env in sim.envs:
        at = env.joints()
        for actor in env.actors:
            n = len(actor.asset.dofs)
            rows = range(dof, dof + n)
            for (q, d, control), row in zip(at[: len(rows)], rows):
                if actor_index in chosen.get("dof", ()):
                    env.data.qpos[q], env.data.qvel[d] = values["dof"].reshape(-1, 2)[row]
                if targets is not None:
                    env.data.ctrl[control] = targets[row]
            if actor_index in chosen.get("root", ()) and not actor.asset.options.fix_base_link:
                shift = env.origin if COUNT_FROM_WORLD else 0.0
                state = values["root"][actor_index].astype(np.float64)
                env.place(actor, np.concatenate([state[:3] - shift, state[3:]]))
            at, dof, actor_index = at[n:], dof + n, actor_index + 1


def _step(env: Env, substeps: int) -> None:
    mujoco.mj_step(env.model, env.data, nstep=substeps)
    # Poses of bodies belong to the positions that the step ended with.
    mujoco.mj_forward(env.model, env.data)
