"""A user's bottle: a mesh in millimetres, and a hand-made recording of a right hand that lifts it. Run as a script, it writes both. Used by tests only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import trimesh

from dextrack.hands import KEYPOINTS

RADIUS = 0.03
"""Of the bottle where it is held, m."""
HELD = 0.085
"""Height of the hand's middle on the bottle, m."""
_PROFILE = [(0, 0), (27, 0), (30, 4), (30, 120), (25, 138), (13, 152), (13, 158), (15, 158), (15, 175), (0, 175)]


def mesh() -> trimesh.Trimesh:
    """The bottle in millimetres, standing on its origin, with its cap."""
    return trimesh.creation.revolve(np.array(_PROFILE, dtype=np.float64), sections=48)


def _around(radius: float, degrees: float, height: float) -> tuple[float, float, float]:
    angle = np.radians(degrees)
    return (radius * np.cos(angle), radius * np.sin(angle), height)


def _keypoints(opening: float) -> np.ndarray:
    """21 keypoints (21, 3), m: thumb up, the palm at the bottle's -y side, fingers around its +x side, thumb at its -x side; tips ``opening`` m off it."""
    points = {"wrist": (-0.085, -0.075, HELD)}
    for finger, up in (("index", 0.030), ("middle", 0.008), ("ring", -0.013), ("little", -0.033)):
        z = HELD + up
        points[finger + "_1"] = (0.005, -0.055, z)
        points[finger + "_2"] = _around(RADIUS + 0.017 + opening, -38, z)
        points[finger + "_3"] = _around(RADIUS + 0.012 + opening, -8, z)
        points[finger + "_tip"] = _around(RADIUS + 0.002 + opening, 24, z)
    points["thumb_1"] = (-0.062, -0.055, HELD + 0.018)
    points["thumb_2"] = (-0.050 - 0.5 * opening, -0.030, HELD + 0.022)
    points["thumb_3"] = _around(RADIUS + 0.012 + opening, 180, HELD + 0.020)
    points["thumb_tip"] = _around(RADIUS + 0.002 + opening, 150, HELD + 0.015)
    return np.array([points[name] for name in KEYPOINTS])


def recording(rate: float = 30.0) -> dict[str, np.ndarray]:
    """Arrays of the recording, as `dextrack data format` tells: 1 s approach, 0.5 s closing, 1.2 s lift by 12 cm, 0.4 s held."""
    time = np.arange(0.0, 3.2, 1.0 / rate)

    def ease(begin: float, end: float) -> np.ndarray:
        u = np.clip((time - begin) / (end - begin), 0.0, 1.0)
        return u * u * (3 - 2 * u)

    keypoints = np.array([_keypoints(0.03 * (1 - closed)) for closed in ease(0.9, 1.5)])
    keypoints += 0.10 * (1 - ease(0.1, 1.0))[:, None, None] * np.array([-0.4, -1.0, 0.3])
    keypoints[..., 2] += 0.12 * ease(1.6, 2.8)[:, None]
    position = np.stack([0 * time, 0 * time, 0.12 * ease(1.6, 2.8)], axis=1)
    header = {"name": "bottle_lift", "object": "bottle", "side": "right"}
    return {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        "time": time,
        "keypoints_w": keypoints,
        "object_position_w": position,
        "object_quaternion_w": np.tile([1.0, 0.0, 0.0, 0.0], (len(time), 1)),
    }


def write(folder: Path) -> tuple[Path, Path]:
    """Write ``bottle.stl`` and ``bottle_lift.npz`` into ``folder``."""
    stl, npz = folder / "bottle.stl", folder / "bottle_lift.npz"
    mesh().export(stl)
    np.savez(npz, **recording())
    return stl, npz


if __name__ == "__main__":
    write(Path(sys.argv[1]))
