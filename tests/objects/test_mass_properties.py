from __future__ import annotations

import mujoco
import numpy as np
import pytest
import trimesh

from dextrack.hands import load_hand
from dextrack.objects import ObjectSpec
from dextrack.objects.mass_properties import mass_properties
from dextrack.sim.scene import build_scene


def spec(*meshes: trimesh.Trimesh) -> ObjectSpec:
    whole = trimesh.util.concatenate(meshes)
    parts = tuple((np.array(m.vertices), np.array(m.faces, dtype=np.int32)) for m in meshes)
    return ObjectSpec("thing", np.array(whole.vertices), np.array(whole.faces, dtype=np.int32), parts, mass=0.3)


def test_a_box_in_closed_form() -> None:
    a, b, c = 0.04, 0.06, 0.1
    p = mass_properties(spec(trimesh.creation.box((a, b, c)).apply_translation((0.01, 0.02, 0.03))))
    assert p.volume == pytest.approx(a * b * c) and p.mass == 0.3
    np.testing.assert_allclose(p.centre_o, [0.01, 0.02, 0.03], atol=1e-12)
    np.testing.assert_allclose(p.inertia_o, 0.3 / 12 * np.diag([b * b + c * c, a * a + c * c, a * a + b * b]), atol=1e-12)
    np.testing.assert_allclose(p.principal, np.sort(np.diag(p.inertia_o)))


def test_several_parts_as_the_simulator_has_them() -> None:
    """An L of unequal legs and a ball on it: MuJoCo computes its own from the same parts."""
    ball = trimesh.creation.icosphere(1, 0.02).apply_translation((0.06, 0.01, 0.05))
    obj = spec(trimesh.creation.box((0.1, 0.02, 0.03)), trimesh.creation.box((0.02, 0.08, 0.03)).apply_translation((0.04, 0.05, 0.0)), ball)
    body = build_scene(load_hand("leap_right"), [1.0, 0, 0, 0], obj).model.body("object")
    p = mass_properties(obj)
    assert body.mass[0] == pytest.approx(0.3)
    np.testing.assert_allclose(p.centre_o, body.ipos, atol=1e-9)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, body.iquat)
    frame = rotation.reshape(3, 3)
    np.testing.assert_allclose(p.inertia_o, frame @ np.diag(body.inertia) @ frame.T, rtol=1e-5, atol=1e-10)


def test_lopsided_parts_as_trimesh_has_them() -> None:
    """Hulls of random points, apart from each other and away from the frame's origin."""
    rng = np.random.default_rng(4)
    hulls = [trimesh.convex.convex_hull(rng.normal(at, 0.03, (30, 3))) for at in ((0.2, -0.1, 0.3), (0.3, -0.1, 0.25))]
    whole = trimesh.util.concatenate(hulls)
    whole.density = 0.3 / whole.volume
    p = mass_properties(spec(*hulls))
    assert p.volume == pytest.approx(whole.volume)
    np.testing.assert_allclose(p.centre_o, whole.center_mass, atol=1e-12)
    np.testing.assert_allclose(p.inertia_o, whole.moment_inertia, rtol=1e-9, atol=1e-12)
