"""Show: everything that the viewer displays of one motion, computed once and for all frames, so that playing it is only sending poses."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.evaluation.motion import HandMotion, Motion
from dextrack.evaluation.rendering import Camera
from dextrack.evaluation.viewer.contacts import Pads, Plan
from dextrack.evaluation.viewer.curves import Curve
from dextrack.evaluation.viewer.posing import body_poses
from dextrack.evaluation.viewer.surfaces import Colour, Surface, of_hand, of_object
from dextrack.hands import load_hand
from dextrack.objects import ObjectSpec

Floats = NDArray[np.float64]

OBJECT_COLOUR: Colour = (232, 138, 26)
GHOST_COLOUR: Colour = (0, 114, 178)
TARGET_COLOUR: Colour = (150, 60, 160)
GHOST_OPACITY, TARGET_OPACITY = 0.4, 0.35


@dataclasses.dataclass(frozen=True)
class Layer:
    """Things that are shown or hidden together, each of them rigid, over time."""

    label: str
    """What the panel calls it."""
    surfaces: tuple[tuple[Surface, ...], ...]
    """Of each thing."""
    position_w: Floats
    """(T, n, 3), m."""
    quaternion_w: Floats
    """(T, n, 4), wxyz."""
    opacity: float | None = None
    """1 is opaque; None: opaque, and it casts a shadow."""
    shown: bool = True
    """Whether it is shown at first."""


@dataclasses.dataclass(frozen=True)
class Human:
    """The keypoints of a human hand over time."""

    keypoints_w: Floats
    """(T, 21, 3), m, order of ``hands.spec.KEYPOINTS``."""
    faded: bool
    """Whether it is only there to compare with."""
    shown: bool = True


@dataclasses.dataclass(frozen=True)
class Show:
    """What there is to see of one motion."""

    title: str
    kind: str
    """``recording``, ``reference`` or ``demonstration``."""
    time: Floats
    """(T,) s, from 0, increasing."""
    layers: tuple[Layer, ...]
    camera: Camera
    """From where it is looked at first."""
    facts: str
    """HTML: diagnosis or verdict."""
    object_position_w: Floats
    """(T, 3), m: what a camera that is called back looks at."""
    human: Human | None = None
    plan: Plan | None = None
    pads: Pads | None = None
    curves: tuple[Curve, ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.time)


def object_layer(motion: Motion, obj: ObjectSpec, label: str, colour: Colour = OBJECT_COLOUR, opacity: float | None = None) -> Layer:
    """The object of ``motion``."""
    return Layer(label, ((of_object(obj, colour),),), motion.object_position_w[:, None], motion.object_quaternion_w[:, None], opacity)


def hand_layer(hand: HandMotion, label: str, ghost: Colour | None = None, opacity: float | None = None, shown: bool = True) -> Layer:
    """The robot hand ``hand``, in the colours of its model, or as a ghost of one colour."""
    spec = load_hand(hand.hand_name)
    surfaces = of_hand(spec, ghost)
    position, quaternion = body_poses(spec, hand, tuple(surfaces))
    return Layer(label, tuple(surfaces.values()), position, quaternion, opacity, shown)
