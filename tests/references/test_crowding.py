"""Fingers that share a place, against the engine's contacts and finite differences."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dextrack.hands import load_hand
from dextrack.hands.kinematics import collision_spheres
from dextrack.references.crowding import Crowding, balls
from dextrack.references.gauss_newton import SumOfSquares
from dextrack.references.jacobians import HandJacobians
from dextrack.references.retarget import RetargetConfig, prepare, retarget
from dextrack.sim.scene import build_scene
from tests import synthetic

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", ["leap_right", "leap_left", "allegro_right", "allegro_left"])
def test_what_the_engine_sees_between_fingers_is_seen(name: str) -> None:
    """At random poses: fingers that the engine has deep in one another are crowded. At rest nothing is."""
    hand = load_hand(name)
    kinematics = HandJacobians(hand, UPRIGHT)
    crowding = Crowding(hand, kinematics)
    assert crowding(kinematics.pose(np.concatenate([np.zeros(6), hand.rest])[None])).depths.max(initial=0.0) < 0.001
    scene = build_scene(hand, UPRIGHT, table=False)
    data, rng, met = mujoco.MjData(scene.model), np.random.default_rng(0), 0
    links = {b for pair in balls(hand).pairs for b in (balls(hand).bodies[pair[0]], balls(hand).bodies[pair[1]])}
    for _ in range(40):
        theta = np.concatenate([np.zeros(6), rng.uniform(hand.lower, hand.upper)])
        data.qpos[:] = scene.qpos(theta)
        mujoco.mj_forward(scene.model, data)
        owners = [[scene.model.body(scene.model.geom_bodyid[g]).name for g in pair] for pair in data.contact.geom]
        deep = [-d for d, pair in zip(data.contact.dist, owners, strict=True) if set(pair) <= links]
        if max(deep, default=0.0) > 0.006:
            met += 1
            assert crowding(kinematics.pose(theta[None])).depths.max(initial=0.0) > 0.0
    assert met >= 5


def test_balls_lie_in_their_links() -> None:
    hand = load_hand("leap_right")
    names, offsets, radii = collision_spheres(hand)
    b = balls(hand)
    for body, centre in zip(b.bodies, b.offsets, strict=True):
        mine = np.array([n == body for n in names])
        low, high = (offsets[mine] - radii[mine, None]).min(axis=0), (offsets[mine] + radii[mine, None]).max(axis=0)
        assert (centre >= low - 1e-9).all() and (centre <= high + 1e-9).all()
    assert all(b.bodies[i] != b.bodies[j] for i, j in b.pairs)


def test_the_gradient_is_that_of_the_cost() -> None:
    """Fingers pressed together: the gradient over theta, crowding included, by central differences."""
    hand = load_hand("leap_right")
    problem = prepare(synthetic.recording(), synthetic.box(), hand, RetargetConfig(), 0).problem
    problem, _ = problem.every(16)
    theta = np.tile(np.concatenate([[0.0, 0.0, 0.4, 0.1, 0.2, -0.1], hand.rest]), (len(problem.human_w), 1))
    theta[:, 6], theta[:, 14] = 0.5, -0.5  # index and ring lean over the middle finger
    assert len(Crowding(hand, HandJacobians(hand, problem.base_quaternion_w))(HandJacobians(hand, problem.base_quaternion_w).pose(theta)).frames)
    squares = SumOfSquares(problem)
    gradient, _ = squares(theta)[1]()
    for t, j in ((0, 6), (2, 14), (3, 10), (1, 4)):
        step = np.zeros_like(theta)
        step[t, j] = 1e-6
        slope = (squares(theta + step)[0] - squares(theta - step)[0]) / 2e-6
        assert 2.0 * gradient[t, j] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_reference_has_its_fingers_apart() -> None:
    """As the engine sees it: hardly a contact within the hand, and no deep one, where the fingers hold the box."""
    hand = load_hand("leap_right")
    reference = retarget(synthetic.recording(), synthetic.box(), hand)
    scene = build_scene(hand, reference.base_quaternion_w, table=False)
    data = mujoco.MjData(scene.model)
    deepest = 0.0
    for theta in reference.hand[reference.diagnosis["onset"] :: 10]:
        data.qpos[:] = scene.qpos(theta)
        mujoco.mj_forward(scene.model, data)
        deepest = max(deepest, -data.contact.dist.min(initial=0.0))
    assert deepest < 0.003
