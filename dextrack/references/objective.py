"""What retargeting minimises: one sum of squares over the whole sequence, read by both solvers."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.hands.spec import HandSpec
from dextrack.objects.distance import SignedDistance
from dextrack.references.reference import CONTROL_PERIOD

Floats = NDArray[np.float64]

LIMIT_SCALE = 0.01
"""Metres or radians beyond a limit that cost 1."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of the objective; each residual is divided by its scale, squared and averaged over frames."""

    keypoint_scale: float = 0.02
    """m."""
    contact_scale: float = 0.002
    """m."""
    penetration_scale: float = 0.002
    """m."""
    margin: float = 0.002
    """Distance that links other than the touching pads keep from object and table, m."""
    smooth_scale: tuple[float, float, float] = (6.0, 20.0, 60.0)
    """Accelerations of wrist translation, m/s2, wrist rotation and fingers, rad/s2, that cost 1."""
    rest_scale: float = 1.5
    """Finger angle away from the rest pose that costs 1, rad."""
    lean_scale: float = 0.3
    """Likewise, where there is a grasp, for joints that bend to both sides alike: fingers that lean on their neighbours jam."""


@dataclasses.dataclass(frozen=True)
class Grasp:
    """The object at each of T frames, and where the fingers touch it."""

    distance: SignedDistance
    """Of the object."""
    rotation_w: Floats
    """(T, 3, 3), of the object's frame."""
    position_w: Floats
    """(T, 3), m."""
    fingers: tuple[str, ...]
    """Fingers that touch."""
    pads_o: Floats
    """Where the centres of their pads should be, (F, 3), m."""
    weights: Floats
    """(T, F) in [0, 1]."""
    clearance: Floats
    """Distance that the whole hand keeps from the object, (T,), m: an open hand before it closes, 0 while it holds. The distance field ends at ``PADDING``, and
    the clearance with it: thick links keep less."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """States theta (T, dof) of ``hand`` are sought that lay its keypoints on a person's, and, with a ``grasp``, its pads on the object."""

    hand: HandSpec
    base_quaternion_w: Floats
    """(4,) wxyz, turns the wrist's hinges."""
    human_w: Floats
    """(T, K, 3), m: a person's keypoints, one for each of ``hand.keypoints``."""
    keypoint_weights: Floats
    """(T, K)."""
    rest: Floats
    """Finger angles that cost nothing, rad."""
    weights: Weights
    grasp: Grasp | None = None
    """None: there is neither object nor table."""
    period: float = CONTROL_PERIOD
    """Seconds between frames."""

    def smooth_scale(self) -> Floats:
        """Second differences of theta that cost 1, (dof,)."""
        s = self.weights.smooth_scale
        return np.array([s[0]] * 3 + [s[1]] * 3 + [s[2]] * (self.hand.dof - 6)) * self.period**2

    def rest_scale(self) -> Floats:
        """Finger angles away from rest that cost 1, rad, (dof - 6,)."""
        sideways = np.isclose(self.hand.lower, -np.asarray(self.hand.upper)) & (self.grasp is not None)
        return np.where(sideways, self.weights.lean_scale, self.weights.rest_scale)

    def points(self) -> tuple[list[str], Floats]:
        """Bodies (P) and offsets (P, 3), m, of the hand's points that have a target: its keypoints, then the pads that touch."""
        tips = {f.finger: f for f in self.hand.fingertips}
        carried = [(k.body, k.offset) for k in self.hand.keypoints]
        carried += [(tips[f].body, tips[f].offset) for f in (self.grasp.fingers if self.grasp else ())]
        return [b for b, _ in carried], np.array([o for _, o in carried])

    def targets(self) -> tuple[Floats, Floats]:
        """World positions (T, P, 3), m, that ``points`` should have, and the cost of a squared metre of each, (T, P)."""
        w = self.weights
        at, cost = [self.human_w], [self.keypoint_weights / w.keypoint_scale**2]
        if self.grasp:
            g = self.grasp
            at.append(np.einsum("nij,fj->nfi", g.rotation_w, g.pads_o) + g.position_w[:, None])
            cost.append(g.weights / w.contact_scale**2)
        return np.concatenate(at, axis=1), np.concatenate(cost, axis=1)

    def every(self, step: int) -> tuple[Problem, NDArray[np.intp]]:
        """The problem of every ``step``-th frame, and which frames those are."""
        frames = np.arange(0, len(self.human_w), step)
        g = self.grasp
        if g is not None:
            chosen = {field: getattr(g, field)[frames] for field in ("rotation_w", "position_w", "weights", "clearance")}
            g = dataclasses.replace(g, **chosen)
        coarse = dataclasses.replace(self, human_w=self.human_w[frames], keypoint_weights=self.keypoint_weights[frames], grasp=g, period=self.period * step)
        return coarse, frames
