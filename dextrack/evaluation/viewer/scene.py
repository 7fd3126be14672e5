"""Scene: a show as nodes of viser, and what moves them from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import trimesh
import viser
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.evaluation.viewer.contacts import Pads, Plan
from dextrack.evaluation.viewer.show import Human, Layer, Show

Floats = NDArray[np.float64]

SQUARE = 0.05
"""Side of a square of the table's grid, m: a scale to read sizes by; every fifth line is stronger."""
TABLE = 6.0
"""Side of the table that is drawn, m."""

SKIN, TOUCH, DEEP, PLANNED, PLANNED_HELD = (205, 153, 132), (0, 158, 115), (200, 30, 30), (150, 150, 150), (204, 51, 140)
_FADED = 0.35
_JOINT, _BONE = 0.0085, 0.0065
_NEEDLE = 0.03
"""Length of the arrow along a planned contact's normal, m."""
_SWELL = 1.12
"""A pad that touches is drawn this much larger than it is, so that the colour is seen."""

_FINGERS = tuple(tuple(range(first, first + 4)) for first in (1, 5, 9, 13, 17))
_PALM = ((0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (5, 9), (9, 13), (13, 17), (1, 5))
_BONES = np.array([pair for finger in _FINGERS for pair in zip(finger, finger[1:], strict=False)] + list(_PALM))


class Scene:
    """The nodes of one show. ``update`` sends what changed, and all of it at once."""

    def __init__(self, server: viser.ViserServer, show: Show) -> None:
        """Replace whatever the server shows by ``show`` at its first frame."""
        self._server = server
        server.scene.reset()
        self._add_surroundings(show)
        self._movers: dict[str, _Mover] = {layer.label: _Rigid(server, layer, f"/layer_{i}") for i, layer in enumerate(show.layers)}
        if show.human is not None:
            self._movers["human hand"] = _Skeleton(server, show.human)
        if show.plan is not None:
            # The plan is fixed to the object, which is the first layer.
            self._movers["planned contacts"] = _Needles(server, show.plan, "/layer_0/0")
        if show.pads is not None:
            self._movers["touching pads"] = _Touches(server, show.pads)
        self._frame = 0
        self.update(0)

    def labels(self) -> Iterator[tuple[str, bool]]:
        """Names of what can be shown and hidden, and whether it is shown."""
        return ((label, mover.shown) for label, mover in self._movers.items())

    def set_shown(self, label: str, shown: bool) -> None:
        """Show or hide what is called ``label``."""
        with self._server.atomic():
            self._movers[label].show(shown, self._frame)

    def update(self, frame: int) -> None:
        """Pose everything that is shown as in ``frame``."""
        self._frame = frame
        with self._server.atomic():
            for mover in self._movers.values():
                if mover.shown:
                    mover.pose(frame)

    def _add_surroundings(self, show: Show) -> None:
        scene = self._server.scene
        scene.world_axes.visible = False
        centre = np.round(show.object_position_w.mean(axis=0) / SQUARE) * SQUARE
        scene.add_grid(
            "/table", TABLE, TABLE, position=(float(centre[0]), float(centre[1]), 0.0), cell_size=SQUARE, section_size=5 * SQUARE,
            cell_color=(205, 209, 214), section_color=(165, 171, 178), plane_color=(238, 239, 241), plane_opacity=1.0, shadow_opacity=0.35,
            fade_distance=3.0, fade_strength=1.5,
        )  # fmt: skip
        shade = np.linspace(226, 250, 64).astype(np.uint8)
        scene.set_background_image(np.repeat(np.repeat(shade[:, None, None], 4, axis=1), 3, axis=2), format="png")
        scene.configure_default_lights(enabled=True, cast_shadow=True)
        camera, at = self._server.initial_camera, show.camera
        # What faces the camera would be dark: viser's own light comes from straight above.
        scene.add_light_directional("/fill", intensity=1.1, position=tuple(at.position_w()))
        camera.position, camera.look_at, camera.fov = at.position_w(), np.asarray(at.target_w), at.fovy
        # Pages that are open already keep the camera of what they showed before, which may see nothing of this.
        for client in self._server.get_clients().values():
            with client.atomic():
                client.camera.position, client.camera.look_at = at.position_w(), np.asarray(at.target_w)


class _Mover:
    """Something that can be hidden and has a pose in each frame."""

    def __init__(self, shown: bool, *nodes: Any) -> None:
        self.shown = shown
        self._nodes = nodes

    def show(self, shown: bool, frame: int) -> None:
        """Show it, posed as in ``frame``, or hide it."""
        self.shown = shown
        if shown:
            self.pose(frame)
        for node in self._nodes:
            node.visible = shown

    def pose(self, frame: int) -> None:
        """Send what is new in ``frame``."""
        raise NotImplementedError


class _Rigid(_Mover):
    """A layer: one frame per rigid thing, with its surfaces below."""

    def __init__(self, server: viser.ViserServer, layer: Layer, name: str) -> None:
        root = server.scene.add_frame(name, show_axes=False, visible=layer.shown)
        super().__init__(layer.shown, root)
        self._position, self._quaternion = layer.position_w, layer.quaternion_w
        self._frames = [server.scene.add_frame(f"{name}/{i}", show_axes=False) for i in range(len(layer.surfaces))]
        # Of a ghost only the far side is drawn: it shows where it sticks out, and does not tint what it is compared with.
        ghost = layer.opacity is not None
        look: dict[str, Any] = {"side": "back" if ghost else "front", "cast_shadow": not ghost, "receive_shadow": not ghost}
        for i, surfaces in enumerate(layer.surfaces):
            for j, surface in enumerate(surfaces):
                server.scene.add_mesh_simple(f"{name}/{i}/{j}", surface.vertices, surface.faces, color=surface.colour, opacity=layer.opacity, **look)

    def pose(self, frame: int) -> None:
        for node, position, quaternion in zip(self._frames, self._position[frame], self._quaternion[frame], strict=True):
            node.position, node.wxyz = position, quaternion


class _Skeleton(_Mover):
    """A human hand: a ball at each keypoint, and a rod along each bone, as long as the bone is in most frames."""

    def __init__(self, server: viser.ViserServer, human: Human) -> None:
        root = server.scene.add_frame("/human", show_axes=False, visible=human.shown)
        super().__init__(human.shown, root)
        ends = human.keypoints_w[:, _BONES]
        across = ends[:, :, 1] - ends[:, :, 0]
        length = np.linalg.norm(across, axis=-1)
        self._points, self._middle = human.keypoints_w, ends.mean(axis=2)
        self._turn = _from_z(across / np.maximum(length, 1e-9)[..., None])
        look: dict[str, Any] = {"color": SKIN, "opacity": _FADED if human.faded else None, "cast_shadow": not human.faded, "receive_shadow": not human.faded}
        ball = trimesh.creation.icosphere(subdivisions=2, radius=_JOINT)
        rods = [trimesh.creation.cylinder(radius=_BONE, height=max(float(h), 1e-4), sections=16) for h in np.median(length, axis=0)]
        add = server.scene.add_mesh_simple
        self._balls = [add(f"/human/joint_{i}", ball.vertices, ball.faces, **look) for i in range(self._points.shape[1])]
        self._rods = [add(f"/human/bone_{i}", rod.vertices, rod.faces, **look) for i, rod in enumerate(rods)]

    def pose(self, frame: int) -> None:
        for ball, point in zip(self._balls, self._points[frame], strict=True):
            ball.position = point
        for rod, middle, turn in zip(self._rods, self._middle[frame], self._turn[frame], strict=True):
            rod.position, rod.wxyz = middle, turn


class _Needles(_Mover):
    """Planned contacts: an arrow out of the object at each, in another colour while the fingers should be there."""

    def __init__(self, server: viser.ViserServer, plan: Plan, parent: str) -> None:
        points = np.stack([plan.points_o, plan.points_o + _NEEDLE * plan.normals_o], axis=1)
        self._arrows = server.scene.add_arrows(f"{parent}/plan", points, PLANNED, shaft_radius=0.0012, head_radius=0.003, head_length=0.008)
        super().__init__(True, self._arrows)
        self._held = plan.held
        self._now = False

    def pose(self, frame: int) -> None:
        if (held := bool(self._held[frame])) != self._now:
            self._now = held
            self._arrows.colors = np.array(PLANNED_HELD if held else PLANNED, dtype=np.uint8)


class _Touches(_Mover):
    """A ball over each pad, seen while the pad touches, and in another colour while it is too deep inside the object."""

    def __init__(self, server: viser.ViserServer, pads: Pads) -> None:
        root = server.scene.add_frame("/pads", show_axes=False)
        super().__init__(True, root)
        self._centres, self._touching, self._deep = pads.centres_w, pads.touching, pads.deep
        self._balls = []
        self._were_deep = [False] * len(pads.fingers)
        for finger, radius in zip(pads.fingers, pads.radii, strict=True):
            ball = trimesh.creation.icosphere(subdivisions=3, radius=_SWELL * radius)
            self._balls.append(server.scene.add_mesh_simple(f"/pads/{finger}", ball.vertices, ball.faces, color=TOUCH, cast_shadow=False, visible=False))

    def pose(self, frame: int) -> None:
        for i, ball in enumerate(self._balls):
            touching, deep = bool(self._touching[frame, i]), bool(self._deep[frame, i])
            if touching:
                ball.position = self._centres[frame, i]
                if deep != self._were_deep[i]:
                    self._were_deep[i] = deep
                    ball.color = DEEP if deep else TOUCH
            ball.visible = touching


def _from_z(unit: Floats) -> Floats:
    """Quaternions (..., 4), wxyz, that turn the z axis to ``unit`` (..., 3)."""
    # The half-way construction fails only for -z, where any half turn about a level axis will do.
    q = np.concatenate([1.0 + unit[..., 2:], -unit[..., 1:2], unit[..., :1], np.zeros_like(unit[..., :1])], axis=-1)
    return rotations.normalise(np.where(unit[..., 2:] < -1.0 + 1e-9, np.array([0.0, 1.0, 0.0, 0.0]), q))
