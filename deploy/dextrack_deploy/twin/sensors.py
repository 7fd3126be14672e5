"""Sensor noise as a pure function of seed, channel and sample number: reading twice gives the same, and reading less changes nothing."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.rotations import from_rotation_vector, multiply

Array = NDArray[np.float64]

HAND, ARM, CAMERA = 0, 1, 2
"""Channels: each has its own stream of random numbers."""

DYNAMIXEL_VELOCITY_UNIT = 0.229 * 2.0 * np.pi / 60.0
"""One count of a Dynamixel's present velocity (0.229 rpm), rad/s."""


def normal(seed: int, channel: int, sample: int, size: int) -> Array:
    """Standard normal numbers (size,) of sample number ``sample`` of a channel. For one thread."""
    bits, generator, state = _stream(seed, channel)
    state["state"]["counter"][3] = sample
    bits.state = state
    return generator.standard_normal(size)


@functools.lru_cache(maxsize=16)
def _stream(seed: int, channel: int) -> tuple[np.random.Philox, np.random.Generator, Any]:
    """Bits, generator and state of a channel: to set the state takes a seventh of the time that a new generator takes."""
    bits = np.random.Philox(key=[seed, channel])
    return bits, np.random.Generator(bits), bits.state


def encoder(q: Array, noise: Array, std_rad: float, counts: int) -> Array:
    """What an encoder of ``counts`` per turn (0: continuous) reads at joint positions ``q`` (n,) rad with standard-normal ``noise`` (n,)."""
    noisy = q + std_rad * noise
    if counts == 0:
        return noisy
    unit = 2.0 * np.pi / counts
    return unit * np.round(noisy / unit)


def quantised_velocity(dq: Array) -> Array:
    """Joint velocities (n,) rad/s in whole counts of a Dynamixel."""
    return DYNAMIXEL_VELOCITY_UNIT * np.round(dq / DYNAMIXEL_VELOCITY_UNIT)


def noisy_pose(position: Array, quaternion: Array, noise: Array, std_m: float, std_rad: float) -> tuple[Array, Array]:
    """A pose as a camera sees it.

    Args:
        position: (3,) m.
        quaternion: (4,) wxyz.
        noise: standard-normal numbers (6,): three for the position, three for the rotation vector in the world frame.
        std_m: standard deviation of each coordinate, m.
        std_rad: standard deviation of each component of the rotation vector, rad.

    Returns:
        (position (3,) m, quaternion (4,) wxyz).
    """
    return position + std_m * noise[:3], multiply(from_rotation_vector(std_rad * noise[3:]), quaternion)
