"""The MuJoCo Warp backend on Warp's CPU device, and on a GPU where there is one: the motion of the ``mujoco`` backend, and worlds that leave each other alone.

All that runs the engine is slow: it compiles its kernels for a minute the first time.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from dextrack.errors import InputError, SimulationError
from dextrack.hands import load_hand
from dextrack.sim.mujoco_backend import make_mujoco
from dextrack.sim.mujoco_warp_backend import make_mujoco_warp
from dextrack.sim.tensors import TensorBackend, on_tensors
from tests import synthetic
from tests.devices import DEVICES, rounding

HAND = load_hand("leap_right")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
WORLDS = 3
ROOM = {"contacts_per_world": 64, "constraints_per_world": 256}
HALF_HEIGHT = synthetic.SIZE[2] / 2

engine = pytest.mark.usefixtures("installed")
slow = pytest.mark.slow
compiles = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def installed():
    pytest.importorskip("mujoco_warp")


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def warp(installed, device):
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=WORLDS, device=device, **ROOM)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def reference():
    backend = make_mujoco(HAND, UPRIGHT, synthetic.box(), n_worlds=WORLDS, n_threads=1)
    yield backend
    backend.close()


def open_hand(x: float = 0.0, z: float = 0.4) -> np.ndarray:
    return np.tile(np.concatenate([[x, 0.0, z, 0.0, 0.0, 0.0], HAND.rest]), (WORLDS, 1))


def standing(x: float = 0.5, z: float = HALF_HEIGHT) -> np.ndarray:
    return np.tile([x, 0.0, z], (WORLDS, 1))


QUATERNIONS = np.tile(UPRIGHT, (WORLDS, 1))


def assert_alike(a, b, tolerance: float, velocity_tolerance: float) -> None:
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert x.shape == y.shape and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, atol=velocity_tolerance if "velocity" in field.name else tolerance, err_msg=field.name)


def step_and_look(backend, targets: np.ndarray) -> None:
    """On the CPU a step looks for itself; on a GPU, where that would wait for it, the state does."""
    backend.step(targets)
    backend.state()


def test_without_the_engine_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(InputError, match=r"pip install dextrack-core\[gpu\]"):
        make_mujoco_warp(HAND, UPRIGHT)


@slow
@compiles
@engine
def test_it_moves_as_mujoco_does(warp, reference):
    assert on_tensors(warp) is warp and isinstance(warp, TensorBackend)
    assert warp.joint_names == reference.joint_names and warp.period == reference.period
    hand, velocity = open_hand(), np.zeros((WORLDS, 6))
    position = standing()
    position[1:, 2] = 0.6
    velocity[1] = [0.3, 0.0, 0.5, 1.0, 2.0, 3.0]
    turned = QUATERNIONS.copy()
    turned[2] = [np.cos(0.4), np.sin(0.4), 0.0, 0.0]
    for backend in (warp, reference):
        backend.reset(hand, position, turned, hand_velocity=0.1 * np.ones_like(hand), object_velocity_w=velocity)
    assert_alike(warp.state(), reference.state(), 1e-6, 1e-6)
    begin = warp.state().object_position_w[1].copy()
    for n in range(20):
        targets = hand.copy()
        targets[:, 0] += 0.003 * n
        targets[:, 3] += 0.02 * n
        targets[:, 6:] += 0.3 * np.sin(0.2 * n)
        for backend in (warp, reference):
            backend.step(targets)
    assert_alike(warp.state(), reference.state(), 2e-5, 2e-3)
    t = 20 * warp.period
    fallen = 0.5 * t - 0.5 * 9.81 * t * (t + warp.period / 2)
    np.testing.assert_allclose(warp.state().object_position_w[1] - begin, [0.3 * t, 0.0, fallen], atol=1e-3)
    assert len(warp.bad_worlds()) == 0


@slow
@compiles
@engine
def test_a_reset_is_a_fresh_start_and_no_other_world_notices(warp):
    hand, targets = open_hand(), open_hand(x=0.05)

    def run(reset_at: int | None) -> list[np.ndarray]:
        warp.reset(hand, standing(z=0.3), QUATERNIONS)
        states = []
        for n in range(8):
            if n == reset_at:
                warp.reset(hand[:1], standing(z=0.3)[:1], QUATERNIONS[:1], worlds=np.array([1]))
                np.testing.assert_allclose(warp.state().hand[1], hand[1], atol=1e-6)
                np.testing.assert_allclose(warp.state().object_position_w[1], standing(z=0.3)[1], atol=1e-6)
            warp.step(targets)
            state = warp.state()
            states.append(np.concatenate([state.hand, state.hand_velocity, state.object_position_w, state.tips_w.reshape(WORLDS, -1)], axis=1))
        return states

    whole, cut, apart = run(None), run(4), rounding(warp.device)
    np.testing.assert_allclose(whole, run(None), rtol=0.0, atol=apart, err_msg="the same steps give the same numbers")
    for n in range(8):
        np.testing.assert_allclose(whole[n][[0, 2]], cut[n][[0, 2]], rtol=0.0, atol=apart)
    np.testing.assert_allclose(cut[4][1], whole[0][1], rtol=0.0, atol=apart)


@slow
@compiles
@engine
def test_friction_varies_as_in_mujoco_whatever_the_mass(warp, reference):
    friction, mass = np.array([1.0, 0.3, 1.0]), np.array([1.0, 1.0, 3.0])
    velocity = np.tile([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], (WORLDS, 1))
    lying = np.tile([np.cos(np.pi / 4), 0.0, np.sin(np.pi / 4), 0.0], (WORLDS, 1))
    for backend in (warp, reference):
        backend.vary(friction, mass)
        backend.reset(open_hand(), standing(z=synthetic.SIZE[0] / 2), lying, object_velocity_w=velocity)
        for _ in range(12):
            backend.step(open_hand())
    a, b = warp.state(), reference.state()
    for backend in (warp, reference):
        backend.vary(np.ones(WORLDS), np.ones(WORLDS))
    np.testing.assert_allclose(a.object_position_w, b.object_position_w, atol=1e-3)
    np.testing.assert_allclose(a.object_linear_velocity_w, b.object_linear_velocity_w, atol=0.03)
    assert a.object_linear_velocity_w[1, 0] > a.object_linear_velocity_w[0, 0] + 0.2, "less friction, longer slide"


@slow
@compiles
@engine
def test_mass_varies_as_in_mujoco(warp, reference):
    mass = np.array([1.0, 3.0, 0.3])
    falling = np.tile([0.0, 0.0, -1.0, 0.0, 0.0, 0.0], (WORLDS, 1))
    pushed = []
    for backend in (warp, reference):
        backend.vary(np.ones(WORLDS), mass)
        backend.reset(open_hand(), standing(x=0.0, z=1.0), QUATERNIONS)
        above = backend.state().tips_w[:, 0] + [0.0, 0.0, HALF_HEIGHT + 0.03]
        backend.reset(open_hand(), above, QUATERNIONS, object_velocity_w=falling)
        depth = np.zeros(WORLDS)
        for _ in range(8):
            backend.step(open_hand())
            depth = np.maximum(depth, open_hand()[:, 2] - backend.state().hand[:, 2])
        backend.vary(np.ones(WORLDS), np.ones(WORLDS))
        pushed.append(depth)
    np.testing.assert_allclose(pushed[0], pushed[1], rtol=0.1)
    assert pushed[0][1] > 2.0 * pushed[0][0] > 4.0 * pushed[0][2], "the heavier, the deeper the hand goes"


@slow
@compiles
@engine
@pytest.mark.parametrize("what", ["state", "targets"])
def test_a_world_that_is_not_finite_is_reported_and_poisons_no_other(warp, what):
    hand, targets = open_hand(), open_hand()
    warp.reset(hand, standing(), QUATERNIONS)
    for _ in range(3):
        warp.step(targets)
    clean = warp.state().hand, warp.state().object_position_w
    warp.reset(hand, standing(), QUATERNIONS)
    if what == "state":
        warp.reset(np.full_like(hand[:1], np.nan), standing()[:1], QUATERNIONS[:1], worlds=np.array([1]))
    else:
        targets[1, 8] = np.nan
    for _ in range(3):
        warp.step(targets)
        assert warp.bad_worlds().tolist() == [1] and warp.bad_mask().tolist() == [False, True, False]
    state = warp.state()
    assert all(np.isfinite(value).all() for value in vars(state).values())
    np.testing.assert_allclose(state.hand[[0, 2]], clean[0][[0, 2]], rtol=0.0, atol=rounding(warp.device))
    np.testing.assert_allclose(state.object_position_w[[0, 2]], clean[1][[0, 2]], rtol=0.0, atol=rounding(warp.device))
    warp.reset(hand[:1], standing()[:1], QUATERNIONS[:1], worlds=np.array([1]))
    assert len(warp.bad_worlds()) == 0
    warp.step(open_hand())
    assert len(warp.bad_worlds()) == 0


@slow
@compiles
@engine
@pytest.mark.parametrize(("short", "room"), [("contacts_per_world", 1), ("constraints_per_world", 3)])
def test_running_out_of_room_is_an_error_that_says_what_to_raise(installed, device, short, room):
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=1, device=device, **{**ROOM, short: room})
    backend.reset(open_hand()[:1], standing()[:1], QUATERNIONS[:1])
    with pytest.raises(SimulationError, match="raise %s beyond" % short):
        step_and_look(backend, open_hand()[:1])
    with pytest.raises(SimulationError, match="dropped"):
        backend.state()
    backend.close()


@slow
@compiles
@engine
def test_running_out_of_room_is_over_when_all_worlds_are_reset(installed, device, monkeypatch):
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=2, device=device, **{**ROOM, "contacts_per_world": 2})
    hand, quaternions = open_hand()[:2], QUATERNIONS[:2]

    def crowded() -> None:
        """Two boxes that stand: more contacts than the worlds share."""
        backend.reset(hand, standing()[:2], quaternions)

    def apart() -> None:
        backend.reset(hand, standing(z=2.0)[:2], quaternions)

    crowded()
    with pytest.raises(SimulationError, match="raise contacts_per_world"):
        step_and_look(backend, hand)
    one = np.array([1])
    backend.reset(hand[:1], standing(z=2.0)[:1], quaternions[:1], worlds=one)
    with pytest.raises(SimulationError, match="dropped"):
        backend.state()  # of the other world nothing is known
    apart()
    backend.step(hand)
    assert np.isfinite(backend.state().hand).all()

    # As on a GPU, where steps are checked now and then: what no check has seen is told by the reset, once.
    monkeypatch.setattr(backend, "_check_every", 30)
    crowded()
    backend.step(hand)
    with pytest.raises(SimulationError, match="dropped"):
        apart()
    apart()
    backend.step(hand)
    assert np.isfinite(backend.state().hand).all()
    backend.close()


@slow
@compiles
@engine
def test_a_scene_without_object_and_table_and_its_measured_room(installed, device):
    backend = make_mujoco_warp(HAND, UPRIGHT, n_worlds=2, table=False, device=device)
    hand = torch.as_tensor(open_hand()[:2])
    backend.reset_tensors(hand)
    backend.step_tensors(hand)
    state = backend.tensors()
    assert state.hand.device == torch.device(device)
    torch.testing.assert_close(state.hand.cpu(), hand.float(), atol=1e-5, rtol=0.0)
    assert state.object_position_w.shape == state.object_quaternion_w.shape == state.object_angular_velocity_w.shape == (2, 0)
    assert state.tips_w.shape == (2, len(HAND.fingertips), 3)
    backend.close()


@slow
@compiles
@engine
def test_the_measured_room_holds_a_hand_whose_joints_are_all_at_their_limits(installed):
    """A row of constraints each, which nothing in a probe of contacts asks for."""
    backend = make_mujoco_warp(HAND, UPRIGHT, n_worlds=2, table=False, device="cpu")
    beyond = np.stack(HAND.limits()) + np.array([[-0.01], [0.01]])
    backend.reset(beyond)
    backend.step(beyond)
    assert np.isfinite(backend.state().hand).all()
    assert (backend._counts[2] >= 16).all(), "the fingers' rows at least"
    backend.close()


@slow
@compiles
@engine
def test_the_deterministic_engine_moves_as_the_other(warp):
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=WORLDS, device=warp.device, deterministic=True, **ROOM)
    for each in (warp, backend):
        each.reset(open_hand(), standing(), QUATERNIONS)
        for _ in range(3):
            each.step(open_hand(x=0.02))
    assert_alike(warp.state(), backend.state(), 1e-5, 1e-3)
    backend.close()


@slow
@compiles
@engine
def test_the_measured_room_holds_a_hand_that_closes_on_the_object_over_the_table(installed, device):
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=WORLDS, device=device)
    backend.reset(open_hand(z=0.12), standing(x=0.0), QUATERNIONS)
    curled = open_hand(z=0.07)
    curled[:, 6:] += 0.6 * (np.array(HAND.upper) - np.array(HAND.rest))
    for _ in range(12):
        backend.step(curled)
    assert len(backend.bad_worlds()) == 0
    backend.close()


@engine
@slow
@compiles
def test_a_depth_that_was_given_up_is_told_once(installed, device, caplog):
    """The engine's flag of a world, set by hand: no pair of our hulls is known to need more room than it has."""
    import mujoco_warp as mjw
    import warp as wp

    from dextrack.sim import mujoco_warp_backend

    mujoco_warp_backend.tell_depths.cache_clear()
    backend = make_mujoco_warp(HAND, UPRIGHT, synthetic.box(), n_worlds=WORLDS, device=device, **ROOM)
    begin = (open_hand(), np.tile([0.5, 0.5, HALF_HEIGHT], (WORLDS, 1)), np.tile(UPRIGHT, (WORLDS, 1)))
    told = []
    for flag in (mjw.OverflowType.ITERATIONS, mjw.OverflowType.EPA_HORIZON, mjw.OverflowType.EPA_HORIZON):
        backend.reset(*begin)
        wp.to_torch(backend._engine.data.overflow)[1] = int(flag)
        backend.step(open_hand())
        backend.state()
        told.append(sum("depth of a pair of hulls was given up" in message for message in caplog.messages))
    assert told == [0, 1, 1]
    backend.close()
