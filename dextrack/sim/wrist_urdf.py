"""The URDF of a hand on its floating base, as text: the exported hand below three slides and three hinges.

URDF gives every joint a link of its own, so five links lie between the root and the palm. The root is turned by the reference's base frame (its
pose is the actor's), and the hinges turn about the root's axes; the slides run along the world's axes, which are written in the root's frame.
"""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands.spec import WRIST_JOINTS, HandSpec
from dextrack.hands.xml_text import indent

ROOT = "wrist_root"
"""Link that stands still; the next ones are named after their joint, ``wrist_tx`` to ``wrist_ry``."""


def floating_urdf(urdf: str, hand: HandSpec, base_quaternion_w: ArrayLike) -> str:
    """URDF text of ``urdf`` below the joints ``WRIST_JOINTS``.

    Args:
        urdf: the exported hand, root link ``hand.palm_body``.
        hand: the robot hand.
        base_quaternion_w: (4,) wxyz, the reference's base frame. The root link must be put into the world at this rotation.

    Raises:
        InputError: the text has no link ``hand.palm_body``, or that link is another's child.
    """
    robot = ElementTree.fromstring(urdf)
    links = {link.get("name") for link in robot.findall("link")}
    children = {child.get("link") for child in robot.findall("joint/child")}
    if links - children != {hand.palm_body}:
        raise InputError("URDF of %s: its root link is not %s." % (hand.name, hand.palm_body), remedy="export it again: python -m dextrack.hands.urdf_export.")
    turn = rotations.to_matrix(base_quaternion_w)
    axes = list(turn) + list(np.eye(3))  # the rows of turn are the world's axes in the root's frame
    lower, upper = hand.limits()
    names = [ROOT] + ["wrist_" + joint for joint in WRIST_JOINTS[:-1]] + [hand.palm_body]
    wrist = [_light_link(name) for name in names[:-1]]
    for i, name in enumerate(WRIST_JOINTS):
        joint = ElementTree.Element("joint", name=name, type="prismatic" if i < 3 else "revolute")
        ElementTree.SubElement(joint, "origin", xyz="0 0 0", rpy="0 0 0")
        ElementTree.SubElement(joint, "parent", link=names[i])
        ElementTree.SubElement(joint, "child", link=names[i + 1])
        ElementTree.SubElement(joint, "axis", xyz=_exact(axes[i]))
        # Effort and velocity are the backend's to set, from HandSpec.gains.
        ElementTree.SubElement(joint, "limit", lower=_exact(lower[i : i + 1]), upper=_exact(upper[i : i + 1]), effort="0", velocity="0")
        wrist.append(joint)
    for element in reversed(wrist):
        robot.insert(0, element)
    indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _light_link(name: str) -> ElementTree.Element:
    """A link of one gram: without a mass an engine would give it one, and singular inertia. A gram does not change the motion."""
    link = ElementTree.Element("link", name=name)
    inertial = ElementTree.SubElement(link, "inertial")
    ElementTree.SubElement(inertial, "origin", xyz="0 0 0", rpy="0 0 0")
    ElementTree.SubElement(inertial, "mass", value="0.001")
    ElementTree.SubElement(inertial, "inertia", ixx="1e-6", iyy="1e-6", izz="1e-6", ixy="0", ixz="0", iyz="0")
    return link


def _exact(values: ArrayLike) -> str:
    return " ".join("%.17g" % v for v in np.asarray(values, dtype=np.float64))
