"""Curves: what the viewer draws against time."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.evaluation.motion import Motion
from dextrack.evaluation.viewer.contacts import TOUCHING, Pads
from dextrack.objects import ObjectSpec, lowest_z
from dextrack.tracking.metrics import SUCCESS_20, rotation_error, translation_error
from dextrack.tracking.verdict import OBJECT_LIFT, hull_vertices

Floats = NDArray[np.float64]

HEADROOM = 1.15
FLATTENS = 2.5
"""A limit more than this many times the largest value is left out of the plot: it would flatten the curve."""
FAR = 0.03
"""Distances beyond this are drawn as this, m."""
FINGER_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8a5a44")


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a curve."""

    label: str
    values: Floats
    """(T,), in the curve's unit."""
    colour: str
    """CSS."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Lines over time in one plot, with the limit that they are judged by."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    limit: float
    """In the curve's unit."""
    limit_label: str

    @property
    def top(self) -> float:
        """Upper end of the vertical axis, which begins at 0: the values are in it, and the limit unless it is far beyond them."""
        largest = max(float(line.values.max()) for line in self.lines)
        return HEADROOM * max(largest, self.limit if self.limit <= FLATTENS * largest or largest <= 0.0 else 0.0)

    @property
    def limit_shown(self) -> bool:
        """Whether the limit is in the plot."""
        return self.limit <= self.top


def of_height(motions: tuple[Motion, ...], obj: ObjectSpec, colours: dict[str, str]) -> Curve:
    """Height of the object's lowest point in ``motions``, cm, each in its row's colour out of ``colours``."""
    hull = hull_vertices(obj.vertices)
    heights = [100.0 * np.maximum(lowest_z(hull, m.object_position_w, m.object_quaternion_w), 0.0) for m in motions]
    lines = tuple(Line(m.label, h, colours[m.label]) for m, h in zip(motions, heights, strict=True))
    return Curve("object's height over the table", "cm", lines, 100.0 * OBJECT_LIFT, "counts as lifted")


def of_errors(tracked: Motion, reference: Motion, colour: str) -> tuple[Curve, Curve]:
    """Position error, cm, and rotation error, deg, of the object of ``tracked`` against that of ``reference``, frame by frame."""
    off = 100.0 * translation_error(tracked.object_position_w, reference.object_position_w)
    turn = np.rad2deg(rotation_error(tracked.object_quaternion_w, reference.object_quaternion_w))
    return (
        Curve("position error", "cm", (Line("error", off, colour),), 100.0 * SUCCESS_20.t_err_m, "mean allowed"),
        Curve("rotation error", "°", (Line("error", turn, colour),), float(np.rad2deg(SUCCESS_20.r_err_rad)), "mean allowed"),
    )


def of_gaps(pads: Pads) -> Curve:
    """Distance of each pad to the object, mm; those that are far are drawn at the upper end."""
    lines = tuple(Line(f, 1e3 * np.clip(g, 0.0, FAR), c) for f, g, c in zip(pads.fingers, pads.gaps.T, FINGER_COLOURS, strict=False))
    return Curve("pads' distance to the object", "mm", lines, 1e3 * TOUCHING, "touches")
