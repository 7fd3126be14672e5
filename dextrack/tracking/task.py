"""The tracking task, and the expert that may come with it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]


class Expert(Protocol):
    """Targets and states that track a reference: what a ``Demonstration`` holds. Columns as the reference's ``joint_names``."""

    @property
    def targets(self) -> Floats:
        """(N, 22)."""

    @property
    def hand(self) -> Floats:
        """(N + 1, 22)."""

    @property
    def hand_velocity(self) -> Floats:
        """(N + 1, 22)."""

    @property
    def object_position_w(self) -> Floats:
        """(N + 1, 3), m."""

    @property
    def object_quaternion_w(self) -> Floats:
        """(N + 1, 4), wxyz."""


@dataclasses.dataclass(frozen=True)
class TrackingTask:
    """A reference plus its object, and the baseline that residuals are added to."""

    reference: Reference
    object: ObjectSpec
    baseline: Floats | None = None
    """(N + 1, 22), columns as ``reference.joint_names``; None: the reference's hand."""

    def __post_init__(self) -> None:
        """Refuse an object that is not the reference's, and a baseline that does not fit."""
        if self.object.name != self.reference.object_name:
            raise InputError(
                f"task {self.reference.name}: its object is {self.reference.object_name}, not {self.object.name}.", remedy="give the reference's own object."
            )
        b = self.baseline
        if b is not None and (b.shape != self.reference.hand.shape or not np.isfinite(b).all()):
            raise InputError(
                f"task {self.reference.name}: its baseline is not a finite array of shape {self.reference.hand.shape}.", remedy="plan the baseline again."
            )

    @property
    def baseline_hand(self) -> Floats:
        """The baseline, (N + 1, 22)."""
        return self.reference.hand if self.baseline is None else self.baseline
