"""A left hand is the mirror image of a right one: its model and its HandSpec follow from the right hand's.

The mirror is the plane y = 0 of every body's frame, so that a mirrored frame is right-handed again: with M = diag(1, -1, 1), a point p
becomes M p, a rotation R becomes M R M, and a turn by an angle about axis a becomes the same turn about -M a.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec
from dextrack.hands.xml_text import indent, numbers

M = np.array([1.0, -1.0, 1.0])
"""What the mirror does to the coordinates of a point."""

_SIGNS = {
    "pos": M,
    "fromto": np.concatenate([M, M]),
    "quat": np.array([1.0, -1.0, 1.0, -1.0]),
    "euler": -M,
    "fullinertia": np.array([1.0, 1.0, 1.0, -1.0, 1.0, -1.0]),
}
"""Attributes of MJCF that a mirror changes, and how: factors of their numbers."""
_UNKNOWN_ATTRIBUTES = ("axisangle", "xyaxes", "zaxis", "mesh", "ref")
_NAMES = ("body1", "body2", "joint", "site", "body")


@dataclasses.dataclass(frozen=True)
class Mirror:
    """What differs between the makers' left and right hand beside the mirror image: names and the sense of motors."""

    exchanged: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Body or joint of the right hand -> its image's name, where that is another one."""
    reversed_joints: Tuple[str, ...] = ()
    """Joints of the left hand whose angle counts the other way: the makers fit the same motor turned over."""

    def name(self, right: str) -> str:
        """Name of the image of ``right``, a body or a joint."""
        return self.exchanged.get(right, right)

    def angles(self, right: Mapping[str, float]) -> Dict[str, float]:
        """Joint angles of the image of a right hand at ``right``, rad, by name."""
        return {self.name(j): -a if self.name(j) in self.reversed_joints else a for j, a in right.items()}


def mirror_point(point: ArrayLike) -> NDArray[np.float64]:
    """Mirror image of points or offsets (..., 3)."""
    out: NDArray[np.float64] = M * np.asarray(point, dtype=np.float64)
    return out


def mirror_mjcf(mjcf: Path, name: str, mirror: Mirror) -> str:
    """MJCF text of the mirror image of the hand ``mjcf``, called ``name``; body frames are mirrored ones.

    Raises:
        InputError: the model has something that this function cannot mirror, such as a mesh.
    """
    root = ElementTree.parse(str(mjcf)).getroot()
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    root.set("model", name)
    joints = set()
    for element in root.iter():
        for unknown in _UNKNOWN_ATTRIBUTES:
            if unknown in element.attrib:
                raise InputError("%s: <%s %s=...> cannot be mirrored." % (mjcf, element.tag, unknown), remedy="use pos, quat, euler, fromto and primitives.")
        for attribute, signs in _SIGNS.items():
            if attribute in element.attrib:
                element.set(attribute, numbers(signs * np.array(element.attrib[attribute].split(), dtype=np.float64)))
        for attribute in _NAMES + (("name",) if element.tag in ("body", "joint") else ()):
            if attribute in element.attrib:
                element.set(attribute, mirror.name(element.attrib[attribute]))
        element.attrib.pop("axis", None)  # a default's: each joint gets its own below
        if element.tag == "joint" and "name" in element.attrib:
            joints.add(element.attrib["name"])
            _set_joint(element, model, mirror)
    for joint in mirror.reversed_joints:
        if joint not in joints:
            raise InputError("%s: it has no joint %s to reverse." % (mjcf, joint), remedy="correct reversed_joints of %s." % name)
    header = " Mirror image of %s, by dextrack.hands.urdf_export: change that file, not this one. Source and licence are the same. " % mjcf.name
    root.insert(0, ElementTree.Comment(header))
    indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _set_joint(element: ElementTree.Element, model: mujoco.MjModel, mirror: Mirror) -> None:
    """Write axis and range of the image ``element`` of one of ``model``'s joints."""
    name = element.attrib["name"]
    joint = next(model.joint(j) for j in range(model.njnt) if mirror.name(model.joint(j).name) == name)
    sense = -1.0 if name in mirror.reversed_joints else 1.0
    element.set("axis", numbers(-sense * mirror_point(joint.axis)))
    element.set("range", numbers(sorted(sense * joint.range)))


def mirror_hand(hand: HandSpec, name: str, mjcf: Path, mirror: Mirror) -> HandSpec:
    """HandSpec of the mirror image ``name`` of ``hand``; its motors are numbered by the joints' names as the right hand's are."""
    at = {j: i for i, j in enumerate(hand.finger_joints)}
    source = {mirror.name(j): i for j, i in at.items()}
    if set(source) != set(at):
        raise InputError("hand %s: exchanged names %s twice or not at all." % (name, sorted(set(source) ^ set(at))), remedy="correct hand.json.")
    order = [source[j] for j in hand.finger_joints]
    senses = [-1.0 if j in mirror.reversed_joints else 1.0 for j in hand.finger_joints]

    def moved(values: Sequence[float]) -> Tuple[float, ...]:
        return tuple(values[i] for i in order)

    def turned(values: Sequence[float], others: Sequence[float]) -> Tuple[float, ...]:
        return tuple(values[i] if s > 0 else 0.0 - others[i] for i, s in zip(order, senses))

    return dataclasses.replace(
        hand,
        name=name,
        side={"right": "left", "left": "right"}[hand.side],
        mjcf=mjcf,
        palm_body=mirror.name(hand.palm_body),
        lower=turned(hand.lower, hand.upper),
        upper=turned(hand.upper, hand.lower),
        rest=turned(hand.rest, hand.rest),
        effort=moved(hand.effort),
        effort_max=moved(hand.effort_max),
        velocity=moved(hand.velocity),
        keypoints=tuple(dataclasses.replace(k, body=mirror.name(k.body), offset=_triple(k.offset)) for k in hand.keypoints),
        fingertips=tuple(dataclasses.replace(f, body=mirror.name(f.body), offset=_triple(f.offset)) for f in hand.fingertips),
        palm_axes_h=(_triple(hand.palm_axes_h[0]), _triple(hand.palm_axes_h[1])),
    )


def _triple(point: ArrayLike) -> Tuple[float, float, float]:
    x, y, z = mirror_point(point) + 0.0  # turns -0 into 0
    return float(x), float(y), float(z)
