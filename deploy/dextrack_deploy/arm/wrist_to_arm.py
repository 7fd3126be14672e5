"""WristToArm: poses of the wrist in, joint targets of the arm out, one per control period.

Differential inverse kinematics (mink) follows the pose continuously within joint limits and velocities; the rate limiter makes what comes
out safe whatever goes in. The spare joint is drawn to home, or to the posture that a plan gives.
"""

from __future__ import annotations

import dataclasses

import mink
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.rotations import angle
from dextrack_deploy.arm.inverse import InverseKinematics, Solutions
from dextrack_deploy.arm.limiter import RateLimiter
from dextrack_deploy.arm.model import MOUNT, arm_spec
from dextrack_deploy.cell import CellConfig

Floats = NDArray[np.float64]

POSTURE_COST = 3e-3
"""Weight of the posture against one metre or radian of the pose: moves the spare joint and costs less than 0.1 mm."""
POSTURE_GAIN = 0.005
"""Part of the way to the posture that the spare joint goes in one period: faster, its swing would press on the acceleration limits."""


@dataclasses.dataclass(frozen=True)
class ArmCommand:
    """Joint targets for one control period."""

    q: Floats
    """(7,), rad, in the order of the arm's joint names."""
    velocity: Floats
    """(7,), rad/s: what takes the previous targets to these."""
    position_error: float
    """Distance of the hand at ``q`` from the pose asked for, m."""
    rotation_error: float
    """Angle of the hand at ``q`` from the pose asked for, rad."""
    limited: bool
    """Whether the rate limits changed the target, by more than 1e-4 rad in some joint."""


class WristToArm:
    """Streaming inverse kinematics. Call ``reset`` with the measured joint positions, then ``command`` every period."""

    def __init__(self, cell: CellConfig, period: float = CONTROL_PERIOD) -> None:
        """Build the model and the tasks for ``cell``; ``period`` is the time between two commands, s."""
        self._inverse = InverseKinematics(cell)
        self._limiter = RateLimiter(cell, period)
        self.period = period
        model = arm_spec(cell).compile()
        self._configuration = mink.Configuration(model)
        self._pose = mink.FrameTask(MOUNT, "site", position_cost=1.0, orientation_cost=1.0, lm_damping=1e-4)
        self._posture = mink.PostureTask(model, cost=POSTURE_COST, gain=POSTURE_GAIN)
        # The limiter's bounds less a hair, so that mink never asks for what the limiter refuses.
        speeds = dict(zip(self._inverse.kinematics.arm.joint_names, 0.999 * self._limiter.velocity, strict=True))
        self._limits = [
            mink.ConfigurationLimit(model, min_distance_from_limits=cell.arm.limit_margin + 1e-4),
            mink.VelocityLimit(model, speeds),
        ]
        self.reset(self._inverse.home)

    @property
    def q(self) -> Floats:
        """(7,): joint targets sent last, rad."""
        return self._limiter.q.copy()

    def reset(self, q: ArrayLike) -> None:
        """Begin at rest at joint positions ``q`` (7,) rad: the measured ones, so that the first command is no jump."""
        q = np.array(q, dtype=np.float64)
        self._configuration.update(np.clip(q, self._inverse.lower, self._inverse.upper))
        self._limiter.reset(q)

    def initial(self, position_w: ArrayLike, quaternion_w: ArrayLike, seed: int = 0) -> Solutions:
        """Joint positions for the first pose of a motion: several seeded starts, the reached one nearest to home."""
        return self._inverse.solve(position_w, quaternion_w, seed=seed)

    def command(self, position_w: ArrayLike, quaternion_w: ArrayLike, posture: ArrayLike | None = None) -> ArmCommand:
        """Joint targets that bring the hand's root body to a pose, or towards it.

        Args:
            position_w: (3,) m, world frame.
            quaternion_w: (4,) unit, world frame.
            posture: (7,) rad that the spare joint is drawn to; default is the cell's home.

        Raises:
            InputError: the pose is not finite. Nothing moves.
        """
        position, quaternion = np.array(position_w, dtype=np.float64), np.array(quaternion_w, dtype=np.float64)
        if not (np.isfinite(position).all() and np.isfinite(quaternion).all() and abs(np.linalg.norm(quaternion) - 1.0) < 1e-2):
            raise InputError("wrist target: it is no finite pose with a unit quaternion.", remedy="look at what computes the target; the arm holds.")
        self._pose.set_target(mink.SE3(np.concatenate([quaternion, position])))
        self._posture.set_target(self._inverse.home if posture is None else np.asarray(posture, dtype=np.float64))
        velocity = mink.solve_ik(self._configuration, [self._pose, self._posture], self.period, "daqp", limits=self._limits)
        self._configuration.integrate_inplace(velocity, self.period)
        wanted = self._configuration.q
        q = self._limiter.step(wanted)
        return self._report(q, position, quaternion, bool(np.abs(q - wanted).max() > 1e-4))

    def hold(self) -> ArmCommand:
        """Joint targets of the shortest stop, and of standing still after it."""
        q = self._limiter.brake()
        self._configuration.update(np.clip(q, self._inverse.lower, self._inverse.upper))
        position, quaternion = self._inverse.kinematics.palm_pose(q)
        return self._report(q, position, quaternion, False)

    def _report(self, q: Floats, position: Floats, quaternion: Floats, limited: bool) -> ArmCommand:
        at, turned = self._inverse.kinematics.palm_pose(q)
        return ArmCommand(q, self._limiter.v.copy(), float(np.linalg.norm(at - position)), float(angle(turned, quaternion)), limited)
