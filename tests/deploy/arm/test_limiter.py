"""The rate limiter keeps its rules whatever it is told; the rules are checked here on the positions that come out alone."""

import dataclasses

import numpy as np
import pytest
from dextrack_deploy.arm.limiter import RateLimiter, braking
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.cell.config import ARMS
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack.errors import InputError

CELL = load_cell("twin")
CELLS = {"fr3": CELL, "panda": load_cell("twin_panda")}
ARM = load_arm("fr3")
PERIOD = 1.0 / 60.0
SLACK = 1e-9


def check(path, cell=CELL):
    """Position, velocity and acceleration of a joint path (T, 7) that began at rest."""
    margin, arm = cell.arm.limit_margin, load_arm(cell.arm.model)
    assert (path >= arm.lower + margin - SLACK).all() and (path <= arm.upper - margin + SLACK).all()
    v = np.diff(path, axis=0) / PERIOD
    assert (np.abs(v) <= cell.arm.velocity_fraction * arm.velocity + 1e-6).all()
    a = np.diff(np.concatenate([np.zeros((1, 7)), v]), axis=0) / PERIOD
    assert (np.abs(a) <= cell.arm.acceleration_fraction * arm.acceleration + 1e-4).all()
    least, greatest = arm.velocity_bounds(path[1:])
    assert (v <= greatest + 1e-6).all() and (v >= least - 1e-6).all()


def run(limiter, start, targets):
    limiter.reset(start)
    return np.array([start, *(limiter.step(t) for t in targets)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), kind=st.sampled_from(["jumps", "noise", "runaway", "wave"]), fraction=st.floats(0.05, 1.0), model=st.sampled_from(sorted(CELLS))
)
def test_limits_hold_for_any_targets(seed, kind, fraction, model):
    rng = np.random.default_rng(seed)
    arm = load_arm(model)
    cell = dataclasses.replace(
        CELLS[model], arm=dataclasses.replace(CELLS[model].arm, velocity_fraction=fraction, acceleration_fraction=fraction, limit_margin=0.02)
    )
    start = rng.uniform(arm.lower + 0.1, arm.upper - 0.1)
    n = 150
    if kind == "jumps":
        targets = np.repeat(rng.uniform(-6, 6, size=(n // 15, 7)), 15, axis=0)
    elif kind == "noise":
        targets = start + rng.normal(scale=2.0, size=(n, 7))
    elif kind == "runaway":
        targets = start + np.cumsum(rng.uniform(-1, 1, size=7) * np.ones((n, 7)), axis=0)
    else:
        targets = start + np.sin(np.linspace(0, 40, n))[:, None] * rng.uniform(0, 3, size=7)
    check(run(RateLimiter(cell, PERIOD), start, targets), cell)


@pytest.mark.parametrize("arm", [load_arm(name) for name in ARMS], ids=ARMS)
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05, 0.2])
def test_braking_touches_what_the_arm_allows_at_one_distance_and_exceeds_it_at_none(arm, margin):
    for fraction in (0.1, 0.5, 1.0):
        velocity = fraction * arm.velocity
        a = braking(arm, margin, velocity)
        d = np.geomspace(1e-6, 3.0, 20001)[:, None]
        speed = np.minimum(np.sqrt(2 * a * d), velocity)
        for q, bound in (
            (arm.upper - margin - d, arm.velocity_bounds(arm.upper - margin - d)[1]),
            (arm.lower + margin + d, -arm.velocity_bounds(arm.lower + margin + d)[0]),
        ):
            inside = (q > arm.lower) & (q < arm.upper)
            assert (speed <= bound + 1e-9)[inside].all()
        assert (a > 0.0).all()


def test_a_path_that_obeys_the_limits_passes_unchanged():
    t = np.arange(300) * PERIOD
    start = np.array(CELL.arm.home)
    # Amplitude 0.3 rad at 0.5 Hz from rest: at most 0.94 rad/s and 3 rad/s2.
    targets = start + 0.15 * (1.0 - np.cos(np.pi * t))[:, None]
    np.testing.assert_allclose(run(RateLimiter(CELL, PERIOD), start, targets)[1:], targets, atol=1e-12)


def test_a_jump_is_reached_without_overshoot_and_then_kept():
    start = np.array(CELL.arm.home)
    goal = start + np.array([0.5, -0.4, 0.3, 0.4, -0.8, 0.5, 1.0])
    path = run(RateLimiter(CELL, PERIOD), start, np.tile(goal, (180, 1)))
    check(path)
    np.testing.assert_allclose(path[-1], goal, atol=1e-4)
    progress = (path - start) / (goal - start)
    assert progress.max() < 1.0 + 1e-6
    assert (np.diff(progress, axis=0) > -1e-9).all()


def test_a_target_in_motion_is_caught_up_with():
    start = np.array(CELL.arm.home)
    t = np.arange(1, 121) * PERIOD
    targets = start + 0.2 + 0.5 * t[:, None] * np.array([1, 0.5, -1, 0.5, 1, 0.5, -1])
    path = run(RateLimiter(CELL, PERIOD), start, targets)
    check(path)
    np.testing.assert_allclose(path[-1], targets[-1], atol=1e-3)


def test_braking_stops_as_fast_as_the_limits_allow():
    limiter = RateLimiter(CELL, PERIOD)
    start = np.array(CELL.arm.home)
    path = list(run(limiter, start, start + 1.0 * np.arange(1, 31)[:, None] * PERIOD))
    speed = np.abs(limiter.v).max()
    ticks = 0
    while np.abs(limiter.v).max() > 0.0:
        path.append(limiter.brake())
        ticks += 1
    check(np.array(path))
    assert ticks == int(np.ceil(speed / (limiter.acceleration.min() * PERIOD) - 1e-9))


def test_a_joint_outside_its_limits_comes_back_and_never_leaves_further():
    limiter = RateLimiter(CELL, PERIOD)
    start = np.array(CELL.arm.home)
    start[0] = ARM.upper[0] - 0.01
    path = run(limiter, start, np.tile(start + 0.5, (60, 1)))
    assert path[:, 0].max() <= start[0] + SLACK
    path = run(limiter, start, np.tile(CELL.arm.home, (180, 1)))
    np.testing.assert_allclose(path[-1], CELL.arm.home, atol=1e-3)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.array([np.inf] + [0.0] * 6), np.zeros(6)])
def test_a_bad_target_is_refused_and_nothing_moves(bad):
    limiter = RateLimiter(CELL, PERIOD)
    limiter.reset(CELL.arm.home)
    with pytest.raises(InputError, match="finite"):
        limiter.step(bad)
    np.testing.assert_array_equal(limiter.q, CELL.arm.home)
