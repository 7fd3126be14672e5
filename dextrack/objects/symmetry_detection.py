"""Find the symmetry of a mesh: which rotations about its centre bring its surface back to itself.

An axis of symmetry is an axis of the surface's second moments. Where these differ, only half turns about the three principal axes are
possible; where two agree, the third axis may have any order, and half turns may lie across it; where all agree, any direction may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, user_data, write_arrays
from dextrack.objects.spec import ObjectSpec
from dextrack.objects.symmetry import SPHERE, Generator, Symmetry, closure

Floats = NDArray[np.float64]

TOLERANCE = 0.04
"""A turn is one of the symmetry when no point of the surface comes to lie farther from it than this, relative to the radius about the turn's axis."""
MOMENTS_AGREE = 0.1
"""Principal moments that differ by less than this, relative to the largest, may belong to equal axes."""
ORDERS = (12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Orders that are tried, the finest first; within the tolerance, a 12-sided prism is round."""
FREE_TURNS = tuple(2.0 * np.pi * ((k * 0.6180339887) % 1.0) for k in range(1, 8))
"""Angles, rad, that only an axis of any angle survives: multiples of the golden angle."""
_SURFACE = 200000
_PROBES = 600
_VOXELS = 96
_HALF = 0.55
_SNAP = np.cos(np.radians(3.0))


def symmetry_of(spec: ObjectSpec, cache: Optional[Path] = None) -> Symmetry:
    """The symmetry that ``spec`` states, else the one that ``detect`` finds in its mesh, kept in ``cache`` (default: ``cache/symmetry`` of the user)."""
    if spec.symmetry is not None:
        return spec.symmetry
    key = digest_arrays({"vertices": spec.vertices, "faces": spec.faces, "settings": np.array([TOLERANCE, MOMENTS_AGREE, _SURFACE, _PROBES, 1.0])})
    path = (cache if cache is not None else user_data() / "cache" / "symmetry") / ("%s_%s.npz" % (spec.name, key[:16]))
    if path.is_file():
        try:
            return Symmetry.from_array(read_arrays(path)[1]["symmetry"])
        except (InputError, KeyError):
            pass  # a damaged cache entry is made again
    found = detect(spec.vertices, spec.faces)
    write_arrays(path, {"kind": "symmetry", "object": spec.name}, {"symmetry": found.as_array()})
    return found


def detect(vertices: Floats, faces: NDArray[Any]) -> Symmetry:
    """The symmetry of a mesh, (V, 3) in m or any other length and (F, 3); a second or two.

    The mesh need not be closed. The same mesh gives the same answer; its axes are snapped to x, y, z where these lie within 3 degrees.
    """
    surface = _Surface(vertices, faces)
    groups = surface.principal_groups()
    if len(groups) == 1 and surface.free(groups[0][0]) and surface.free(groups[0][1]):
        return SPHERE
    found: List[Generator] = []
    for axis in _candidates(surface, groups):
        order = surface.order(axis)
        if order is None or any(abs(float(np.dot(axis, known))) > np.cos(np.radians(8.0)) for known, _ in found):
            continue
        found.append(((float(axis[0]), float(axis[1]), float(axis[2])), order))
        if order == 0:
            return _with_half_turn(surface, found[-1])
    return _group(surface, sorted(found, key=lambda generator: -generator[1]))


class _Surface:
    """Points all over a mesh, about its centre and relative to its diameter, and how far a rotation takes some of them off it."""

    def __init__(self, vertices: Floats, faces: NDArray[Any]) -> None:
        import trimesh
        from scipy.spatial import cKDTree

        mesh = trimesh.Trimesh(vertices, faces, process=False)
        area, corners, middle = mesh.area_faces, mesh.triangles, mesh.triangles_center
        centre = (area[:, None] * middle).sum(axis=0) / area.sum()
        second = np.einsum("t,tia,tib->ab", area, corners - centre, corners - centre) + 9 * np.einsum("t,ta,tb->ab", area, middle - centre, middle - centre)
        points = np.asarray(trimesh.sample.sample_surface(mesh, _SURFACE, seed=0)[0]) - centre
        diameter = 2.0 * float(np.linalg.norm(points, axis=1).max())
        self.second: Floats = second
        points = points / diameter
        self.tree = cKDTree(points)
        self.points: Floats = points
        self.voxels = _distance_grid(points)
        self.noise: float = 0.004 * float(area.sum()) ** 0.5 / diameter
        # The outermost points tell most; the others are spread evenly, for they come in random order.
        far = np.argsort(-np.linalg.norm(points, axis=1))[:: _SURFACE // 100][:50]
        self.probes: Floats = np.concatenate([points[far], points[:_PROBES]])

    def principal_groups(self) -> List[Floats]:
        """Principal axes (k, 3), those with about equal moments together: the single ones first."""
        values, vectors = np.linalg.eigh(self.second)
        groups = [[0]]
        for i in (1, 2):
            if values[i] - values[i - 1] < MOMENTS_AGREE * values[2]:
                groups[-1].append(i)
            else:
                groups.append([i])
        return [vectors[:, g].T for g in sorted(groups, key=len)]

    def about_off(self, axis: Floats, turn: float) -> Floats:
        """Distances (n,), relative to the diameter, between the surface and its points turned by ``turn`` rad about ``axis``; good to a voxel."""
        from scipy.ndimage import map_coordinates

        turned = rotations.rotate(rotations.from_rotation_vector(turn * axis), self.probes)
        out: Floats = map_coordinates(self.voxels, ((turned + _HALF) / (2 * _HALF) * _VOXELS - 0.5).T, order=1, mode="nearest")
        return out

    def off(self, axis: Floats, turn: float, bound: float) -> Floats:
        """As ``about_off``, exact, and infinite beyond ``bound``."""
        turned = rotations.rotate(rotations.from_rotation_vector(turn * axis), self.probes)
        out: Floats = self.tree.query(turned, distance_upper_bound=bound)[0]
        return out

    def tolerance(self, axis: Floats) -> float:
        """``TOLERANCE`` times the radius about ``axis``, relative to the diameter; plus what the distance between the surface's points adds."""
        radius = float(np.linalg.norm(np.cross(self.points[::20], axis), axis=1).max())
        return TOLERANCE * radius + self.noise

    def same(self, axis: Floats, turn: float) -> bool:
        """Whether the turn brings the surface back to itself."""
        return bool(np.isfinite(self.off(axis, turn, self.tolerance(axis))).all())

    def free(self, axis: Floats) -> bool:
        """Whether any turn about ``axis`` does."""
        return all(self.same(axis, turn) for turn in FREE_TURNS)

    def order(self, axis: Floats) -> Optional[int]:
        """The order of ``axis``: 0 for any angle, None for no symmetry."""
        if self.free(axis):
            return 0
        return next((n for n in ORDERS if all(self.same(axis, 2 * np.pi * k / n) for k in range(1, n // 2 + 1))), None)

    def refined(self, axis: Floats, turn: float, directions: Floats) -> Floats:
        """``axis``, tilted along ``directions`` (k, 3) to where the turn leaves the surface best."""
        from scipy.optimize import minimize

        def tilted(u: Floats) -> Floats:
            out: Floats = axis + u @ directions
            return out / np.linalg.norm(out)

        def cost(u: Floats) -> float:
            return float(np.minimum(self.off(tilted(u), turn, 0.1), 0.1).mean())

        simplex = np.concatenate([np.zeros((1, len(directions))), 0.03 * np.eye(len(directions))])
        best = minimize(cost, simplex[0], method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6, "maxfev": 60})
        return tilted(best.x)


def _distance_grid(points: Floats) -> Floats:
    """Distance from the centres of voxels, ``_VOXELS`` along each edge of a cube of +-``_HALF``, to the nearest voxel with one of ``points`` (n, 3)."""
    from scipy.ndimage import distance_transform_edt

    free = np.ones((_VOXELS,) * 3, dtype=bool)
    free[tuple(((points + _HALF) / (2 * _HALF) * _VOXELS).astype(int).T)] = False
    out: Floats = distance_transform_edt(free) * (2 * _HALF / _VOXELS)
    return out


def _candidates(surface: _Surface, groups: Sequence[Floats]) -> List[Floats]:
    """Axes (3,) worth a closer look: the principal ones, and what a search across those with equal moments finds."""
    found = [_snapped(group[0], surface) for group in groups if len(group) == 1]
    for group in groups:
        if len(group) == 2:
            angle = np.radians(np.arange(0.0, 180.0, 2.0))
            found += _searched(surface, np.cos(angle)[:, None] * group[0] + np.sin(angle)[:, None] * group[1], [2], 0.03, group)
        elif len(group) == 3:
            found += _searched(surface, _hemisphere(2000), [2, 3, 5, 7], 0.055, np.eye(3))
    return found


def _searched(surface: _Surface, axes: Floats, orders: Sequence[int], slack: float, plane: Floats) -> List[Floats]:
    """Of ``axes`` (n, 3), those about which a turn of one of ``orders`` nearly brings the surface back; each refined within ``plane``."""
    found: List[Floats] = []
    for order in orders:
        turn = 2 * np.pi / order
        off = np.array([surface.about_off(axis, turn).max() for axis in axes])
        seen: List[Floats] = []
        for i in np.argsort(off):
            if off[i] > 0.5 * TOLERANCE + slack or len(seen) >= 16:
                break
            if all(abs(float(axes[i] @ other)) < np.cos(np.radians(10.0)) for other in seen):
                seen.append(axes[i])
                across = plane - np.outer(plane @ axes[i], axes[i])
                _, size, directions = np.linalg.svd(across)
                found.append(_snapped(surface.refined(axes[i], turn, directions[: int((size > 0.1).sum())]), surface))
    return found


def _hemisphere(n: int) -> Floats:
    """Directions (n, 3), spread evenly (Fibonacci lattice)."""
    z = (np.arange(n) + 0.5) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def _snapped(axis: Floats, surface: _Surface) -> Floats:
    """The coordinate axis that ``axis`` nearly is, where it is one of the symmetry not much worse; else ``axis``, its largest part positive."""
    i = int(np.abs(axis).argmax())
    axis = axis * np.sign(axis[i])
    exact = np.eye(3)[i]
    return exact if axis[i] > _SNAP and (surface.order(exact) == surface.order(axis)) else axis


def _with_half_turn(surface: _Surface, free: Generator) -> Symmetry:
    """The symmetry about a free axis: with half turns across it where they fit; any direction across will do."""
    axis = np.array(free[0])
    across = np.eye(3)[int(np.abs(axis).argmin())]
    across = across - (across @ axis) * axis
    across = across / np.linalg.norm(across)
    half: Tuple[Generator, ...] = (((float(across[0]), float(across[1]), float(across[2])), 2),)
    return Symmetry((free,) + (half if surface.same(across, np.pi) else ()))


def _group(surface: _Surface, found: Sequence[Generator]) -> Symmetry:
    """The group of as many of the axes ``found`` as make one whose every rotation brings the surface back; redundant ones are left out."""
    kept: List[Generator] = []
    group = closure([])
    for generator in found:
        turns = [rotations.from_rotation_vector(2 * np.pi / n * np.array(a)) for a, n in [*kept, generator]]
        try:
            larger = closure(turns)
        except InputError:
            continue
        if len(larger) > len(group) and all(surface.same(r, 1.0) for r in rotations.to_rotation_vector(larger)):
            kept.append(generator)
            group = larger
    return Symmetry(tuple(kept))
