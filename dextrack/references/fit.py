"""A robot hand laid on a person's bare hand: no object, no table, no contact. For gestures, teleoperation logs and comparisons."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.hands.spec import KEYPOINTS, HandSpec
from dextrack.references import gauss_newton
from dextrack.references.guess import first_guesses, half_closed
from dextrack.references.jacobians import HandJacobians
from dextrack.references.objective import Problem, Weights
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.settings import require

Floats = NDArray[np.float64]

COARSE = 8
"""Frames from one whose posture is solved for first to the next."""


@dataclasses.dataclass(frozen=True)
class FitConfig(Weights):
    """Weights of a fit. Penetration, contact and margin mean nothing here."""

    tip_scale: float = 0.0005
    """Error of a fingertip that costs 1, m; ``keypoint_scale`` is that of the other keypoints."""
    iterations: int = 40
    """At most, in each of the solver's two stages."""
    tolerance: float = 0.01
    """Done when a step saves less than this part of the cost."""

    def __post_init__(self) -> None:
        """Refuse scales that are not positive, and no iterations."""
        require(self, "fitting a hand", ("tip_scale", "keypoint_scale", "iterations", "tolerance"), "give a positive number.", more=True)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """States of a robot hand that lie on a person's keypoints."""

    base_quaternion_w: Floats
    """(4,) wxyz, as of a ``Reference``."""
    theta: Floats
    """(T, dof), m and rad, in the order of ``HandSpec.joint_names``."""
    cost: float
    """Of the objective."""


def fit_hand(keypoints_w: Floats, hand: HandSpec, config: FitConfig | None = None, period: float = CONTROL_PERIOD) -> Fitted:
    """Lay ``hand`` on keypoints, the whole sequence at once: fingertips first, then posture, smooth and within limits.

    Nothing is scaled: where the robot's hand is the larger one it bends its fingers more, or moves its wrist back.

    Args:
        keypoints_w: (T, 21, 3), m, in the order of ``KEYPOINTS``; T at least 3.
        hand: the robot hand, of the same side.
        config: weights; the defaults when None.
        period: seconds between frames, for smoothness.

    Raises:
        InputError: wrong shape, values that are not finite, fewer than 3 frames.
    """
    config = config or FitConfig()
    keypoints = np.asarray(keypoints_w, dtype=np.float64)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(KEYPOINTS), 3) or len(keypoints) < 3:
        raise InputError(f"fitting a hand: keypoints have shape {keypoints.shape}.", remedy="give (T, 21, 3) with at least 3 frames.")
    if not np.isfinite(keypoints).all():
        frame = int(np.argwhere(~np.isfinite(keypoints))[0][0])
        raise InputError(f"fitting a hand: the keypoints of frame {frame} are not finite.", remedy="leave such frames out, or interpolate them.")
    if not 0.0 < period < float("inf"):
        raise InputError(f"fitting a hand: period is {period}.", remedy="give the seconds between frames.")
    base, (guess, _) = first_guesses(keypoints, hand)
    human = keypoints[:, [KEYPOINTS.index(k.human) for k in hand.keypoints]]
    posture = np.array([k.weight for k in hand.keypoints])
    tips = np.array([k.human.endswith("_tip") for k in hand.keypoints])
    exact = np.where(tips, posture * (config.keypoint_scale / config.tip_scale) ** 2, posture)
    problem = Problem(hand, base, human, np.tile(posture, (len(human), 1)), half_closed(hand), config, period=period)
    # Posture first, on a few frames: the tips' narrow valley is long, and bends.
    kinematics = HandJacobians(hand, base)
    coarse, frames = problem.every(COARSE if len(human) >= 8 * COARSE else 1)
    rough = gauss_newton.descend(coarse, guess[frames], config.iterations, 0.1, kinematics)
    problem = dataclasses.replace(problem, keypoint_weights=np.tile(exact, (len(human), 1)))
    theta = gauss_newton.between(frames, rough.theta, len(human))
    solution = gauss_newton.descend(problem, theta, config.iterations, config.tolerance, kinematics)
    return Fitted(base, solution.theta, solution.cost)
