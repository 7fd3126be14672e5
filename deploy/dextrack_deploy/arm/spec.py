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
from dextrack_deploy.cell.config import ARMS

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """An arm. Arrays over joints follow ``joint_names``."""

    name: str
    mjcf: Path
    """Its MJCF: the arm alone, fixed base, no actuators."""
    base_body: str
    """Root body of the MJCF."""
    shoulder_body: str
    """Body that the first joint turns on the base."""
    wrist_bodies: tuple[str, ...]
    """Last two bodies before the flange."""
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

        Source: Franka Robotics, "Robot and interface specifications", limits for Franka Research 3. A Panda's do not depend on the position: its are
        the velocities from which a joint still stops at its limit.
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
    if name not in ARMS:
        raise InputError(f"arm {name!r} is not known.", remedy=f"choose one of: {', '.join(ARMS)}.")
    path = dextrack_assets.path("models", name, f"{name}.xml")
    model = mujoco.MjModel.from_xml_path(str(path))
    names = tuple(f"{name}_joint{i}" for i in range(1, 8))
    ids = [model.joint(n).id for n in names]

    def numeric(field: str) -> Floats:
        return np.array(model.numeric(f"{name}_{field}").data, dtype=np.float64)

    return ArmSpec(
        name=name, mjcf=path, joint_names=names,
        base_body=f"{name}_link0", shoulder_body=f"{name}_link1", wrist_bodies=(f"{name}_link6", f"{name}_link7"), flange=f"{name}_flange",
        lower=model.jnt_range[ids, 0].copy(), upper=model.jnt_range[ids, 1].copy(), effort=model.jnt_actfrcrange[ids, 1].copy(),
        **{f: numeric(f) for f in ("velocity", "acceleration", "jerk", "velocity_offset", "velocity_slope", "stop_upper", "stop_lower")},
    )  # fmt: skip
