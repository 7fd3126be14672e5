"""Mismatch: how the twin's physics and sensors differ from the ones that demonstrations were mined in."""

from __future__ import annotations

import dataclasses
import math

from dextrack.errors import InputError


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """Every way in which the twin departs from the mining simulation. The defaults are what a trial runs against.

    Raises:
        InputError: a factor that is not positive, a negative noise or latency, or a number that is not finite.
    """

    friction: float = 0.7
    """Factor on the sliding friction of every contact."""
    mass: float = 1.3
    """Factor on the object's mass and inertia."""
    latency_s: float = 0.030
    """Seconds from a hand or arm command's arrival until it is fully in effect."""
    finger_gain: float = 0.8
    """Factor on the fingers' position gain and damping."""
    finger_effort: float = 1.0
    """Factor on HandSpec.effort, the torque of a finger motor at the current limit that cells run."""
    finger_gravity: bool = True
    """Whether finger motors carry the weight of their links, as real ones do (mining compensates it)."""
    hand_noise_rad: float = 0.002
    """Standard deviation of a finger encoder's reading, rad, before quantisation."""
    hand_counts: int = 4096
    """Counts per turn of a finger encoder; 0 does not quantise."""
    arm_noise_rad: float = 1e-4
    """Standard deviation of an arm encoder's reading, rad."""
    object_noise_m: float = 0.005
    """Standard deviation of each coordinate of a camera sample's position, m; drawn anew for each sample."""
    object_noise_rad: float = math.radians(3.0)
    """Standard deviation of each component of a camera sample's rotation error (a rotation vector), rad; drawn anew for each sample."""
    camera_rate_hz: float = 30.0
    """Camera samples per second."""
    camera_latency_s: float = 0.030
    """Seconds from the instant that a camera sample shows until it can be read."""

    def __post_init__(self) -> None:
        """Refuse what has no physical meaning."""
        for field in ("friction", "mass", "finger_gain", "finger_effort"):
            self._check(field, 0.01, 100.0)
        for field in ("latency_s", "camera_latency_s"):
            self._check(field, 0.0, 1.0)
        for field in ("hand_noise_rad", "arm_noise_rad", "object_noise_m", "object_noise_rad"):
            self._check(field, 0.0, 1.0)
        self._check("camera_rate_hz", 1.0, 200.0)
        if self.hand_counts != 0 and not 64 <= self.hand_counts <= 1 << 24:
            raise InputError("mismatch: hand_counts is %r." % self.hand_counts, remedy="give 0, or a number of counts per turn from 64 up.")

    def _check(self, field: str, low: float, high: float) -> None:
        value = getattr(self, field)
        if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
            raise InputError("mismatch: %s is %r." % (field, value), remedy="give a finite number from %g to %g." % (low, high))

    @staticmethod
    def none() -> Mismatch:
        """No mismatch: mining's physics and perfect sensors. A trial that uses it is labelled ``zero_mismatch``."""
        return Mismatch(
            friction=1.0, mass=1.0, latency_s=0.0, finger_gain=1.0, finger_effort=1.0, finger_gravity=False,
            hand_noise_rad=0.0, hand_counts=0, arm_noise_rad=0.0,
            object_noise_m=0.0, object_noise_rad=0.0, camera_rate_hz=30.0, camera_latency_s=0.0,
        )  # fmt: skip

    @property
    def label(self) -> str:
        """``default``, ``zero_mismatch`` or ``custom``: written into every trial, so that an easy one cannot pass for a hard one."""
        if self == Mismatch():
            return "default"
        return "zero_mismatch" if self == Mismatch.none() else "custom"

    def as_dict(self) -> dict[str, str | float | int | bool]:
        """The label and every field, for logs and the link."""
        return {"label": self.label, **dataclasses.asdict(self)}
