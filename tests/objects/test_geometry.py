from __future__ import annotations

import numpy as np
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.objects import ObjectSpec, lowest_z, mass_from_density, point_cloud


def sphere(radius: float = 0.04) -> ObjectSpec:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec("ball", v, f, ((v, f),), mass=0.1)


def test_point_cloud_lies_on_the_surface_evenly_and_is_the_same_for_a_seed() -> None:
    spec = sphere()
    cloud = point_cloud(spec)
    assert cloud.shape == (1024, 3)
    radius = np.linalg.norm(cloud, axis=1)
    assert radius.max() <= 0.04 + 1e-9 and radius.min() > 0.039, "between a triangle's corner and its middle"
    assert np.abs(cloud.mean(axis=0)).max() < 0.005, "no side is preferred: six standard errors are 0.0043 m"
    np.testing.assert_array_equal(cloud, point_cloud(spec))
    assert not np.array_equal(cloud, point_cloud(spec, seed=1))


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-1, 1)] * 3))
def test_lowest_point_agrees_with_scipy(turn: tuple[float, ...], position: tuple[float, ...]) -> None:
    points = np.random.default_rng(0).normal(size=(30, 3))
    rotation = Rotation.from_rotvec(turn)
    truth = (rotation.apply(points) + np.array(position))[:, 2].min()
    assert np.isclose(lowest_z(points, np.array(position), rotation.as_quat(scalar_first=True)), truth, atol=1e-12)


def test_lowest_point_over_frames() -> None:
    q = Rotation.random(7, random_state=0).as_quat(scalar_first=True)
    p = np.arange(21.0).reshape(7, 3)
    low = lowest_z(sphere().vertices, p, q)
    assert low.shape == (7,)
    np.testing.assert_allclose(low, p[:, 2] - 0.04, atol=1e-3)


def test_mass_of_a_box_and_its_limits() -> None:
    mesh = trimesh.creation.box((0.1, 0.05, 0.02))
    parts = ((np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)),)
    assert np.isclose(mass_from_density(parts, 1000.0), 0.1)
    assert mass_from_density(parts, 100000.0) == 0.4 and mass_from_density(parts, 1.0) == 0.03
    assert np.isclose(mass_from_density(parts, 1.0, limits=None), 0.0001)
