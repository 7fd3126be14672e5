"""Which engine mining rolls out on, and where: no part of ``MineConfig``, for it says how a task is solved, and this what computes it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dextrack.sim import make_rollouts, rollout_device

if TYPE_CHECKING:
    from dextrack.sim.rollouts import Rollouts
    from dextrack.sim.scene import Scene


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine that offers rollouts, on a device."""

    backend: str = "mujoco"
    """One of ``dextrack.sim.rollout_names``."""
    device: str | None = None
    """torch's name of it: ``cpu``, ``cuda:0``; None: the backend's choice."""

    def device_here(self) -> str:
        """Where it runs on this machine.

        Raises:
            InputError: it cannot; says why and what to do.
        """
        return rollout_device(self.backend, self.device)

    def rollouts(self, scene: Scene, threads: int) -> Rollouts:
        """Rollouts of ``scene``; ``threads`` are MuJoCo's.

        Raises:
            InputError: see ``device_here``.
        """
        return make_rollouts(self.backend, scene, threads, self.device)


MUJOCO = Engine()
"""The default: ``mujoco`` on the CPU."""
