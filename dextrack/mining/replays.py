"""Replays of mined targets: the nominal one that becomes the demonstration, and the perturbed ones that judge its robustness.

Mass and friction are off by up to 20 %, the object's pose by 5 mm and 3 degrees. The worlds of verdicts are fixed, and asked of what mining has
chosen, before it is polished and after; nothing is chosen by what they say.
Mining chooses by worlds of its own, in which the object is heavier and slides more easily than it should: what survives those is firm, and no demonstration
is the best of several in the worlds that judge it.
"""

from __future__ import annotations

import dataclasses
import time

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import SimulationError
from dextrack.mining.ensemble import Ensemble, Member
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim.physics import OBJECT
from dextrack.sim.scene import Scene
from dextrack.tracking.verdict import judge

Floats = NDArray[np.float64]

EVALUATION_SEED = 20261122
"""Seed of the perturbed replays: fixed, so that verdicts compare."""
REPLAYS = 8
"""Perturbed replays per verdict."""
SELECTION_SEED = 20261129
"""Seed of the perturbed replays by which mining chooses."""
SELECTION_REPLAYS = 16
"""Perturbed replays of an attempt."""
RANGE = 0.2
"""Largest difference of mass and friction from the nominal ones, as a share of them."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """What targets led to in one world."""

    hand: Floats
    """(N + 1, 22)."""
    hand_velocity: Floats
    """(N + 1, 22)."""
    object_position_w: Floats
    """(N + 1, 3), m."""
    object_quaternion_w: Floats
    """(N + 1, 4), wxyz."""
    penetration: Floats
    """(N + 1,): deepest hand-object penetration, m, as the engine's contacts measure it."""


@dataclasses.dataclass
class Spent:
    """What replays cost; each adds to it."""

    steps: int = 0
    physics_seconds: float = 0.0
    """Wall time inside the engine."""

    def add(self, steps: int, physics_seconds: float) -> None:
        """Another replay."""
        self.steps += steps
        self.physics_seconds += physics_seconds


def perturbations() -> tuple[Member, ...]:
    """The worlds of a verdict's perturbed replays."""
    return _drawn(EVALUATION_SEED, REPLAYS, (1.0 - RANGE, 1.0 + RANGE), (1.0 - RANGE, 1.0 + RANGE))


def selection() -> tuple[Member, ...]:
    """The worlds of the perturbed replays by which mining chooses among its attempts."""
    return _drawn(SELECTION_SEED, SELECTION_REPLAYS, (1.0 - RANGE, 1.0), (1.0, 1.0 + RANGE))


def _drawn(seed: int, count: int, friction: tuple[float, float], mass: tuple[float, float]) -> tuple[Member, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        Member(
            friction_scale=float(rng.uniform(*friction)),
            mass_scale=float(rng.uniform(*mass)),
            offset=(float(rng.normal() * 0.005), float(rng.normal() * 0.005)),
            yaw=float(rng.normal() * np.radians(3.0)),
        )
        for _ in range(count)
    )


def replay(scene: Scene, reference: Reference, targets: Floats, spent: Spent | None = None) -> Replay:
    """Replay ``targets`` (N, 22) from the reference's first state, the object at rest, in the nominal world; what it costs is added to ``spent``.

    Raises:
        SimulationError: the state left the range of finite numbers.
    """
    position, quaternion = settled_pose(scene, reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(reference.hand[0], position, quaternion)
    data.ctrl[:] = reference.hand[0]
    qpos, qvel, depth = [data.qpos.copy()], [data.qvel.copy()], [0.0]
    mujoco.mj_forward(scene.model, data)
    depth[0] = _penetration(scene, data)
    physics = 0.0
    for target in targets:
        data.ctrl[:] = target
        began = time.perf_counter()
        mujoco.mj_step(scene.model, data, scene.physics.substeps)
        physics += time.perf_counter() - began
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
        depth.append(_penetration(scene, data))
    if spent is not None:
        spent.add(len(targets), physics)
    q, v, k = np.array(qpos), np.array(qvel), scene.object_qpos
    if not np.isfinite(q).all() or not np.isfinite(v).all():
        raise SimulationError(f"replay of {reference.name}: the state is not finite.", remedy="mine again with another seed, or report the object.")
    return Replay(q[:, scene.hand_qpos], v[:, scene.hand_dof], q[:, k : k + 3], q[:, k + 3 : k + 7], np.array(depth))


def _penetration(scene: Scene, data: mujoco.MjData) -> float:
    """Deepest contact between the object and anything that is neither object nor world, m, at least 0."""
    body = scene.model.body(OBJECT).id
    contacts = data.contact
    if not len(contacts.dist):
        return 0.0
    bodies = scene.model.geom_bodyid[contacts.geom]
    mine = (bodies == body).any(axis=1) & (bodies != 0).all(axis=1)
    return float(max(0.0, -contacts.dist[mine].min(initial=0.0)))


def survivals(
    scene: Scene,
    reference: Reference,
    hull_o: ArrayLike,
    targets: Floats,
    threads: int = 0,
    members: tuple[Member, ...] | None = None,
    spent: Spent | None = None,
) -> list[bool]:
    """For each perturbed replay of ``targets``, whether it lifts and holds.

    Args:
        scene: the nominal world.
        reference: what was to be tracked.
        hull_o: (H, 3) m, the object's hull.
        targets: (N, 22), m and rad.
        threads: of MuJoCo; 0: all cores.
        members: worlds, where they are not those of verdicts.
        spent: what the replays cost is added to it.
    """
    return replays(scene, reference, hull_o, targets, threads, perturbations() if members is None else members, spent)[0]


def replays(
    scene: Scene, reference: Reference, hull_o: ArrayLike, targets: Floats, threads: int, members: tuple[Member, ...], spent: Spent | None
) -> tuple[list[bool], Floats, Floats]:
    """As ``survivals``, and what the object does: its position (E, N, 3), m, and quaternion (E, N, 4) wxyz, after each step in each world."""
    ensemble = Ensemble(scene, reference, members, 1, threads)
    start = ensemble.qpos()
    qpos, _ = ensemble.advance(targets)
    if spent is not None:
        spent.add(ensemble.steps, ensemble.physics_seconds)
    k = scene.object_qpos
    out = []
    for first, rest in zip(start, qpos, strict=True):
        q = np.concatenate([first[None], rest])
        out.append(bool(np.isfinite(q).all()) and judge(reference, hull_o, q[:, k : k + 3], q[:, k + 3 : k + 7]).lifts_and_holds)
    return out, qpos[..., k : k + 3], qpos[..., k + 3 : k + 7]
