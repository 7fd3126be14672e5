"""Finger: the responses of one joint to steps, as MuJoCo simulates them with a motor that is assumed."""

from __future__ import annotations

import os
from collections.abc import Sequence

import mujoco
import numpy as np
from dextrack_deploy.twin.dynamixel.modelled import TIMESTEP_S, bench_spec, set_motor
from mujoco import rollout
from numpy.typing import ArrayLike, NDArray

from dextrack.hands.motors import MotorValues
from dextrack.hands.spec import HandSpec
from dextrack_calibration.motors.plan import Move

Floats = NDArray[np.float64]

SETTLE_S = 0.15
"""Before a step the joint is left to itself for this long, s: a reading of where it rests is a whole count, and where it truly rests the motor decides."""
_CONTROL = int(mujoco.mjtState.mjSTATE_CTRL) | int(mujoco.mjtState.mjSTATE_QFRC_APPLIED)


class Finger:
    """The finger that carries ``joint``, its palm fixed, its other joints held by the HandSpec's motors."""

    def __init__(self, hand: HandSpec, joint: str, pose: ArrayLike, gravity_h: ArrayLike) -> None:
        """Load the finger.

        Args:
            hand: the hand; its links' inertias and its motors' armature are believed.
            joint: name of the joint that steps.
            pose: targets of all joints (n,), rad, which the other joints hold.
            gravity_h: (3,) m/s^2 in the wrist frame.
        """
        spec = bench_spec(hand, gravity_h)
        for body in list(spec.body(hand.palm_body).bodies):
            if joint not in {j.name for b in (body, *body.find_all("body")) for j in b.joints}:
                spec.delete(body)
        present = {j.name for j in spec.joints}
        targets = {name: angle for name, angle in zip(hand.finger_joints, np.asarray(pose, dtype=np.float64), strict=True) if name in present}
        for actuator in [a for a in spec.actuators if a.name not in present]:
            spec.delete(actuator)
        self._joint = joint
        self._model = model = spec.compile()
        self._data = mujoco.MjData(model)
        self._threads = [mujoco.MjData(model) for _ in range(os.cpu_count() or 1)]
        self._actuator = model.actuator(joint).id
        self._dof, self._qpos = int(model.joint(joint).dofadr[0]), int(model.joint(joint).qposadr[0])
        self._targets = np.array([targets[model.actuator(a).name] for a in range(model.nu)])
        self._start = np.zeros(model.nq)
        for name, angle in targets.items():
            self._start[model.joint(name).qposadr[0]] = angle

    def respond(self, motor: MotorValues, load: float, moves: Sequence[Move], rests: Sequence[float], seconds: float) -> tuple[Floats, Floats]:
        """Simulate steps from rest; the motor's delay is left to the reader of the time.

        Args:
            motor: the assumed motor.
            load: constant torque on the joint beside gravity's, N m.
            moves: the steps, m of them.
            rests: where the joint rested before each, as read, rad.
            seconds: how long.

        Returns:
            (time (n,), s since the motor heard its target, beginning with 0; position (m, n), rad).
        """
        model, a = self._model, self._actuator
        set_motor(model, self._joint, motor)
        settle, steps = (int(np.ceil(s / TIMESTEP_S)) for s in (SETTLE_S, SETTLE_S + seconds))
        size = mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
        initial = np.zeros((len(moves), size))
        control = np.zeros((len(moves), steps, model.nu + model.nv))
        for row, (move, rest) in enumerate(zip(moves, rests, strict=True)):
            self._data.qpos[:] = self._start
            self._data.qpos[self._qpos] = rest
            self._data.qvel[:] = 0.0
            mujoco.mj_getState(model, self._data, initial[row], int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
            control[row, :, : model.nu] = self._targets
            control[row, :settle, a], control[row, settle:, a] = move.start, move.target
        control[:, :, model.nu + self._dof] = load
        states, _ = rollout.rollout(model, self._threads[: len(moves)], initial, control, control_spec=_CONTROL)
        # The full physics begins with the time. A state is that after its step.
        position = np.asarray(states[:, settle - 1 :, 1 + self._qpos], dtype=np.float64)
        return TIMESTEP_S * np.arange(steps - settle + 1, dtype=np.float64), position
