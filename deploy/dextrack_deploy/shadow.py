"""The shadow simulator: the simulated hand in the control loop.

The cell does not follow a controller's targets directly. Each target first moves a simulated hand, with the gains, effort limits, substeps and
integrator with which demonstrations were mined; the state that it reaches is what arm and hand are asked for (paper, real-world set-up).
It holds the hand only: with the object in it, the fingers would stop at the surface and the squeeze would vanish.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError, SimulationError
from dextrack.hands.spec import HandSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene

Floats = NDArray[np.float64]


class ShadowSimulator:
    """A hand on a floating base, in free space without gravity on it, driven by PD controllers."""

    def __init__(self, hand: HandSpec, base_quaternion_w: ArrayLike, period: float = CONTROL_PERIOD) -> None:
        """Simulate ``hand`` on the placed reference's base frame ``base_quaternion_w`` (4,) wxyz; one step is ``period`` s."""
        self._scene = build_scene(hand, base_quaternion_w, physics=Physics(period=period), table=False)
        self._data = mujoco.MjData(self._scene.model)
        self.joint_names = hand.joint_names
        self.period = period
        self._lower, self._upper = hand.limits()
        self._ready = False

    def reset(self, theta: ArrayLike, velocity: ArrayLike | None = None) -> None:
        """Put the hand at ``theta`` (22,) with ``velocity`` (22,), zero by default.

        Raises:
            InputError: a value is not finite, or the shape is wrong.
        """
        x = self._checked(theta, "state")
        v = np.zeros(len(x)) if velocity is None else self._checked(velocity, "velocity")
        mujoco.mj_resetData(self._scene.model, self._data)
        self._data.qpos[:] = self._scene.qpos(x)
        self._data.qvel[self._scene.hand_dof] = v
        self._data.ctrl[:] = x
        mujoco.mj_forward(self._scene.model, self._data)
        self._ready = True

    def step(self, target: ArrayLike) -> tuple[Floats, Floats]:
        """Advance one period towards ``target`` (22,), clamped to the joint limits.

        Returns:
            (theta (22,), theta_dot (22,)), m, rad and per second.

        Raises:
            InputError: the target is not finite or has the wrong shape, or the simulator was never reset; its state does not change.
            SimulationError: the physics diverged.
        """
        x = self._checked(target, "target")
        if not self._ready:
            raise InputError("shadow simulator: step before reset.", remedy="reset it to the measured hand state when the run begins.")
        self._data.ctrl[:] = np.clip(x, self._lower, self._upper)
        mujoco.mj_step(self._scene.model, self._data, self._scene.physics.substeps)
        theta, velocity = self.state()
        # MuJoCo resets a diverged state by itself, and warns; a jump home must not reach the robot.
        diverged = sum(self._data.warning[int(w)].number for w in _DIVERGED)
        if diverged or not (np.isfinite(theta).all() and np.isfinite(velocity).all()):
            self._ready = False
            raise SimulationError("shadow simulator: the physics diverged.", remedy="hold, and check the targets of the trial for jumps.")
        return theta, velocity

    def state(self) -> tuple[Floats, Floats]:
        """(theta (22,), theta_dot (22,)) now."""
        return self._data.qpos[self._scene.hand_qpos].copy(), self._data.qvel[self._scene.hand_dof].copy()

    def _checked(self, value: ArrayLike, what: str) -> Floats:
        x = np.asarray(value, dtype=np.float64)
        if x.shape != (len(self.joint_names),) or not np.isfinite(x).all():
            raise InputError(f"shadow simulator: the {what} is not {len(self.joint_names)} finite numbers.", remedy="hold; check the node that sent it.")
        return x


_DIVERGED = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)
