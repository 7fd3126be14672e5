"""The Isaac Gym backend: the simulator that the paper trained in, as the shadow simulator, and for the worlds of environments and benchmarks.

Served, it is reached as ``remote``; the RL tracker does not train in it, for it needs its worlds twice. Isaac Gym (Preview 4) is NVIDIA's archive for
Python 3.6 to 3.8, which a user supplies: ``docker/isaacgym`` holds it, and serves it to newer Pythons. It refuses to be imported after torch, so nothing here
imports torch before it. Make one simulation in a process; the examples never make a second.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, Optional, Tuple

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Floats
from dextrack.sim.isaacgym_scene import build_scene
from dextrack.sim.physics import Physics

if TYPE_CHECKING:
    from dextrack.sim.isaacgym_worlds import IsaacGymWorlds

_INSTALL = "install NVIDIA's archive as docker/isaacgym/README.md says."


def make_isaacgym(
    hand: HandSpec,
    base_quaternion_w: Floats,
    obj: Optional[ObjectSpec] = None,
    physics: Optional[Physics] = None,
    n_worlds: int = 1,
    n_threads: int = 0,
    table: bool = True,
    device: Optional[str] = None,
) -> IsaacGymWorlds:
    """The ``isaacgym`` entry of the registry.

    Args:
        hand: the robot hand; its exported URDF lies beside its MJCF.
        base_quaternion_w: (4,) wxyz, the reference's base frame.
        obj: the object, or None.
        physics: settings; the measured defaults when None. ``isaacgym_scene`` says which have no counterpart.
        n_worlds: environments.
        n_threads: of the CPU solver; 0: Isaac Gym's own choice.
        table: whether there is a table.
        device: where physics and tensors are, ``cuda:0`` or ``cpu``; None: the first GPU, or the CPU where torch sees none. NVIDIA's driver is needed
            in any case.

    Raises:
        InputError: Isaac Gym is not installed, was imported after torch, finds no driver, or makes no simulation on the device.
        RefusedError: it has no room for so many worlds.
    """
    gymapi, gymtorch = _import_isaacgym()
    import torch

    from dextrack.sim.isaacgym_worlds import IsaacGymWorlds

    if device is None:
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    elif device == "cuda":
        device = "cuda:0"
    physics = physics or Physics()
    scene = build_scene(gymapi, hand, base_quaternion_w, obj, physics, n_worlds, table, device, n_threads)
    return IsaacGymWorlds(gymtorch, scene, hand, base_quaternion_w, obj, physics, device)


def _import_isaacgym() -> Tuple[Any, Any]:
    """The modules gymapi and gymtorch."""
    if "isaacgym" not in sys.modules:
        if importlib.util.find_spec("isaacgym") is None:
            raise InputError("backend isaacgym: Isaac Gym is not installed here.", remedy=_INSTALL)
        if "torch" in sys.modules:
            raise InputError(
                "backend isaacgym: torch was imported before Isaac Gym, which refuses that.",
                remedy="import isaacgym first, or serve it from a process of its own: python -m dextrack.sim.remote.serve --backend isaacgym.",
            )
    try:
        # By name: the published stubs of gymapi are no valid Python, and a type checker that meets them stops.
        return importlib.import_module("isaacgym.gymapi"), importlib.import_module("isaacgym.gymtorch")
    except (ImportError, RuntimeError) as error:  # gymtorch is compiled when it is first imported
        raise InputError("backend isaacgym: Isaac Gym cannot be imported (%s)." % error, remedy=_INSTALL) from None
