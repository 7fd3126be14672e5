"""ArmSpec: the limits of a robot arm, read from its MJCF, and the registry of arms."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import dextrack_assets
import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """An arm. Arrays over joints follow ``joint_names``."""

    name: str
    mjcf: Path
    """Its MJCF: the arm alone, fixed base, no actuators."""
    base_body: str
    """Root body of the MJCF."""
    flange: str
    """Body and site that an end effector is bolted to."""
    joint_names: tuple[str, ...]
    lower: Floats
    """Lower limits, rad."""
    upper: Floats
    """Upper limits, rad."""
    velocity: Floats
    """Velocity limits, rad/s."""
    acceleration: Floats
    """Acceleration limits, rad/s2."""
    jerk: Floats
    """Jerk limits, rad/s3."""
    effort: Floats
    """Torque limits, N m."""
    velocity_offset: Floats
    """Of the velocity that a position allows (``velocity_bounds``), rad/s."""
    velocity_slope: Floats
    """Of the velocity that a position allows, rad/s2: twice the deceleration that the arm counts on."""
    stop_upper: Floats
    """Where that velocity ends, just beyond the upper limit, rad."""
    stop_lower: Floats
    """Where that velocity ends, just beyond the lower limit, rad."""

    def velocity_bounds(self, q: Floats) -> tuple[Floats, Floats]:
        """(least, greatest) joint velocity that positions ``q`` (..., 7) rad allow, rad/s.

        Source: Franka Robotics, "Robot and interface specifications", limits for Franka Research 3.
        """
        up = -self.velocity_offset + np.sqrt(np.maximum(0.0, self.velocity_slope * (self.stop_upper - q)))
        down = self.velocity_offset - np.sqrt(np.maximum(0.0, self.velocity_slope * (q - self.stop_lower)))
        return np.maximum(-self.velocity, np.minimum(0.0, down)), np.minimum(self.velocity, np.maximum(0.0, up))


@functools.cache
def load_arm(name: str) -> ArmSpec:
    """Return the arm ``name``.

    Raises:
        InputError: no such arm.
    """
    if name != "fr3":
        raise InputError(f"arm {name!r} is not known.", remedy="choose one of: fr3.")
    path = dextrack_assets.path("models", "fr3", "fr3.xml")
    model = mujoco.MjModel.from_xml_path(str(path))
    names = tuple(f"fr3_joint{i}" for i in range(1, 8))
    ids = [model.joint(n).id for n in names]

    def numeric(field: str) -> Floats:
        return np.array(model.numeric(f"fr3_{field}").data, dtype=np.float64)

    return ArmSpec(
        name=name, mjcf=path, base_body="fr3_link0", flange="fr3_flange", joint_names=names,
        lower=model.jnt_range[ids, 0].copy(), upper=model.jnt_range[ids, 1].copy(), effort=model.jnt_actfrcrange[ids, 1].copy(),
        **{f: numeric(f) for f in ("velocity", "acceleration", "jerk", "velocity_offset", "velocity_slope", "stop_upper", "stop_lower")},
    )  # fmt: skip
