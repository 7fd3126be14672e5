"""Twin: the simulated cell, stepped by hand. It is deterministic: the same seed and the same commands at the same steps give the same readings.

Time here is simulated time in seconds since the last reset; ``server`` ties it to the wall clock.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError, RefusedError, SimulationError
from dextrack.hands.spec import HandSpec
from dextrack.objects.geometry import lowest_z
from dextrack.objects.spec import ObjectSpec
from dextrack.rotations import angle, normalise
from dextrack_deploy.cell.config import CellConfig
from dextrack_deploy.twin import sensors
from dextrack_deploy.twin.camera import Camera, CameraSample
from dextrack_deploy.twin.delay import DelayLine, Interpolator
from dextrack_deploy.twin.mismatch import Mismatch
from dextrack_deploy.twin.scene import TIMESTEP_S, build_twin_scene

Array = NDArray[np.float64]

CONTROL_PERIOD_S = 1.0 / 60.0
"""The rate at which arm targets arrive; the arm interpolates over it."""
TORQUE_PER_AMPERE = 0.52
"""Finger motors: 0.26 N m at 500 mA."""
SETTLE_S = 1.0
"""The object settles for at most this long at a reset, s of simulated time."""
SETTLED = (0.002, 0.02)
"""An object slower than this (m/s, rad/s) lies still."""
SOFT = 0.25
"""Part of gain and effort that a softened hand keeps."""

HAND_POWERS = {"full": 1.0, "soft": SOFT, "off": 0.0}
"""How strong the finger motors are, by name."""


@dataclasses.dataclass(frozen=True)
class JointSample:
    """A reading of joints."""

    time_s: float
    """Simulated time of the sample."""
    position: Array
    """rad."""
    velocity: Array
    """rad/s."""
    current: Array | None = None
    """Motor currents, A (fingers only)."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """What no sensor can know; for reports and tests."""

    time_s: float
    object_position_w: Array
    """(3,) m."""
    object_quaternion_w: Array
    """(4,) wxyz."""
    qpos: Array
    """All of the model's positions, (nq,)."""
    hand_contacts: int
    """Contacts between hand and object."""
    table_contacts: int
    """Contacts between object and anything but the hand."""


@dataclasses.dataclass(frozen=True)
class Settled:
    """How far the object went from the pose that was asked for until it lay still on the table."""

    moved_m: float
    turned_rad: float
    still: bool
    """Whether it came to rest in time."""


class Twin:
    """The simulated cell."""

    def __init__(
        self,
        cell: CellConfig,
        hand: HandSpec,
        obj: ObjectSpec,
        mismatch: Mismatch | None = None,
        seed: int = 0,
        timestep_s: float = TIMESTEP_S,
        object_position_w: ArrayLike | None = None,
        object_quaternion_w: ArrayLike = (1.0, 0.0, 0.0, 0.0),
    ) -> None:
        """Build the twin and reset it.

        Args:
            cell: arm, hand mount and home.
            hand: the hand that the cell carries.
            obj: the object on the table.
            mismatch: differences from mining's physics; the defaults when None.
            seed: of the sensors' noise.
            timestep_s: physics step, s; a whole number of them makes a control period.
            object_position_w: where the object lies at a reset; its height is corrected so that it lies on the table. The world's origin when None.
            object_quaternion_w: its orientation, (4,) wxyz.

        Raises:
            InputError: the time step does not divide the control period, or a pose is not finite.
        """
        steps = CONTROL_PERIOD_S / timestep_s
        if abs(steps - round(steps)) > 1e-6:
            raise InputError("twin: time step %g s does not divide the control period." % timestep_s, remedy="use 1/240, 1/480 or 1/960 s.")
        self.cell, self.hand, self.object, self.seed = cell, hand, obj, int(seed)
        self.mismatch = mismatch or Mismatch()
        self.timestep_s = timestep_s
        self.scene = build_twin_scene(cell, hand, obj, self.mismatch, timestep_s)
        self._data = mujoco.MjData(self.scene.model)
        self._hull = np.concatenate([vertices for vertices, _ in obj.parts])
        model = self.scene.model
        self._full_power = model.actuator_gainprm.copy(), model.actuator_biasprm.copy(), model.actuator_forcerange.copy()
        self._arm_bias = model.actuator_biasprm[self.scene.arm_actuators].T
        """What the arm's actuators subtract, of which the rows 1 and 2 are stiffness and damping."""
        self._diverged = self._data.warning[mujoco.mjtWarning.mjWARN_BADQACC]
        self._lie: tuple[ArrayLike, ArrayLike] = np.zeros(3) if object_position_w is None else object_position_w, object_quaternion_w
        self.reset()

    def reset(
        self,
        object_position_w: ArrayLike | None = None,
        object_quaternion_w: ArrayLike | None = None,
        arm_q: ArrayLike | None = None,
        hand_q: ArrayLike | None = None,
    ) -> Settled:
        """Start again at time zero: arm and hand at rest, the object lying still on the table.

        Args:
            object_position_w: (3,) m, remembered for later resets; its height is corrected so that the object's lowest point touches the table.
            object_quaternion_w: (4,) wxyz, likewise.
            arm_q: (7,) rad; the cell's home when None.
            hand_q: (16,) rad; HandSpec.rest when None.

        Raises:
            InputError: a wrong shape, a number that is not finite or a quaternion of length zero.
            RefusedError: arm or hand would touch the object or the table.
        """
        position = _numbers("object position", self._lie[0] if object_position_w is None else object_position_w, 3)
        quaternion = _numbers("object quaternion", self._lie[1] if object_quaternion_w is None else object_quaternion_w, 4)
        if np.linalg.norm(quaternion) < 1e-6:
            raise InputError("object quaternion: its length is zero.", remedy="give a unit quaternion, wxyz.")
        quaternion = normalise(quaternion)
        arm = _numbers("arm position", self.cell.arm.home if arm_q is None else arm_q, len(self.scene.arm.joint_names))
        fingers = _numbers("hand position", self.hand.rest if hand_q is None else hand_q, len(self.hand.finger_joints))
        start = position - [0.0, 0.0, float(lowest_z(self._hull, position, quaternion))]
        qpos = self._posture(arm, fingers, start, quaternion)
        self._refuse_touching(qpos)
        self._lie = position, quaternion
        mujoco.mj_resetData(self.scene.model, self._data)
        self._data.qpos[:] = qpos
        self._step_number = 0
        self.set_hand_power("full")
        self._begin_lines(arm, fingers)
        self.settled = self._settle(start, quaternion)
        self._data.time = 0.0
        self._step_number = 0
        self._begin_lines(arm, fingers)
        self._camera = Camera(self.mismatch, self.seed)
        self._camera.take(0.0, *self._object_pose())
        return self.settled

    @property
    def time_s(self) -> float:
        """Simulated time since the last reset."""
        return self._step_number * self.timestep_s

    @property
    def step_number(self) -> int:
        """Physics steps since the last reset."""
        return self._step_number

    @property
    def data(self) -> mujoco.MjData:
        """The engine's data, to look at (rendering, tests)."""
        return self._data

    def write_hand(self, targets: ArrayLike) -> None:
        """A hand command arrives now: (16,) rad. Motors clamp it to the joint limits. Raises InputError for what is not finite."""
        wanted = _numbers("hand command", targets, len(self.hand.finger_joints))
        self._hand_line.put(self._step_number, np.clip(wanted, self.hand.lower, self.hand.upper))

    def write_arm(self, q: ArrayLike) -> None:
        """An arm command arrives now: (7,) rad. Raises InputError for what is not finite or outside the joint limits, as an arm would."""
        wanted = _numbers("arm command", q, len(self.scene.arm.joint_names))
        arm = self.scene.arm
        beyond = [name for name, w, lo, up in zip(arm.joint_names, wanted, arm.lower, arm.upper, strict=True) if not lo <= w <= up]
        if beyond:
            raise InputError("arm command: outside the limits of %s." % ", ".join(beyond), remedy="clamp targets before they are sent.")
        self._arm_line.put(self._step_number, wanted)

    def stop_arm(self) -> None:
        """The arm stops where its motion is now; targets on their way are dropped, later ones are followed again."""
        self._arm_line.stop()

    def set_hand_power(self, power: str) -> None:
        """Make the finger motors ``full``, ``soft`` or ``off``.

        Raises:
            InputError: another name.
        """
        if power not in HAND_POWERS:
            raise InputError("hand power: %r." % power, remedy="choose one of: %s." % ", ".join(HAND_POWERS))
        part, fingers, model = HAND_POWERS[power], self.scene.finger_actuators, self.scene.model
        gain, bias, force = self._full_power
        model.actuator_gainprm[fingers] = part * gain[fingers]
        model.actuator_biasprm[fingers] = part * bias[fingers]
        model.actuator_forcerange[fingers] = part * force[fingers]
        self.hand_power = power

    def step(self, count: int = 1) -> None:
        """Advance by ``count`` physics steps.

        Raises:
            SimulationError: physics left the range of finite numbers.
        """
        for _ in range(count):
            self._advance()
            if self._camera.due(self.time_s):
                self._camera.take(self.time_s, *self._object_pose())

    def read_hand(self) -> JointSample:
        """Encoders and currents of the fingers, now."""
        n, m, scene = len(self.hand.finger_joints), self.mismatch, self.scene
        noise = sensors.normal(self.seed, sensors.HAND, self._step_number, n)
        position = sensors.encoder(self._data.qpos[scene.finger_qpos], noise, m.hand_noise_rad, m.hand_counts)
        velocity = self._data.qvel[scene.finger_dof]
        return JointSample(
            self.time_s,
            position,
            sensors.quantised_velocity(velocity) if m.hand_counts else velocity,
            self._data.actuator_force[scene.finger_actuators] / TORQUE_PER_AMPERE,
        )

    def read_arm(self) -> JointSample:
        """Encoders of the arm, now. Its velocities are clean: a Franka filters them at 1 kHz."""
        noise = sensors.normal(self.seed, sensors.ARM, self._step_number, len(self.scene.arm.joint_names))
        position = self._data.qpos[self.scene.arm_qpos] + self.mismatch.arm_noise_rad * noise
        return JointSample(self.time_s, position, self._data.qvel[self.scene.arm_dof])

    def read_camera(self) -> CameraSample | None:
        """The newest camera sample that has arrived; None before the first."""
        return self._camera.read(self.time_s)

    def truth(self) -> Truth:
        """The state of the world."""
        position, quaternion = self._object_pose()
        return Truth(self.time_s, position, quaternion, self._data.qpos.copy(), *self._object_contacts(self._data))

    @property
    def arm_peak_speed(self) -> float:
        """Fastest motion that arm targets asked for since the reset, as a part of the arm's velocity limits: above 1 a real arm would have stopped."""
        return float((self._arm_line.peak_velocity / self.scene.arm.velocity).max())

    def _posture(self, arm: Array, fingers: Array, position: Array, quaternion: Array) -> Array:
        scene = self.scene
        qpos = np.zeros(scene.model.nq)
        qpos[scene.arm_qpos], qpos[scene.finger_qpos] = arm, fingers
        qpos[scene.object_qpos : scene.object_qpos + 7] = np.concatenate([position, quaternion])
        return qpos

    def _refuse_touching(self, qpos: Array) -> None:
        """Look at ``qpos`` aside, so that a refused reset leaves the world as it is."""
        model = self.scene.model
        aside = mujoco.MjData(model)
        aside.qpos[:] = qpos
        mujoco.mj_forward(model, aside)
        bodies = model.geom_bodyid[aside.contact.geom]
        things = np.isin(bodies, [0, self.scene.object_body])
        # One side table or object, the other arm or hand.
        touching = things.sum(axis=1) == 1
        if touching.any():
            pairs = {" and ".join(model.body(b).name for b in sorted(pair)) for pair in bodies[touching]}
            what = ", ".join(sorted(pairs)).replace("world", "table")
            raise RefusedError("twin: these would touch at the start: %s." % what, remedy="move the object, or begin with the arm farther away.")

    def _object_contacts(self, data: mujoco.MjData) -> tuple[int, int]:
        """Contacts of the object: (with the hand, with anything else)."""
        hand, thing = self.scene.hand_geoms, self.scene.object_geoms
        first, second = data.contact.geom[:, 0], data.contact.geom[:, 1]
        on_object = thing[first] | thing[second]
        by_hand = on_object & (hand[first] | hand[second])
        return int(by_hand.sum()), int((on_object & ~by_hand).sum())

    def _begin_lines(self, arm: Array, fingers: Array) -> None:
        self._hand_line = DelayLine(round(self.mismatch.latency_s / self.timestep_s), fingers)
        self._arm_line = Interpolator(round(self.mismatch.latency_s / self.timestep_s), round(CONTROL_PERIOD_S / self.timestep_s), self.timestep_s, arm)

    def _settle(self, start: Array, quaternion: Array) -> Settled:
        """Let the object come to rest while arm and hand stand still."""
        mujoco.mj_forward(self.scene.model, self._data)
        still, at = False, self.scene.object_dof
        for n in range(int(SETTLE_S / self.timestep_s)):
            self._advance()
            velocity = self._data.qvel[at : at + 6]
            # The first moments are at rest because nothing has fallen yet.
            if n * self.timestep_s > 0.1 and np.linalg.norm(velocity[:3]) < SETTLED[0] and np.linalg.norm(velocity[3:]) < SETTLED[1]:
                still = True
                break
        position, turned = self._object_pose()
        return Settled(float(np.linalg.norm(position - start)), float(angle(turned, quaternion)), still)

    def _advance(self) -> None:
        self._apply()
        mujoco.mj_step(self.scene.model, self._data)
        self._step_number += 1
        if self._diverged.number:
            raise SimulationError("twin: the physics diverged at %.3f s." % self.time_s, remedy="use a smaller time step; keep the seed and report it.")

    def _apply(self) -> None:
        """Commands that are due go to the motors; the arm carries the hand's weight as its load."""
        data, scene = self._data, self.scene
        data.ctrl[scene.finger_actuators] = self._hand_line.at(self._step_number)
        reference, velocity = self._arm_line.at(self._step_number)
        # kp (q* - q) + kv (dq* - dq): the actuator damps against zero velocity, so the motion's own is added to its target.
        data.ctrl[scene.arm_actuators] = reference + velocity * self._arm_bias[2] / self._arm_bias[1]
        if self.mismatch.finger_gravity:
            palm = scene.palm_body
            force = -scene.payload_kg * scene.model.opt.gravity
            lever = data.xpos[palm] + data.xmat[palm].reshape(3, 3) @ scene.payload_h - data.xipos[palm]
            applied = data.xfrc_applied[palm]
            applied[:3] = force
            # The cross product in full: numpy's takes as long as the physics step.
            applied[3:] = lever[[1, 2, 0]] * force[[2, 0, 1]] - lever[[2, 0, 1]] * force[[1, 2, 0]]

    def _object_pose(self) -> tuple[Array, Array]:
        at = self.scene.object_qpos
        return self._data.qpos[at : at + 3].copy(), self._data.qpos[at + 3 : at + 7].copy()


def _numbers(what: str, values: ArrayLike, count: int) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise InputError("%s: it is not %d finite numbers." % (what, count), remedy="check what computed it.")
    return array
