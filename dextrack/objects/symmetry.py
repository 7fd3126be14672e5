"""Symmetry of an object: the rotations about its centre of mass that leave its shape as it is.

A symmetry is written as generators: an axis in the object's frame and an order n, for turns by 1/n of a revolution; order 0 stands for any angle.
As a text: ``none``, ``sphere``, or axes with their orders, for example ``z`` (any angle about z: a mug without a handle), ``z,x2`` (a
cylinder: it may stand upside down too), ``z4,x2`` (a square prism), ``z4,x4`` (a cube), ``x2,y2`` (a box).
Mirror images are none: no motion brings them about.
"""

from __future__ import annotations

import dataclasses
import re
from typing import List, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError

Floats = NDArray[np.float64]
Generator = Tuple[Tuple[float, float, float], int]

MAX_ELEMENTS = 60
"""The icosahedron's group; a larger finite group is that of a polygon with so many corners that it turns by any angle."""
MAX_ORDER = 24
"""Greatest order of a turn; more corners than these are a circle."""
_SAME = np.radians(5.0)
_REMEDY = "give none, sphere, or axes with orders, for example z,x2 for a cylinder."


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """A group of rotations in the object's frame. ``Symmetry()`` is that of an object without any."""

    generators: Tuple[Generator, ...] = ()
    """(unit axis in the object's frame, order) each; order 0: any angle."""

    def __post_init__(self) -> None:
        """Refuse axes of no length, orders that are none, and generators whose group is not finite up to one free axis or all rotations."""
        for axis, order in self.generators:
            if not np.isfinite(axis).all() or abs(np.linalg.norm(axis) - 1.0) > 1e-3:
                raise InputError("symmetry: axis %s is not of unit length." % (axis,), remedy=_REMEDY)
            if not (order == 0 or 2 <= order <= MAX_ORDER):
                raise InputError("symmetry: order %s is not 0 (any angle) or 2 to %d." % (order, MAX_ORDER), remedy=_REMEDY)
        if self.free_axis is not None:
            for axis, order in self.generators:
                along = abs(float(np.dot(axis, self.free_axis)))
                if along < np.cos(_SAME) and not (order == 2 and along < np.sin(_SAME)):
                    raise InputError("symmetry %s: besides an axis of any angle there can be half turns across it." % self, remedy=_REMEDY)
        self.representatives()

    @property
    def is_sphere(self) -> bool:
        """Whether every rotation belongs to it: it has two axes of any angle."""
        free = [np.array(axis) for axis, order in self.generators if order == 0]
        return any(abs(float(a @ free[0])) < np.cos(_SAME) for a in free)

    @property
    def free_axis(self) -> Optional[Floats]:
        """The only axis (3,) about which any angle belongs to it; None where there is none, or every axis is one."""
        free = [np.array(axis) for axis, order in self.generators if order == 0]
        return free[0] if free and not self.is_sphere else None

    def representatives(self) -> Floats:
        """Quaternions (G, 4), wxyz, of the group that the generators of finite order make; with ``free_axis``, one of each of its cosets.

        Raises:
            InputError: they make no group of at most ``MAX_ELEMENTS``.
        """
        if self.is_sphere:
            return np.array([[1.0, 0.0, 0.0, 0.0]])
        free = self.free_axis
        finite = [(a, n) for a, n in self.generators if n > 0 and (free is None or abs(float(np.dot(a, free))) < np.cos(_SAME))]
        # Half turns across a free axis differ by turns about it: one stands for all.
        return closure([rotations.from_rotation_vector(2 * np.pi / n * np.array(a)) for a, n in (finite if free is None else finite[:1])])

    def angle(self, q: ArrayLike, reference_q: ArrayLike) -> Floats:
        """Smallest angle in rad, in [0, pi], between rotations ``q`` and ``reference_q`` (..., 4), wxyz, over the whole group; shape (...)."""
        return rotations.angle(self.nearest(q, reference_q), reference_q)

    def nearest(self, q: ArrayLike, reference_q: ArrayLike) -> Floats:
        """Of the rotations that look like ``q``, the one nearest to ``reference_q``; (..., 4) all, wxyz.

        Exact for axes of any angle too: of d = (w, v), the turn by 2 atan2(-v.a, w) about the unit axis a leaves nothing along a.
        """
        q, reference_q = np.broadcast_arrays(np.asarray(q, dtype=np.float64), np.asarray(reference_q, dtype=np.float64))
        if self.is_sphere:
            return np.array(reference_q)
        apart = rotations.multiply(rotations.conjugate(reference_q), q)
        d = rotations.multiply(apart[..., None, :], rotations.conjugate(self.representatives()))
        if self.free_axis is not None:
            half = np.arctan2(-(d[..., 1:] @ self.free_axis), d[..., 0])[..., None]
            d = rotations.multiply(d, np.concatenate([np.cos(half), np.sin(half) * self.free_axis], axis=-1))
        least = np.arctan2(np.linalg.norm(d[..., 1:], axis=-1), np.abs(d[..., 0])).argmin(axis=-1)
        return rotations.multiply(reference_q, np.take_along_axis(d, least[..., None, None], axis=-2)[..., 0, :])

    def as_array(self) -> Floats:
        """The generators as (k, 4): axis x, y, z and order."""
        return np.array([[*axis, order] for axis, order in self.generators], dtype=np.float64).reshape(-1, 4)

    @staticmethod
    def from_array(a: ArrayLike) -> Symmetry:
        """What ``as_array`` made.

        Raises:
            InputError: it is not such an array.
        """
        a = np.asarray(a, dtype=np.float64)
        if a.ndim != 2 or a.shape[1] != 4 or not np.isfinite(a).all() or (a[:, 3] != np.round(a[:, 3])).any():
            raise InputError("symmetry: it is not a finite (k, 4) array of axes and whole orders.", remedy="make the object file again.")
        return Symmetry(tuple(((float(x), float(y), float(z)), int(n)) for x, y, z, n in a))

    @staticmethod
    def parse(text: str) -> Symmetry:
        """Read a symmetry from its text; see the module's docstring.

        Raises:
            InputError: it is no such text.
        """
        if text == "none":
            return Symmetry()
        if text == "sphere":
            return SPHERE
        generators: List[Generator] = []
        for word in text.split(","):
            m = re.fullmatch(r"([xyz])(\d*)", word.strip())
            if m is None:
                raise InputError("symmetry %r: %r is not understood." % (text, word), remedy=_REMEDY)
            x, y, z = (1.0 if m.group(1) == letter else 0.0 for letter in "xyz")
            generators.append(((x, y, z), int(m.group(2) or 0)))
        return Symmetry(tuple(generators))

    def __str__(self) -> str:
        if self.is_sphere:
            return "sphere"
        return ",".join("%s%s" % (_name(axis), order or "") for axis, order in self.generators) or "none"


def closure(generators: List[Floats]) -> Floats:
    """The group (G, 4) that quaternions make by multiplication, the identity first.

    Raises:
        InputError: it has more than ``MAX_ELEMENTS``.
    """
    group = np.array([[1.0, 0.0, 0.0, 0.0]])
    todo = list(group)
    while todo:
        q = todo.pop()
        for g in generators:
            product = rotations.multiply(q, g)
            if rotations.angle(group, product).min() > _SAME:
                group = np.concatenate([group, product[None]])
                todo.append(product)
        if len(group) > MAX_ELEMENTS:
            raise InputError("symmetry: its turns make more than %d rotations." % MAX_ELEMENTS, remedy=_REMEDY)
    return group


def _name(axis: Tuple[float, float, float]) -> str:
    """``x``, ``y`` or ``z``, or the numbers of an axis that is none of these."""
    for i, letter in enumerate("xyz"):
        if abs(axis[i]) > 1.0 - 1e-9:
            return letter
    return "(%s)" % " ".join("%.2f" % (round(x, 2) + 0.0) for x in axis)


SPHERE = Symmetry((((1.0, 0.0, 0.0), 0), ((0.0, 1.0, 0.0), 0)))
"""Every rotation."""
