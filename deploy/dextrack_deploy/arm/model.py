"""The arm on its base, and the hand on the arm's flange, as one MuJoCo specification."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import CellConfig

MOUNT = "hand_mount"
"""Body on the flange that carries the hand, and site of the same name: its frame is the hand's root body's (suffix ``_h``)."""


def arm_spec(cell: CellConfig) -> mujoco.MjSpec:
    """MjSpec of the cell's arm at its base in the world frame, with the frame ``MOUNT`` where the hand goes. No actuators, no hand."""
    return _finish(_arm_xml(cell), cell)


def cell_spec(cell: CellConfig) -> mujoco.MjSpec:
    """MjSpec of arm and hand as the cell bolts them together. No actuators, no table; bodies and joints keep their names.

    The models are joined as text: attaching one MjSpec to another would prefix the names.
    """
    arm, hand = load_arm(cell.arm.model), load_hand(cell.hand.model)
    root, other = _arm_xml(cell), _parse(hand.mjcf)
    for section in other:
        if section.tag == "worldbody":
            _named(root, MOUNT).extend(section)
        elif section.tag == "compiler":
            _section(root, "compiler").attrib.update(section.attrib)
        else:
            _section(root, section.tag).extend(section)
    contact = _section(root, "contact")
    # The hand's root body overlaps the plate, and with it the arm's last links, in every pose.
    for body in (*arm.wrist_bodies, arm.flange):
        ElementTree.SubElement(contact, "exclude", body1=body, body2=hand.palm_body)
    return _finish(root, cell)


def _finish(root: ElementTree.Element, cell: CellConfig) -> mujoco.MjSpec:
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
    # MjSpec compiles angles in degrees unless told otherwise, also where the text said radian.
    spec.compiler.degree = False
    spec.modelname = cell.name
    return spec


def _arm_xml(cell: CellConfig) -> ElementTree.Element:
    """The arm's MJCF with its base placed and plate and mount on its flange."""
    arm = load_arm(cell.arm.model)
    root = _parse(arm.mjcf)
    base, flange = _named(root, arm.base_body), _named(root, arm.flange)
    base.set("pos", _text(cell.arm.base_position_w))
    base.set("quat", _text(cell.arm.base_quaternion_w))
    mount = ElementTree.SubElement(flange, "body", name=MOUNT, pos=_text(cell.hand.position_f), quat=_text(cell.hand.quaternion_f))
    ElementTree.SubElement(mount, "site", name=MOUNT, size="0.005", group="4")
    ElementTree.SubElement(
        flange, "geom", {"class": f"{arm.name}_visual"}, name="plate", type="cylinder", size="0.034", material=f"{arm.name}_dark",
        fromto=f"0 0 0 0 0 {cell.hand.plate_thickness}", mass=str(cell.hand.plate_mass),
    )  # fmt: skip
    return root


def _parse(path: Path) -> ElementTree.Element:
    return ElementTree.parse(str(path)).getroot()


def _named(root: ElementTree.Element, name: str) -> ElementTree.Element:
    body = root.find(f".//body[@name='{name}']")
    if body is None:
        raise InputError(f"arm model: it has no body {name}.", remedy="install the package again.")
    return body


def _section(root: ElementTree.Element, tag: str) -> ElementTree.Element:
    section = root.find(tag)
    return ElementTree.SubElement(root, tag) if section is None else section


def _text(values: tuple[float, ...]) -> str:
    return " ".join(repr(float(x)) for x in np.asarray(values))
