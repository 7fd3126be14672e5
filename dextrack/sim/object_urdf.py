"""An object as URDF: one collision mesh per convex part, mass by the parts' volume.

The link's frame is the object's, moved to the centre of mass. PhysX reports the velocity of the centre of mass where the pose is the link frame's;
with both in one point there is no doubt about which point moves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Tuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.hands.xml_text import indent, numbers
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
    bodies = [_moments(vertices) for vertices, _ in obj.parts]
    density = mass / sum(volume for volume, _, _ in bodies)
    centre: Floats = density / mass * np.sum([volume * c for volume, c, _ in bodies], axis=0)
    second = density * sum(s for _, _, s in bodies) - mass * np.outer(centre, centre)
    inertia = np.trace(second) * np.eye(3) - second
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


def _moments(vertices: Floats) -> Tuple[float, Floats, Floats]:
    """Volume, m3, centre (3,), m, and second moment (3, 3) about the origin, m5, of the convex hull of ``vertices`` (P, 3)."""
    from scipy.spatial import ConvexHull

    inside = vertices.mean(axis=0)
    triangles = vertices[ConvexHull(vertices).simplices]
    # The hull is the sum of tetrahedra from a point inside it; none has a negative volume.
    volumes = np.abs(np.linalg.det(triangles - inside)) / 6.0
    corners = np.concatenate([triangles, np.broadcast_to(inside, (len(triangles), 1, 3))], axis=1)
    total = corners.sum(axis=1)
    volume = float(volumes.sum())
    centre = (volumes[:, None] * total).sum(axis=0) / (4.0 * volume)
    second = np.einsum("t,tij->ij", volumes / 20.0, np.einsum("tci,tcj->tij", corners, corners) + np.einsum("ti,tj->tij", total, total))
    return volume, centre, second
