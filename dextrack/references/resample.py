"""Resampling a recording to the control period by its time stamps, slowed down where it is faster than a robot may move."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.special import ndtr

from dextrack import rotations
from dextrack.errors import RefusedError
from dextrack.hands.spec import KEYPOINTS
from dextrack.references.recording import Recording

Floats = NDArray[np.float64]

SMOOTHING = 0.02
"""Standard deviation of the Gaussian over recorded motion, s: below it lies the noise of motion capture."""
PAUSE_WIDTH = 4.0
"""Standard deviation of a pause, control steps."""
SLOWEST = 20.0
"""Largest time scale: the fastest recordings of people need about 8 at the default limits."""


@dataclasses.dataclass(frozen=True)
class Resampled:
    """A recording at the control period. World frame, SI units."""

    keypoints_w: Floats
    """(N + 1, 21, 3)."""
    object_position_w: Floats
    """(N + 1, 3)."""
    object_quaternion_w: Floats
    """(N + 1, 4)."""
    time_scale: float
    """Duration divided by the recorded duration."""


def resample(recording: Recording, period: float, speed_limit: float, acceleration_limit: float = 0.0) -> Resampled:
    """Resample ``recording`` to ``period`` s.

    Args:
        recording: the recording; its stamps may be uneven.
        period: s.
        speed_limit: m/s; if the 98th percentile of the wrist's or the object's speed is above it, all is slowed down by the ratio. 0: never.
        acceleration_limit: m/s2; likewise, by the square root of the ratio. 0: never.

    Raises:
        RefusedError: the limits would slow it down more than ``SLOWEST`` times, so it jumps rather than moves.

    Returns:
        The motion, at most half a period shorter than the (scaled) recording.
    """
    time = recording.time - recording.time[0]
    speed, acceleration = _fastest(recording, time)
    scale = 1.0
    if speed_limit > 0.0:
        scale = max(scale, speed / speed_limit)
    if acceleration_limit > 0.0:
        scale = max(scale, (acceleration / acceleration_limit) ** 0.5)
    if scale > SLOWEST:
        why = f"recording {recording.name}: wrist or object moves at {speed:.3g} m/s and {acceleration:.3g} m/s2; it would have to be {scale:.3g} times slower."
        raise RefusedError(why, remedy="cut or interpolate the frames that jump, check the time stamps, or lift the speed and acceleration limits.")
    at = np.arange(0.0, time[-1] * scale + 1e-9, period) / scale
    sigma = SMOOTHING / float(np.median(np.diff(time)))
    keypoints = gaussian_filter1d(recording.keypoints_w, sigma, axis=0, mode="nearest")
    position = gaussian_filter1d(recording.object_position_w, sigma, axis=0, mode="nearest")
    quaternion = rotations.normalise(gaussian_filter1d(rotations.continuous(recording.object_quaternion_w), sigma, axis=0, mode="nearest"))
    return Resampled(
        keypoints_w=CubicSpline(time, keypoints)(at),
        # No overshoot: the object must not sink into the table between two frames.
        object_position_w=PchipInterpolator(time, position)(at),
        object_quaternion_w=rotations.slerp(time, quaternion, at),
        time_scale=scale,
    )


def pause(motion: Resampled, frame: int, seconds: float, period: float) -> Resampled:
    """Slow ``motion`` down around ``frame`` so that it takes ``seconds`` longer.

    A person lifts while still closing the fingers; a robot's have to press before they can carry. Time runs slower by a Gaussian of the frame
    (standard deviation ``PAUSE_WIDTH`` frames), so that velocities stay continuous; what of that lies before the first frame or after the last is lost.
    """
    if seconds <= 0.0:
        return motion
    count = len(motion.object_position_w)
    fine = np.linspace(0.0, count - 1.0, 20 * count)
    late = fine + seconds / period * (ndtr((fine - frame) / PAUSE_WIDTH) - ndtr(-frame / PAUSE_WIDTH))
    return retime(motion, np.interp(np.arange(0.0, late[-1] + 1e-9), late, fine))


def keep_up(share: Floats) -> Floats:
    """When the frames of a motion are passed, if it is slowed down where a joint asks for more than its speed.

    Args:
        share: (N,) of each step: the largest part of its speed that a joint asks for.

    Returns:
        (M + 1,), M >= N: fractional frames, from 0 up; those of the steps with a share above 1 are so close together that none stays above it where
        joints are interpolated linearly. Time slows down and speeds up again over ``PAUSE_WIDTH`` frames. Elsewhere a step remains a frame.
    """
    width = round(PAUSE_WIDTH)
    # A mean of values of which none is less than what the middle one needs.
    slowness = gaussian_filter1d(maximum_filter1d(np.maximum(share, 1.0), 2 * width + 1, mode="nearest"), width / 2.0, mode="nearest", radius=width)
    late = np.concatenate([[0.0], np.cumsum(slowness)])
    return np.interp(np.arange(0.0, late[-1] + 1e-9), late, np.arange(len(late), dtype=np.float64))


def retime(motion: Resampled, at: Floats) -> Resampled:
    """``motion`` at fractional frames ``at`` (M + 1,), from 0 to N or nearly so: M / at[M] times as long."""
    frames = np.arange(len(motion.object_position_w), dtype=np.float64)
    return Resampled(
        keypoints_w=CubicSpline(frames, motion.keypoints_w)(at),
        object_position_w=PchipInterpolator(frames, motion.object_position_w)(at),
        object_quaternion_w=rotations.slerp(frames, motion.object_quaternion_w, at),
        time_scale=motion.time_scale * float((len(at) - 1) / at[-1]),
    )


def _fastest(recording: Recording, time: Floats) -> tuple[float, float]:
    """98th percentiles of the speeds, m/s, and accelerations, m/s2, of wrist and object: the larger of the two each."""
    sigma = SMOOTHING / float(np.median(np.diff(time)))
    speeds, accelerations = [], []
    for p in (recording.keypoints_w[:, KEYPOINTS.index("wrist")], recording.object_position_w):
        velocity = np.gradient(gaussian_filter1d(p, sigma, axis=0, mode="nearest"), time, axis=0)
        speeds.append(np.percentile(np.linalg.norm(velocity, axis=1), 98))
        accelerations.append(np.percentile(np.linalg.norm(np.gradient(velocity, time, axis=0), axis=1), 98))
    return float(max(speeds)), float(max(accelerations))
