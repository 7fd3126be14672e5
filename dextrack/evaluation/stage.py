"""Stage: the MuJoCo model that pictures are taken of; nothing moves by itself in it, every pose is given."""

from __future__ import annotations

import functools
from collections.abc import Callable

import dextrack_assets
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.evaluation.motion import ArmMotion, Motion
from dextrack.evaluation.rendering import Camera, Image, OffscreenCamera
from dextrack.hands import HandSpec, load_hand
from dextrack.objects.spec import ObjectSpec

Floats = NDArray[np.float64]

TABLE, HAND, OBJECT, HIDDEN, GHOST, ARM = range(6)
"""Groups of geoms; group 3 is where models keep collision geoms that are not drawn."""

OBJECT_COLOUR = (0.93, 0.66, 0.13, 1.0)
GHOST_COLOUR = (0.0, 0.45, 0.70, 0.28)
_SKIN = np.array([0.80, 0.60, 0.52, 1.0], dtype=np.float32)
SQUARE = 0.05
"""Side of a square of the table's pattern, m: a scale to read sizes by."""

_SHRINK = 3e-5
_DIRECTIONS = np.concatenate([np.eye(3), -np.eye(3)])
_FINGERS = tuple(tuple(range(first, first + 4)) for first in (1, 5, 9, 13, 17))
_PALM = ((0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (5, 9), (9, 13), (13, 17), (1, 5))
_BONES = tuple((a, b, 0.0075) for finger in _FINGERS for a, b in zip(finger, finger[1:], strict=False)) + tuple((a, b, 0.0095) for a, b in _PALM)
"""Capsules of a human hand: indices of two keypoints and a radius, m."""


class Stage:
    """An object on a table, with a robot hand and an arm where motions have them."""

    def __init__(self, obj: ObjectSpec, motions: tuple[Motion, ...], width: int = 640, height: int = 480, shadows: int = 4096) -> None:
        """Build the model that ``motions`` of ``obj`` need and open a camera on it; ``shadows`` is the side of their map, pixels.

        Raises:
            InputError: a motion's hand is not registered.
            RefusedError: no OpenGL works here.
        """
        hands = [m.hand for m in motions if m.hand is not None]
        arms = [m.arm for m in motions if m.arm is not None]
        spec = _empty(2 * width, 2 * height, shadows)
        _add_object(spec, obj)
        hand = load_hand(hands[0].hand_name) if hands else None
        if hand is not None:
            _attach(spec, str(hand.mjcf), "hand", HAND)
        if arms:
            _attach(spec, str(dextrack_assets.path("models", arms[0].model, f"{arms[0].model}.xml")), "arm", ARM)
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.object = obj
        self._parts = self._masks(hand)
        self.camera = OffscreenCamera(self.model, width, height)

    def show(self, motion: Motion, frame: int, ghost: tuple[Floats, Floats] | None = None) -> None:
        """Pose everything as ``motion`` has it at ``frame``; ``ghost`` (position, wxyz) is where the object should be."""
        visible = {TABLE, OBJECT}
        self._pose("object", motion.object_position_w[frame], motion.object_quaternion_w[frame])
        if ghost is not None:
            visible.add(GHOST)
            self._pose("ghost", *ghost)
        if motion.hand is not None:
            visible.add(HAND)
            self._pose("hand", *motion.hand.wrist(frame))
            self._joints("hand", motion.hand.joint_names[6:], motion.hand.theta[frame, 6:])
        if motion.arm is not None:
            visible.add(ARM)
            self._arm(motion.arm, frame)
        self.camera.show_groups(visible)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def picture(self, camera: Camera, keypoints_w: Floats | None = None) -> Image:
        """Colours (height, width, 3) of what ``show`` posed; ``keypoints_w`` (21, 3) are drawn as a human hand."""
        self._light(camera)
        return self.camera.picture(self.data, camera, _drawing(keypoints_w))

    def shares(self, camera: Camera, keypoints_w: Floats | None = None) -> dict[str, float]:
        """Parts of the picture of ``camera`` in which ``object``, ``fingers`` (of a robot hand), their ``tips``, ``palm`` and ``arm`` are seen.

        The human hand ``keypoints_w`` may hide them.
        """
        ids = self.camera.segmentation(self.data, camera, _drawing(keypoints_w))
        return {name: float(np.append(mask, False)[ids].mean()) for name, mask in self._parts.items()}

    def _masks(self, hand: HandSpec | None) -> dict[str, NDArray[np.bool_]]:
        """Masks over the model's geoms."""
        group, body = self.model.geom_group, self.model.geom_bodyid
        names = np.array([self.model.body(i).name for i in range(self.model.nbody)])
        parts = {"object": group == OBJECT, "arm": group == ARM}
        if hand is not None:
            fingers = (group == HAND) & (names[body] != f"hand/{hand.palm_body}")
            parts |= {"fingers": fingers, "palm": (group == HAND) & ~fingers}
            parts |= {"tips": fingers & np.isin(names[body], [f"hand/{tip.body}" for tip in hand.fingertips])}
        return parts

    def outline(self, motion: Motion, frame: int) -> Floats:
        """Points (n, 3) m on everything that a picture of ``frame`` should contain: object and hand, not the arm."""
        self.show(motion, frame)
        rotation = self.data.body("object").xmat.reshape(3, 3)
        vertices = self.object.vertices[:: max(1, len(self.object.vertices) // 200)]
        points = [vertices @ rotation.T + self.data.body("object").xpos]
        if motion.keypoints_w is not None:
            points += [motion.keypoints_w[frame] + 0.015 * axis for axis in _DIRECTIONS]
        if motion.hand is not None:
            of_hand = self.model.geom_group == HAND
            centres, radii = self.data.geom_xpos[of_hand], np.minimum(self.model.geom_rbound[of_hand], 0.03)
            points += [centres + radii[:, None] * axis for axis in _DIRECTIONS]
        return np.concatenate(points)

    def close(self) -> None:
        """Free what OpenGL holds."""
        self.camera.close()

    def _pose(self, body: str, position_w: ArrayLike, quaternion_w: ArrayLike) -> None:
        index = int(self.model.body(body).mocapid[0])
        self.data.mocap_pos[index], self.data.mocap_quat[index] = position_w, quaternion_w

    def _joints(self, prefix: str, names: tuple[str, ...], values: Floats) -> None:
        for name, value in zip(names, values, strict=True):
            self.data.qpos[self.model.joint(f"{prefix}/{name}").qposadr[0]] = value

    def _arm(self, arm: ArmMotion, frame: int) -> None:
        self._pose("arm", arm.position_w, arm.quaternion_w)
        self._joints("arm", arm.joint_names, arm.q[frame])

    def _light(self, camera: Camera) -> None:
        """Let the shadow-casting light come over the left shoulder of ``camera``, so that what it sees is lit."""
        right, _, into = camera.axes_w()
        level = np.array([into[0], into[1], 0.0]) / max(1e-6, float(np.hypot(into[0], into[1])))
        direction = 0.45 * level + 0.40 * right - np.array([0.0, 0.0, 1.0])
        self.data.light_xdir[0] = self.model.light_dir[0] = direction / np.linalg.norm(direction)
        self.data.light_xpos[0] = self.model.light_pos[0] = np.asarray(camera.target_w) - 1.5 * self.model.light_dir[0]


def _drawing(keypoints_w: Floats | None) -> Callable[[mujoco.MjvScene], None] | None:
    return None if keypoints_w is None else functools.partial(draw_human_hand, keypoints_w=keypoints_w)


def draw_human_hand(scene: mujoco.MjvScene, keypoints_w: Floats) -> None:
    """Add the 21 ``keypoints_w`` (21, 3) m, order of ``hands.spec.KEYPOINTS``, to ``scene`` as capsules and balls."""
    points = np.asarray(keypoints_w, dtype=np.float64)
    for a, b, radius in _BONES:
        mujoco.mjv_connector(_add_geom(scene, mujoco.mjtGeom.mjGEOM_CAPSULE, radius, points[a]), mujoco.mjtGeom.mjGEOM_CAPSULE, radius, points[a], points[b])
    for i, point in enumerate(points):
        _add_geom(scene, mujoco.mjtGeom.mjGEOM_SPHERE, 0.012 if i == 0 else 0.0088, point)


def _add_geom(scene: mujoco.MjvScene, shape: mujoco.mjtGeom, size: float, position_w: Floats) -> mujoco.MjvGeom:
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(geom, shape, np.full(3, size), position_w, np.eye(3).ravel(), _SKIN)
    scene.ngeom += 1
    return geom


def _empty(width: int, height: int, shadows: int) -> mujoco.MjSpec:
    """A table and lights."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    look = spec.visual
    look.global_.offwidth, look.global_.offheight = width, height
    look.quality.shadowsize, look.quality.offsamples = shadows, 0
    look.headlight.ambient, look.headlight.diffuse, look.headlight.specular = [0.42] * 3, [0.30] * 3, [0.05] * 3
    look.map.znear, look.map.zfar, look.map.shadowclip = 0.01, 20.0, 0.6
    spec.stat.extent, spec.stat.center = 1.0, [0.0, 0.0, 0.1]
    texture = dict(type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER, width=256, height=256)
    spec.add_texture(name="table", rgb1=[0.86, 0.87, 0.88], rgb2=[0.82, 0.83, 0.845], **texture)
    sky = dict(type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, width=128, height=768)
    spec.add_texture(name="sky", rgb1=[0.97, 0.97, 0.98], rgb2=[0.86, 0.87, 0.88], **sky)
    table = spec.add_material(name="table", texuniform=True, texrepeat=[0.5 / SQUARE] * 2, specular=0.1, shininess=0.1)
    table.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
    spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[3.0, 3.0, 0.1], material="table", group=TABLE)
    spec.worldbody.add_light(name="key", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=True, diffuse=[0.48] * 3, specular=[0.15] * 3)
    return spec


def _add_object(spec: mujoco.MjSpec, obj: ObjectSpec) -> None:
    """The object, and its ghost: the same mesh in a translucent colour."""
    # A scanned mesh need not be watertight; its volume means nothing here, so MuJoCo is told to use its surface.
    shell = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    spec.add_mesh(name="object", uservert=np.ravel(obj.vertices).tolist(), userface=np.ravel(obj.faces).tolist(), inertia=shell)
    for name, colour, group in (("object", OBJECT_COLOUR, OBJECT), ("ghost", GHOST_COLOUR, GHOST)):
        body = spec.worldbody.add_body(name=name, mocap=True)
        body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname="object", rgba=colour, group=group, contype=0, conaffinity=0)


def _attach(spec: mujoco.MjSpec, mjcf: str, name: str, group: int) -> None:
    """Put the model ``mjcf`` on a body ``name`` whose pose is given; its joints become ``name/joint``."""
    child = mujoco.MjSpec.from_file(mjcf)
    for i, geom in enumerate(child.geoms):
        geom.group = HIDDEN if geom.group >= HIDDEN else group
        if geom.type == mujoco.mjtGeom.mjGEOM_BOX:
            # Faces of two boxes in one plane are lit twice where they overlap: make no two boxes reach exactly as far.
            geom.size = geom.size - _SHRINK * (i % 8)
    body = spec.worldbody.add_body(name=name, mocap=True)
    spec.attach(child, prefix=f"{name}/", frame=body.add_frame())
