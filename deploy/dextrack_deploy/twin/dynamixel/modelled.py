"""ModelledFingers: a hand on a bench as MuJoCo simulates it, driven by motors whose true parameters a file gives.

What identifies motors is tried out on it: the parameters are known to it and to nobody else. The palm is fixed; gravity pulls on the fingers, and
they pass through each other, for whoever moves them has to keep them apart.
"""

from __future__ import annotations

import heapq
import math

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.hands.motors import Motors, MotorValues, require_joints
from dextrack.hands.spec import HandSpec
from dextrack.sim.physics import Physics
from dextrack.sim.scene import add_position_actuators
from dextrack_deploy.drivers.protocols import Array
from dextrack_deploy.twin.dynamixel.plant import TORQUE_PER_AMPERE

TIMESTEP_S = 2.5e-4
"""Physics step, s: a twentieth of the time in which a finger motor's damping and its inertia come to terms (kv 0.25 N m s/rad, 0.001 kg m^2)."""
LIMP_DAMPING = 0.5
"""Damping of a joint without torque, N m s/rad: gears that nobody drives hold a light finger nearly where it is."""
LONGEST_S = 0.25
"""A process that was stopped goes on as if it had been stopped for this long, s, and does not compute what nobody saw."""
FINGERS_UP = (-9.81, 0.0, 0.0)
"""Gravity in the wrist frame of a hand whose fingers point up, m/s^2."""


def bench_spec(hand: HandSpec, gravity_h: ArrayLike) -> mujoco.MjSpec:
    """``hand`` with its palm fixed and the HandSpec's motors, in steps of ``TIMESTEP_S`` and without contacts; ``gravity_h`` (3,) m/s^2, wrist frame."""
    spec = mujoco.MjSpec.from_file(str(hand.mjcf))
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.gravity = np.asarray(gravity_h, dtype=np.float64)
    spec.option.disableflags = int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    add_position_actuators(spec, hand, Physics(), hand.finger_joints)
    return spec


def set_motor(model: mujoco.MjModel, joint: str, motor: MotorValues) -> None:
    """Let ``motor`` drive ``joint`` of a compiled ``bench_spec``; its delay is left to whoever gives the targets."""
    actuator, dof = model.actuator(joint).id, model.joint(joint).dofadr[0]
    model.actuator_gainprm[actuator, 0] = motor.kp
    model.actuator_biasprm[actuator, 1:3] = -motor.kp, -motor.kv
    model.actuator_forcerange[actuator] = -motor.effort, motor.effort
    model.dof_frictionloss[dof] = motor.friction


class ModelledFingers:
    """A hand's joints as a Plant."""

    def __init__(self, hand: HandSpec, motors: Motors, gravity_h: ArrayLike = FINGERS_UP) -> None:
        """At rest in the hand's rest pose; the motors of joints that ``motors`` leaves out are the HandSpec's, without delay.

        Raises:
            InputError: the motors are another hand's.
        """
        require_joints(motors, hand)
        values = [
            motors.joints.get(name, MotorValues(hand.finger_kp, hand.finger_kv, effort, 0.0))
            for name, effort in zip(hand.finger_joints, hand.effort, strict=True)
        ]
        self._model = bench_spec(hand, gravity_h).compile()
        for name, motor in zip(hand.finger_joints, values, strict=True):
            set_motor(self._model, name, motor)
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(n).qposadr[0] for n in hand.finger_joints])
        self._dof = np.array([self._model.joint(n).dofadr[0] for n in hand.finger_joints])
        self._full = self._model.actuator_gainprm.copy(), self._model.actuator_biasprm.copy()
        self._effort = np.array([m.effort for m in values])
        self._full_a = np.array(hand.effort) / TORQUE_PER_AMPERE
        self._delay = np.array([m.delay for m in values])
        self._data.qpos[self._qpos] = self._data.ctrl[:] = self._goal = np.array(hand.rest)
        self._pending: list[tuple[float, int, int, float]] = []
        self._sent = 0
        self._torque = np.zeros(len(values), dtype=bool)
        self._time = -math.inf
        self._began = False
        self._set_torque(self._torque)

    def refresh(self) -> None:
        """Nothing to do: it moves when it is sensed."""

    def sense(self, now: float) -> tuple[Array, Array, Array]:
        """Positions, velocities and currents; see Plant."""
        self._advance(now)
        d = self._data
        return d.qpos[self._qpos].copy(), d.qvel[self._dof].copy(), np.where(self._torque, d.actuator_force / TORQUE_PER_AMPERE, 0.0)

    def drive(self, targets: Array, torque: NDArray[np.bool_], limit: Array, now: float) -> None:
        """Follow ``targets``, each after its motor's delay; see Plant."""
        self._advance(now)
        for joint in np.flatnonzero(targets != self._goal):
            self._sent += 1
            heapq.heappush(self._pending, (now + self._delay[joint], self._sent, int(joint), float(targets[joint])))
        self._goal = targets
        if not np.array_equal(torque, self._torque):
            self._set_torque(torque)
        force = self._effort * limit / self._full_a
        self._model.actuator_forcerange[:] = np.stack([-force, force], axis=1)

    def close(self) -> None:
        """Nothing to let go."""

    def _set_torque(self, torque: NDArray[np.bool_]) -> None:
        gain, bias = self._full
        # Until a motor first has torque nothing falls: the pose that the hand was laid in is where it begins.
        self._began = self._began or bool(torque.any())
        self._model.actuator_gainprm[:] = gain * torque[:, None]
        self._model.actuator_biasprm[:] = bias * torque[:, None]
        self._model.dof_damping[self._dof] = np.where(torque, 0.0, LIMP_DAMPING)
        self._torque = torque.copy()

    def _advance(self, now: float) -> None:
        """Simulate until ``now``, targets taking effect when they are due."""
        if not math.isfinite(self._time) or not self._began:
            self._time = now
        self._time = max(self._time, now - LONGEST_S)
        while self._time + TIMESTEP_S <= now:
            while self._pending and self._pending[0][0] <= self._time:
                _, _, joint, target = heapq.heappop(self._pending)
                self._data.ctrl[joint] = target
            mujoco.mj_step(self._model, self._data)
            self._time += TIMESTEP_S
