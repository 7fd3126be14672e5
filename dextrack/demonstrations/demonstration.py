"""Demonstration: a reference with the expert's targets and states that track it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.hands.motors import FingerMotors
from dextrack.hands.spec import HandSpec
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

    @property
    def hand_spec(self) -> HandSpec:
        """The hand with the motors that this was mined with: whoever simulates the targets needs these. Theirs are in ``provenance``, where they were measured.

        Raises:
            InputError: the hand is not registered, or ``provenance`` says nothing of motors that could be.
        """
        hand, motors = load_hand(self.reference.hand_name), self.provenance.get("motors")
        if motors is None:
            return hand
        try:
            return FingerMotors(float(motors["kp"]), float(motors["kv"]), tuple(float(e) for e in motors["effort"])).on(hand)
        except (KeyError, TypeError, ValueError) as error:
            what = f"demonstration of {self.reference.name}: its motors are damaged ({error})."
            raise InputError(what, remedy="mine the reference again.") from None

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
