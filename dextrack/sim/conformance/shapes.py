"""The objects of the conformance suite, from numpy alone: a box, and a ball of 80 triangles."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np

from dextrack.objects.spec import ObjectSpec

_GOLDEN = (1.0 + 5.0**0.5) / 2.0
_ICOSAHEDRON = (
    (0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6), (7, 1, 8),
    (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1),
)  # fmt: skip


def ball(radius: float, mass: float, friction: float = 1.0) -> ObjectSpec:
    """A ball of ``radius`` m about its frame's origin: an icosahedron, each face cut in four. Its symmetry makes the inertia the same about every axis."""
    a, b = 1.0, _GOLDEN
    points = [(-a, b, 0), (a, b, 0), (-a, -b, 0), (a, -b, 0), (0, -a, b), (0, a, b), (0, -a, -b), (0, a, -b), (b, 0, -a), (b, 0, a), (-b, 0, -a), (-b, 0, a)]
    vertices = [np.array(p, dtype=np.float64) for p in points]
    middles: Dict[Tuple[int, int], int] = {}

    def middle(i: int, j: int) -> int:
        key = (min(i, j), max(i, j))
        if key not in middles:
            middles[key] = len(vertices)
            vertices.append(vertices[i] + vertices[j])
        return middles[key]

    faces = []
    for i, j, k in _ICOSAHEDRON:
        ij, jk, ki = middle(i, j), middle(j, k), middle(k, i)
        faces += [(i, ij, ki), (j, jk, ij), (k, ki, jk), (ij, jk, ki)]
    directions = np.array([v / np.linalg.norm(v) for v in vertices])
    return _object("ball", radius * directions, faces, mass, friction)


def box(extent: Tuple[float, float, float], mass: float, friction: float = 1.0) -> ObjectSpec:
    """A box with edges ``extent``, m, about its frame's origin."""
    corners = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    return _object("box", np.array(corners) * np.array(extent), faces, mass, friction)


def _object(name: str, vertices: np.ndarray, faces: object, mass: float, friction: float) -> ObjectSpec:
    triangles = np.array(faces, dtype=np.int32)
    return ObjectSpec(name, vertices, triangles, ((vertices, triangles),), mass, friction, source="the conformance suite")
