"""URDF from our MJCF: Isaac Gym and RViz read URDF, MuJoCo reads MJCF, and the MJCF is the one source.

``python -m dextrack.hands.urdf_export`` writes the files that are committed beside the models, mirrored models first; a test fails when they drift.
The converter knows what our models use: hinge joints, at most one per body, and boxes, spheres, cylinders and capsules.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple
from xml.etree import ElementTree

import mujoco
import numpy as np
from dextrack_assets import path
from numpy.typing import ArrayLike

from dextrack.errors import InputError
from dextrack.files import replacing
from dextrack.hands import HANDS
from dextrack.hands.description import mirrored_models
from dextrack.hands.spec import load_hand
from dextrack.hands.xml_text import indent, numbers
from dextrack.rotations import rotate, to_matrix

ARMS = ("fr3", "panda")
"""Arms whose models are shipped."""
VISUAL_GROUP = 3
"""Geoms of this group and above are for collision only; MuJoCo's viewer hides them too."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What URDF wants to know of a joint beside its range."""

    effort: float
    """N m."""
    velocity: float
    """rad/s."""


def export_urdf(mjcf: Path, limits: Mapping[str, Limits]) -> str:
    """URDF text of the model ``mjcf``: fixed base, one link per body, names kept.

    Args:
        mjcf: a model with one root body and only hinge joints.
        limits: effort and velocity of every joint, by name.

    Raises:
        InputError: the model has something that URDF or this converter cannot express, or a joint has no limits.
    """
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    roots = [b for b in range(1, model.nbody) if model.body_parentid[b] == 0]
    if len(roots) != 1:
        raise InputError("%s: it has %d root bodies, not 1." % (mjcf, len(roots)), remedy="put everything below one body.")
    robot = ElementTree.Element("robot", name=mjcf.stem)
    robot.append(ElementTree.Comment(" Exported from %s by dextrack.hands.urdf_export: change that file, not this one. " % mjcf.name))
    for body in range(1, model.nbody):
        robot.append(_link(model, body))
    for body in range(1, model.nbody):
        if body != roots[0]:
            robot.append(_joint(model, body, limits))
    indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def rpy(quaternion: ArrayLike) -> Tuple[float, float, float]:
    """Fixed-axis roll, pitch, yaw in rad (R = Rz(yaw) Ry(pitch) Rx(roll)), as URDF writes rotations, of a unit ``quaternion`` (4,) wxyz."""
    m = to_matrix(quaternion)
    pitch = float(np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0])))
    if np.hypot(m[0, 0], m[1, 0]) < 1e-9:  # gimbal lock: only the sum or difference of roll and yaw counts, so yaw is 0
        return _turn(-m[1, 2], m[1, 1]), pitch, 0.0
    return _turn(m[2, 1], m[2, 2]), pitch, _turn(m[1, 0], m[0, 0])


def _turn(y: float, x: float) -> float:
    """Angle of (x, y) in (-pi, pi]: rounding alone must not turn pi into -pi, or files would differ between machines."""
    angle = float(np.arctan2(y, x))
    return angle + 2.0 * np.pi if angle < -np.pi + 1e-9 else angle


def _origin(position: ArrayLike, quaternion: ArrayLike) -> ElementTree.Element:
    return ElementTree.Element("origin", xyz=numbers(np.asarray(position)), rpy=numbers(rpy(quaternion)))


def _link(model: mujoco.MjModel, body: int) -> ElementTree.Element:
    link = ElementTree.Element("link", name=model.body(body).name)
    if model.body_mass[body] > 0.0:
        inertial = ElementTree.SubElement(link, "inertial")
        # The principal axes are turned into the body's: several URDF readers ignore the rotation of an inertial frame.
        r = to_matrix(model.body_iquat[body])
        inertia = r @ np.diag(model.body_inertia[body]) @ r.T
        ElementTree.SubElement(inertial, "origin", xyz=numbers(model.body_ipos[body]), rpy="0 0 0")
        ElementTree.SubElement(inertial, "mass", value=numbers([model.body_mass[body]]))
        entries = {"i" + a + b: numbers([inertia[i, j]]) for a, b, i, j in _INERTIA}
        ElementTree.SubElement(inertial, "inertia", entries)
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] == body:
            link.extend(_shapes(model, geom))
    return link


_INERTIA = (("x", "x", 0, 0), ("x", "y", 0, 1), ("x", "z", 0, 2), ("y", "y", 1, 1), ("y", "z", 1, 2), ("z", "z", 2, 2))


def _shapes(model: mujoco.MjModel, geom: int) -> List[ElementTree.Element]:
    """The visual and collision elements of one geom. URDF has no capsule: it becomes a cylinder and two spheres."""
    size, position, quaternion = model.geom_size[geom], model.geom_pos[geom], model.geom_quat[geom]
    kind = mujoco.mjtGeom(model.geom_type[geom])
    pieces: List[Tuple[Any, str, Dict[str, str]]] = []
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        pieces.append((position, "box", {"size": numbers(2.0 * size)}))
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        pieces.append((position, "sphere", {"radius": numbers(size[:1])}))
    elif kind in (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE):
        pieces.append((position, "cylinder", {"radius": numbers(size[:1]), "length": numbers(2.0 * size[1:2])}))
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            for end in (-1.0, 1.0):
                pieces.append((position + rotate(quaternion, [0.0, 0.0, end * size[1]]), "sphere", {"radius": numbers(size[:1])}))
    else:
        raise InputError("model: a geom of type %s has no counterpart in URDF." % kind.name, remedy="use boxes, spheres, cylinders or capsules.")
    roles = []
    if model.geom_group[geom] < VISUAL_GROUP:
        roles.append("visual")
    if model.geom_contype[geom] or model.geom_conaffinity[geom]:
        roles.append("collision")
    out = []
    for role in roles:
        for at, tag, attributes in pieces:
            element = ElementTree.Element(role)
            element.append(_origin(at, quaternion))
            ElementTree.SubElement(ElementTree.SubElement(element, "geometry"), tag, attributes)
            if role == "visual":
                element.append(_colour(model, geom))
            out.append(element)
    return out


def _colour(model: mujoco.MjModel, geom: int) -> ElementTree.Element:
    rgba = model.mat_rgba[model.geom_matid[geom]] if model.geom_matid[geom] >= 0 else model.geom_rgba[geom]
    material = ElementTree.Element("material", name="rgba_" + "_".join("%02x" % int(round(255 * c)) for c in rgba))
    ElementTree.SubElement(material, "color", rgba=" ".join("%.4g" % c for c in rgba))
    return material


def _joint(model: mujoco.MjModel, body: int, limits: Mapping[str, Limits]) -> ElementTree.Element:
    """The joint between a body and its parent; URDF puts the child's frame at the joint, so an offset joint is refused."""
    name = model.body(body).name
    count = int(model.body_jntnum[body])
    if count > 1:
        raise InputError("model: body %s has %d joints." % (name, count), remedy="give each joint a body.")
    joint = int(model.body_jntadr[body])
    if count and (model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE or np.abs(model.jnt_pos[joint]).max() > 0.0 or not model.jnt_limited[joint]):
        raise InputError("model: the joint of body %s is no limited hinge at the body's origin." % name, remedy="move the body's frame to the joint.")
    joint_name = model.joint(joint).name if count else name + "_fixed"
    element = ElementTree.Element("joint", name=joint_name, type="revolute" if count else "fixed")
    element.append(_origin(model.body_pos[body], model.body_quat[body]))
    ElementTree.SubElement(element, "parent", link=model.body(int(model.body_parentid[body])).name)
    ElementTree.SubElement(element, "child", link=name)
    if count:
        if joint_name not in limits:
            raise InputError("model: joint %s has no effort and velocity." % joint_name, remedy="name it in the limits.")
        ElementTree.SubElement(element, "axis", xyz=numbers(model.jnt_axis[joint]))
        lower, upper = model.jnt_range[joint]
        figures = {"lower": lower, "upper": upper, "effort": limits[joint_name].effort, "velocity": limits[joint_name].velocity}
        ElementTree.SubElement(element, "limit", {k: numbers([v]) for k, v in figures.items()})
    return element


def arm_limits(mjcf: Path) -> Dict[str, Limits]:
    """Limits of an arm that carries them itself: ``actuatorfrcrange`` of each joint and the numeric field ``<model>_velocity``."""
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    velocity = model.numeric(mjcf.stem + "_velocity").data
    return {model.joint(j).name: Limits(float(model.jnt_actfrcrange[j, 1]), float(velocity[j])) for j in range(model.njnt)}


def hand_limits(name: str) -> Dict[str, Limits]:
    """Limits of the hand ``name``: its published effort and velocity."""
    hand = load_hand(name)
    return {j: Limits(e, v) for j, e, v in zip(hand.finger_joints, hand.effort_max, hand.velocity)}


def exports() -> Dict[Path, str]:
    """Every committed URDF, of the arms and of the shipped hands: its path, and the text that it ought to hold."""
    out = {}
    for name in ARMS:
        arm = path("models", name, name + ".xml")
        out[arm.with_suffix(".urdf")] = export_urdf(arm, arm_limits(arm))
    for name in HANDS:
        mjcf = load_hand(name).mjcf
        out[mjcf.with_suffix(".urdf")] = export_urdf(mjcf, hand_limits(name))
    return out


def main() -> None:
    """Rewrite the committed files that follow from others: mirrored models, then every URDF."""
    for generated in (functools.partial(mirrored_models, HANDS), exports):
        for target, text in generated().items():
            with replacing(target) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(target)


if __name__ == "__main__":
    main()
