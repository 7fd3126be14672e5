"""What is wrong with a recording, in words: faults that a reader finds by measuring, and keeps as flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dextrack import rotations
from dextrack.objects.geometry import lowest_z, point_cloud
from dextrack.objects.spec import ObjectSpec
from dextrack.references.recording import Recording

Floats = NDArray[np.float64]

TIPS = (4, 8, 12, 16, 20)
"""Indices of the fingertips among the 21 keypoints."""
FAST = 2.5
"""A person seldom moves an object faster than this, m/s; a recording that does is probably compressed in time."""
HAND_FAST = 5.0
"""Speed of a keypoint that is rather a jump, m/s."""
GAP = 0.02
"""Median distance, m, of the nearest fingertip to a moving object above which the hand does not hold it (most recordings: 1 to 10 mm)."""
SUNK = 0.01
"""How far below the table an object may be, m."""
HAND_SUNK = 0.02
"""How far below the table a keypoint may be, m; keypoints lie inside the fingers, so any depth is wrong, but tips scrape the table."""
LIFTED = 0.03
"""An object whose lowest point never rises so far, m, is not lifted."""
MOVING = 0.05
"""Speed of an object that moves, m/s."""


def fingertip_gap(recording: Recording, spec: ObjectSpec) -> Floats:
    """Distance (T,) in m from the nearest fingertip to the object's surface (sampled: about 1 mm too large)."""
    tree = cKDTree(point_cloud(spec, 8192))
    tips_o = rotations.rotate(
        rotations.conjugate(recording.object_quaternion_w)[:, None], recording.keypoints_w[:, TIPS] - recording.object_position_w[:, None]
    )
    distance, _ = tree.query(tips_o)
    out: Floats = distance.min(axis=1)
    return out


def moving(recording: Recording) -> NDArray[np.bool_]:
    """Frames (T,) in which the object moves."""
    velocity = np.gradient(recording.object_position_w, recording.time, axis=0)
    out: NDArray[np.bool_] = np.linalg.norm(velocity, axis=1) > MOVING
    return out


def find(recording: Recording, spec: ObjectSpec) -> tuple[str, ...]:
    """Flags for ``recording`` with its object ``spec``; empty where nothing is wrong."""
    flags = []
    dt = np.diff(recording.time)
    fastest = float((np.linalg.norm(np.diff(recording.object_position_w, axis=0), axis=1) / dt).max())
    if fastest > FAST:
        flags.append(f"fast: the object reaches {fastest:.1f} m/s")
    jump = float((np.linalg.norm(np.diff(recording.keypoints_w, axis=0), axis=2) / dt[:, None]).max())
    if jump > HAND_FAST:
        flags.append(f"hand jumps: a keypoint reaches {jump:.1f} m/s")
    on_the_move = moving(recording)
    if on_the_move.any():
        gap = float(np.median(fingertip_gap(recording, spec)[on_the_move]))
        if gap > GAP:
            flags.append(f"bad input: no fingertip is within {1e3 * gap:.0f} mm of the object while it moves (median)")
    low = lowest_z(spec.vertices, recording.object_position_w, recording.object_quaternion_w)
    if low.min() < -SUNK:
        flags.append(f"table: the object goes {-1e3 * low.min():.0f} mm below it")
    depth = -float(recording.keypoints_w[..., 2].min())
    if depth > HAND_SUNK:
        flags.append(f"table: the hand goes {1e3 * depth:.0f} mm below it")
    if low.max() < LIFTED:
        flags.append(f"not lifted: the object rises {1e3 * low.max():.0f} mm")
    return tuple(flags)
