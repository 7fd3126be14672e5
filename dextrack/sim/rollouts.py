"""Rollouts: what a sampler asks of a backend. Worlds of one scene run along whole sequences of targets, from states that are kept and put back.

``Backend`` is stepped by whom it answers after each step. A sampler asks for the whole way at once, and nothing needs to leave a device on it: targets go in
and states come out as arrays of the device (``dextrack.sim.arrays``). A backend offers rollouts by one more line of the registry below; ``mujoco`` and
``mujoco_warp`` do. Others have no ``Scene``, whose columns the rolled-out states have.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from typing_extensions import Protocol

from dextrack.errors import InputError
from dextrack.sim.arrays import Array, Arrays
from dextrack.sim.backend import Floats, Ints

if TYPE_CHECKING:
    from dextrack.sim.scene import Scene


class RolloutWorlds(Protocol):
    """W worlds of one scene that run together."""

    n_worlds: int

    def vary(self, friction_scale: Floats, mass_scale: Floats, gain_scale: Floats) -> None:
        """Give each world its own multiplier (W,) of the object's friction and mass, and of kp and kv of the fingers; lasts until the next call."""

    def reset(self, hand: Floats, object_position_w: Floats, object_quaternion_w: Floats) -> None:
        """Put all worlds at rest at (W, 22), (W, 3) m and (W, 4) wxyz; the hand is told to stay."""

    def state(self) -> Array:
        """A copy of all that the next step depends on, (W, D): the layout is the engine's."""

    def set_state(self, state: Array) -> None:
        """Put all worlds at ``state`` (W, D), which worlds of the same scene and engine gave."""

    def qpos(self) -> Array:
        """A copy of the configurations, (W, nq), columns as of ``Scene.qpos``."""

    def run(self, targets: Array, rows: Optional[Ints] = None) -> Tuple[Array, Array]:
        """Advance worlds along ``targets`` (R, H, 22).

        Args:
            targets: one sequence per world.
            rows: (R,) which worlds; None: all. The others may stand still or not, and are nowhere in particular until their state is set.

        Returns:
            (qpos (R, H, nq), sensors (R, H, nsensordata)) after each control step. The sensors are the scene's, and a substep behind, as MuJoCo's are.
            What a world that diverged shows from then on is finite or not, and far from what was asked of it.
        """


class Rollouts(Protocol):
    """An engine that has worlds of one scene to roll out."""

    arrays: Arrays
    """What its arrays are."""

    def worlds(self, n_worlds: int) -> RolloutWorlds:
        """``n_worlds`` worlds, in any state. The two sets lent last may be used; an engine may take earlier ones back, and lend one again."""

    def close(self) -> None:
        """Free threads and memory; worlds that it lent are gone."""


_ROLLOUTS: Dict[str, str] = {}


def register_rollouts(backend: str, module: str) -> None:
    """Say that ``backend`` offers rollouts.

    Args:
        backend: its name in the registry of backends.
        module: what is imported when they are asked for; has ``device_of(device)`` and ``make_rollouts(scene, threads, device)``, as below.
    """
    _ROLLOUTS[backend] = module


def rollout_names() -> Tuple[str, ...]:
    """Names of the backends that offer rollouts."""
    return tuple(sorted(_ROLLOUTS))


def rollout_device(backend: str, device: Optional[str] = None) -> str:
    """Where rollouts of ``backend`` run when ``device`` (None: its own choice) is asked for; torch's name: ``cpu``, ``cuda:0``. Makes nothing.

    Raises:
        InputError: the backend offers none or is not installed, or it cannot use the device.
    """
    out: str = _module(backend).device_of(device)
    return out


def make_rollouts(backend: str, scene: Scene, threads: int = 0, device: Optional[str] = None) -> Rollouts:
    """Rollouts of ``scene`` on ``backend``.

    Args:
        backend: one of ``rollout_names``.
        scene: hand, object and table.
        threads: of an engine on the CPU; 0: all cores.
        device: see ``rollout_device``.

    Raises:
        InputError: see ``rollout_device``.
    """
    out: Rollouts = _module(backend).make_rollouts(scene, threads, device)
    return out


def _module(backend: str):  # type: ignore[no-untyped-def]
    if backend not in _ROLLOUTS:
        raise InputError("backend %r offers no rollouts." % backend, remedy="choose one of: %s." % ", ".join(rollout_names()))
    return importlib.import_module(_ROLLOUTS[backend])
