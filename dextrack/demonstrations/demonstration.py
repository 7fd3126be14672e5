"""Demonstration: a reference with the expert's targets and states that track it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """What mining yields: N targets, and the N + 1 states that they led through. World frame, SI units."""

    reference: Reference
    targets: Floats
    """(N, 22): position targets a_0 .. a_{N-1} of the PD controllers, columns as ``reference.joint_names``."""
    hand: Floats
    """(N + 1, 22): theta reached."""
    hand_velocity: Floats
    """(N + 1, 22)."""
    object_position_w: Floats
    """(N + 1, 3), m."""
    object_quaternion_w: Floats
    """(N + 1, 4), wxyz."""
    metrics: dict[str, Any]
    """The paper's metrics (``tracking.metrics``)."""
    verdict: dict[str, Any]
    """Ours, each part on its own (``tracking.verdict``)."""
    provenance: dict[str, Any]
    """Digests of reference and object, tracker configuration, physics, seed, code version, cost."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit the reference or are not finite."""
        n, d = self.reference.hand.shape
        shapes = {"targets": (n - 1, d), "hand": (n, d), "hand_velocity": (n, d), "object_position_w": (n, 3), "object_quaternion_w": (n, 4)}
        for field, shape in shapes.items():
            a = getattr(self, field)
            if a.shape != shape or not np.isfinite(a).all():
                raise InputError(
                    f"demonstration of {self.reference.name}: field {field} is not a finite array of shape {shape}.", remedy="mine the reference again."
                )
