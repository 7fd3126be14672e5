"""A hand-made recording that needs no download: a hand takes a box from above and lifts it by 10 cm. Used by tests only."""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh

from dextrack.hands import KEYPOINTS
from dextrack.objects import ObjectSpec
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference

SIZE = (0.05, 0.06, 0.08)
"""Edges of the box, m."""


def box(name: str = "box", mass: float = 0.08) -> ObjectSpec:
    """A box standing on its smallest face; its frame is at its centre."""
    mesh = trimesh.creation.box(SIZE)
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec(name, vertices, faces, ((vertices, faces),), mass)


def made_with(reference: Reference, obj: ObjectSpec) -> Reference:
    """``reference``, as if it had been retargeted with ``obj``."""
    return dataclasses.replace(reference, provenance={**reference.provenance, "object": obj.digest})


def _keypoints(opening: float) -> np.ndarray:
    """21 keypoints (21, 3), m, of a right hand above a box at the origin, fingers towards +x, ``opening`` m between tips and box."""
    x = SIZE[0] / 2 + opening
    points = {"wrist": (-0.10, 0.0, 0.13)}
    for finger, y in (("index", 0.022), ("middle", 0.0), ("ring", -0.022), ("little", -0.04)):
        points[finger + "_1"] = (-0.01, y, 0.13)
        points[finger + "_2"] = (0.03, y, 0.12)
        points[finger + "_3"] = (0.04 + opening, y, 0.09)
        points[finger + "_tip"] = (x if finger != "little" else 0.06, y, 0.06)
    points |= {"thumb_1": (-0.07, 0.03, 0.12), "thumb_2": (-0.05, 0.03, 0.10), "thumb_3": (-0.04 - opening, 0.015, 0.08), "thumb_tip": (-x, 0.0, 0.06)}
    return np.array([points[name] for name in KEYPOINTS])


def recording(rate: float = 50.0) -> Recording:
    """The recording, 2.4 s at ``rate`` Hz: 0.8 s approach, 0.4 s closed, 0.8 s lift, 0.4 s held up."""
    time = np.arange(0.0, 2.4, 1.0 / rate)

    def ease(begin: float, end: float) -> np.ndarray:
        u = np.clip((time - begin) / (end - begin), 0.0, 1.0)
        return u * u * (3 - 2 * u)

    approach, lift = ease(0.1, 0.7), ease(1.2, 2.0)
    keypoints = np.array([_keypoints(0.03 * (1 - a) + 0.001) for a in ease(0.5, 0.9)])
    keypoints[..., 2] += (0.08 * (1 - approach) + 0.10 * lift)[:, None]
    position = np.stack([0 * time, 0 * time, SIZE[2] / 2 + 0.10 * lift], axis=1)
    quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (len(time), 1))
    return Recording("box_lift", "box", "right", time, keypoints, position, quaternion, dataset="synthetic")
