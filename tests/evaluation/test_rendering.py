"""The camera: its projection against OpenGL's pixels, its context against machines without one."""

from __future__ import annotations

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.evaluation.rendering import Camera, OffscreenCamera

BALLS = """<mujoco><visual><global offwidth="640" offheight="480"/></visual><worldbody><light pos="0 0 3"/>
  <geom name="a" type="sphere" size="0.01" pos="0.1 0.05 0.2" rgba="1 0 0 1"/>
  <geom name="b" type="sphere" size="0.01" pos="-0.12 0.02 0.05" rgba="0 1 0 1"/>
  <geom name="c" type="sphere" size="0.01" pos="0.02 -0.1 0.1" rgba="0 0 1 1"/>
</worldbody></mujoco>"""


@pytest.fixture
def balls():
    model = mujoco.MjModel.from_xml_string(BALLS)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with OffscreenCamera(model, 320, 240) as camera:
        yield model, data, camera


@pytest.mark.parametrize(("azimuth", "elevation"), [(0.0, -0.3), (0.7, -0.9), (2.5, -0.1), (4.4, 0.2)])
def test_projection_agrees_with_the_pixels_that_opengl_draws(balls, azimuth: float, elevation: float) -> None:
    model, data, offscreen = balls
    camera = Camera((0.0, 0.0, 0.1), 1.3, azimuth, elevation, width=320, height=240)
    seen = offscreen.segmentation(data, camera)
    pixels, depth = camera.project(data.geom_xpos)
    assert (depth > 0.9).all()
    for geom in range(model.ngeom):
        rows, columns = np.nonzero(seen == geom)
        assert len(rows) > 5
        # The centre of a small ball's pixels is where its centre is projected to; pixel (r, c) covers r .. r + 1.
        assert [columns.mean() + 0.5, rows.mean() + 0.5] == pytest.approx(pixels[geom], abs=1.0)


def test_a_picture_has_the_colours_where_the_geoms_are(balls) -> None:
    model, data, offscreen = balls
    camera = Camera((0.0, 0.0, 0.1), 1.3, 0.7, -0.4, width=320, height=240)
    picture = offscreen.picture(data, camera)
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    pixels, _ = camera.project(data.geom_xpos)
    for geom in range(3):
        column, row = pixels[geom].astype(int)
        assert int(np.argmax(picture[row, column])) == geom


def test_hidden_groups_are_neither_drawn_nor_segmented(balls) -> None:
    _, data, offscreen = balls
    camera = Camera((0.0, 0.0, 0.1), 1.3, 0.7, -0.4, width=320, height=240)
    offscreen.show_groups([1])
    assert (offscreen.segmentation(data, camera) == -1).all()


def test_what_decorates_a_scene_hides_geoms_whatever_its_memory_held_before(balls) -> None:
    model, data, offscreen = balls
    camera = Camera((0.0, 0.0, 0.1), 1.3, 0.7, -0.4, width=320, height=240)

    def hide_the_first(scene: mujoco.MjvScene) -> None:
        geom = scene.geoms[scene.ngeom]
        geom.objtype, geom.objid, geom.segid = mujoco.mjtObj.mjOBJ_GEOM, 678912, 12345
        mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, 0.02), data.geom_xpos[0], np.eye(3).ravel(), np.ones(4, dtype=np.float32))
        scene.ngeom += 1

    seen = offscreen.segmentation(data, camera, hide_the_first)
    assert set(np.unique(seen)) == {-1, 1, 2}


def test_a_buffer_that_is_too_small_is_refused() -> None:
    model = mujoco.MjModel.from_xml_string(BALLS)
    with pytest.raises(InputError, match="640 x 480; 800 x 480 is needed"):
        OffscreenCamera(model, 400, 240, oversample=2)


def test_a_machine_without_opengl_is_told_what_to_install() -> None:
    # A loader that finds neither library stands for a machine on which they are not installed.
    code = """
import ctypes, ctypes.util, sys
from dextrack.evaluation import rendering
rendering._PROBE = "raise ImportError('no such library')"
try:
    rendering.gl_platform()
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("RefusedError")
    assert "apt-get install libegl1" in done.stdout
    assert "osmesa: ImportError: no such library" in done.stdout


@pytest.mark.parametrize("platform", ["egl", "osmesa"])
def test_each_platform_renders_even_where_mujoco_was_imported_for_another(platform: str) -> None:
    code = f"""
import os
os.environ["MUJOCO_GL"] = "glfw"
import mujoco
os.environ["MUJOCO_GL"] = "{platform}"
from dextrack.evaluation.rendering import Camera, OffscreenCamera, gl_platform
model = mujoco.MjModel.from_xml_string('''{BALLS}''')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with OffscreenCamera(model, 160, 120) as camera:
    print(gl_platform(), camera.picture(data, Camera((0, 0, 0.1), 1.0, 0.0, -0.3, width=160, height=120)).std() > 1)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == [platform, "True"], done.stderr
