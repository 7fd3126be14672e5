"""Stand-in for the engine: assets read from URDF, and an environment as one MuJoCo model made of them."""

# An Isaac Gym server runs Python 3.8, whose zip knows no strict=.
# ruff: noqa: B905

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from .records import AssetOptions, IndexRange, PlaneParams, RigidShapeProperties, SimParams, Transform

DRIVE_FIELDS = ("stiffness", "damping", "velocity", "effort", "friction", "armature")
DOF_MODE_POS = 1


class Asset:
    """A URDF: its links depth first, siblings by the name of their joint."""

    def __init__(self, folder: Path, name: str, options: AssetOptions) -> None:
        self.folder, self.options = folder, options
        robot = ElementTree.parse(str(folder / name)).getroot()
        links = {link.get("name"): link for link in robot.findall("link")}
        self.joints = {joint.find("child").get("link"): joint for joint in robot.findall("joint")}
        self.children: dict[str, list[str]] = {name: [] for name in links}
        for child, joint in sorted(self.joints.items(), key=lambda item: item[1].get("name")):
            self.children[joint.find("parent").get("link")].append(child)
        (self.root,) = [name for name in links if name not in self.joints]
        self.links = {name: links[name] for name in self._walk(self.root)}
        moving = [self.joints[name] for name in self.links if name in self.joints and self.joints[name].get("type") != "fixed"]
        self.dofs = {joint.get("name"): joint.find("limit") for joint in moving}
        self.shapes = [RigidShapeProperties() for link in self.links.values() for _ in link.findall("collision")]
        # Files may be gone when actors are compiled.
        self.meshes = {m.get("filename"): _vertices(folder / m.get("filename")) for m in robot.iter("mesh")}

    def _walk(self, link: str) -> list[str]:
        return [link] + [name for child in self.children[link] for name in self._walk(child)]

    def ranges(self) -> list[IndexRange]:
        out, start = [], 0
        for link in self.links.values():
            owned = IndexRange()
            owned.start, owned.count = start, len(link.findall("collision"))
            start += owned.count
            out.append(owned)
        return out

    def drives(self) -> np.ndarray:
        kinds = [("hasLimits", "?"), ("lower", "f4"), ("upper", "f4"), ("driveMode", "i4")] + [(field, "f4") for field in DRIVE_FIELDS]
        out = np.zeros(len(self.dofs), dtype=kinds)
        for row, limit in zip(out, self.dofs.values()):
            row["hasLimits"], row["lower"], row["upper"] = True, float(limit.get("lower")), float(limit.get("upper"))
            row["effort"], row["velocity"] = float(limit.get("effort")), float(limit.get("velocity"))
        return out


def _vertices(path: Path) -> str:
    return " ".join(line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("v "))


class Actor:
    def __init__(self, asset: Asset, pose: Transform, name: str, group: int, mask: int, index: int) -> None:
        self.asset, self.pose, self.name, self.group, self.index = asset, pose, name, group, index
        self.drives = asset.drives()
        self.shapes = list(asset.shapes)
        self.filters = [shape.filter if mask == -1 else mask for shape in asset.shapes]


class Env:
    """Actors that share a space; compiled by ``prepare``."""

    def __init__(self, origin: np.ndarray) -> None:
        self.origin = origin
        self.actors: list[Actor] = []
        self.model: Any = None

    def prepare(self, params: SimParams, plane: PlaneParams | None) -> None:
        root = ElementTree.Element("mujoco")
        ElementTree.SubElement(root, "compiler", angle="radian", eulerseq="XYZ", autolimits="true")
        g = params.gravity
        option = {"timestep": repr(params.dt / params.substeps), "gravity": "%r %r %r" % (g.x, g.y, g.z), "impratio": "10"}
        ElementTree.SubElement(root, "option", {**option, "integrator": "implicitfast", "cone": "elliptic"})
        files, world = ElementTree.SubElement(root, "asset"), ElementTree.SubElement(root, "worldbody")
        contact, actuators = ElementTree.SubElement(root, "contact"), ElementTree.SubElement(root, "actuator")
        standing = {shape.friction for actor in self.actors if actor.asset.options.fix_base_link for shape in actor.shapes}
        if plane is not None:
            standing.add(plane.dynamic_friction)
            ElementTree.SubElement(world, "geom", type="plane", size="5 5 1", friction="%r 0.003 0.0001" % plane.dynamic_friction)
        if len(standing) > 1:
            raise RuntimeError("stand-in: ground and fixed actors have one friction, or it cannot take means.")
        self.others = standing.pop() if standing else 1.0
        for actor in self.actors:
            for file, vertices in actor.asset.meshes.items():
                ElementTree.SubElement(files, "mesh", name=actor.name + "/" + file, vertex=vertices)
            _body(world, actor, actor.asset.root, self.others)
            _drives(actuators, actor)
            _exclusions(contact, actor)
        self.model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
        self.data = mujoco.MjData(self.model)
        for actor in self.actors:
            for joint, limit in actor.asset.dofs.items():
                at = self.model.joint(actor.name + "/" + joint).qposadr[0]
                self.data.qpos[at] = np.clip(0.0, float(limit.get("lower")), float(limit.get("upper")))
        mujoco.mj_forward(self.model, self.data)

    def joints(self) -> list[tuple[int, int, int]]:
        """Addresses in qpos, qvel and ctrl of every degree of freedom, in the stand-in's order."""
        names = [actor.name + "/" + joint for actor in self.actors for joint in actor.asset.dofs]
        return [(self.model.joint(n).qposadr[0], self.model.joint(n).dofadr[0], self.model.actuator(n).id) for n in names]

    def body(self, name: str) -> np.ndarray:
        """Pose with xyzw, and the velocity of the centre of mass, (13,)."""
        i, velocity = self.model.body(name).id, np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, i, velocity, 0)
        return np.concatenate([self.data.xpos[i], np.roll(self.data.xquat[i], -1), velocity[3:], velocity[:3]])

    def place(self, actor: Actor, state: np.ndarray) -> None:
        """Put a free actor at ``state`` (13,)."""
        joint = self.model.joint(actor.name + "/free")
        q, d, body = joint.qposadr[0], joint.dofadr[0], self.model.body(actor.name + "/" + actor.asset.root).id
        turn, quat = np.zeros(9), np.roll(state[3:7], 1)
        mujoco.mju_quat2Mat(turn, quat)
        turn = turn.reshape(3, 3)
        self.data.qpos[q : q + 3], self.data.qpos[q + 3 : q + 7] = state[:3], quat
        self.data.qvel[d : d + 3] = state[7:10] - np.cross(state[10:], turn @ self.model.body_ipos[body])
        self.data.qvel[d + 3 : d + 6] = turn.T @ state[10:]

    def set_mass(self, actor: Actor, mass: float, inertia_too: bool) -> None:
        body = self.model.body(actor.name + "/" + actor.asset.root).id
        if inertia_too:
            self.model.body_inertia[body] *= mass / self.model.body_mass[body]
        self.model.body_mass[body] = mass
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))

    def set_friction(self, actor: Actor) -> None:
        for i, shape in enumerate(actor.shapes):
            self.model.geom(actor.name + "/%d" % i).friction[0] = _friction(shape, self.others)


def _friction(shape: RigidShapeProperties, others: float) -> float:
    """Of a contact: the mean."""
    return 0.5 * (shape.friction + others)


def _body(parent: ElementTree.Element, actor: Actor, link: str, others: float) -> None:
    asset = actor.asset
    body = ElementTree.SubElement(parent, "body", name=actor.name + "/" + link, gravcomp="1" if asset.options.disable_gravity else "0")
    joint = asset.joints.get(link)
    if joint is None:
        p, r = actor.pose.p, actor.pose.r
        body.set("pos", "%r %r %r" % (p.x, p.y, p.z))
        body.set("quat", "%r %r %r %r" % (r.w, r.x, r.y, r.z))
        if not asset.options.fix_base_link:
            ElementTree.SubElement(body, "freejoint", name=actor.name + "/free")
    else:
        origin = joint.find("origin")
        body.set("pos", origin.get("xyz"))
        body.set("euler", origin.get("rpy"))
        if joint.get("type") != "fixed":
            drive = actor.drives[list(asset.dofs).index(joint.get("name"))]
            ElementTree.SubElement(
                body, "joint", name=actor.name + "/" + joint.get("name"), type="slide" if joint.get("type") == "prismatic" else "hinge",
                axis=joint.find("axis").get("xyz"), range="%r %r" % (float(drive["lower"]), float(drive["upper"])), armature=repr(float(drive["armature"])),
            )  # fmt: skip
    inertial = asset.links[link].find("inertial")
    if inertial is not None:
        inertia = inertial.find("inertia")
        full = " ".join(inertia.get(key) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
        ElementTree.SubElement(body, "inertial", pos=inertial.find("origin").get("xyz"), mass=inertial.find("mass").get("value"), fullinertia=full)
    owned = asset.ranges()[list(asset.links).index(link)]
    for i, collision in enumerate(asset.links[link].findall("collision"), start=owned.start):
        _geom(body, actor, i, collision, others)
    for child in asset.children[link]:
        _body(body, actor, child, others)


def _geom(body: ElementTree.Element, actor: Actor, i: int, collision: ElementTree.Element, others: float) -> None:
    origin, (shape,) = collision.find("origin"), list(collision.find("geometry"))
    free = not actor.asset.options.fix_base_link
    geom = ElementTree.SubElement(body, "geom", name=actor.name + "/%d" % i, pos=origin.get("xyz"), euler=origin.get("rpy"), mass="0")
    geom.set("friction", "%r 0.003 0.0001" % _friction(actor.shapes[i], others if free else actor.shapes[i].friction))
    geom.set("priority", "1" if free else "0")
    geom.set("condim", "4" if free else "3")
    if shape.tag == "mesh":
        geom.set("type", "mesh")
        geom.set("mesh", actor.name + "/" + shape.get("filename"))
        return
    geom.set("type", {"cylinder": "capsule"}.get(shape.tag, shape.tag) if actor.asset.options.replace_cylinder_with_capsule else shape.tag)
    size = {"box": "size", "sphere": "radius"}.get(shape.tag)
    values = [float(v) for v in (shape.get(size) if size else shape.get("radius") + " " + shape.get("length")).split()]
    halves = [0.5 * v for v in values] if shape.tag == "box" else [values[0]] + [0.5 * v for v in values[1:]]
    geom.set("size", " ".join("%r" % v for v in halves))


def _drives(actuators: ElementTree.Element, actor: Actor) -> None:
    for name, drive in zip(actor.asset.dofs, actor.drives):
        kp, kv, effort = (float(drive[field]) for field in ("stiffness", "damping", "effort"))
        if int(drive["driveMode"]) != DOF_MODE_POS:
            kp = kv = 0.0
        ElementTree.SubElement(
            actuators, "general", name=actor.name + "/" + name, joint=actor.name + "/" + name, gainprm="%r" % kp, biastype="affine",
            biasprm="0 %r %r" % (-kp, -kv), forcerange="%r %r" % (-effort - 1e-9, effort + 1e-9),
        )  # fmt: skip


def _exclusions(contact: ElementTree.Element, actor: Actor) -> None:
    """Bodies whose shapes share a bit of their filters do not collide."""
    bits = {}
    for name, owned in zip(actor.asset.links, actor.asset.ranges()):
        filters = actor.filters[owned.start : owned.start + owned.count]
        bits[name] = int(np.bitwise_and.reduce(filters)) if filters else 0
    names = list(bits)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if bits[a] & bits[b]:
                ElementTree.SubElement(contact, "exclude", body1=actor.name + "/" + a, body2=actor.name + "/" + b)
