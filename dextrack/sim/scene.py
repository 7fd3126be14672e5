"""The scene of a tracking task as a MuJoCo model: hand on a floating base, object, table.

The settings of the engine are in ``dextrack.sim.physics``. Everything is addressed by name.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Optional, Tuple
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dextrack.errors import InputError
from dextrack.hands.spec import WRIST_JOINTS, HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.physics import OBJECT, TABLE, Physics

# The engine tells of every diverged world on stderr and in a MUJOCO_LOG.TXT of the current folder. Among thousands of sampled rollouts some diverge, and are
# dropped where their states are not finite; who wants to see them sets this logger to INFO.
mujoco.set_mju_user_warning(logging.getLogger("dextrack.sim").info)

MAX_HULL_VERTICES = 64
"""Convex parts are thinned to this many hull vertices: some recordings' parts have thousands of faces, and collision time grows with them."""


def set_options(spec: mujoco.MjSpec, physics: Physics) -> None:
    """Write solver, integrator and time step into ``spec``.

    MjSpec compiles angles in degrees unless told otherwise, which silently shrinks every limit 57-fold; it is told here.
    """
    spec.compiler.degree = False
    option = spec.option
    option.timestep = physics.period / physics.substeps
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.iterations = physics.iterations
    option.impratio = physics.impratio
    # Left to itself, MuJoCo takes a dense one below 60 degrees of freedom; a contact touches one finger and the object, which are 16 of 28 columns at most.
    # The same Newton steps to rounding, 1.5 times as fast (tests/bench/jacobian.py).
    option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE


def add_table(spec: mujoco.MjSpec) -> None:
    """Add the plane z = 0."""
    spec.worldbody.add_geom(name=TABLE, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2.0, 2.0, 0.05], rgba=[0.72, 0.70, 0.66, 1.0], group=0)


def add_object(spec: mujoco.MjSpec, obj: ObjectSpec, physics: Physics) -> None:
    """Add ``obj`` with a free joint; its contact parameters win over the other body's (priority 1).

    The object decides friction for every contact, so that one multiplier scales it against hand and table alike.
    """
    body = spec.worldbody.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT + "_free")
    volumes = np.array([abs(_hull_volume(v)) for v, _ in obj.parts])
    masses = obj.mass * physics.mass_scale * volumes / volumes.sum()
    friction = [obj.friction * physics.friction_scale, physics.torsional_friction, 1e-4]
    for i, (vertices, faces) in enumerate(obj.parts):
        mesh = spec.add_mesh(name="%s_part_%d" % (OBJECT, i))
        mesh.uservert = np.ascontiguousarray(vertices, dtype=np.float64).ravel()
        mesh.userface = np.ascontiguousarray(faces, dtype=np.int32).ravel()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        mesh.maxhullvert = MAX_HULL_VERTICES
        body.add_geom(
            name="%s_%d" % (OBJECT, i), type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, mass=float(masses[i]),
            friction=friction, condim=4, priority=1, rgba=[0.90, 0.56, 0.20, 1.0], group=0,
        )  # fmt: skip


def _hull_volume(vertices: ArrayLike) -> float:
    from scipy.spatial import ConvexHull

    return float(ConvexHull(np.asarray(vertices)).volume)


def floating_hand(hand: HandSpec, base_quaternion_w: ArrayLike) -> mujoco.MjSpec:
    """MjSpec of the hand below slides tx ty tz (world axes) and hinges rx ry rz (axes of the base frame).

    The hand's own MJCF is wrapped as text: attaching one MjSpec to another would prefix the joint names.
    """
    root = ElementTree.parse(str(hand.mjcf)).getroot()
    world = root.find("worldbody")
    palm = None if world is None else world.find("body")
    if world is None or palm is None or palm.get("name") != hand.palm_body:
        raise InputError("%s: its root body is not %s." % (hand.mjcf, hand.palm_body), remedy="correct the HandSpec or the model.")
    world.remove(palm)
    # Links without mass between joints would make the inertia matrix singular; a gram does not change the motion.
    gram = {"pos": "0 0 0", "mass": "0.001", "diaginertia": "1e-6 1e-6 1e-6"}
    slides = ElementTree.SubElement(world, "body", name="wrist_slides")
    ElementTree.SubElement(slides, "inertial", gram)
    quat = " ".join("%.17g" % x for x in np.asarray(base_quaternion_w, dtype=np.float64))
    base = ElementTree.SubElement(slides, "body", name="wrist_base", quat=quat)
    ElementTree.SubElement(base, "inertial", gram)
    lower, upper = hand.limits()
    for i, (name, axis) in enumerate(zip(WRIST_JOINTS, ("1 0 0", "0 1 0", "0 0 1") * 2)):
        kind = "slide" if i < 3 else "hinge"
        parent = slides if i < 3 else base
        ElementTree.SubElement(parent, "joint", name=name, type=kind, axis=axis, range="%.17g %.17g" % (lower[i], upper[i]))
    base.append(palm)
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
    for body in spec.bodies:
        for geom in body.geoms:
            # Fingers that touch each other slide: with friction, half of all constraints of a grasp would be among the fingers. Object and
            # table bring their own friction into every contact.
            geom.condim = 1
    for finger in hand.fingertips:
        spec.body(finger.body).add_site(name=finger.finger + "_tip", pos=finger.offset, size=[0.002] * 3, group=4)
    return spec


def add_position_actuators(spec: mujoco.MjSpec, hand: HandSpec, physics: Physics, joints: Optional[Tuple[str, ...]] = None) -> None:
    """Add PD actuators kp (target - q) - kv dq, clamped to the effort limit, for ``joints`` (default: all of the hand)."""
    kp, kv, effort = hand.gains()
    for i, name in enumerate(hand.joint_names):
        if joints is not None and name not in joints:
            continue
        gain = physics.finger_gain_scale if i >= 6 else 1.0
        limit = effort[i] * (physics.effort_scale if i >= 6 else 1.0)
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=kp[i] * gain, kv=kv[i] * gain)
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-limit, limit]


def add_sensors(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    """Sensors ``<finger>_tip_o``: pad centres in the object's frame, m; then ``tx_force`` to ``tz_force``: what pushes the wrist, N.

    The reference frame is XBODY: BODY is the inertial frame, whose axes differ from the mesh's.
    """
    for finger in hand.fingertips:
        spec.add_sensor(
            name=finger.finger + "_tip_o", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=finger.finger + "_tip",
            reftype=mujoco.mjtObj.mjOBJ_XBODY, refname=OBJECT,
        )  # fmt: skip
    for name in WRIST_JOINTS[:3]:
        spec.add_sensor(name=name + "_force", type=mujoco.mjtSensor.mjSENS_ACTUATORFRC, objtype=mujoco.mjtObj.mjOBJ_ACTUATOR, objname=name)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A compiled scene and where things are in it."""

    model: mujoco.MjModel
    hand: HandSpec
    physics: Physics
    hand_qpos: np.ndarray
    """Indices of theta in qpos, (22,)."""
    hand_dof: np.ndarray
    """Indices of theta in qvel, (22,)."""
    object_qpos: int
    """First index of the object's xyz + wxyz in qpos, or -1."""
    object_dof: int
    """First index of the object's linear (world) and angular (body) velocity in qvel, or -1."""

    def qpos(self, hand: ArrayLike, object_position_w: Optional[ArrayLike] = None, object_quaternion_w: Optional[ArrayLike] = None) -> np.ndarray:
        """Assemble qpos (..., nq) from theta (..., 22) and the object's pose."""
        hand = np.asarray(hand, dtype=np.float64)
        q = np.zeros(hand.shape[:-1] + (self.model.nq,))
        q[..., self.hand_qpos] = hand
        if self.object_qpos >= 0:
            q[..., self.object_qpos : self.object_qpos + 3] = object_position_w
            q[..., self.object_qpos + 3 : self.object_qpos + 7] = object_quaternion_w
        return q


def build_scene(hand: HandSpec, base_quaternion_w: ArrayLike, obj: Optional[ObjectSpec] = None, physics: Optional[Physics] = None, table: bool = True) -> Scene:
    """Compile the scene of a tracking task; without ``obj`` and ``table`` it is the shadow simulator's.

    Args:
        hand: the robot hand.
        base_quaternion_w: (4,) wxyz, the reference's base frame.
        obj: the object, or None.
        physics: settings; the measured defaults when None.
        table: whether there is a table.
    """
    physics = physics or Physics()
    spec = floating_hand(hand, base_quaternion_w)
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 0.0 if physics.hand_gravity else 1.0
    add_position_actuators(spec, hand, physics)
    set_options(spec, physics)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    if table:
        add_table(spec)
    if obj is not None:
        add_object(spec, obj, physics)
        add_sensors(spec, hand)
    model = spec.compile()
    return Scene(
        model=model,
        hand=hand,
        physics=physics,
        hand_qpos=np.array([model.joint(n).qposadr[0] for n in hand.joint_names]),
        hand_dof=np.array([model.joint(n).dofadr[0] for n in hand.joint_names]),
        object_qpos=int(model.joint(OBJECT + "_free").qposadr[0]) if obj is not None else -1,
        object_dof=int(model.joint(OBJECT + "_free").dofadr[0]) if obj is not None else -1,
    )
