"""An ensemble of uncertain worlds that all get the same targets: what mining optimises against.

A target sequence that works in one simulated world slips in the next. Each member has its own friction, mass, finger gains and offset of the object's first
pose; sampled targets are rolled out in every member from that member's own current state.
"""

from __future__ import annotations

import dataclasses
import time

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.mining.settling import settled_pose
from dextrack.references.reference import Reference
from dextrack.sim.physics import OBJECT
from dextrack.sim.scene import Scene

Floats = NDArray[np.float64]


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


class Ensemble:
    """Members of one scene, each with its state, and a batch that rolls samples out from them."""

    def __init__(self, scene: Scene, reference: Reference, members: tuple[Member, ...], samples: int, threads: int = 0) -> None:
        """Put every member at the reference's first state, the object at rest; ``samples`` is the most sequences rolled out at once."""
        self.scene, self.members, self.samples = scene, members, samples
        count = len(members)
        self._live = mujoco.batch.Batch(scene.model, count, min(threads, count) if threads else 0)
        self._trial = mujoco.batch.Batch(scene.model, count * samples, threads)
        for batch, repeat in ((self._live, 1), (self._trial, samples)):
            self._vary(batch, repeat)
        position, quaternion = settled_pose(scene, reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
        # Shifted and turned over the level table, what lay at rest still does.
        turn = rotations.from_rotation_vector([[0.0, 0.0, m.yaw] for m in members])
        offset = np.array([[*m.offset, 0.0] for m in members])
        self._live.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self._live.bind("qpos")[:] = scene.qpos(np.tile(reference.hand[0], (count, 1)), position + offset, rotations.multiply(turn, quaternion))
        self._live.bind("ctrl")[:] = reference.hand[0]
        self.steps = 0
        """Control steps simulated so far, over all worlds."""
        self.physics_seconds = 0.0
        """Wall time spent inside the engine so far."""

    def _vary(self, batch: mujoco.batch.Batch, repeat: int) -> None:
        model = self.scene.model
        body = model.body(OBJECT).id
        geoms = np.flatnonzero(model.geom_bodyid == body)
        friction = np.repeat([m.friction_scale for m in self.members], repeat)
        mass = np.repeat([m.mass_scale for m in self.members], repeat)
        batch.expand("geom_friction")[:, geoms, 0] = model.geom_friction[geoms, 0] * friction[:, None]
        batch.expand("body_mass")[:, body] = model.body_mass[body] * mass
        batch.expand("body_inertia")[:, body] = model.body_inertia[body] * mass[:, None]
        fingers = np.array([model.actuator(name).id for name in self.scene.hand.finger_joints])
        gain = np.repeat([m.gain_scale for m in self.members], repeat)[:, None, None]
        for field in ("actuator_gainprm", "actuator_biasprm"):
            batch.expand(field)[:, fingers] = getattr(model, field)[fingers] * gain
        batch.set_const()

    def rollout(self, targets: Floats) -> tuple[Floats, Floats]:
        """Roll target sequences (S, H, 22) out in every member from its current state; the states do not advance.

        Returns:
            (qpos (E, S, H, nq), sensors (E, S, H, F + 1, 3)) after each control step; S is at most ``samples``. The sensors are those of the
            scene: pad centres in the object's frame, m, by finger of the hand, and last the force on the wrist, N.
        """
        s, horizon, _ = targets.shape
        count = len(self.members)
        ids = (np.arange(count)[:, None] * self.samples + np.arange(s)).ravel()
        self._trial.state[ids] = np.repeat(self._live.state, s, axis=0)
        qpos, sensors = self._run(self._trial, np.tile(targets, (count, 1, 1)), ids)
        self.steps += count * s * horizon
        return qpos.reshape(count, s, horizon, -1), sensors.reshape(count, s, horizon, -1, 3)

    def state(self) -> Floats:
        """A copy of the members' physics states, for ``set_state``."""
        return np.array(self._live.state)

    def set_state(self, state: Floats) -> None:
        """Put the members back to ``state``."""
        self._live.state[:] = state

    def qpos(self) -> Floats:
        """Current qpos of every member, (E, nq)."""
        return np.array(self._live.bind("qpos"))

    def advance(self, targets: Floats) -> tuple[Floats, Floats]:
        """Advance every member along ``targets`` (H, 22); returns (qpos (E, H, nq), sensors (E, H, F + 1, 3))."""
        count = len(self.members)
        qpos, sensors = self._run(self._live, np.tile(targets, (count, 1, 1)), None)
        self.steps += count * len(targets)
        return qpos, sensors.reshape(count, len(targets), -1, 3)

    def _run(self, batch: mujoco.batch.Batch, targets: Floats, ids: NDArray[np.intp] | None) -> tuple[Floats, Floats]:
        k = self.scene.physics.substeps
        control = np.repeat(targets, k, axis=1)
        began = time.perf_counter()
        record = batch.rollout(control.shape[1], control=control, record=("qpos", "sensordata"), ids=ids)
        self.physics_seconds += time.perf_counter() - began
        return record["qpos"][:, k - 1 :: k], record["sensordata"][:, k - 1 :: k]
