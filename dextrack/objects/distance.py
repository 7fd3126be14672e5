"""Signed distance to an object: a voxel grid of the union of its convex parts, with trilinear queries in numpy and torch.

The union of the parts, not the mesh, is what simulators collide with. Faces where parts meet inside the object (or leave a
seam between them) are no surface of the union and are left out; else a point in the middle of a mug's wall would seem shallow.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, user_data, write_arrays
from dextrack.objects.spec import ObjectSpec

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Part = Tuple[Floats, NDArray[np.int32]]

SPACING = 0.002
"""Edge of a voxel, m."""
PADDING = 0.03
"""The grid goes this far beyond the object's bounding box, m."""
MAX_VOXELS = 1500000
"""A larger object gets larger voxels, so that the grid still fits in memory and is made in seconds."""
SEAM = 0.001
"""A face that another part covers within this distance, m, is inside the union."""
_EXACT_WITHIN = 0.01


@dataclasses.dataclass(frozen=True)
class SignedDistance:
    """Distance to an object's surface in the object frame: negative inside, m."""

    origin_o: Floats
    """Position of the first voxel's centre, (3,), m."""
    spacing: float
    """Edge of a voxel, m."""
    values: NDArray[np.float32]
    """Distances at the voxels' centres, (nx, ny, nz), m."""

    def query(self, points_o: Floats) -> Tuple[Floats, Floats]:
        """Distance and its gradient at points.

        Args:
            points_o: (n, 3) or (..., 3), m, object frame.

        Returns:
            (distance, gradient): (...) in m, and (..., 3) without unit (of length about 1), pointing away from the object. Beyond the grid
            the distance is the one to the surface point that is nearest to the grid's border there.
        """
        points = np.asarray(points_o, dtype=np.float64)
        flat = points.reshape(-1, 3)
        (x, y, z), c, beyond = self._cells(flat)
        (c00, c01, c10, c11), (c0, c1), distance = _interpolated(x, y, z, c)
        d00, d01, d10, d11 = (c[4 + i] - c[i] for i in range(4))
        d0, d1 = d00 + y * (d10 - d00), d01 + y * (d11 - d01)
        gradient = np.stack([d0 + z * (d1 - d0), (c10 - c00) + z * ((c11 - c01) - (c10 - c00)), c1 - c0], axis=1) / self.spacing
        outside = np.abs(beyond).max(axis=0) > 1e-9
        if outside.any():
            from_surface = beyond[:, outside].T + distance[outside, None] * gradient[outside]
            distance[outside] = np.linalg.norm(from_surface, axis=1)
            gradient[outside] = from_surface / distance[outside, None]
        return distance.reshape(points.shape[:-1]), gradient.reshape(points.shape)

    def distances(self, points_o: Floats) -> Floats:
        """The first of what ``query`` gives, (...), in m, in half its time."""
        points = np.asarray(points_o, dtype=np.float64)
        flat = points.reshape(-1, 3)
        (x, y, z), c, beyond = self._cells(flat)
        _, _, distance = _interpolated(x, y, z, c)
        outside = np.abs(beyond).max(axis=0) > 1e-9
        if outside.any():
            distance[outside] = self.query(flat[outside])[0]
        out: Floats = distance.reshape(points.shape[:-1])
        return out

    def nearest(self, cells: NDArray[np.int64]) -> Floats:
        """Values (...,), m, at the voxels ``cells`` (3, ...), or at the border's where those are beyond it; to 1.5 voxels those of all points in them."""
        top = np.array(self.values.shape).reshape(3, *(1,) * (cells.ndim - 1)) - 1
        at = np.clip(cells, 0, top)
        out: Floats = self.values.ravel()[(at[0] * self.values.shape[1] + at[1]) * self.values.shape[2] + at[2]]
        return out

    def _cells(self, flat: Floats) -> Tuple[Floats, List[Floats], Floats]:
        """Of points (n, 3): where in their cells they are (3, n), the values at the cells' 8 corners (n,), and how far beyond the grid they are (3, n), m."""
        # One row per axis: numpy works on long rows, and a row of three is none.
        along = (flat - self.origin_o).T / self.spacing
        top = np.array(self.values.shape)[:, None] - 1
        u = np.clip(along, 0.0, top)
        cell = np.minimum(u.astype(np.int64), top - 1)
        ny, nz = self.values.shape[1:]
        at = (cell[0] * ny + cell[1]) * nz + cell[2]
        values = self.values.ravel()
        corners = [values[at + ((i >> 2 & 1) * ny + (i >> 1 & 1)) * nz + (i & 1)].astype(np.float64) for i in range(8)]
        return u - cell, corners, (along - u) * self.spacing

    def query_torch(self, points_o: torch.Tensor) -> torch.Tensor:
        """Distance (...) in m at ``points_o`` (..., 3), m, as a torch tensor of the same type and device; differentiable once."""
        from dextrack.objects.distance_torch import distance

        out: torch.Tensor = distance(self, points_o)
        return out

    def on_device(self, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function from points (..., 3), m, to distances (...), m, of tensors on ``device``, where the grid is copied once; in their precision."""
        from dextrack.objects.distance_torch import DeviceDistance

        return DeviceDistance(self, device)

    def _arrays(self) -> Dict[str, Any]:
        return {"origin_o": self.origin_o, "spacing": np.float64(self.spacing), "values": self.values}


def _interpolated(x: Floats, y: Floats, z: Floats, c: List[Floats]) -> Tuple[List[Floats], Tuple[Floats, Floats], Floats]:
    """Values (n,) between corners ``c`` at ``x``, ``y``, ``z`` (n,) of their cells: on four edges along x, on two faces, and at the point."""
    edges = [c[i] + x * (c[4 + i] - c[i]) for i in range(4)]
    low, high = edges[0] + y * (edges[2] - edges[0]), edges[1] + y * (edges[3] - edges[1])
    return edges, (low, high), low + z * (high - low)


def signed_distance(spec: ObjectSpec, spacing: float = SPACING, cache: Optional[Path] = None) -> SignedDistance:
    """The signed distance of ``spec``, from the cache where it was made before.

    Args:
        spec: the object.
        spacing: edge of a voxel, m; larger where the grid would exceed ``MAX_VOXELS``.
        cache: folder of the cache; by default ``cache/distance`` in the user's data folder.
    """
    key = digest_arrays({**{"v%d" % i: v for i, (v, _) in enumerate(spec.parts)}, "settings": np.array([spacing, PADDING, MAX_VOXELS, SEAM, 1.0])})
    path = (cache if cache is not None else user_data() / "cache" / "distance") / ("%s_%s.npz" % (spec.name, key[:16]))
    if path.is_file():
        try:
            _, a = read_arrays(path)
            if a["values"].ndim == 3:
                return SignedDistance(a["origin_o"], float(a["spacing"]), a["values"])
        except (InputError, KeyError):
            pass  # a damaged cache entry is made again
    made = build(spec.parts, spacing)
    write_arrays(path, {"kind": "signed distance", "object": spec.name}, made._arrays())
    return made


def build(parts: Sequence[Part], spacing: float = SPACING) -> SignedDistance:
    """Sample the signed distance to the union of the convex hulls of ``parts`` on a grid; about a second.

    Distances within 1 cm of the surface are exact at the voxels (nearest triangles); interpolated, they are good to a quarter of a voxel.
    Farther ones are good to a voxel: least so where two faces are equally near, for example in the middle of a thick object.
    """
    import trimesh
    from scipy.spatial import cKDTree

    hulls = [_Hull(trimesh.Trimesh(v, f, process=False).convex_hull) for v, f in parts]
    lower = np.min([h.lower for h in hulls], axis=0) - PADDING
    upper = np.max([h.upper for h in hulls], axis=0) + PADDING
    spacing = max(spacing, float((np.prod(upper - lower) / MAX_VOXELS) ** (1 / 3)))
    shape = tuple(int(n) for n in np.ceil((upper - lower) / spacing) + 1)
    points = lower + spacing * np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)

    triangles, covered = _surface(hulls, max(2.0 * spacing, 0.003))
    surface = triangles[~covered]
    distance = _far(surface, points.reshape(*shape, 3)).ravel()
    near = np.flatnonzero(distance < _EXACT_WITHIN)
    distance[near] = _exact(surface, points[near])
    depth = _union(hulls, points)
    inside = depth <= 0.0
    if covered.any():
        # A point in a seam between parts lies outside of each, but nearer to a covered face than to the surface.
        doubtful = np.flatnonzero((depth > 0.0) & (depth < 2 * SEAM) & (distance > 2 * SEAM))
        to_covered, _ = cKDTree(triangles[covered].mean(axis=1)).query(points[doubtful])
        inside[doubtful] = to_covered < distance[doubtful]
    values = np.where(inside, -distance, distance).astype(np.float32).reshape(shape)
    return SignedDistance(lower, spacing, values)


def depth_in_parts(parts: Sequence[Part], points: Floats) -> Floats:
    """How far (n,) ``points`` (n, 3), m, lie outside of the nearest of convex ``parts``, m: exact beside a face, less beside a corner; negative inside."""
    import trimesh

    hulls = [_Hull(trimesh.Trimesh(v, f, process=False).convex_hull) for v, f in parts]
    out: Floats = np.min([(points @ hull.planes[:, :3].T + hull.planes[:, 3]).max(axis=1) for hull in hulls], axis=0)
    return out


class _Hull:
    """A convex part: triangles, box and planes (unit normal, offset) that face outward."""

    def __init__(self, mesh: Any) -> None:
        from scipy.spatial import ConvexHull

        self.vertices, self.faces = mesh.vertices, mesh.faces
        self.lower, self.upper = mesh.bounds
        self.planes = np.unique(np.round(ConvexHull(mesh.vertices).equations, 7), axis=0)


def _surface(hulls: List[_Hull], edge: float) -> Tuple[Floats, NDArray[np.bool_]]:
    """Triangles (n, 3, 3) of all hulls, cut to sides of at most ``edge`` m, and which of them another hull covers."""
    from trimesh.remesh import subdivide_to_size

    triangles, covered = [], []
    for hull in hulls:
        v, f = subdivide_to_size(hull.vertices, hull.faces, max_edge=edge)
        normal = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
        area = np.linalg.norm(normal, axis=1)
        t, unit = v[f[area > 0]], normal[area > 0] / area[area > 0, None]
        triangles.append(t)
        covered.append(_union([h for h in hulls if h is not hull], t.mean(axis=1) + SEAM * unit) < 0.0)
    return np.concatenate(triangles), np.concatenate(covered)


def _union(hulls: List[_Hull], points: Floats) -> Floats:
    """Least over hulls of the greatest signed distance to their planes (n,), m: <= 0 exactly inside the union; 1 m stands for far outside."""
    out = np.ones(len(points))
    for hull in hulls:
        box = np.flatnonzero(((points > hull.lower - 2 * SEAM) & (points < hull.upper + 2 * SEAM)).all(axis=1))
        for some in np.array_split(box, 1 + len(box) * len(hull.planes) // 5000000):
            out[some] = np.minimum(out[some], (points[some] @ hull.planes[:, :3].T + hull.planes[:, 3]).max(axis=1))
    return out


def _far(surface: Floats, points: Floats) -> Floats:
    """Unsigned distance at grid ``points`` (nx, ny, nz, 3): at every second one, and interpolated between."""
    from scipy.ndimage import map_coordinates
    from scipy.spatial import cKDTree

    corners = np.unique(np.round(surface.reshape(-1, 3), 5), axis=0)
    coarse = np.pad(points, [(0, 1)] * 3 + [(0, 0)], mode="edge")[::2, ::2, ::2]
    distance, _ = cKDTree(np.concatenate([corners, surface.mean(axis=1)])).query(coarse)
    index = np.stack(np.meshgrid(*[np.arange(n) / 2 for n in points.shape[:3]], indexing="ij"))
    out: Floats = map_coordinates(distance, index, order=1, mode="nearest")
    return out


def _exact(surface: Floats, points: Floats) -> Floats:
    """Distance (n,) from ``points`` to the nearest of the 6 ``surface`` triangles (m, 3, 3) whose centres are nearest."""
    from scipy.spatial import cKDTree
    from trimesh.triangles import closest_point

    k = min(6, len(surface))
    _, index = cKDTree(surface.mean(axis=1)).query(points, k=k)
    best = np.full(len(points), np.inf)
    for column in index.reshape(len(points), k).T:
        best = np.minimum(best, np.linalg.norm(closest_point(surface[column], points) - points, axis=1))
    return best
