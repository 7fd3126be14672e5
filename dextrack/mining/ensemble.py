"""An ensemble of uncertain worlds that all get the same targets: what mining optimises against.

A target sequence that works in one simulated world slips in the next. Each member has its own friction, mass, finger gains and offset of the object's first
pose; sampled targets are rolled out in every member from that member's own current state.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim import make_rollouts
from dextrack.sim.arrays import Array
from dextrack.sim.backend import Floats
from dextrack.sim.rollouts import Rollouts, RolloutWorlds
from dextrack.sim.scene import Scene


@dataclasses.dataclass(frozen=True)
class Member:
    """One uncertain world."""

    friction_scale: float = 1.0
    mass_scale: float = 1.0
    gain_scale: float = 1.0
    """Multiplies kp and kv of the fingers: weaker fingers press less for the same targets."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Displacement of the object's first position in x and y, m."""
    yaw: float = 0.0
    """Turn of the object's first pose about the vertical, rad."""

    def spread(self, factor: float) -> Member:
        """The same world with its offset and turn multiplied by ``factor``."""
        return dataclasses.replace(self, offset=(self.offset[0] * factor, self.offset[1] * factor), yaw=self.yaw * factor)


NOMINAL = Member()
MEMBERS = (
    NOMINAL,
    Member(friction_scale=0.75, mass_scale=1.25, gain_scale=0.85, offset=(0.007, 0.004), yaw=0.06),
    Member(friction_scale=0.75, mass_scale=1.1, gain_scale=0.85, offset=(-0.007, 0.005), yaw=-0.06),
    Member(friction_scale=0.9, mass_scale=1.25, offset=(0.001, -0.009), yaw=0.0),
)
"""The default ensemble: the nominal world and three unfavourable ones."""


CHUNK = 30
"""Control steps after which worlds that have lost the object are left out."""


class Ensemble:
    """Members of one scene, each with its state, and worlds that samples are rolled out in from there."""

    def __init__(
        self,
        scene: Scene,
        reference: Reference,
        members: tuple[Member, ...],
        samples: int,
        threads: int = 0,
        rollouts: Rollouts | None = None,
        rest: tuple[Floats, Floats] | None = None,
    ) -> None:
        """Put every member at the reference's first state, the object at rest.

        Args:
            scene: hand, object and table.
            reference: what begins there.
            members: the worlds.
            samples: sequences that are rolled out at once.
            threads: of MuJoCo; 0: all cores.
            rollouts: the engine of ``scene`` whose worlds are used, as long as no other ensemble asks it for any; None: MuJoCo.
            rest: where the object lies at rest, as of ``settled_pose``; None: that is found out.
        """
        self.scene, self.members, self.samples = scene, members, samples
        rollouts = rollouts or make_rollouts("mujoco", scene, threads)
        self.arrays = rollouts.arrays
        """What targets and states are arrays of."""
        count = len(members)
        self._live = rollouts.worlds(count)
        self._trial = rollouts.worlds(count * samples) if samples > 1 else self._live
        self._member = self.arrays.index(np.repeat(np.arange(count), samples))
        for worlds, repeat in ((self._live, 1), (self._trial, samples)):
            scales = ("friction_scale", "mass_scale", "gain_scale")
            worlds.vary(*(np.repeat([getattr(m, scale) for m in members], repeat) for scale in scales))
        position, quaternion = rest or settled_pose(scene, reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
        # Shifted and turned over the level table, what lay at rest still does.
        turn = rotations.from_rotation_vector([[0.0, 0.0, m.yaw] for m in members])
        offset = np.array([[*m.offset, 0.0] for m in members])
        self._live.reset(np.tile(reference.hand[0], (count, 1)), position + offset, rotations.multiply(turn, quaternion))
        self.steps = 0
        """Control steps simulated so far, over all worlds."""
        self.physics_seconds = 0.0
        """Wall time spent inside the engine so far."""

    def rollout(self, targets: Array) -> tuple[Array, Array]:
        """Roll target sequences (S, H, 22) out in every member from its current state; the states do not advance.

        Returns:
            (qpos (E, S, H, nq), sensors (E, S, H, F + 1, 3)) after each control step; S is 1 or ``samples``. The sensors are those of the
            scene: pad centres in the object's frame, m, by finger of the hand, and last the force on the wrist, N.
        """
        s, horizon = targets.shape[:2]
        count, state = len(self.members), self._live.state()
        if s == self.samples and s > 1:
            self._trial.set_state(state[self._member])
            qpos, sensors = self._run(self._trial, self.arrays.xp.tile(targets, (count, 1, 1)))
        else:
            # So few worlds are the members themselves, which are put back: to have others run would take an engine on a device as long as all samples do.
            qpos, sensors = self._run(self._live, self.arrays.xp.tile(targets, (count, 1, 1)))
            self._live.set_state(state)
        self.steps += count * s * horizon
        return qpos.reshape(count, s, horizon, -1), sensors.reshape(count, s, horizon, -1, 3)

    def carry(self, targets: Floats, off: Callable[[Floats, int], NDArray[np.bool_]], shared: int = 0) -> tuple[Floats, Floats, Floats]:
        """Roll target sequences (S, H, 22) out in every member until the object is off; what is off by then is not simulated on.

        Args:
            targets: S is ``samples``.
            off: from qpos (..., h, nq) after step ``first`` and those that follow, and ``first``, says whether the object is off after each (..., h).
            shared: steps in the beginning that are the same in all sequences: they are simulated once in every member, and nobody asks ``off`` about them.

        Returns:
            (qpos (E, S, H, nq), sensors (E, S, H, F + 1, 3), the step (E, S) after which the object was off first, H where it never was); states
            long after that are zero.
        """
        (samples, horizon, _), count = targets.shape, len(self.members)
        worlds, arrays, state = self._trial, self.arrays, self._live.state()
        until = np.full(count * samples, float(horizon))
        rows = np.arange(count * samples)
        qpos: Floats = np.zeros((len(rows), horizon, self.scene.model.nq))
        sensors: Floats = np.zeros((len(rows), horizon, self.scene.model.nsensordata))
        if shared > 0:
            for to, reached in zip((qpos, sensors), self.advance(arrays.array(targets[0, :shared])), strict=True):
                to[:, :shared] = np.repeat(arrays.host(reached).reshape(count, shared, -1), samples, axis=0)
        worlds.set_state(self._live.state()[self._member])
        if worlds is not self._live:
            self._live.set_state(state)
        for first in range(shared, horizon, CHUNK):
            ahead = targets[rows % samples, first : first + CHUNK]
            began = time.perf_counter()
            reached = [arrays.host(a) for a in worlds.run(arrays.array(ahead), rows)]
            self.physics_seconds += time.perf_counter() - began
            self.steps += len(rows) * ahead.shape[1]
            qpos[rows, first : first + CHUNK], sensors[rows, first : first + CHUNK] = reached
            lost = off(reached[0], first)
            gone = lost.any(axis=1)
            until[rows[gone]] = first + lost[gone].argmax(axis=1)
            rows = rows[~gone]
            if not len(rows):
                break
        shape = (count, samples, horizon)
        return qpos.reshape(*shape, -1), sensors.reshape(*shape, -1, 3), until.reshape(count, samples)

    def state(self) -> Array:
        """A copy of the members' physics states, for ``set_state``."""
        return self._live.state()

    def set_state(self, state: Array) -> None:
        """Put the members back to ``state``."""
        self._live.set_state(state)

    def qpos(self) -> Array:
        """Current qpos of every member, (E, nq)."""
        return self._live.qpos()

    def advance(self, targets: Array) -> tuple[Array, Array]:
        """Advance every member along ``targets`` (H, 22); returns (qpos (E, H, nq), sensors (E, H, F + 1, 3))."""
        count = len(self.members)
        qpos, sensors = self._run(self._live, self.arrays.xp.tile(targets, (count, 1, 1)))
        self.steps += count * len(targets)
        return qpos, sensors.reshape(count, len(targets), -1, 3)

    def _run(self, worlds: RolloutWorlds, targets: Array) -> tuple[Array, Array]:
        began = time.perf_counter()
        reached = worlds.run(targets)
        self.physics_seconds += time.perf_counter() - began
        return reached
