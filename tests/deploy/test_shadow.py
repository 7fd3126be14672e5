from __future__ import annotations

import time
from typing import Any

import mujoco
import numpy as np
import pytest
from dextrack_deploy import shadow as shadow_module
from dextrack_deploy.shadow import Engine, ShadowSimulator

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.rotations import from_hinges, multiply
from dextrack.sim import Backend, make_backend
from dextrack.sim.scene import build_scene

HAND = load_hand("leap_right")
BASE = from_hinges([0.4, -0.7, 1.1])


def start() -> np.ndarray:
    return np.concatenate([[0.05, -0.1, 0.45], [0.1, 0.2, -0.3], HAND.rest])


def box() -> ObjectSpec:
    corners = 0.03 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    faces_of_box = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    faces = np.array(faces_of_box, dtype=np.int32)
    return ObjectSpec("box", corners, faces, ((corners, faces),), mass=0.1)


def wander(n: int) -> np.ndarray:
    """Smooth targets (n, 22) around the start."""
    t = np.arange(n)[:, None] / 60.0
    phase = np.linspace(0.0, 3.0, 22)
    amplitude = np.array([0.03] * 3 + [0.2] * 3 + [0.25] * 16)
    return start() + amplitude * (np.sin(2.0 * t + phase) - np.sin(phase))


def test_moves_like_the_simulation_that_demonstrations_are_mined_in() -> None:
    """Same targets, an object out of reach: the mining backend's hand and the shadow's must be the same."""
    shadow = ShadowSimulator(HAND, BASE)
    shadow.reset(start())
    backend = make_backend("mujoco", HAND, BASE, box(), n_worlds=1, n_threads=1)
    backend.reset(start()[None], np.array([[1.5, 1.5, 0.03]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
    for target in wander(120):
        theta, velocity = shadow.step(target)
        backend.step(target[None])
    np.testing.assert_allclose(theta, backend.state().hand[0], atol=1e-6)
    np.testing.assert_allclose(velocity, backend.state().hand_velocity[0], atol=1e-4)
    assert np.abs(theta - start()).max() > 0.1, "the hand must have moved, or the comparison says nothing"
    backend.close()


def test_step_response_of_a_slide_is_that_of_a_damped_mass() -> None:
    """m x'' = kp (target - x) - kv x', solved by hand; held fingers make the hand one body."""
    shadow = ShadowSimulator(HAND, BASE)
    shadow.reset(start())
    target = start()
    target[2] += 0.02
    heights = np.array([shadow.step(target)[0][2] for _ in range(60)])
    mass = mujoco_mass(shadow)
    kp, kv = HAND.wrist_kp[0], HAND.wrist_kv[0]
    a, b = np.roots([mass, kv, kp]).astype(complex)
    t = np.arange(1, 61) / 60.0
    expected = 0.02 * (1.0 - (b * np.exp(a * t) - a * np.exp(b * t)) / (b - a)).real
    # The integrator is implicit, of first order, with a step of 8 ms: a millimetre of 20.
    np.testing.assert_allclose(heights - start()[2], expected, atol=1e-3)


def mujoco_mass(shadow: ShadowSimulator) -> float:
    model = build_scene(HAND, BASE, table=False).model
    return float(sum(model.body_mass))


def test_holds_its_place_without_gravity_on_it_and_far_below_the_table() -> None:
    shadow = ShadowSimulator(HAND, BASE)
    state = start()
    state[2] = -0.5
    shadow.reset(state)
    for _ in range(60):
        theta, velocity = shadow.step(state)
    np.testing.assert_allclose(theta, state, atol=1e-6)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-6)


def test_fingers_reach_their_target_and_are_clamped_to_their_limits() -> None:
    shadow = ShadowSimulator(HAND, BASE)
    shadow.reset(start())
    target = start()
    bend = HAND.joint_names.index("1")
    target[bend] += 0.5
    for _ in range(90):
        theta, _ = shadow.step(target)
    assert theta[bend] == pytest.approx(target[bend], abs=5e-3)
    target[bend] = -50.0
    for _ in range(120):
        theta, _ = shadow.step(target)
    assert theta[bend] == pytest.approx(HAND.lower[1], abs=5e-3), "an unclamped target would press into the limit with all its effort"


def test_reset_velocity_and_determinism() -> None:
    velocity = np.zeros(22)
    velocity[0] = 0.3
    paths = []
    for _ in range(2):
        shadow = ShadowSimulator(HAND, BASE)
        shadow.reset(start() + 1e-2)
        shadow.step(start())
        shadow.reset(start(), velocity)
        np.testing.assert_array_equal(shadow.state()[0], start())
        np.testing.assert_array_equal(shadow.state()[1], velocity)
        paths.append(np.array([shadow.step(t)[0] for t in wander(30)]))
    np.testing.assert_array_equal(paths[0], paths[1])
    assert paths[0][0, 0] > start()[0] + 1e-4, "the initial velocity carries it forward"


@pytest.mark.parametrize("bad", [np.full(22, np.nan), np.full(22, np.inf), np.zeros(21)])
def test_a_bad_target_is_refused_and_changes_nothing(bad: np.ndarray) -> None:
    shadow = ShadowSimulator(HAND, BASE)
    with pytest.raises(InputError, match="before reset"):
        shadow.step(start())
    shadow.reset(start())
    shadow.step(wander(9)[-1])
    before = shadow.state()
    with pytest.raises(InputError, match="finite"):
        shadow.step(bad)
    np.testing.assert_array_equal(shadow.state()[0], before[0])
    with pytest.raises(InputError, match="finite"):
        shadow.reset(bad)
    shadow.step(start())


def test_wrist_pose_follows_the_convention_of_theta() -> None:
    """Position is (tx, ty, tz) and rotation base * Rx Ry Rz, whatever the base frame."""
    scene = build_scene(HAND, BASE, table=False)
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(start())
    mujoco.mj_forward(scene.model, data)
    palm = scene.model.body(HAND.palm_body).id
    np.testing.assert_allclose(data.xpos[palm], start()[:3], atol=1e-9)
    expected = multiply(BASE, from_hinges(start()[3:6]))
    assert abs(data.xquat[palm] @ expected) == pytest.approx(1.0, abs=1e-9)


def test_a_step_takes_less_than_a_millisecond() -> None:
    shadow = ShadowSimulator(HAND, BASE)
    shadow.reset(start())
    times = []
    for target in wander(300):
        begin = time.perf_counter()
        shadow.step(target)
        times.append(time.perf_counter() - begin)
    assert np.median(times) < 1e-3, f"median {1e3 * np.median(times):.2f} ms"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_loop_is_the_same_on_mujoco_warp() -> None:
    """On Warp's CPU device, which is too slow for a cell: the motion is what is compared."""
    pytest.importorskip("mujoco_warp")
    reached = []
    for name in ("mujoco", "mujoco_warp"):
        shadow = ShadowSimulator(HAND, BASE, engine=Engine(name))
        shadow.reset(start())
        steps = [shadow.step(target)[0] for target in wander(24)]
        shadow.resynchronise(start())
        reached.append([*steps, shadow.state()[0], shadow.step(wander(2)[1])[0]])
        shadow.close()
    np.testing.assert_allclose(reached[1], reached[0], atol=2e-4)
    assert np.abs(reached[0][23] - start()).max() > 0.05


def test_a_backend_that_would_make_the_loop_late_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def sluggish(name: str, *arguments: Any, **options: Any) -> Backend:
        backend = make_backend("mujoco", *arguments, n_threads=1, **options)
        step = backend.step
        backend.step = lambda targets: (time.sleep(0.03), step(targets))[1]  # type: ignore[method-assign]
        return backend

    monkeypatch.setattr(shadow_module, "make_backend", sluggish)
    with pytest.raises(RefusedError, match=r"backend sluggish takes \d+ ms here, and the loop has 16.7 ms"):
        ShadowSimulator(HAND, BASE, engine=Engine("sluggish")).require_fast()
    ShadowSimulator(HAND, BASE, period=5.0, engine=Engine("sluggish")).require_fast()


def test_a_lost_backend_is_lost_for_the_same_reason_until_it_answers() -> None:
    shadow = ShadowSimulator(HAND, BASE)
    shadow.reset(start())
    step = shadow._worlds.step

    def fail(targets: np.ndarray) -> None:
        raise DriverError("server: its process ended.", remedy="start it again.")

    shadow._worlds.step = fail  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(DriverError, match="its process ended"):
            shadow.step(start())
    assert shadow.lost == "server: its process ended."
    shadow._worlds.step = step  # type: ignore[method-assign]
    with pytest.raises(DriverError, match="its process ended"):
        shadow.resynchronise(start())
    shadow.reset(start())
    assert not shadow.lost
    shadow.step(start())
    moved = start()
    moved[0] += 0.01
    shadow.resynchronise(moved)
    np.testing.assert_allclose(shadow.state()[0], moved)
    shadow.close()
