"""What a replay shows beside poses: forces between hand, object and table, joint effort, the object's slip in the hand.

Causes of failure are read off these signals, so they are measured in the same scene and with the same steps as the replay that is judged.
A signal of frame n is that of the last engine step before it; frame 0 has none.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import SimulationError
from dextrack.mining.ensemble import NOMINAL, Member
from dextrack.mining.settling import settled_pose
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.sim.physics import OBJECT, TABLE
from dextrack.sim.scene import Scene
from dextrack.tracking.metrics import rotation_error, translation_error

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

PALM = "palm"
"""The segment of everything that belongs to no finger with a pad."""
TOUCH = 0.1
"""Force from which a segment counts as pressing, N: a tenth of an apple's weight."""
OPPOSED = -0.3
"""Two segments grip when the cosine between their forces on the object is below this."""


@dataclasses.dataclass(frozen=True)
class Signals:
    """One measured replay of N steps. World frame, SI units; the leading dimension of every array is N + 1."""

    hand: Floats
    """(N + 1, 22): theta."""
    object_position_w: Floats
    """(N + 1, 3), m."""
    object_quaternion_w: Floats
    """(N + 1, 4), wxyz."""
    height: Floats
    """Height of the object's lowest point, m."""
    reference_height: Floats
    """The same of the reference, m."""
    position_error: Floats
    """Distance of the object from the reference's, m."""
    rotation_error: Floats
    """Angle from the reference's, rad."""
    segments: tuple[str, ...]
    """Names of the hand's segments: its fingers, then ``palm``."""
    force_w: Floats
    """(N + 1, S, 3): force of each segment on the object, N."""
    hand_table: Floats
    """Sum of normal forces between hand and table, N."""
    effort: Floats
    """(N + 1, J): torque of each finger joint over its limit, in [0, 1]."""
    joint_segments: tuple[int, ...]
    """(J,): index in ``segments`` of each finger joint."""
    slip: Floats
    """(N + 1, 3): the object's place in the wrist's frame, less the place that the reference has there, m."""
    leaving: Floats
    """Speed of the object in the wrist's frame, m/s."""
    penetration: Floats
    """Deepest hand-object contact, m."""
    period: float
    """s per frame."""

    @property
    def pressing(self) -> Flags:
        """(N + 1, S): whether a segment presses on the object."""
        out: Flags = np.linalg.norm(self.force_w, axis=-1) > TOUCH
        return out

    @property
    def grip(self) -> Flags:
        """(N + 1,): whether two segments press on the object from opposite sides."""
        size = np.linalg.norm(self.force_w, axis=-1)
        unit = self.force_w / np.maximum(size, 1e-9)[..., None]
        cosine = unit @ np.swapaxes(unit, -1, -2)
        both = (size > TOUCH)[..., None] & (size > TOUCH)[..., None, :]
        out: Flags = (both & (cosine < OPPOSED)).any(axis=(-1, -2))
        return out


def measure_signals(
    scene: Scene, reference: Reference, hull_o: ArrayLike, targets: ArrayLike, member: Member = NOMINAL, through_table: bool = False
) -> Signals:
    """Replay ``targets`` and measure it.

    Args:
        scene: hand, object and table.
        reference: what the targets should track.
        hull_o: (H, 3), m, hull of the object, object frame.
        targets: (N, 22), columns as ``reference.joint_names``.
        member: the world; the nominal one gives the states that ``mining.replays.replay`` gives.
        through_table: whether the hand passes through the table, which then holds the object alone.

    Raises:
        SimulationError: the state left the range of finite numbers.
    """
    model, start = _world(scene, reference, member, through_table)
    data = mujoco.MjData(model)
    data.qpos[:] = start
    data.ctrl[:] = reference.hand[0]
    mujoco.mj_forward(model, data)
    reader = _Reader(scene, model)
    qpos, rows = [start], [reader.nothing(data)]
    for target in np.asarray(targets, dtype=np.float64):
        data.ctrl[:] = target
        mujoco.mj_step(model, data, scene.physics.substeps)
        qpos.append(data.qpos.copy())
        rows.append(reader.read(data))
    q = np.array(qpos)
    if not np.isfinite(q).all():
        raise SimulationError(f"replay of {reference.name}: the state is not finite.", remedy="mine again with another seed, or report the object.")
    force, table, effort, depth = (np.array(column) for column in zip(*rows, strict=True))
    k = scene.object_qpos
    position, quaternion, hull = q[:, k : k + 3], q[:, k + 3 : k + 7], np.asarray(hull_o, dtype=np.float64)
    in_wrist = _in_wrist(reference, q[:, scene.hand_qpos], position)
    step = np.linalg.norm(np.diff(in_wrist, axis=0), axis=1) / scene.physics.period
    return Signals(
        hand=q[:, scene.hand_qpos],
        object_position_w=position,
        object_quaternion_w=quaternion,
        height=lowest_z(hull, position, quaternion),
        reference_height=lowest_z(hull, reference.object_position_w, reference.object_quaternion_w),
        position_error=translation_error(position, reference.object_position_w),
        rotation_error=rotation_error(quaternion, reference.object_quaternion_w),
        segments=(*(f.finger for f in scene.hand.fingertips), PALM),
        force_w=force,
        hand_table=table,
        effort=effort,
        joint_segments=reader.joint_segments,
        slip=in_wrist - _in_wrist(reference, reference.hand, reference.object_position_w),
        leaving=np.concatenate([[0.0], step]),
        penetration=depth,
        period=scene.physics.period,
    )


def _in_wrist(reference: Reference, theta: Floats, position_w: Floats) -> Floats:
    """Positions (N + 1, 3) in the wrist's frame."""
    wrist = rotations.multiply(reference.base_quaternion_w, rotations.from_hinges(theta[:, 3:6]))
    return rotations.rotate(rotations.conjugate(wrist), position_w - theta[:, :3])


def _world(scene: Scene, reference: Reference, member: Member, through_table: bool) -> tuple[mujoco.MjModel, Floats]:
    """(model, first qpos) of ``member``, as an ensemble has it."""
    position, quaternion = settled_pose(scene, reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    quaternion = rotations.multiply(rotations.from_rotation_vector([0.0, 0.0, member.yaw]), quaternion)
    start = scene.qpos(reference.hand[0], position + np.array([*member.offset, 0.0]), quaternion)
    if member == NOMINAL and not through_table:
        return scene.model, start
    model: mujoco.MjModel = scene.model.__copy__()
    body = model.body(OBJECT).id
    geoms = np.flatnonzero(model.geom_bodyid == body)
    model.geom_friction[geoms, 0] *= member.friction_scale
    model.body_mass[body] *= member.mass_scale
    model.body_inertia[body] *= member.mass_scale
    fingers = [model.actuator(name).id for name in scene.hand.finger_joints]
    model.actuator_gainprm[fingers] *= member.gain_scale
    model.actuator_biasprm[fingers] *= member.gain_scale
    if through_table:
        # Bit 1 is the hand's, bit 2 the table's, and the object has both.
        table = model.geom(TABLE).id
        model.geom_contype[table] = model.geom_conaffinity[table] = 2
        model.geom_contype[geoms] = model.geom_conaffinity[geoms] = 3
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model, start


class _Reader:
    """Reads forces off a stepped state."""

    def __init__(self, scene: Scene, model: mujoco.MjModel) -> None:
        """Assign every geom to the object, the table, or a segment of the hand."""
        self._model = model
        self._object, self._table = model.body(OBJECT).id, model.geom(TABLE).id
        self._count = len(scene.hand.fingertips) + 1
        root = model.body(scene.hand.palm_body).id
        finger_of = {}
        for i, finger in enumerate(scene.hand.fingertips):
            body = model.body(finger.body).id
            while body not in (root, 0):
                finger_of[body] = i
                body = int(model.body_parentid[body])
        self._segment = np.array([finger_of.get(int(b), self._count - 1) for b in model.geom_bodyid])
        self._fingers = np.array([model.actuator(name).id for name in scene.hand.finger_joints])
        self._limit = model.actuator_forcerange[self._fingers, 1]
        self.joint_segments = tuple(finger_of.get(int(model.joint(name).bodyid[0]), self._count - 1) for name in scene.hand.finger_joints)
        self._wrench = np.zeros(6)

    def nothing(self, data: mujoco.MjData) -> tuple[Floats, float, Floats, float]:
        """The row of frame 0: no forces yet, but its penetration."""
        return np.zeros((self._count, 3)), 0.0, np.zeros(len(self._fingers)), self.read(data)[3]

    def read(self, data: mujoco.MjData) -> tuple[Floats, float, Floats, float]:
        """(force of each segment on the object (S, 3), hand-table normal force, effort (J,), penetration)."""
        force, table, depth = np.zeros((self._count, 3)), 0.0, 0.0
        for i, (first, second) in enumerate(data.contact.geom):
            bodies = self._model.geom_bodyid[first], self._model.geom_bodyid[second]
            if self._object in bodies and 0 not in bodies:
                mujoco.mj_contactForce(self._model, data, i, self._wrench)
                # The wrench acts on the second geom; its axes are the rows of the contact's frame.
                on_second = self._wrench[:3] @ data.contact.frame[i].reshape(3, 3)
                of_hand, sign = (first, 1.0) if bodies[1] == self._object else (second, -1.0)
                force[self._segment[of_hand]] += sign * on_second
                depth = max(depth, -float(data.contact.dist[i]))
            elif self._table in (first, second) and self._object not in bodies:
                mujoco.mj_contactForce(self._model, data, i, self._wrench)
                table += float(self._wrench[0])
        return force, table, np.abs(data.actuator_force[self._fingers]) / self._limit, depth
