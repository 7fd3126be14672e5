"""What is unusual about an object, in words: it can be used, and these explain why it is slow or does not touch where it seems to."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from dextrack.objects.distance import depth_in_parts
from dextrack.objects.geometry import point_cloud
from dextrack.objects.spec import ObjectSpec

MANY_PARTS = 20
"""With more convex parts than this, contacts take most of a simulation's time."""
UNCOVERED = 0.003
"""A point of the surface farther than this, m, outside of every convex part is seen and not felt."""


def remarks(spec: ObjectSpec) -> Tuple[str, ...]:
    """One line for each thing that is unusual about ``spec``; empty where nothing is."""
    import trimesh

    said = []
    if len(spec.parts) > MANY_PARTS:
        said.append("%d convex parts: slow to simulate" % len(spec.parts))
    uses = np.unique(trimesh.Trimesh(spec.vertices, spec.faces).edges_sorted, axis=0, return_counts=True)[1]
    if (uses != 2).any():
        said.append("the mesh is not closed (%d edges): its volume is that of its parts" % (uses != 2).sum())
    uncovered = float(depth_in_parts(spec.parts, point_cloud(spec)).max())
    if uncovered > UNCOVERED:
        said.append("the convex parts leave up to %.1f mm of it uncovered" % (1e3 * uncovered))
    return tuple(said)
