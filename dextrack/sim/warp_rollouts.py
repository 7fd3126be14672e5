"""Rollouts of the ``mujoco_warp`` backend: thousands of worlds on a GPU; targets and states stay there.

A horizon is a loop of CUDA graphs with two copies on the device after each; the host looks once, at its end, whether contacts or constraints were dropped for
want of room. If so the worlds get more room, and the horizon is run again. On Warp's CPU device, which is there to check this, the same runs slowly.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from dextrack.errors import SimulationError
from dextrack.sim.arrays import DeviceArrays
from dextrack.sim.backend import Floats, Ints
from dextrack.sim.mujoco_warp_backend import MujocoWarpBackend, tell_depths, warp_device
from dextrack.sim.scene import Scene

if TYPE_CHECKING:
    from dextrack.sim.warp_engine import WarpEngine

KEPT = 4
"""Sets of worlds that are kept: an ensemble takes two, for its members and its samples, and tuning goes to and fro between two ensembles, its generations
and its looks at what they found. To make a set again takes seconds."""
GROWTH = 1.5
"""Room after it ran out, relative to what was wanted."""
TRIES = 4
"""Times that room is added before the horizon is given up: each time the worlds come farther."""


@dataclasses.dataclass(frozen=True)
class Room:
    """What ``WarpEngine`` allocates per world."""

    contacts: int
    constraints: int

    def and_of(self, other: Room) -> Room:
        """The larger of each."""
        return Room(max(self.contacts, other.contacts), max(self.constraints, other.constraints))


class WarpWorlds:
    """See ``dextrack.sim.rollouts.RolloutWorlds``. A world that diverged is parked, far from its object's reference, until its state is set."""

    def __init__(self, scene: Scene, n_worlds: int, device: str, room: Room) -> None:
        """``n_worlds`` worlds of ``scene`` on ``device``."""
        self.scene, self.n_worlds, self.device, self.room = scene, n_worlds, device, room
        self._scales: Tuple[Floats, ...] = (np.ones(n_worlds),) * 3
        self._make()

    def _make(self) -> None:
        import warp as wp

        from dextrack.sim.warp_engine import WarpEngine

        self._engine: WarpEngine = WarpEngine(self.scene, self.n_worlds, self.device, self.room.contacts, self.room.constraints, sensors=True)
        self._backend = MujocoWarpBackend(self._engine)
        data, model = self._engine.data, self._engine.model
        self._qpos, self._qvel, self._warmstart = wp.to_torch(data.qpos), wp.to_torch(data.qvel), wp.to_torch(data.qacc_warmstart)
        self._ctrl, self._sensors = wp.to_torch(data.ctrl), wp.to_torch(data.sensordata)
        self._bad: Tensor = wp.to_torch(self._engine.bad)
        self._peak: Tensor = wp.to_torch(self._engine.peak)
        self._gains: Dict[str, Tensor] = {name: wp.to_torch(getattr(model, name)) for name in ("actuator_gainprm", "actuator_biasprm")}

    def vary(self, friction_scale: Floats, mass_scale: Floats, gain_scale: Floats) -> None:
        """See ``RolloutWorlds.vary``."""
        self._scales = (friction_scale, mass_scale, gain_scale)
        self._backend.vary(friction_scale, mass_scale)
        fingers = [self.scene.model.actuator(name).id for name in self.scene.hand.finger_joints]
        for name, values in self._gains.items():
            nominal = values.new_tensor(getattr(self.scene.model, name)[fingers])
            values[:, fingers] = nominal * values.new_tensor(gain_scale)[:, None, None]

    def reset(self, hand: Floats, object_position_w: Floats, object_quaternion_w: Floats) -> None:
        """See ``RolloutWorlds.reset``."""
        self._backend.reset(hand, object_position_w, object_quaternion_w)

    def state(self) -> Tensor:
        """See ``RolloutWorlds.state``: positions, velocities, and what the solver starts from."""
        return torch.cat([self._qpos, self._qvel, self._warmstart], dim=1)

    def set_state(self, state: Tensor) -> None:
        """See ``RolloutWorlds.set_state``."""
        parts = state.split([self._qpos.shape[1], self._qvel.shape[1], self._warmstart.shape[1]], dim=1)
        for own, part in zip((self._qpos, self._qvel, self._warmstart), parts):
            own.copy_(part)
        self._bad.fill_(False)

    def qpos(self) -> Tensor:
        """See ``RolloutWorlds.qpos``."""
        out: Tensor = self._qpos.clone()
        return out

    def run(self, targets: Tensor, rows: Optional[Ints] = None) -> Tuple[Tensor, Tensor]:
        """See ``RolloutWorlds.run``. All worlds step; those that are not asked for are parked, for a step takes as long as the world of most contacts needs.

        Raises:
            SimulationError: contacts or constraints were dropped, however much room there was.
        """
        if rows is not None:
            at = torch.from_numpy(rows).to(self._qpos.device)
            everywhere = targets.new_zeros(self.n_worlds, *targets.shape[1:])
            everywhere[at] = targets
            idle = torch.ones(self.n_worlds, dtype=torch.bool, device=self._bad.device).index_fill_(0, at, False)
            qpos, sensors = self._with_room(everywhere, idle)
            return qpos[at], sensors[at]
        return self._with_room(targets, None)

    def _with_room(self, targets: Tensor, idle: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Run ``targets`` in all worlds but those flagged ``idle`` (W,), with as much room as that needs."""
        before = self.state()
        for _ in range(TRIES):
            if idle is not None:
                self._bad |= idle
            reached = self._run(targets)
            contacts, constraints, depths = self._peak.tolist()
            if depths:
                tell_depths()
            if contacts <= self.room.contacts * self.n_worlds and constraints <= self.room.constraints:
                return reached
            self._grow(contacts, constraints)
            self.set_state(before)
        raise SimulationError(
            "mujoco_warp: rollouts in %d worlds had more contacts or constraints than there was room for, %d times." % (self.n_worlds, TRIES),
            remedy="take fewer samples, or backend mujoco.",
        )

    def _run(self, targets: Tensor) -> Tuple[Tensor, Tensor]:
        horizon = targets.shape[1]
        qpos = self._qpos.new_empty(self.n_worlds, horizon, self._qpos.shape[1])
        sensors = self._sensors.new_empty(self.n_worlds, horizon, self._sensors.shape[1])
        for n in range(horizon):
            self._ctrl.copy_(targets[:, n])
            self._engine.step()
            qpos[:, n], sensors[:, n] = self._qpos, self._sensors
        return qpos, sensors

    def _grow(self, contacts: int, constraints: int) -> None:
        """Make the worlds anew with more room than ``contacts`` of all worlds and ``constraints`` of one."""
        self.room = self.room.and_of(Room(math.ceil(GROWTH * contacts / self.n_worlds), math.ceil(GROWTH * constraints)))
        told = (self.n_worlds, self.room.contacts, self.room.constraints)
        logging.getLogger("dextrack.sim").info("mujoco_warp: %d worlds ran out of room; they get %d contacts and %d constraints each.", *told)
        self.close()
        self._make()
        self.vary(*self._scales)

    def close(self) -> None:
        """Let go of the device's memory."""
        self._engine.close()
        for name in ("_engine", "_backend", "_qpos", "_qvel", "_warmstart", "_ctrl", "_sensors", "_bad", "_peak", "_gains"):
            delattr(self, name)


class WarpRollouts:
    """See ``dextrack.sim.rollouts.Rollouts``: sets of worlds are lent again, and all but the last ``KEPT`` are closed.

    A new set has the room that others grew to.
    """

    def __init__(self, scene: Scene, device: str) -> None:
        """Worlds of ``scene`` on ``device``; the room that they need is measured."""
        from dextrack.sim import warp_capacity

        self.arrays = DeviceArrays(device)
        self._scene, self._device = scene, device
        logging.getLogger("dextrack.sim").info("mujoco_warp: kernels that this machine has not compiled yet take a minute or more.")
        self._room = Room(*warp_capacity.probe(scene, device))
        self._sets: OrderedDict[int, WarpWorlds] = OrderedDict()

    def worlds(self, n_worlds: int) -> WarpWorlds:
        """See ``Rollouts.worlds``."""
        if n_worlds not in self._sets:
            for others in self._sets.values():
                self._room = self._room.and_of(others.room)
            while len(self._sets) >= KEPT:
                self._sets.popitem(last=False)[1].close()
            self._sets[n_worlds] = WarpWorlds(self._scene, n_worlds, self._device, self._room)
        self._sets.move_to_end(n_worlds)
        return self._sets[n_worlds]

    def close(self) -> None:
        """See ``Rollouts.close``."""
        while self._sets:
            self._sets.popitem()[1].close()


def device_of(device: Optional[str]) -> str:
    """See ``dextrack.sim.rollouts.rollout_device``: the first GPU, or the CPU where there is none."""
    return warp_device(device)


def make_rollouts(scene: Scene, threads: int, device: Optional[str]) -> WarpRollouts:
    """See ``dextrack.sim.rollouts.make_rollouts``; ``threads`` are of no use here."""
    return WarpRollouts(scene, warp_device(device))
