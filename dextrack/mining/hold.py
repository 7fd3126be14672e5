"""Can this grasp hold? Two tests in simulation that cost a second and search nothing.

The static hold takes the reference's grasp where the object begins to move, squeezes, and raises the wrist by 5 cm. The rehearsal plays the whole baseline
with a constant squeeze. Both are done at three squeezes; a task that only careful sampling could solve fails most of them.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.mining.baseline import Baseline
from dextrack.mining.replays import replay
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene
from dextrack.tracking.metrics import translation_error
from dextrack.tracking.verdict import HELD_ERROR, OBJECT_LIFT, REFERENCE_LIFT

Floats = NDArray[np.float64]

SQUEEZES = (1.0, 2.0, 4.0)
"""Squeeze gains that are tried, the range that mining samples."""
RAISE = 0.05
"""Height to which the static hold raises the wrist, m."""
DROPPED = 0.015
"""Movement of the object against the wrist from which a grasp counts as lost, m."""
_SQUEEZE_S, _RAISE_S, _WAIT_S = 0.3, 0.5, 0.25


@dataclasses.dataclass(frozen=True)
class HoldTest:
    """What the two tests found; one value per squeeze in ``SQUEEZES``."""

    moved: tuple[float, ...]
    """Static hold: movement of the object against the wrist while it was raised, m."""
    followed: tuple[float, ...]
    """Rehearsal: share of the reference's lifted frames (of all where it has none) in which the object was up and within 5 cm of it, in [0, 1]."""

    @property
    def held(self) -> float:
        """Share of the squeezes that held, in [0, 1]."""
        return sum(m < DROPPED for m in self.moved) / len(self.moved)

    @property
    def rehearsed(self) -> float:
        """Largest share of frames in which a rehearsal followed the reference, in [0, 1]."""
        return max(self.followed)


def hold_test(reference: Reference, scene: Scene, baseline: Baseline, hull_o: ArrayLike) -> HoldTest:
    """Run both tests; ``hull_o`` (H, 3) m is the object's hull.

    Raises:
        SimulationError: a rehearsal left the range of finite numbers.
    """
    onset = max(1, min(int(reference.diagnosis["onset"]), reference.n_steps))
    moved = tuple(static_hold(reference, scene, baseline, gain, onset) for gain in SQUEEZES)
    lower, upper = scene.hand.limits()
    hull = np.asarray(hull_o, dtype=np.float64)
    asked = lowest_z(hull, reference.object_position_w, reference.object_quaternion_w) >= REFERENCE_LIFT
    followed = []
    for gain in SQUEEZES:
        reached = replay(scene, reference, np.clip(baseline.targets + gain * baseline.squeeze.sum(axis=1), lower, upper))
        near = translation_error(reached.object_position_w, reference.object_position_w) <= HELD_ERROR
        up = lowest_z(hull, reached.object_position_w, reached.object_quaternion_w) >= OBJECT_LIFT
        followed.append(float((near & up)[asked].mean()) if asked.any() else float(near.mean()))
    return HoldTest(moved, tuple(followed))


def static_hold(reference: Reference, scene: Scene, baseline: Baseline, gain: float, frame: int) -> float:
    """Movement, m, of the object against the wrist while the grasp of ``frame`` (at least 1), squeezed by ``gain``, is raised by 5 cm."""
    data = mujoco.MjData(scene.model)
    theta = reference.hand[frame]
    data.qpos[:] = scene.qpos(theta, reference.object_position_w[frame], reference.object_quaternion_w[frame])
    target = np.clip(theta + gain * baseline.squeeze[frame - 1].sum(axis=0), *scene.hand.limits())
    squeeze, raised, wait = (round(t / scene.physics.period) for t in (_SQUEEZE_S, _RAISE_S, _WAIT_S))
    before = np.zeros(3)
    for n in range(squeeze + raised + wait):
        u = float(np.clip((n - squeeze) / raised, 0.0, 1.0))
        data.ctrl[:] = target
        data.ctrl[2] += RAISE * u * u * (3.0 - 2.0 * u)
        mujoco.mj_step(scene.model, data, scene.physics.substeps)
        if n == squeeze - 1:
            before = _in_wrist(reference, scene, data)
    after = _in_wrist(reference, scene, data)
    return float(np.linalg.norm(after - before)) if np.isfinite(after).all() else float(RAISE)


def _in_wrist(reference: Reference, scene: Scene, data: mujoco.MjData) -> Floats:
    """Position (3,) of the object in the wrist's frame, m."""
    theta, k = data.qpos[scene.hand_qpos], scene.object_qpos
    wrist = rotations.multiply(reference.base_quaternion_w, rotations.from_hinges(theta[3:6]))
    return rotations.rotate(rotations.conjugate(wrist), data.qpos[k : k + 3] - theta[:3])
