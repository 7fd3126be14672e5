"""Whether mining will solve a task, said before it is mined, and what speaks against it most.

Numbers that cost a second to measure go into two logistic regressions: one for "lifted and within 20 degrees", one for the whole verdict. Every number is
centred and scaled, so that a weight says how much one unusual amount of it moves the log-odds. The weights are those that
`python tests/bench/mining.py --fit`, with an L2 penalty and signs as they must be, gave after the published campaign on the 62 tasks of the LEAP hand that
are in the training part of MyoDM's split; the bench scores them on the held-out parts. The same weights serve every hand.

What is measured:

held        share of the static holds that do not lose the object (``mining.hold``): the reference's grasps, squeezed
rehearsed   largest share of the lifted frames in which the baseline with a constant squeeze has the object up and within 5 cm
opposition  cosine between the thumb-finger axes and the surface normals there: 1 is a perfect pinch
capacity    logarithm of the pads' friction force at the torque limit (J^T, thumb against fingers) over the object's weight
clearance   least height of a planned pad's lowest point over the table while the object still lies there, m: little is left for thin things
in_hand     farthest that a human fingertip wanders over the object while it is held, m: re-grasps and turning between the fingers
tilt        largest turn of the object's up axis, rad: gravity changes sides in the grasp
seconds     time for which the object has to be held, s
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.hands.jacobians import finger_jacobians
from dextrack.hands.spec import KEYPOINTS, load_hand
from dextrack.mining.baseline import Baseline, make_baseline
from dextrack.mining.hold import hold_test
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import Scene, build_scene
from dextrack.tracking.verdict import hull_vertices

Floats = NDArray[np.float64]

GRAVITY = 9.81
_FORCE = 2.0
"""Pad force at a squeeze gain of 1, N: that of mining."""


@dataclasses.dataclass(frozen=True)
class Weight:
    """How one measured number counts."""

    mean: float
    scale: float
    """Mean and standard deviation over the training part."""
    tracked: float
    passed: float
    """Change of the log-odds of either outcome per standard deviation."""
    words: Callable[[float], str]
    """What the number means when it speaks against the task."""


WEIGHTS: dict[str, Weight] = {
    "held": Weight(0.6, 0.32, 0.062, 0.0, lambda x: f"the reference's grasp holds in {100 * x:.0f} % of the static tests"),
    "rehearsed": Weight(0.38, 0.44, 0.65, 0.73, lambda x: f"the baseline alone follows for {100 * x:.0f} % of the way"),
    "opposition": Weight(0.79, 0.18, 0.0, 0.049, lambda x: f"thumb and fingers oppose each other by a cosine of {x:.2f}"),
    "capacity": Weight(2.1, 0.88, 0.2, 0.19, lambda x: f"the pads can press for {np.exp(x):.1f} times the weight"),
    "clearance": Weight(0.017, 0.022, 0.32, 0.48, lambda x: f"a pad has {1e3 * x:.0f} mm left over the table"),
    "in_hand": Weight(0.031, 0.022, -0.21, -0.14, lambda x: f"a human fingertip wanders {100 * x:.0f} cm over the object"),
    "tilt": Weight(1, 0.95, -0.69, -1, lambda x: f"the object is tilted by {np.rad2deg(x):.0f} degrees"),
    "seconds": Weight(5.5, 3.4, -0.15, -0.11, lambda x: f"it has to be held for {x:.1f} s"),
}
BIAS = (2.5, 0.99)
"""Log-odds of either outcome (tracked, passed) when every number is at its mean."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is expected of mining one task."""

    tracked: float
    """Probability that it is lifted and within 20 degrees."""
    passed: float
    """Probability that the whole verdict passes."""
    because: str
    """What speaks against it most, in words; empty when nothing does."""
    features: dict[str, float]
    """What was measured."""

    @property
    def will_pass(self) -> bool:
        """Whether the whole verdict is more likely to pass than not."""
        return self.passed >= 0.5

    @property
    def text(self) -> str:
        """One line for people."""
        if self.will_pass:
            return f"will pass ({100 * self.passed:.0f} % whole verdict, {100 * self.tracked:.0f} % lifted within 20 degrees)"
        why = f" because {self.because}" if self.because else ""
        return f"will fail{why} ({100 * self.passed:.0f} % whole verdict, {100 * self.tracked:.0f} % lifted within 20 degrees)"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with ``will_pass``."""
        return {**dataclasses.asdict(self), "will_pass": self.will_pass}


def predict(reference: Reference, obj: ObjectSpec, physics: Physics | None = None) -> Prediction:
    """Predict the outcome of mining ``reference`` with ``obj``; costs about a second, most of it the hold tests.

    Raises:
        InputError: the reference carries no contact plan, or its hand is not registered.
        SimulationError: a rehearsal left the range of finite numbers.
    """
    return judge_features(features(reference, obj, physics))


def judge_features(measured: dict[str, float]) -> Prediction:
    """The prediction for numbers that ``features`` measured."""
    scaled = {name: (measured[name] - w.mean) / w.scale for name, w in WEIGHTS.items()}
    tracked, passed = (
        bias + sum(getattr(w, field) * scaled[name] for name, w in WEIGHTS.items()) for bias, field in zip(BIAS, ("tracked", "passed"), strict=True)
    )
    against = {name: w.passed * scaled[name] for name, w in WEIGHTS.items()}
    worst = min(against, key=lambda name: against[name])
    because = WEIGHTS[worst].words(measured[worst]) if against[worst] < 0.0 else ""
    return Prediction(_probability(tracked), _probability(passed), because, measured)


def features(reference: Reference, obj: ObjectSpec, physics: Physics | None = None) -> dict[str, float]:
    """The numbers of the module's docstring, by name; a task without planned contacts has the least favourable ones."""
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, obj, physics or Physics())
    baseline = make_baseline(reference, scene, _FORCE)
    tested = hold_test(reference, scene, baseline, hull_vertices(obj.vertices))
    onset, release = (min(int(reference.diagnosis[k]), reference.n_steps) for k in ("onset", "release"))
    up = rotations.rotate(reference.object_quaternion_w, rotations.rotate(rotations.conjugate(reference.object_quaternion_w[0]), [0.0, 0.0, 1.0]))
    return {
        "held": tested.held,
        "rehearsed": tested.rehearsed,
        "opposition": float(reference.diagnosis["opposition"]),
        "capacity": float(np.log(max(grip_capacity(reference, scene, baseline, onset) / (obj.mass * GRAVITY), 1e-2))),
        "clearance": pad_clearance(reference, scene, baseline),
        "in_hand": fingertip_travel(reference, onset, release),
        "tilt": float(np.arccos(np.clip(up[:, 2], -1.0, 1.0)).max()),
        "seconds": max(0, release - onset) * reference.period,
    }


def grip_capacity(reference: Reference, scene: Scene, baseline: Baseline, frame: int) -> float:
    """Friction force, N, that the planned pads can carry at the torque limit in the reference's pose of ``frame``.

    Pad i presses along its normal n with at most f_i = min_j effort_j / |J_i^T n|_j; thumb and fingers press against each other, so the weaker side
    counts, and friction acts on both.
    """
    if "thumb" not in baseline.fingers or len(baseline.fingers) < 2:
        return 0.0
    data = mujoco.MjData(scene.model)
    quaternion = reference.object_quaternion_w[frame]
    data.qpos[:] = scene.qpos(reference.hand[frame], reference.object_position_w[frame], quaternion)
    mujoco.mj_kinematics(scene.model, data)
    mujoco.mj_comPos(scene.model, data)
    jacobians, effort = finger_jacobians(scene.hand, scene.model, data), scene.hand.gains()[2][6:] * scene.physics.effort_scale
    normals_w = rotations.rotate(quaternion, np.array(reference.diagnosis["contact_normals_o"], dtype=np.float64).reshape(-1, 3))
    force = {f: float((effort / np.maximum(np.abs(jacobians[f].T @ n), 1e-6)).min()) for f, n in zip(baseline.fingers, normals_w, strict=True)}
    thumb = force.pop("thumb")
    friction = float(scene.model.geom("object_0").friction[0])
    return 2.0 * friction * min(thumb, sum(force.values()))


def pad_clearance(reference: Reference, scene: Scene, baseline: Baseline) -> float:
    """Least height, m, of the lowest point of a planned pad over the table while the object lies in its first pose; 0 without contacts."""
    if not baseline.fingers:
        return 0.0
    radius = {f.finger: f.radius for f in scene.hand.fingertips}
    pads = rotations.rotate(reference.object_quaternion_w[0], baseline.contacts_o) + reference.object_position_w[0]
    return float((pads[:, 2] - np.array([radius[f] for f in baseline.fingers])).min())


def fingertip_travel(reference: Reference, onset: int, release: int) -> float:
    """Farthest distance, m, of a human fingertip, among those whose robot fingers take part, from its median place on the object while it is held.

    The 90th percentile over frames is taken, so that the first and last moments do not count.
    """
    held = slice(onset, release + 1)
    names = [KEYPOINTS.index(f + "_tip") for f in reference.diagnosis["fingers"]]
    if not names or release <= onset:
        return 0.0
    tips = reference.keypoints_w[held][:, names] - reference.object_position_w[held][:, None]
    tips_o = rotations.rotate(rotations.conjugate(reference.object_quaternion_w[held])[:, None], tips)
    away = np.linalg.norm(tips_o - np.median(tips_o, axis=0), axis=-1)
    return float(np.percentile(away, 90, axis=0).max())


def _probability(log_odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0))))
