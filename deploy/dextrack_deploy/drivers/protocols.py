"""What a device looks like to the rest of the cell: three small protocols and the readings that they return.

Stamps are integers: nanoseconds since the epoch (CLOCK_REALTIME) of the instant that a reading shows. They are carried with everything
computed from the reading. A driver's methods raise DriverError when the device does not answer, and never block much longer than their timeout.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import DriverError

Array = NDArray[np.float64]


class OverloadError(DriverError):
    """A motor of the hand is too hot, or pushed too hard for too long, and ended its own torque: the others must not go on without it."""


@dataclasses.dataclass(frozen=True)
class HandReading:
    """What the hand's motors report. Arrays follow HandSpec.finger_joints."""

    stamp: int
    """Sample time, ns since the epoch."""
    position: Array
    """Joint positions (16,), rad."""
    velocity: Array | None = None
    """Joint velocities (16,), rad/s, where the device reports them."""
    current: Array | None = None
    """Motor currents (16,), A, where the device reports them."""
    temperature: Array | None = None
    """Motor temperatures (16,), degrees Celsius, where the device reports them."""
    voltage: Array | None = None
    """Supply voltages (16,) at the motors, V, where the device reports them."""


@dataclasses.dataclass(frozen=True)
class ArmReading:
    """What the arm reports. Arrays follow its joint names from base to flange."""

    stamp: int
    """Sample time, ns since the epoch."""
    q: Array
    """Joint positions (7,), rad."""
    dq: Array
    """Joint velocities (7,), rad/s."""
    mode: str = ""
    """What the robot says that it is doing, where it says so: ``idle``, ``move``, ``guiding``, ..."""
    effort: Array | None = None
    """Measured joint torques (7,), N m, where the device reports them."""


@dataclasses.dataclass(frozen=True)
class ObjectPose:
    """A camera's estimate of the object's pose in the world."""

    stamp: int
    """Time of the image, ns since the epoch."""
    position_w: Array
    """Origin of the object frame (3,), m."""
    quaternion_w: Array
    """Orientation of the object frame (4,), wxyz."""
    covariance: Array | None = None
    """How sure the estimator is (6, 6), where it says so: position, m2, then rotation about the world's axes, rad2."""

    @property
    def deviation(self) -> tuple[float, float]:
        """Standard deviations of position, m, and rotation, rad, along their worst directions; zeros where the estimator is silent, inf where it says nan."""
        return (0.0, 0.0) if self.covariance is None else (_worst(self.covariance[:3, :3]), _worst(self.covariance[3:, 3:]))


def _worst(covariance: Array) -> float:
    return float(np.sqrt(np.abs(np.linalg.eigvalsh(covariance)).max())) if np.isfinite(covariance).all() else float("inf")


class HandDriver(Protocol):
    """A hand with position-controlled motors."""

    def read(self) -> HandReading:
        """The newest reading. Raises OverloadError where a motor ended its torque because of heat or load."""
        ...

    def write(self, targets: Array, stamp: int) -> None:
        """Send joint targets (16,), rad; ``stamp`` is that of the newest sensor sample that they were computed from (0: none)."""
        ...

    def set_power(self, power: str) -> None:
        """Make the motors ``full``, ``soft`` (lower gains and current limit) or ``off`` (no torque)."""
        ...

    def recover(self, power: str = "full") -> None:
        """Restart motors with an error, on the operator's word and never otherwise, and give the hand ``power`` where it is."""
        ...

    def close(self) -> None:
        """Release the device, which keeps its last target; closing twice is allowed."""
        ...


class ArmDriver(Protocol):
    """An arm that follows a stream of joint targets. Limits on rate are the caller's: use it through a DeadlineGuard.

    An error of the device stays, and every call raises it, until ``recover``.
    """

    def read(self) -> ArmReading:
        """The newest reading."""
        ...

    def write(self, q: Array, stamp: int = 0) -> None:
        """Send joint targets (7,), rad; ``stamp`` as for a hand."""
        ...

    def stop(self) -> None:
        """End the motion where it is now; targets that come later are followed again."""
        ...

    def recover(self) -> None:
        """Clear the device's error, on the operator's word and never otherwise. What was commanded before is forgotten: begin where the arm is."""
        ...

    def close(self) -> None:
        """Release the device, which stops where it is; closing twice is allowed."""
        ...


class ObjectPoseSource(Protocol):
    """Something that sees the object: a camera with its pose estimator."""

    def read(self) -> ObjectPose | None:
        """The newest sample, or None before the first. The same sample is returned again until there is a newer one: compare stamps."""
        ...

    def close(self) -> None:
        """Release the device; closing twice is allowed."""
        ...
