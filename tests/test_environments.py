"""Every hand in every environment on every backend: it builds, steps under a zero and a random agent, and stays finite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from dextrack.hands import HandSpec, hand_names, load_hand
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim import backend_names
from dextrack.tracking.env import TrackingEnv, environment_names, make_environment
from dextrack.tracking.task import TrackingTask
from tests.served import Server

WORLDS, FRAMES, STEPS = 3, 25, 60
TOUCH = 8
"""Frames before the hand meets the cube."""


def make_task(hand: HandSpec) -> TrackingTask:
    """The hand comes down on a cube on the table and rises again, turning: contacts, limits and every joint in motion."""
    box = trimesh.creation.box([0.05] * 3)
    v, f = np.asarray(box.vertices), np.asarray(box.faces, dtype=np.int32)
    phase = np.linspace(0.0, 2 * np.pi, FRAMES)[:, None]
    fingers = np.array(hand.rest) + 0.5 * (1 - np.cos(phase)) * (np.array(hand.upper) - np.array(hand.rest))
    wrist = np.concatenate([0.0 * phase, 0.0 * phase, 0.12 + 0.05 * np.cos(phase), 0.3 * np.sin(phase), 0.0 * phase, 0.5 * np.sin(phase)], axis=1)
    upright, theta = np.array([1.0, 0.0, 0.0, 0.0]), np.concatenate([wrist, fingers], axis=1)
    position, keypoints = np.tile([0.0, 0.0, 0.025], (FRAMES, 1)), np.zeros((FRAMES, 21, 3))
    reference = Reference("dip", hand.name, "cube", hand.joint_names, upright, theta, position, np.tile(upright, (FRAMES, 1)), keypoints)
    return TrackingTask(reference, ObjectSpec("cube", v, f, ((v, f),), mass=0.06))


def run(env: TrackingEnv, agent: str) -> list[float]:
    """Step through more than one episode; rewards of world 0."""
    generator = torch.Generator().manual_seed(0)
    o = env.reset()
    assert o.shape == (WORLDS, env.observation_size) and torch.isfinite(o).all()
    rewards, ends = [], 0
    for _ in range(STEPS):
        actions = torch.zeros(WORLDS, env.action_size)
        if agent == "random":
            actions = 2 * torch.rand(WORLDS, env.action_size, generator=generator) - 1
        o, reward, done, info = env.step(actions)
        assert torch.isfinite(o).all() and torch.isfinite(reward).all() and o.abs().max() < 1e4
        assert reward.shape == done.shape == info.time_outs.shape == (WORLDS,)
        rewards.append(float(reward[0]))
        ends += int(done[0])
    assert ends == STEPS // (FRAMES - 1) and env.bad_count == 0
    return rewards


@pytest.fixture
def options(backend: str) -> Iterator[dict[str, object]]:
    """What a backend needs beside its name, on this machine: the remote one a server, Isaac Gym its stand-in in a process of its own."""
    if backend == "remote":
        server = Server("--backend", "mujoco", "--option", "n_threads=1")
        yield {"address": server.endpoint}
        server.end()
    else:
        yield {"n_threads": 1} if backend == "mujoco" else {}


def cases() -> list[Any]:
    """Every hand, backend and environment. Isaac Gym needs a process that imports it before torch: its cases are in tests/sim."""
    slow = {"mujoco_warp": (pytest.mark.slow, pytest.mark.timeout(600))}
    product = itertools.product(hand_names(), (name for name in backend_names() if name != "isaacgym"), environment_names())
    return [pytest.param(hand, backend, environment, marks=slow.get(backend, ())) for hand, backend, environment in product]


@pytest.mark.parametrize(("hand", "backend", "environment"), cases())
def test_it_builds_steps_and_stays_finite(hand, backend, environment, options):
    spec = load_hand(hand)
    env = make_environment(environment, make_task(spec), spec, backend=backend, n_worlds=WORLDS, **options)
    try:
        zero, random = run(env, "zero"), run(env, "random")
        # The second episode of an agent that does nothing is its first again, and until the hand meets the cube, doing nothing is tracking.
        np.testing.assert_allclose(zero[: FRAMES - 1], zero[FRAMES - 1 : 2 * (FRAMES - 1)], atol=1e-5)
        assert np.mean(zero[:TOUCH]) > np.mean(random[:TOUCH])
    finally:
        env.backend.close()
