"""The Backend protocol: many worlds of one scene, stepped together, and the registry of engines behind it.

A backend's module is imported only when the backend is made: one whose engine is not installed is in nobody's way, and a Python 3.8 that serves
Isaac Gym needs no current MuJoCo: 3.2.3, its last there, reads the hands.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Callable, Dict, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Protocol

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class WorldState:
    """State of W worlds; arrays may be views that the next step overwrites. World frame, SI units, wxyz.

    In a scene without an object, the object's arrays have no columns: (W, 0).
    """

    hand: Floats
    """theta, (W, 22), columns as ``Backend.joint_names``."""
    hand_velocity: Floats
    """(W, 22)."""
    object_position_w: Floats
    """(W, 3)."""
    object_quaternion_w: Floats
    """(W, 4)."""
    object_linear_velocity_w: Floats
    """(W, 3)."""
    object_angular_velocity_w: Floats
    """(W, 3)."""
    tips_w: Floats
    """Pad centres, (W, F, 3), in the order of ``HandSpec.fingertips``."""


class Backend(Protocol):
    """A physics engine holding ``n_worlds`` copies of hand, object and table."""

    n_worlds: int
    joint_names: Tuple[str, ...]
    """Names of theta's columns, whatever order the engine keeps inside."""
    period: float
    """Control period, s."""

    def reset(
        self,
        hand: Floats,
        object_position_w: Optional[Floats] = None,
        object_quaternion_w: Optional[Floats] = None,
        worlds: Optional[Ints] = None,
        hand_velocity: Optional[Floats] = None,
        targets: Optional[Floats] = None,
        object_velocity_w: Optional[Floats] = None,
    ) -> None:
        """Put ``worlds`` (default: all) at the given states (n, 22), (n, 3), (n, 4); velocities (n, 22) and (n, 6) default to zero.

        The object's pose is needed where the scene has one, and ignored where it has none. ``object_velocity_w`` is the object's linear,
        m/s, and angular velocity, rad/s, both in the world frame.

        ``worlds`` may come in any order, each once. ``targets`` (n, 22) are what the PD controllers get until the next step (default: ``hand``).
        Other worlds do not change.
        """

    def step(self, targets: Floats) -> None:
        """Advance every world by one control period towards ``targets`` (n_worlds, 22)."""

    def state(self) -> WorldState:
        """Current state of every world."""

    def vary(self, friction_scale: Floats, mass_scale: Floats) -> None:
        """Give each world its own multiplier (n_worlds,) of object friction and mass; lasts until the next call."""

    def bad_worlds(self) -> Ints:
        """Indices of worlds whose state is not finite or whose engine reported divergence since they were last reset."""

    def close(self) -> None:
        """Free threads and memory."""


MakeBackend = Callable[..., Backend]
_BACKENDS: Dict[str, Union[str, MakeBackend]] = {}


def register_backend(name: str, make: Union[str, MakeBackend]) -> None:
    """Put a backend in the registry.

    Args:
        name: what ``make_backend`` calls it.
        make: ``make(hand, base_quaternion_w, obj, **options)``, or where it is, as ``"module:function"``.
    """
    _BACKENDS[name] = make


def backend_names() -> Tuple[str, ...]:
    """Names of the registered backends."""
    return tuple(sorted(_BACKENDS))


def make_backend(name: str, hand: HandSpec, base_quaternion_w: Floats, obj: Optional[ObjectSpec] = None, **options: object) -> Backend:
    """Make the backend ``name``.

    Args:
        name: one of ``backend_names``.
        hand: the robot hand.
        base_quaternion_w: (4,) wxyz, the reference's base frame.
        obj: the object; None: a scene without one.
        **options: every backend takes ``physics`` (``Physics``), ``n_worlds`` and ``table`` (bool); its module tells what else.

    Raises:
        InputError: no such backend.
    """
    if name not in _BACKENDS:
        raise InputError("backend %r is not known." % name, remedy="choose one of: %s." % ", ".join(backend_names()))
    make = _BACKENDS[name]
    if isinstance(make, str):
        module, function = make.split(":")
        make = getattr(importlib.import_module(module), function)
    return make(hand, base_quaternion_w, obj, **options)


def warm(backend: Backend, hand: HandSpec, with_object: bool) -> None:
    """Reset, step and read the worlds once, as a control loop does, with nothing in contact.

    On a GPU the first of each loads its kernels, for longer than a control loop waits for an answer. A loop that gave up would have a backend of which a
    process holds one started again, and find it as cold as before; the time for opening has room for it.

    Args:
        backend: whose worlds are warmed; they have to be reset afterwards.
        hand: its hand.
        with_object: whether its scene has an object.
    """
    theta = np.tile(np.concatenate([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], hand.rest]), (backend.n_worlds, 1))
    pose, velocity = np.tile([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], (backend.n_worlds, 1)), np.zeros((backend.n_worlds, 6))
    if with_object:
        backend.reset(theta, pose[:, :3], pose[:, 3:], hand_velocity=np.zeros_like(theta), object_velocity_w=velocity)
    else:
        backend.reset(theta, hand_velocity=np.zeros_like(theta))
    backend.step(theta)
    backend.state()
    backend.bad_worlds()
