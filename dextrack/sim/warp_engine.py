"""Worlds of a scene on a device of Warp: MuJoCo Warp's model and data, the control step, and what watches it. Only the ``mujoco_warp`` backend uses it.

A control step is one CUDA graph: substeps, then the kinematics of the state that they end with. After each substep a kernel of ours does what the engine
leaves undone. It parks worlds whose numbers left the range of finite ones, since their geoms would pass every test of the broad phase and fill the contacts
that all worlds share. And it keeps the largest counts of contacts and constraints, since the engine drops what has no room.
"""

from __future__ import annotations

import copy
from typing import Any, Callable, List, Tuple, no_type_check

import mujoco
import mujoco_warp as mjw
import numpy as np
import warp as wp

from dextrack.sim.physics import OBJECT
from dextrack.sim.scene import Scene

# Warp tells of every kernel that it loads on stdout, where our verbs print what they measured.
wp.config.log_level = wp.LOG_WARNING

_EPA = wp.constant(int(mjw.OverflowType.EPA_HORIZON))
_OBJECT_FIELDS = ("geom_friction", "body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0")
PER_WORLD = (*_OBJECT_FIELDS, "actuator_gainprm", "actuator_biasprm")
"""Fields of the model that each world has its own copy of, so that the object's friction and mass and the motors' gains can vary; a graph remembers where
they are."""
PARKED_HAND_Z, PARKED_OBJECT = 1.0, (1.0, 0.0, 1.0)
"""Where a world that diverged waits for its reset, m: nothing touches."""


@no_type_check
def _watch(
    qpos: wp.array2d[float],
    qvel: wp.array2d[float],
    ctrl: wp.array2d[float],
    warmstart: wp.array2d[float],
    parked_qpos: wp.array[float],
    parked_ctrl: wp.array[float],
    nefc: wp.array[int],
    nacon: wp.array[int],
    ncollision: wp.array[int],
    overflow: wp.array[int],
    bad: wp.array[bool],
    peak: wp.array[int],
) -> None:
    """Park the world if its state or targets are not finite, or beyond what MuJoCo calls bad (mjMAXVAL), or were so since its reset; keep the peaks."""
    world = wp.tid()
    fine = not bad[world]
    for i in range(qpos.shape[1]):
        if not (wp.abs(qpos[world, i]) < 1.0e10):
            fine = False
    for i in range(qvel.shape[1]):
        if not (wp.abs(qvel[world, i]) < 1.0e10):
            fine = False
    for i in range(ctrl.shape[1]):
        if not (wp.abs(ctrl[world, i]) < 1.0e10):
            fine = False
    if not fine:
        bad[world] = True
        for i in range(qpos.shape[1]):
            qpos[world, i] = parked_qpos[i]
        for i in range(qvel.shape[1]):
            qvel[world, i] = 0.0
            warmstart[world, i] = 0.0
        for i in range(ctrl.shape[1]):
            ctrl[world, i] = parked_ctrl[i]
    if world == 0:
        wp.atomic_max(peak, 0, wp.max(nacon[0], ncollision[0]))
    wp.atomic_max(peak, 1, nefc[world])
    wp.atomic_max(peak, 2, overflow[world] & _EPA)


_watch_kernel = wp.kernel(_watch, enable_backward=False)


def host_model(scene: Scene) -> mujoco.MjModel:
    """The scene's model as Warp is given it: with the engine's own choice of Jacobian, since the sparse one is for a core and its caches."""
    model = copy.copy(scene.model)
    model.opt.jacobian = mujoco.mjtJacobian.mjJAC_AUTO
    return model


def put_model(scene: Scene, n_worlds: int, device: str, deterministic: bool = False, sensors: bool = False) -> mjw.Model:
    """The scene's model on ``device``, with ``PER_WORLD`` fields of its own for each world; ``deterministic`` and ``sensors`` as ``WarpEngine``'s."""
    with wp.ScopedDevice(device):
        model = mjw.put_model(host_model(scene), batch_sizes={name: n_worlds for name in PER_WORLD})
    if not sensors:
        model.opt.disableflags |= int(mjw.DisableBit.SENSOR)
    # The engine would print each overflow from the device, every step.
    model.opt.warn_overflow = 0
    model.opt.deterministic = deterministic
    model.opt.graph_conditional = wp.get_device(device).is_cuda and wp.is_conditional_graph_supported()
    return model


class WarpEngine:
    """``n_worlds`` copies of a scene. The arrays are Warp's; their rows are worlds."""

    def __init__(
        self, scene: Scene, n_worlds: int, device: str, contacts_per_world: int, constraints_per_world: int, deterministic: bool = False, sensors: bool = False
    ) -> None:
        """Put the scene on ``device`` (``cpu``, ``cuda:0``) with all worlds parked; compiles kernels that no run before has.

        Args:
            scene: the compiled scene.
            n_worlds: worlds.
            device: Warp's name of the device.
            contacts_per_world: room for contacts, and for pairs of geoms near enough to be tested; all worlds share ``n_worlds`` times this.
            constraints_per_world: room for rows of constraints, of each world alone.
            deterministic: sum in a fixed order, so that a GPU repeats a run bit for bit; slower.
            sensors: compute the scene's sensors, which the stepped backend reads none of.
        """
        self.scene, self.n_worlds, self.device = scene, n_worlds, device
        self._substeps = scene.physics.substeps
        self.model = put_model(scene, n_worlds, device, deterministic, sensors)
        with wp.ScopedDevice(device):
            self.data = mjw.make_data(host_model(scene), n_worlds, nconmax=contacts_per_world, njmax=constraints_per_world)
            self._parked: List[Any] = [wp.array(row, dtype=float) for row in parked(scene)]
            # All are parked while the kernels are loaded and captured.
            self.bad = wp.ones(n_worlds, dtype=bool)
            """Flags (W,): the world diverged since it was last reset."""
            self.peak = wp.zeros(3, dtype=int)
            """Most contacts of all worlds together, most constraints of one world, and whether a depth of penetration was given up for want of room that the
            engine does not let us choose (not 0), in any substep since it was zeroed."""
        self.step = self._captured(self._step)
        """Advance all worlds by one control period towards ``data.ctrl``."""
        self.settle = self._captured(self._settle)
        """Compute the kinematics of ``data.qpos`` as it is."""
        self.settle()
        wp.synchronize_device(device)
        self.bad.zero_()
        wp.synchronize_device(device)

    def close(self) -> None:
        """Let go of arrays and graphs; the graphs refer to the engine, which would keep its memory until the collector comes by."""
        vars(self).clear()

    def _step(self) -> None:
        self._watch()
        for _ in range(self._substeps):
            mjw.step(self.model, self.data)
            self._watch()
        mjw.kinematics(self.model, self.data)

    def _settle(self) -> None:
        self._watch()
        mjw.kinematics(self.model, self.data)

    def _watch(self) -> None:
        d = self.data
        state = [d.qpos, d.qvel, d.ctrl, d.qacc_warmstart]
        wp.launch(_watch_kernel, self.n_worlds, [*state, *self._parked, d.nefc, d.nacon, d.ncollision, d.overflow, self.bad, self.peak])

    def _captured(self, launches: Callable[[], None]) -> Callable[[], None]:
        """``launches`` as a CUDA graph on torch's current stream, so that it takes its turn among torch's kernels; on the CPU, as they are."""

        def run() -> None:
            with wp.ScopedDevice(self.device):
                launches()

        if not wp.get_device(self.device).is_cuda:
            return run
        # A first run loads the kernels, which a capture cannot be relied on to do.
        run()
        with wp.ScopedDevice(self.device), wp.ScopedCapture() as capture:
            launches()
        return lambda: wp.capture_launch(capture.graph, stream=wp.stream_from_torch(self.device))


def parked(scene: Scene) -> Tuple[np.ndarray, np.ndarray]:
    """Configuration (nq,) and targets (22,) of a world that waits: the hand at rest in the air, the object away from it."""
    hand = np.concatenate([[0.0, 0.0, PARKED_HAND_Z, 0.0, 0.0, 0.0], scene.hand.rest])
    return scene.qpos(hand, PARKED_OBJECT, (1.0, 0.0, 0.0, 0.0)), hand


def object_rows(scene: Scene) -> Tuple[int, np.ndarray]:
    """(body, geoms) of the object in the scene's model."""
    body = int(mujoco.mj_name2id(scene.model, mujoco.mjtObj.mjOBJ_BODY, OBJECT))
    return body, np.flatnonzero(scene.model.geom_bodyid == body)
