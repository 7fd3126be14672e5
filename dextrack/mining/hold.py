"""Can this grasp hold? Two tests in simulation that cost a second and search nothing.

The static hold takes the reference's grasp out of its motion: the wrist stays where it is, the fingers squeeze the object while that is pinned in its place,
then the object is let go and only the fingers keep it from falling. It is done early, midway and late in the lift. The rehearsal plays the whole baseline
with a constant squeeze. Both are done at three squeezes; a task that only careful sampling could solve fails most of them.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.mining.baseline import Baseline
from dextrack.mining.replays import replay
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.sim.scene import Scene
from dextrack.tracking.metrics import translation_error
from dextrack.tracking.verdict import HELD_ERROR, OBJECT_LIFT, REFERENCE_LIFT

Floats = NDArray[np.float64]

SQUEEZES = (2.0, 6.0, 18.0)
"""Squeeze gains that are tried. Mining samples gains up to 6 and moves the fingers besides; at 18 the motors give what they have."""
MOMENTS = (0.1, 0.5, 0.9)
"""Where in the reference's lifted frames the static hold takes its grasps."""
DROPPED = 0.015
"""Movement of the object after it was let go from which a grasp counts as lost, m; a free fall of 0.06 s."""
_PINNED_S, _FREE_S = 0.25, 0.4


@dataclasses.dataclass(frozen=True)
class HoldTest:
    """What the two tests found."""

    moved: tuple[float, ...]
    """Static hold: movement of the object after it was let go, m; one value per moment and squeeze."""
    followed: tuple[float, ...]
    """Rehearsal: share of the reference's lifted frames (of all where it has none) in which the object was up and within 5 cm of it, in [0, 1];
    one value per squeeze."""

    @property
    def held(self) -> float:
        """Share of the static holds that kept the object, in [0, 1]."""
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
    lower, upper = scene.hand.limits()
    hull = np.asarray(hull_o, dtype=np.float64)
    height = lowest_z(hull, reference.object_position_w, reference.object_quaternion_w)
    asked = height >= REFERENCE_LIFT
    # An object that is never lifted is tested where it is highest.
    lifted = np.flatnonzero(asked) if asked.any() else np.array([max(1, int(np.argmax(height)))])
    frames = [max(1, int(lifted[round(u * (len(lifted) - 1))])) for u in MOMENTS]
    moved = tuple(static_hold(reference, scene, baseline, gain, frame) for frame in frames for gain in SQUEEZES)
    followed = []
    for gain in SQUEEZES:
        reached = replay(scene, reference, np.clip(baseline.squeezed(gain), lower, upper))
        near = translation_error(reached.object_position_w, reference.object_position_w) <= HELD_ERROR
        up = lowest_z(hull, reached.object_position_w, reached.object_quaternion_w) >= OBJECT_LIFT
        followed.append(float((near & up)[asked].mean()) if asked.any() else float(near.mean()))
    return HoldTest(moved, tuple(followed))


def static_hold(reference: Reference, scene: Scene, baseline: Baseline, gain: float, frame: int) -> float:
    """Movement, m, of the object within 0.4 s after it was let go in the grasp of ``frame`` (at least 1), squeezed by ``gain``."""
    data = mujoco.MjData(scene.model)
    theta, k, d = reference.hand[frame], scene.object_qpos, scene.object_dof
    data.qpos[:] = scene.qpos(theta, reference.object_position_w[frame], reference.object_quaternion_w[frame])
    data.ctrl[:] = np.clip(theta + gain * baseline.squeeze[frame - 1].sum(axis=0), *scene.hand.limits())
    place = data.qpos[k : k + 7].copy()
    for _ in range(round(_PINNED_S / scene.model.opt.timestep)):
        mujoco.mj_step(scene.model, data)
        data.qpos[k : k + 7], data.qvel[d : d + 6] = place, 0.0
    mujoco.mj_step(scene.model, data, round(_FREE_S / scene.model.opt.timestep))
    away = float(np.linalg.norm(data.qpos[k : k + 3] - place[:3]))
    return min(away, 1.0) if np.isfinite(away) else 1.0
