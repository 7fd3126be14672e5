"""An object as URDF: one collision mesh per convex part, mass by the parts' volume.

The link's frame is the object's, moved to the centre of mass. PhysX reports the velocity of the centre of mass where the pose is the link frame's;
with both in one point there is no doubt about which point moves.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.hands.xml_text import indent, numbers
from dextrack.objects.mass_properties import mass_properties
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.physics import OBJECT

Floats = NDArray[np.float64]


def write_object_urdf(folder: Path, obj: ObjectSpec, mass: float) -> Floats:
    """Write ``object.urdf`` and ``part_<i>.obj`` into ``folder``.

    Args:
        folder: an existing folder.
        obj: the object.
        mass: its mass, kg, spread over the parts by volume.

    Returns:
        Centre of mass in the object's frame, (3,) m: where the link's frame is.
    """
    properties = mass_properties(dataclasses.replace(obj, mass=mass))
    centre, inertia = properties.centre_o, properties.inertia_o
    robot = ElementTree.Element("robot", name=OBJECT)
    link = ElementTree.SubElement(robot, "link", name=OBJECT)
    inertial = ElementTree.SubElement(link, "inertial")
    ElementTree.SubElement(inertial, "origin", xyz="0 0 0", rpy="0 0 0")
    ElementTree.SubElement(inertial, "mass", value="%.17g" % mass)
    entries = {"i" + "xyz"[i] + "xyz"[j]: "%.17g" % inertia[i, j] for i in range(3) for j in range(i, 3)}
    ElementTree.SubElement(inertial, "inertia", entries)
    for i, (vertices, faces) in enumerate(obj.parts):
        (folder / _part(i)).write_text(_obj(vertices - centre, faces), encoding="utf-8")
        collision = ElementTree.SubElement(link, "collision")
        ElementTree.SubElement(collision, "origin", xyz="0 0 0", rpy="0 0 0")
        ElementTree.SubElement(ElementTree.SubElement(collision, "geometry"), "mesh", filename=_part(i))
    indent(robot)
    (folder / "object.urdf").write_text(ElementTree.tostring(robot, encoding="unicode"), encoding="utf-8")
    return centre


def _part(i: int) -> str:
    return "part_%d.obj" % i


def _obj(vertices: ArrayLike, faces: ArrayLike) -> str:
    """A mesh as Wavefront OBJ text; its indices begin at 1."""
    lines = ["v " + numbers(v) for v in np.asarray(vertices)] + ["f %d %d %d" % tuple(f + 1) for f in np.asarray(faces)]
    return "\n".join(lines) + "\n"
