"""An off-screen camera for MuJoCo models, on machines without a display.

EGL is tried first and OSMesa second, each in a short-lived process of its own: the OpenGL bindings choose their platform once per process, so
a failed first choice could not be taken back. ``MUJOCO_GL=egl`` or ``MUJOCO_GL=osmesa`` decides without a probe.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError, RefusedError

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

PACKAGES = "libegl1 libgl1 libgles2 libegl-mesa0 libgl1-mesa-dri libosmesa6"
"""Debian and Ubuntu packages that give software rendering without a display."""

_PROBE = "from mujoco.{0} import GLContext; c = GLContext(16, 16); c.make_current(); c.free()"


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at a point. World frame, z up."""

    target_w: tuple[float, float, float]
    """The point in the middle of the picture, m."""
    distance: float
    """From camera to target, m."""
    azimuth: float
    """Direction of view about z, rad: 0 looks along +x, pi/2 along +y."""
    elevation: float
    """Direction of view above the horizon, rad: negative looks down."""
    fovy: float = float(np.deg2rad(22.0))
    """Vertical field of view, rad."""
    width: int = 640
    height: int = 480

    def axes_w(self) -> tuple[Floats, Floats, Floats]:
        """Unit vectors (3,) of the picture in the world: to the right, up, and into the scene."""
        a, e = self.azimuth, self.elevation
        into = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        right = np.array([np.sin(a), -np.cos(a), 0.0])
        return right, np.cross(right, into), into

    def position_w(self) -> Floats:
        """Centre of projection (3,), m."""
        return np.asarray(self.target_w, dtype=np.float64) - self.distance * self.axes_w()[2]

    def project(self, points_w: ArrayLike) -> tuple[Floats, Floats]:
        """Pixels (..., 2), column and row from the top left corner, and depths (...) in m of ``points_w`` (..., 3)."""
        right, up, into = self.axes_w()
        p = np.asarray(points_w, dtype=np.float64) - self.position_w()
        depth = p @ into
        scale = 0.5 * self.height / np.tan(0.5 * self.fovy) / depth
        pixel = np.stack([0.5 * self.width + scale * (p @ right), 0.5 * self.height - scale * (p @ up)], axis=-1)
        return pixel, depth


@functools.cache
def gl_platform() -> str:
    """``egl`` or ``osmesa`` on Linux, ``native`` elsewhere: what renders off screen in this process.

    Raises:
        RefusedError: this machine has no OpenGL that works without a display.
    """
    if not sys.platform.startswith("linux"):
        return "native"
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked in ("egl", "osmesa"):
        return asked
    failures = []
    for name in ("egl", "osmesa"):
        environment = {k: v for k, v in os.environ.items() if k != "PYOPENGL_PLATFORM"} | {"MUJOCO_GL": name}
        done = subprocess.run([sys.executable, "-c", _PROBE.format(name)], env=environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            return name
        failures.append(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    what = f"Pictures need OpenGL, and none works here ({'; '.join(failures)})."
    raise RefusedError(what, remedy=f"install it, on Debian or Ubuntu: apt-get install {PACKAGES}.")


def _context(width: int, height: int) -> Any:
    """A current OpenGL context of ``gl_platform()``, independent of what MuJoCo chose when it was imported."""
    platform = gl_platform()
    try:
        if platform == "egl":
            from mujoco.egl import GLContext
        elif platform == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.gl_context import GLContext
        context = GLContext(width, height)
        context.make_current()
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        what = f"Pictures need OpenGL, and {platform} does not work here ({error})."
        raise RefusedError(what, remedy=f"unset MUJOCO_GL, or install: apt-get install {PACKAGES}.") from None
    return context


class OffscreenCamera:
    """Takes pictures of one model. A context manager: OpenGL's memory is freed on leaving."""

    def __init__(self, model: mujoco.MjModel, width: int = 640, height: int = 480, oversample: int = 2) -> None:
        """Open a context for ``model``; pictures are rendered ``oversample`` times larger and averaged down.

        Raises:
            InputError: the model's off-screen buffer is smaller than the oversampled picture.
            RefusedError: no OpenGL works here.
        """
        self.width, self.height, self._factor = width, height, oversample
        buffer = model.vis.global_
        if width * oversample > buffer.offwidth or height * oversample > buffer.offheight:
            raise InputError(
                f"The model's off-screen buffer is {buffer.offwidth} x {buffer.offheight}; {width * oversample} x {height * oversample} is needed.",
                remedy="set offwidth and offheight in <visual><global/>.",
            )
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._option = mujoco.MjvOption()
        self._gl: Any = _context(width * oversample, height * oversample)
        self._mjr: Any = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)

    def show_groups(self, groups: Iterable[int]) -> None:
        """Draw the geoms of ``groups`` and no others."""
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(groups)] = 1

    def picture(self, data: mujoco.MjData, camera: Camera, decorate: Callable[[mujoco.MjvScene], None] | None = None) -> Image:
        """Colours (height, width, 3) of ``data`` seen by ``camera``; ``decorate`` may add geoms to the scene before it is drawn."""
        self._prepare(data, camera, decorate)
        pixels = self._read(self._factor).astype(np.float32)
        f = self._factor
        mean = pixels.reshape(self.height, f, self.width, f, 3).mean(axis=(1, 3))
        image: Image = np.round(mean).astype(np.uint8)
        return image

    def segmentation(self, data: mujoco.MjData, camera: Camera, decorate: Callable[[mujoco.MjvScene], None] | None = None) -> NDArray[np.int32]:
        """Id of the model's geom seen in each pixel, (height, width); -1 where there is none, or something that ``decorate`` added."""
        self._prepare(data, camera, decorate)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        try:
            colour = self._read(1).astype(np.int32)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        ids = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                ids[geom.segid + 1] = geom.objid
        seen: NDArray[np.int32] = ids[colour[..., 0] + (colour[..., 1] << 8) + (colour[..., 2] << 16)]
        return seen

    def _prepare(self, data: mujoco.MjData, camera: Camera, decorate: Callable[[mujoco.MjvScene], None] | None) -> None:
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FREE
        view.lookat[:] = camera.target_w
        view.distance, view.azimuth, view.elevation = camera.distance, np.rad2deg(camera.azimuth), np.rad2deg(camera.elevation)
        self._model.vis.global_.fovy = np.rad2deg(camera.fovy)
        mujoco.mjv_updateScene(self._model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene)
        if decorate is None:
            return
        own = self._scene.ngeom
        decorate(self._scene)
        for i in range(own, self._scene.ngeom):
            # mjv_initGeom leaves these as the scene's memory happens to be: no geom of the model, but it hides what is behind it in a segmentation too.
            geom = self._scene.geoms[i]
            geom.objtype, geom.objid, geom.segid = mujoco.mjtObj.mjOBJ_UNKNOWN, -1, i

    def _read(self, factor: int) -> Image:
        """Draw the scene ``factor`` times larger than the picture and read its colours, first row on top."""
        self._gl.make_current()
        rectangle = mujoco.MjrRect(0, 0, self.width * factor, self.height * factor)
        pixels = np.empty((rectangle.height, rectangle.width, 3), dtype=np.uint8)
        mujoco.mjr_render(rectangle, self._scene, self._mjr)
        mujoco.mjr_readPixels(pixels, None, rectangle, self._mjr)
        return pixels[::-1]

    def close(self) -> None:
        """Free what OpenGL holds."""
        if self._mjr is not None:
            self._gl.make_current()
            self._mjr.free()
            self._gl.free()
            self._mjr = self._gl = None

    def __enter__(self) -> OffscreenCamera:
        """Return the camera itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Free what OpenGL holds."""
        self.close()
