"""Cases of the Isaac Gym backend on the stand-in. ``test_isaacgym_backend`` runs them in a process of their own, where torch comes second."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
import trimesh

from dextrack import rotations
from dextrack.errors import InputError, RefusedError, SimulationError
from dextrack.hands import hand_names, load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.sim import make_backend
from dextrack.sim.conformance import CASES, run
from dextrack.sim.isaacgym_backend import make_isaacgym
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.sim.tensors import TensorBackend

gymapi, gymtorch = pytest.importorskip("isaacgym.gymapi"), pytest.importorskip("isaacgym.gymtorch")

LEAP = load_hand("leap_right")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
BASE = rotations.normalise([0.5, 0.4, -0.6, 0.3])
FRAME = np.array([0.0, 0.0, 0.4, 0.1, 0.2, 0.3])
"""The wrist's six."""


def off_centre() -> ObjectSpec:
    """Two boxes side by side, of two sizes, away from the frame's origin."""
    parts = []
    for size, at in (((0.05, 0.06, 0.08), (0.02, 0.0, 0.04)), ((0.03, 0.03, 0.03), (0.06, 0.0, 0.015))):
        mesh = trimesh.creation.box(size)
        parts.append((np.array(mesh.vertices) + at, np.array(mesh.faces, dtype=np.int32)))
    return ObjectSpec("mug", parts[0][0], parts[0][1], tuple(parts), 0.2)


def cube(height: float = 0.05) -> ObjectSpec:
    mesh = trimesh.creation.box([0.05, 0.05, height])
    v, f = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    return ObjectSpec("cube", v, f, ((v, f),), 0.06)


def poses(n: int, hand=LEAP) -> np.ndarray:
    return np.tile(np.concatenate([FRAME, hand.rest]), (n, 1))


def engine(backend):
    """The stand-in's handles behind a backend."""
    return backend._scene.gym, backend._scene.sim


@pytest.mark.parametrize("name", hand_names())
def test_joints_go_by_name_and_pads_are_where_mujoco_has_them(name):
    hand = load_hand(name)
    backend, mujoco = make_isaacgym(hand, BASE, n_worlds=3), make_backend("mujoco", hand, BASE, n_worlds=3, n_threads=1)
    assert isinstance(backend, TensorBackend)
    assert backend.joint_names == hand.joint_names and sorted(backend._scene.dof_names) == sorted(hand.joint_names)
    assert backend._scene.dof_names != hand.joint_names, "the engine's order is its own"
    if name.startswith("allegro"):
        fingers = [int(n[6:-2]) for n in backend._scene.dof_names[6:]]
        assert fingers == [0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 8, 9, 10, 11]
    lower, upper = hand.limits()
    theta = np.random.default_rng(0).uniform(lower, upper, (3, 22))
    for each in (backend, mujoco):
        each.reset(theta, hand_velocity=0.1 * theta)
    np.testing.assert_allclose(backend.state().hand, theta, atol=1e-6)
    np.testing.assert_allclose(backend.state().hand_velocity, 0.1 * theta, atol=1e-6)
    np.testing.assert_allclose(backend.state().tips_w, mujoco.state().tips_w, atol=2e-6)


def test_pads_are_where_the_engines_links_are():
    backend = make_isaacgym(LEAP, BASE, table=False)
    gym, sim = engine(backend)
    bodies = gymtorch.wrap_tensor(gym.acquire_rigid_body_state_tensor(sim))
    backend.reset(poses(1))
    for _ in range(5):
        backend.step(poses(1) + 0.2)
    gym.refresh_rigid_body_state_tensor(sim)
    links = list(sim.envs[0].actors[0].asset.links)
    for i, tip in enumerate(LEAP.fingertips):
        row = bodies[links.index(tip.body)].double().numpy()
        pad = row[:3] + rotations.rotate(np.roll(row[3:7], 1), tip.offset)
        np.testing.assert_allclose(backend.state().tips_w[0, i], pad, atol=2e-6)


@pytest.mark.parametrize("name", ["leap_right", "allegro_right"])
def test_a_step_of_the_targets_is_answered_as_in_mujoco(name):
    hand = load_hand(name)
    backends = [make_isaacgym(hand, BASE, table=False), make_backend("mujoco", hand, BASE, n_threads=1, table=False)]
    target = poses(1, hand)
    target[:, 6:] += 0.3 * (np.array(hand.upper) - np.array(hand.rest))
    target[:, 2] += 0.02
    for backend in backends:
        backend.reset(poses(1, hand))
        for _ in range(3):
            backend.step(target)
    moved, same = (b.state().hand - poses(1, hand) for b in backends)
    assert np.abs(moved[:, 6:]).max() > 0.05
    np.testing.assert_allclose(moved, same, atol=5e-3)
    for backend in backends:
        for _ in range(60):
            backend.step(target)
    np.testing.assert_allclose(backends[0].state().hand, backends[1].state().hand, atol=5e-3)


def touching(model, data) -> set[frozenset[str]]:
    """Pairs of bodies in contact, without the actor's name."""
    mujoco.mj_forward(model, data)
    return {frozenset(model.body(model.geom_bodyid[g]).name.split("/")[-1] for g in contact.geom) for contact in data.contact}


def test_the_same_bodies_of_a_hand_collide_as_in_mujoco():
    backend, scene = make_isaacgym(LEAP, BASE, table=False), build_scene(LEAP, BASE, table=False)
    env, data = engine(backend)[1].envs[0], mujoco.MjData(scene.model)
    lower, upper = LEAP.limits()
    seen = set()
    for theta in np.random.default_rng(1).uniform(lower, upper, (40, 22)):
        data.qpos[scene.hand_qpos] = theta
        for name, angle in zip(LEAP.joint_names, theta, strict=True):
            env.data.qpos[env.model.joint("hand/" + name).qposadr[0]] = angle
        assert touching(env.model, env.data) == touching(scene.model, data)
        seen |= touching(scene.model, data)
    assert len(seen) > 5


def test_efforts_are_limited():
    far = poses(1)
    far[:, 6:] += 0.5
    travelled = []
    for scale in (1.0, 0.05):
        backend = make_isaacgym(LEAP, UPRIGHT, physics=Physics(effort_scale=scale), table=False)
        backend.reset(poses(1))
        backend.step(far)
        travelled.append(np.abs(backend.state().hand - poses(1))[0, 6:])
    assert (travelled[1] < 0.2 * travelled[0]).sum() > 10


def test_gravity_is_off_for_the_hand_unless_asked_for():
    for gravity in (False, True):
        backend = make_isaacgym(LEAP, UPRIGHT, physics=Physics(hand_gravity=gravity), table=False)
        backend.reset(poses(1))
        for _ in range(30):
            backend.step(poses(1))
        assert (np.abs(backend.state().hand - poses(1)).max() > 1e-3) == gravity


def test_a_thrown_object_flies_as_in_mujoco():
    obj = off_centre()
    backends = [make_isaacgym(LEAP, BASE, obj), make_backend("mujoco", LEAP, BASE, obj, n_threads=1)]
    quaternion = rotations.normalise([[0.3, -0.5, 0.7, 0.2]])
    for backend in backends:
        backend.reset(poses(1), np.array([[0.5, 0.5, 1.0]]), quaternion, object_velocity_w=np.array([[0.1, 0.2, 0.5, 3.0, -2.0, 1.0]]))
        np.testing.assert_allclose(backend.state().object_linear_velocity_w, [[0.1, 0.2, 0.5]], atol=1e-6)
        np.testing.assert_allclose(backend.state().object_angular_velocity_w, [[3.0, -2.0, 1.0]], atol=1e-6)
        for _ in range(12):
            backend.step(poses(1))
    mine, other = (b.state() for b in backends)
    # One integrates the centre of mass, the other the object's origin: in steps of 1/120 s, half a millimetre after 0.2 s.
    np.testing.assert_allclose(mine.object_position_w, other.object_position_w, atol=1e-3)
    np.testing.assert_allclose(rotations.angle(mine.object_quaternion_w, other.object_quaternion_w), 0.0, atol=1e-3)
    np.testing.assert_allclose(mine.object_linear_velocity_w, other.object_linear_velocity_w, atol=5e-3)
    np.testing.assert_allclose(mine.object_angular_velocity_w, other.object_angular_velocity_w, atol=1e-2)


def test_the_table_is_there_unless_left_out():
    for table in (True, False):
        backend = make_isaacgym(LEAP, UPRIGHT, cube(), table=table)
        backend.reset(poses(1), np.array([[0.5, 0.5, 0.03]]), UPRIGHT[None])
        for _ in range(30):
            backend.step(poses(1))
        z = backend.state().object_position_w[0, 2]
        assert abs(z - 0.025) < 1e-3 if table else z < -0.5


@pytest.mark.parametrize("from_world", [False, True])
def test_a_reset_touches_its_worlds_alone(monkeypatch, from_world):
    monkeypatch.setattr(gymapi, "COUNT_FROM_WORLD", from_world)
    backend = make_isaacgym(LEAP, UPRIGHT, cube(), n_worlds=4)
    position = np.tile([0.5, 0.5, 0.8], (4, 1))
    backend.reset(poses(4), position, np.tile(UPRIGHT, (4, 1)))
    for _ in range(4):
        backend.step(poses(4))
    before = backend.state()
    np.testing.assert_allclose(before.object_position_w, np.tile(before.object_position_w[:1], (4, 1)), atol=1e-6)
    other = poses(1) + 0.05
    # Two resets before one step: both count.
    backend.reset(other, position[:1] + 0.1, UPRIGHT[None], worlds=np.array([1]))
    backend.reset(other, position[:1] - 0.1, UPRIGHT[None], worlds=np.array([2]))
    state = backend.state()
    np.testing.assert_array_equal(state.object_position_w[[0, 3]], before.object_position_w[[0, 3]])
    np.testing.assert_allclose(state.object_position_w[[1, 2]], position[:2] + [[0.1], [-0.1]], atol=1e-6)
    np.testing.assert_allclose(state.hand[[1, 2]], np.tile(other, (2, 1)), atol=1e-6)
    assert np.abs(state.tips_w[1] - state.tips_w[0]).max() > 0.02
    targets = poses(4)
    targets[[1, 2]] = other
    backend.step(targets)
    state = backend.state()
    fallen = np.array([[0.1], [-0.1]]) + position[1:3] - [0.0, 0.0, 9.81 / 60**2 * 0.75]  # two half steps: 0.75 g t^2
    np.testing.assert_allclose(state.object_position_w[[1, 2]], fallen, atol=1e-5)
    assert (state.object_position_w[[0, 3], 2] < before.object_position_w[0, 2] - 0.005).all()
    np.testing.assert_allclose(state.hand[[1, 2]], np.tile(other, (2, 1)), atol=1e-4)


def test_a_scene_without_an_object():
    backend = make_isaacgym(LEAP, UPRIGHT, n_worlds=2, table=False)
    backend.reset(poses(2))
    backend.vary(np.ones(2), np.ones(2))
    backend.step(poses(2))
    state = backend.state()
    np.testing.assert_allclose(state.hand, poses(2), atol=1e-6)
    for name in ("object_position_w", "object_quaternion_w", "object_linear_velocity_w", "object_angular_velocity_w"):
        assert getattr(state, name).shape == (2, 0)
    assert state.tips_w.shape == (2, 4, 3) and len(backend.bad_worlds()) == 0
    backend.close()


def test_quaternions_are_turned_at_the_edge():
    backend = make_isaacgym(LEAP, UPRIGHT, cube())
    quaternion = rotations.normalise([[0.9, 0.1, -0.3, 0.2]])
    backend.reset(poses(1), np.array([[0.5, 0.5, 1.0]]), quaternion)
    np.testing.assert_allclose(backend._root[1, 3:7].numpy(), np.roll(quaternion[0], -1), atol=1e-6)
    backend.step(poses(1))
    np.testing.assert_allclose(backend.state().object_quaternion_w, quaternion, atol=1e-5)


def test_vary_scales_friction_and_mass():
    backend = make_isaacgym(LEAP, UPRIGHT, cube(height=0.01), n_worlds=3)
    friction = np.array([1.0, 0.6, 1.2])
    backend.vary(friction, np.array([1.0, 1.0, 3.0]))
    backend.vary(friction, np.array([1.0, 1.0, 1.5]))  # scales the object's own, not the last
    gym, sim = engine(backend)
    masses = [gym.get_actor_rigid_body_properties(env, 1)[0].mass for env in sim.envs]
    np.testing.assert_allclose(masses, [0.06, 0.06, 0.09], rtol=1e-5)
    backend.reset(poses(3), np.tile([0.5, 0.5, 0.005], (3, 1)), np.tile(UPRIGHT, (3, 1)))
    for _ in range(30):
        backend.step(poses(3))
    rest = backend.state()
    velocity = np.tile([0.8, 0.0, 0.0, 0.0, 0.0, 0.0], (3, 1))
    backend.reset(poses(3), rest.object_position_w, rest.object_quaternion_w, object_velocity_w=velocity)
    for _ in range(3):
        backend.step(poses(3))
    slowed = 0.8 - backend.state().object_linear_velocity_w[:, 0]
    # Contacts of the stand-in's engine are soft: the first instants slow less than Coulomb's 9.81 m/s2.
    np.testing.assert_allclose(slowed / slowed[0], friction, rtol=0.15)
    np.testing.assert_allclose(slowed[0], 9.81 * 3 / 60, rtol=0.3)


@pytest.mark.parametrize("deaf", ["set_actor_rigid_body_properties", "set_actor_rigid_shape_properties"])
def test_friction_or_mass_that_the_engine_does_not_take_is_an_error(monkeypatch, deaf):
    backend = make_isaacgym(LEAP, UPRIGHT, cube(), n_worlds=2)
    monkeypatch.setattr(gymapi.Gym, deaf, lambda *args, **more: True)
    backend.vary(np.ones(2), np.ones(2))
    with pytest.raises(SimulationError, match="object of world 1 .*device=cpu"):
        backend.vary(np.array([1.0, 0.8]), np.array([1.0, 1.5]))


def test_what_is_not_finite_is_reported_and_kept_from_the_engine():
    backend = make_isaacgym(LEAP, UPRIGHT, cube(), n_worlds=2)
    position, quaternion = np.tile([0.5, 0.5, 0.5], (2, 1)), np.tile(UPRIGHT, (2, 1))
    backend.reset(poses(2), position, quaternion)
    backend.reset(np.full((1, 22), np.nan), position[:1], quaternion[:1], worlds=np.array([1]))
    assert backend.bad_worlds().tolist() == [1] and backend.bad_mask().tolist() == [False, True]
    backend.step(poses(2))
    assert backend.bad_worlds().tolist() == [1], "until it is reset"
    assert np.isfinite(backend.state().hand[0]).all()
    backend.reset(poses(1), position[:1], quaternion[:1], worlds=np.array([1]))
    assert backend.bad_worlds().tolist() == []
    targets = poses(2)
    targets[1, 3] = np.nan
    backend.step(targets)
    assert backend.bad_worlds().tolist() == [1]
    np.testing.assert_allclose(backend.state().hand, poses(2), atol=1e-6, err_msg="a joint keeps the target of the reset")


@pytest.mark.parametrize("case", CASES)
def test_it_passes_the_conformance_suite(case):
    (result,) = run("isaacgym", LEAP, {"device": "cpu"}, [case])
    assert result.ran and result.passed, result.figure


def test_tensors_are_float32_of_the_device():
    backend = make_isaacgym(LEAP, UPRIGHT, cube(), n_worlds=2, device="cpu", n_threads=1)
    assert backend.device == "cpu" and backend.period == Physics().period and backend.n_worlds == 2
    hand = torch.tensor(poses(2))
    backend.reset_tensors(hand, torch.tensor([[0.5, 0.5, 0.5]] * 2), torch.tensor(np.tile(UPRIGHT, (2, 1))), torch.tensor([0, 1]))
    backend.step_tensors(hand)
    tensors = backend.tensors()
    assert {t.dtype for t in vars(tensors).values()} == {torch.float32}
    np.testing.assert_array_equal(tensors.tips_w.double().numpy(), backend.state().tips_w)


def test_the_engine_is_set_up_as_in_the_release():
    """As AllegroHandTrackingGeneralist.yaml of github.com/Meowuu7/DexTrack has it, but for dt, which is 0.0166 there; the pairs are ShadowHand.yaml's."""
    release = {
        "solver_type": 1,
        "num_position_iterations": 8,
        "num_velocity_iterations": 0,
        "contact_offset": 0.002,
        "rest_offset": 0.0,
        "bounce_threshold_velocity": 0.2,
        "max_depenetration_velocity": 1000.0,
        "default_buffer_size_multiplier": 5.0,
        "max_gpu_contact_pairs": 8388608,
    }
    params = engine(make_isaacgym(LEAP, UPRIGHT))[1].params
    assert {name: getattr(params.physx, name) for name in release} == release
    assert (params.dt, params.substeps, params.gravity.z) == (1 / 60, 2, -9.81)


def fails() -> None:
    raise RuntimeError("Failed to acquire interface: [carb::gym::Gym v0.1]")


def test_no_driver_is_said_whatever_the_device(monkeypatch):
    monkeypatch.setattr(gymapi, "acquire_gym", fails)
    with pytest.raises(InputError, match="Failed to acquire interface.*install NVIDIA's driver.*device=cpu too"):
        make_isaacgym(LEAP, UPRIGHT, device="cpu")


def test_what_the_engine_could_not_prepare_or_read_is_said(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gymapi.Gym, "prepare_sim", lambda self, sim: False)
        with pytest.raises(RefusedError, match="could not prepare 3 worlds on cpu.*fewer worlds"):
            make_isaacgym(LEAP, UPRIGHT, n_worlds=3)
    monkeypatch.setattr(gymapi.Gym, "load_asset", lambda *args: None)
    with pytest.raises(InputError, match="could not read hand.urdf"):
        make_isaacgym(LEAP, UPRIGHT)


def test_no_gpu_is_said():
    with pytest.raises(InputError, match="cuda:0.*nvidia-smi"):
        make_isaacgym(LEAP, UPRIGHT, device="cuda")
