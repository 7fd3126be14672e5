"""Motion: what one row of a film strip shows, an object with a human hand or a robot hand (and arm), over time."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class HandMotion:
    """A robot hand over time."""

    hand_name: str
    """Name of a registered hand."""
    joint_names: tuple[str, ...]
    """Names of the columns of ``theta``."""
    theta: Floats
    """(T, 22), m and rad."""
    base_quaternion_w: Floats
    """(4,) wxyz: the base frame of the wrist's hinges."""

    def wrist(self, frame: int) -> tuple[Floats, Floats]:
        """Position (3,) m and quaternion (4,) wxyz of the wrist in the world."""
        column = {name: i for i, name in enumerate(self.joint_names)}
        position, angles = (self.theta[frame, [column[n] for n in names]] for names in (("tx", "ty", "tz"), ("rx", "ry", "rz")))
        return position, rotations.multiply(self.base_quaternion_w, rotations.from_hinges(angles))


@dataclasses.dataclass(frozen=True)
class ArmMotion:
    """A robot arm over time."""

    joint_names: tuple[str, ...]
    """Names of the columns of ``q``, as in the arm's MJCF."""
    q: Floats
    """(T, 7), rad."""
    position_w: tuple[float, float, float]
    """Where the arm's base stands, m."""
    quaternion_w: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """How its base is turned, wxyz."""
    model: str = "fr3"
    """Folder of its model in the assets."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """An object and who moves it. World frame, SI units."""

    label: str
    """What the row is called: recording, reference, trial."""
    time: Floats
    """(T,) s, increasing, on the clock that all rows of a strip share."""
    object_position_w: Floats
    """(T, 3), m."""
    object_quaternion_w: Floats
    """(T, 4), wxyz."""
    keypoints_w: Floats | None = None
    """(T, 21, 3): the human hand, where there is one, m."""
    hand: HandMotion | None = None
    arm: ArmMotion | None = None

    def frame(self, time: float) -> int:
        """Index of the frame nearest to ``time`` s."""
        return int(np.argmin(np.abs(self.time - time)))


def of_recording(recording: Recording, time_scale: float = 1.0) -> Motion:
    """The human hand of ``recording`` with its object; ``time_scale`` stretches its clock to that of a slowed reference."""
    time = (recording.time - recording.time[0]) * time_scale
    return Motion("recording", time, recording.object_position_w, recording.object_quaternion_w, keypoints_w=recording.keypoints_w)


def of_reference(reference: Reference) -> tuple[Motion, Motion]:
    """Two rows: the human hand that ``reference`` carries, and the robot hand that it was retargeted to."""
    time: Floats = np.arange(len(reference.hand), dtype=np.float64) * reference.period
    human = Motion("recording", time, reference.object_position_w, reference.object_quaternion_w, keypoints_w=reference.keypoints_w)
    return human, reached(reference, reference.hand, reference.object_position_w, reference.object_quaternion_w, "reference")


def of_demonstration(demonstration: Demonstration) -> tuple[Motion, Motion, Motion]:
    """Three rows: the two of its reference, and what the simulated hand and object did."""
    rows = of_reference(demonstration.reference)
    return (*rows, reached(demonstration.reference, demonstration.hand, demonstration.object_position_w, demonstration.object_quaternion_w, "demonstration"))


def reached(reference: Reference, hand: Floats, object_position_w: Floats, object_quaternion_w: Floats, label: str, arm: ArmMotion | None = None) -> Motion:
    """A row of states (T, ...) reached at the times of ``reference``; theta (T, 22) has its columns and its base frame."""
    time: Floats = np.arange(len(hand), dtype=np.float64) * reference.period
    return Motion(label, time, object_position_w, object_quaternion_w, hand=_hand(reference, hand), arm=arm)


def _hand(reference: Reference, theta: Floats) -> HandMotion:
    return HandMotion(reference.hand_name, reference.joint_names, theta, reference.base_quaternion_w)
