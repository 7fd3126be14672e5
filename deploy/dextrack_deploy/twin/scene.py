"""The twin's model: the cell's arm with its hand on the flange, an object and the table, with the mismatch built in."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.physics import OBJECT, Physics
from dextrack.sim.scene import add_object, add_position_actuators, add_table, set_options
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import ArmSpec, load_arm
from dextrack_deploy.cell.config import CellConfig
from dextrack_deploy.twin.mismatch import Mismatch

TIMESTEP_S = 1.0 / 480.0
"""Physics step, s: a quarter of mining's, and a whole number of them per control period and camera period."""

ARM_STIFFNESS = (3000.0, 3000.0, 3000.0, 2500.0, 2500.0, 2000.0, 2000.0)
"""Joint impedance of the arm, N m/rad: the values that libfranka's examples set (setDefaultBehavior)."""
ARM_DAMPING_RATIO = 1.0
"""Damping of each arm joint, as a part of the critical damping at the home posture."""


@dataclasses.dataclass(frozen=True)
class TwinScene:
    """A compiled twin and where things are in it. Arrays over fingers follow HandSpec.finger_joints, over the arm its joints from base to flange."""

    model: mujoco.MjModel
    hand: HandSpec
    arm: ArmSpec
    arm_qpos: NDArray[np.int64]
    arm_dof: NDArray[np.int64]
    arm_actuators: NDArray[np.int64]
    finger_qpos: NDArray[np.int64]
    finger_dof: NDArray[np.int64]
    finger_actuators: NDArray[np.int64]
    object_qpos: int
    """First index of the object's xyz + wxyz in qpos."""
    object_dof: int
    """First index of the object's velocity in qvel."""
    palm_body: int
    """Id of the hand's root body."""
    object_body: int
    """Id of the object's body."""
    hand_geoms: NDArray[np.bool_]
    """Whether each geom belongs to the hand, (ngeom,)."""
    object_geoms: NDArray[np.bool_]
    """Whether each geom belongs to the object, (ngeom,)."""
    payload_kg: float
    """Mass of the hand: what the arm compensates as its load."""
    payload_h: NDArray[np.float64]
    """Centre of mass of the hand at rest, in the palm's frame (3,), m: what the arm was told (libfranka's setLoad)."""


def build_twin_scene(cell: CellConfig, hand: HandSpec, obj: ObjectSpec, mismatch: Mismatch, timestep_s: float = TIMESTEP_S) -> TwinScene:
    """Compile the twin of ``cell`` with ``obj`` on its table.

    Args:
        cell: where the arm stands and how the hand is mounted.
        hand: the hand of the cell.
        obj: the object.
        mismatch: friction, mass, gains and efforts differ from mining's as this says.
        timestep_s: physics step, s.
    """
    physics = Physics(
        period=timestep_s,
        substeps=1,
        friction_scale=mismatch.friction,
        mass_scale=mismatch.mass,
        finger_gain_scale=mismatch.finger_gain,
        effort_scale=mismatch.finger_effort,
        hand_gravity=mismatch.finger_gravity,
    )
    spec = cell_spec(cell)
    spec.modelname = "twin_%s" % cell.name
    set_options(spec, physics)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    add_table(spec)
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 1.0
    if mismatch.finger_gravity:
        # A real arm carries the hand's weight as its load, but the finger motors feel the weight of their links.
        palm = spec.body(hand.palm_body)
        for body in [palm, *palm.find_all("body")]:
            body.gravcomp = 0.0
    arm = load_arm(cell.arm.model)
    add_position_actuators(spec, hand, physics, joints=hand.finger_joints)
    _add_arm_actuators(spec, arm.joint_names)
    add_object(spec, obj, physics)
    return _index(spec.compile(), cell, hand, arm)


def _add_arm_actuators(spec: mujoco.MjSpec, joints: tuple[str, ...]) -> None:
    """Joint impedance; the damping is set once the inertia is known. Torque limits are the joints' own (actuatorfrcrange)."""
    for name, stiffness in zip(joints, ARM_STIFFNESS, strict=True):
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=stiffness, kv=0.0)


def _index(model: mujoco.MjModel, cell: CellConfig, hand: HandSpec, arm: ArmSpec) -> TwinScene:
    """Find everything by name, set the arm's damping and weigh the hand."""
    arm_qpos = np.array([model.joint(n).qposadr[0] for n in arm.joint_names])
    arm_dof = np.array([model.joint(n).dofadr[0] for n in arm.joint_names])
    arm_actuators = np.array([model.actuator(n).id for n in arm.joint_names])
    finger_qpos = np.array([model.joint(n).qposadr[0] for n in hand.finger_joints])
    palm, thing = model.body(hand.palm_body).id, model.body(OBJECT).id
    in_hand = np.array([_descends(model, body, palm) for body in range(model.nbody)])
    data = mujoco.MjData(model)
    data.qpos[arm_qpos] = cell.arm.home
    data.qpos[finger_qpos] = hand.rest
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    stiffness = np.asarray(ARM_STIFFNESS)
    model.actuator_biasprm[arm_actuators, 2] = -2.0 * ARM_DAMPING_RATIO * np.sqrt(stiffness * inertia[arm_dof, arm_dof])
    return TwinScene(
        model=model,
        hand=hand,
        arm=arm,
        arm_qpos=arm_qpos,
        arm_dof=arm_dof,
        arm_actuators=arm_actuators,
        finger_qpos=finger_qpos,
        finger_dof=np.array([model.joint(n).dofadr[0] for n in hand.finger_joints]),
        finger_actuators=np.array([model.actuator(n).id for n in hand.finger_joints]),
        object_qpos=int(model.joint(OBJECT + "_free").qposadr[0]),
        object_dof=int(model.joint(OBJECT + "_free").dofadr[0]),
        palm_body=palm,
        object_body=thing,
        hand_geoms=in_hand[model.geom_bodyid],
        object_geoms=np.asarray(model.geom_bodyid == thing),
        payload_kg=float(model.body_subtreemass[palm]),
        payload_h=data.xmat[palm].reshape(3, 3).T @ (data.subtree_com[palm] - data.xpos[palm]),
    )


def _descends(model: mujoco.MjModel, body: int, ancestor: int) -> bool:
    while body > ancestor:
        body = int(model.body_parentid[body])
    return body == ancestor
