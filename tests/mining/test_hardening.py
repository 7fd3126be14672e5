"""Hardening: targets that lift a slippery box in the nominal world come to lift it in worlds that hardening never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dextrack.hands import load_hand
from dextrack.mining.audition import Tried
from dextrack.mining.baseline import make_baseline
from dextrack.mining.ensemble import NOMINAL
from dextrack.mining.hardening import Hardening, HardeningConfig
from dextrack.mining.replays import selection, survivals
from dextrack.mining.tuning import TuningConfig
from dextrack.objects import signed_distance
from dextrack.references.reference import Reference
from dextrack.sim import make_rollouts
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices
from tests import synthetic


class Task:
    """A box that slides easily, and targets that lift it where nothing is uncertain."""

    def __init__(self) -> None:
        self.reference = Reference.load(Path(__file__).parent / "box_lift.npz")
        self.obj = dataclasses.replace(synthetic.box(), friction=0.25)
        self.scene, self.hull = build_scene(load_hand("leap_right"), self.reference.base_quaternion_w, self.obj), hull_vertices(self.obj.vertices)
        self.baseline = make_baseline(self.reference, self.scene, 2.0)
        self.targets = np.clip(self.baseline.squeezed(1.5), *self.scene.hand.limits())

    def hardening(self, **settings: float) -> Hardening:
        tried = Tried(0, self.reference, self.baseline, 1.5, 0.0, 1.0)
        made = (self.scene, self.hull, signed_distance(self.obj), HardeningConfig(**settings), TuningConfig())  # type: ignore[arg-type]
        return Hardening(tried, self.targets, *made, seed=3, rollouts=make_rollouts("mujoco", self.scene, 1))

    def survives(self, targets: np.ndarray, *members: object) -> int:
        return sum(survivals(self.scene, self.reference, self.hull, targets, 1, members or selection()))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def task() -> Iterator[Task]:
    yield Task()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_lifts_in_one_world_comes_to_lift_in_others(task: Task) -> None:
    assert task.survives(task.targets, NOMINAL) == 1 and task.survives(task.targets) <= 4
    hardening = task.hardening(budget=120_000)
    told, found = [], task.targets
    for found in hardening.run(told.append):
        assert task.survives(found, NOMINAL) == 1
    assert task.survives(found) >= 12, hardening.told
    assert (np.abs(found - task.targets) > 1e-3).any() and found.shape == task.targets.shape
    lower, upper = task.scene.hand.limits()
    assert (found >= lower).all() and (found <= upper).all()
    assert told == sorted(told) and told[-1] <= 1.0 and hardening.steps > 0 and hardening.physics_seconds > 0


def test_a_budget_of_nothing_hardens_nothing(task: Task) -> None:
    hardening = task.hardening(budget=0)
    assert list(hardening.run()) == [] and hardening.steps == 0


@pytest.mark.slow
def test_it_is_given_up_where_nothing_is_gained(task: Task) -> None:
    """After as many generations as patience says, whatever the budget."""
    hardening = task.hardening(budget=10**9, patience=2, gain=10.0)
    list(hardening.run())
    assert hardening.told["generations"] == 2
