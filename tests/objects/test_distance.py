from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack.objects import ObjectSpec, signed_distance
from dextrack.objects.distance import PADDING, SignedDistance, build

BOX = (0.06, 0.04, 0.1)


def part(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int32)


def box_distance(points: np.ndarray, size: tuple[float, ...] = BOX) -> np.ndarray:
    """Exact signed distance of a box at the origin (Quilez, "Distance functions")."""
    q = np.abs(points) - np.array(size) / 2
    return np.asarray(np.linalg.norm(np.maximum(q, 0.0), axis=-1) + np.minimum(q.max(axis=-1), 0.0))


def agrees(grid: SignedDistance, points: np.ndarray, truth: Callable[[np.ndarray], np.ndarray]) -> None:
    """Near the surface within a quarter of a voxel; farther off within a voxel, which interpolation loses where two faces are equally near."""
    expected = truth(points)
    error = np.abs(grid.query(points)[0] - expected)
    assert error[np.abs(expected) < 0.01].max() < 0.25 * 1.2 * grid.spacing
    assert error.max() < 1.0 * grid.spacing
    assert np.median(error) < 0.05 * grid.spacing


@pytest.fixture(scope="module")
def box() -> SignedDistance:
    return build([part(trimesh.creation.box(BOX))])


def around(grid: SignedDistance, n: int, seed: int, margin: float = 0.0) -> np.ndarray:
    """Points spread over the grid and ``margin`` beyond."""
    top = grid.origin_o + grid.spacing * (np.array(grid.values.shape) - 1)
    return np.random.default_rng(seed).uniform(grid.origin_o - margin, top + margin, (n, 3))


def test_box_agrees_with_the_formula(box: SignedDistance) -> None:
    agrees(box, around(box, 5000, 0), box_distance)


def test_sphere_agrees_with_the_formula() -> None:
    grid = build([part(trimesh.creation.icosphere(subdivisions=4, radius=0.035))])
    points = around(grid, 3000, 1)
    agrees(grid, points, lambda p: np.asarray(np.linalg.norm(p, axis=1) - 0.035))
    radius = np.linalg.norm(points, axis=1)
    _, gradient = grid.query(points)
    away = np.abs(radius - 0.035) < 0.01
    cosine = np.sum(gradient * points / radius[:, None], axis=1)[away] / np.linalg.norm(gradient[away], axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 6.0
    assert np.abs(np.linalg.norm(gradient[away], axis=1) - 1.0).max() < 0.1


def test_hull_agrees_with_mujoco() -> None:
    """MuJoCo measures the distance between a ball and the convex hull of a mesh: a source of its own."""
    cone = trimesh.creation.cone(radius=0.03, height=0.08, sections=12)
    spec = mujoco.MjSpec()
    spec.add_mesh(name="cone", uservert=cone.vertices.ravel(), userface=cone.faces.ravel())
    spec.worldbody.add_geom(name="cone", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="cone")
    ball = spec.worldbody.add_body(name="ball", mocap=True)
    ball.add_geom(name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.001, 0, 0])
    model = spec.compile()
    data = mujoco.MjData(model)
    grid = build([part(cone)])
    outside = [p for p in around(grid, 400, 2) if grid.query(p)[0] > 0.003]
    for p in outside:
        data.mocap_pos[0] = p
        mujoco.mj_kinematics(model, data)
        truth = mujoco.mj_geomDistance(model, data, model.geom("cone").id, model.geom("ball").id, 1.0, np.zeros(6)) + 0.001
        assert grid.query(p)[0] == pytest.approx(truth, abs=1e-3)
    assert len(outside) > 200


def test_faces_between_parts_are_no_surface() -> None:
    """A box cut in two, with a seam of 0.5 mm between the halves, is as deep in the middle as the whole box."""
    halves = [trimesh.creation.box((0.03 - 0.00025, 0.04, 0.1)) for _ in range(2)]
    for half, x in zip(halves, (-1, 1), strict=True):
        half.apply_translation([x * (0.015 + 0.000125), 0, 0])
    grid = build([part(h) for h in halves])
    points = around(grid, 4000, 3)
    agrees(grid, points, box_distance)
    assert grid.query(np.zeros(3))[0] < -0.018 + 1e-4, "not the 0.25 mm to the seam"


def test_overlapping_parts_and_a_hollow() -> None:
    """Four walls of a cup-like frame: its inside is outside."""
    walls = []
    for x, y, sx, sy in ((0.03, 0, 0.01, 0.07), (-0.03, 0, 0.01, 0.07), (0, 0.03, 0.07, 0.01), (0, -0.03, 0.07, 0.01)):
        wall = trimesh.creation.box((sx, sy, 0.06))
        wall.apply_translation([x, y, 0])
        walls.append(wall)
    grid = build([part(w) for w in walls])
    points = np.array([[0.0, 0, 0], [0.03, 0, 0], [0.03, 0.03, 0], [0.02, 0, 0], [0.05, 0, 0]])
    np.testing.assert_allclose(grid.query(points)[0], [0.025, -0.005, -0.005, 0.005, 0.015], atol=0.002)
    np.testing.assert_allclose(grid.query(points[3:])[0], [0.005, 0.015], atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-0.12, 0.12)] * 3), st.tuples(*[st.floats(-0.12, 0.12)] * 3))
def test_distance_changes_no_faster_than_its_argument(box: SignedDistance, a: tuple[float, ...], b: tuple[float, ...]) -> None:
    d, _ = box.query(np.array([a, b]))
    assert abs(d[0] - d[1]) <= np.linalg.norm(np.subtract(a, b)) * 1.01 + 2e-3


def test_beyond_the_grid(box: SignedDistance) -> None:
    points = around(box, 3000, 4, margin=0.1)
    distance, gradient = box.query(points)
    assert np.isfinite(distance).all() and np.isfinite(gradient).all()
    truth = box_distance(points)
    far = truth > PADDING
    assert (np.abs(distance - truth)[far] < 0.03 * truth[far] + 2e-3).all()


def test_shapes_and_no_points(box: SignedDistance) -> None:
    d, g = box.query(np.zeros((2, 5, 3)))
    assert d.shape == (2, 5) and g.shape == (2, 5, 3)
    d, g = box.query(np.zeros((0, 3)))
    assert d.shape == (0,) and g.shape == (0, 3)


def test_distances_are_those_of_a_query_and_voxels_tell_them_roughly(box: SignedDistance) -> None:
    points = around(box, 3000, 6, margin=0.05)
    np.testing.assert_array_equal(box.distances(points), box.query(points)[0])
    assert box.distances(np.zeros((2, 0, 3))).shape == (2, 0)
    voxels = np.rint((points - box.origin_o) / box.spacing).astype(np.int64)
    inside = (box.nearest(voxels.T) == box.values[tuple(np.clip(voxels, 0, np.array(box.values.shape) - 1).T)]).all()
    assert inside and (box.distances(points) > box.nearest(voxels.T) - 1.5 * box.spacing).all()


def test_gradient_is_the_derivative(box: SignedDistance) -> None:
    points = around(box, 500, 5)
    _, gradient = box.query(points)
    step = 1e-7
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        numeric = (box.query(points + shift)[0] - box.query(points - shift)[0]) / (2 * step)
        within_a_cell = np.abs(numeric - gradient[:, axis]) < 1e-4
        assert within_a_cell.mean() > 0.99, "only a point on a cell's border may differ"


def test_torch_gives_the_same_and_its_gradient(box: SignedDistance) -> None:
    points = torch.tensor(around(box, 200, 6, margin=0.02).reshape(20, 10, 3), dtype=torch.float64, requires_grad=True)
    distance = box.query_torch(points)
    (2.0 * distance).sum().backward()
    d, g = box.query(points.detach().numpy())
    np.testing.assert_array_equal(distance.detach().numpy(), d)
    assert points.grad is not None
    np.testing.assert_allclose(points.grad.numpy(), 2.0 * g)
    assert box.query_torch(points.detach().float()).dtype == torch.float32


def test_descending_the_gradient_leaves_the_object(box: SignedDistance) -> None:
    point = torch.tensor([0.01, 0.005, 0.02], dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        distance = box.query_torch(point)
        if distance.item() > 0:
            break
        (gradient,) = torch.autograd.grad(distance, point)
        point = (point + 0.001 * gradient).detach().requires_grad_()
    assert 0.0 < distance.item() < 0.002


def object_of(*meshes: trimesh.Trimesh) -> ObjectSpec:
    vertices, faces = part(meshes[0])
    return ObjectSpec("thing", vertices, faces, tuple(part(m) for m in meshes), mass=0.1)


def test_cache_is_used_and_a_damaged_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = object_of(trimesh.creation.box(BOX))
    made = signed_distance(spec, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as m:
        m.setattr("dextrack.objects.distance.build", lambda *_: pytest.fail("the cache was not used"))
        again = signed_distance(spec, cache=tmp_path)
    np.testing.assert_array_equal(made.values, again.values)
    assert (again.origin_o == made.origin_o).all() and again.spacing == made.spacing
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(signed_distance(spec, cache=tmp_path).values, made.values)
    signed_distance(object_of(trimesh.creation.box((0.05, 0.04, 0.1))), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "another shape has another entry"


def test_a_large_object_gets_larger_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dextrack.objects.distance.MAX_VOXELS", 200_000)
    grid = build([part(trimesh.creation.box((0.5, 0.4, 0.3)))])
    assert grid.spacing > 0.002 and grid.values.size < 250_000
    points = around(grid, 1000, 7)
    agrees(grid, points, lambda p: box_distance(p, (0.5, 0.4, 0.3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_device_it_is_the_formula_too(box: SignedDistance, dtype: torch.dtype) -> None:
    """Inside, near, and beyond the grid; what is not finite has no distance, and disturbs no other point."""
    points = np.concatenate([around(box, 4000, 3), around(box, 500, 4, margin=0.2)])
    expected, at_host = box_distance(points), box.query(points)[0]
    asked = torch.tensor(points, dtype=dtype).reshape(45, 100, 3)
    told = box.on_device("cpu")(asked)
    assert told.dtype == dtype and told.shape == (45, 100)
    found = told.double().numpy().ravel()
    np.testing.assert_allclose(found, at_host, atol=2e-6)
    near = np.abs(expected) < 0.01
    assert np.abs(found - expected)[near].max() < 0.25 * 1.2 * box.spacing and (expected < -0.01).any()
    asked[3, 7, 1] = float("nan")
    again = box.on_device("cpu")(asked)
    assert torch.isnan(again).sum() == 1 and torch.isnan(again[3, 7])
