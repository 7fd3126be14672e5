"""Trying again: when it is done, what is kept, and what it has cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.mining.again import SEEDS, AgainConfig, best_of, outcome
from dextrack.mining.audition import AuditionConfig
from dextrack.mining.hardening import HardeningConfig
from dextrack.mining.mine import MineConfig, go_on, mine
from dextrack.mining.polishing import PolishingConfig
from dextrack.mining.sampling import SamplingConfig
from dextrack.mining.tuning import TuningConfig
from dextrack.references.reference import Reference
from tests import synthetic

BOX_LIFT = Path(__file__).parent / "box_lift.npz"


def found(lifted: bool, held: float, steps: int = 100, passed: bool = False) -> Demonstration:
    """What a try may give: ``held`` of polishing's worlds, and a verdict that says what it likes."""
    reference = Reference.load(BOX_LIFT)
    n = len(reference.hand)
    states = (reference.hand, np.zeros((n, 22)), reference.object_position_w, reference.object_quaternion_w)
    said = {"lifted": "passed" if lifted else "failed", "held": "passed", "clean": "not applicable", "robust": "passed" if passed else "failed"}
    verdict = {"passed": passed, **{part: {"state": state} for part, state in said.items()}}
    cost = {"control_steps": steps, "physics_seconds": 1.0, "seconds": 2.0}
    polished = {"polishing": {"held": held}} if lifted else {}
    provenance: dict[str, Any] = {**cost, **polished, "selection": {"survived": 2, "replays": 16}, "seed": -1}
    return Demonstration(reference, reference.hand[1:], *states, {"success_20": True}, verdict, provenance)


def tried(ways: list[Demonstration | SimulationError], **settings: Any) -> tuple[Demonstration, list[int]]:
    """The best of ``ways``, and the seeds that were asked for."""
    asked: list[int] = []

    def attempt(seed: int) -> Demonstration:
        asked.append(seed)
        one = ways[len(asked) - 1]
        if isinstance(one, SimulationError):
            raise one
        return one

    return best_of(attempt, AgainConfig(**{"tries": 2, **settings}), 7), asked


def test_what_is_firm_is_left() -> None:
    best, asked = tried([found(True, 0.9)])
    assert asked == [7] and best.provenance["try"] == 0 and len(best.provenance["tries"]) == 1


def test_what_is_not_is_tried_again_and_the_better_is_kept_with_the_cost_of_both() -> None:
    for first, second, kept in ((0.5, 0.7, 1), (0.5, 0.4, 0), (0.5, 0.5, 0)):
        best, asked = tried([found(True, first), found(True, second, steps=50)])
        p = best.provenance
        assert asked == [7, 7 + SEEDS] and p["try"] == kept and p["polishing"]["held"] == (first, second)[kept]
        assert (p["control_steps"], p["physics_seconds"], p["seconds"], p["seed"]) == (150, 2.0, 4.0, 7)
        assert [t["held"] for t in p["tries"]] == [first, second] and [t["control_steps"] for t in p["tries"]] == [100, 50]
    best, _ = tried([found(False, 0.0), found(True, 0.1)])
    assert best.provenance["try"] == 1, "what lifts is better than what does not, however brittle"


def test_the_worlds_that_judge_are_not_asked() -> None:
    best, asked = tried([found(True, 0.5, passed=True), found(True, 0.6)])
    assert len(asked) == 2 and not best.verdict["passed"]


def test_what_cost_much_to_fail_at_is_left() -> None:
    _, asked = tried([found(False, 0.0, steps=2_000_000)])
    assert asked == [7]
    _, asked = tried([found(False, 0.0)] * 5, tries=5, budget=250)
    assert len(asked) == 3
    _, asked = tried([found(False, 0.0)], tries=1)
    assert asked == [7]


def test_a_try_that_diverges_costs_only_itself() -> None:
    error = SimulationError("not finite.", remedy="")
    best, asked = tried([error, found(True, 0.2)])
    assert len(asked) == 2 and best.provenance["try"] == 1 and "not finite" in best.provenance["tries"][0]["diverged"]
    with pytest.raises(SimulationError, match="not finite"):
        tried([error, error])


def test_what_was_not_polished_is_ranked_by_the_worlds_of_choice() -> None:
    assert outcome(found(False, 0.0)).held == 2 / 16


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_mined_in_one_try_goes_on_to_the_same(tmp_path: Path) -> None:
    """Mined once, stored, read and gone on from is mined in two tries: bit by bit, and at the same cost."""
    obj = dataclasses.replace(synthetic.box(), friction=0.25)
    reference = synthetic.made_with(Reference.load(BOX_LIFT), obj)
    once = MineConfig(
        audition=AuditionConfig(grasps=2, squeezes=(1.5,)), tuning=TuningConfig(budget=0), hardening=HardeningConfig(budget=0), grasps=1,
        sampling=SamplingConfig(samples=4, iterations=1), polishing=PolishingConfig(rounds=1, hopeless=1.0), again=AgainConfig(tries=1), threads=1,
    )  # fmt: skip
    twice = dataclasses.replace(once, again=AgainConfig(tries=2, enough=1.0))
    first, path = mine(reference, obj, once), tmp_path / "d.h5"
    store.save(path, first)
    later, at_once = go_on(store.load(path, store.name_of(first)), obj, twice), mine(reference, obj, twice)
    assert len(later.provenance["tries"]) == 2 and (later.targets == at_once.targets).all() and later.verdict == at_once.verdict
    assert later.provenance["control_steps"] == at_once.provenance["control_steps"] > first.provenance["control_steps"]
    assert later.provenance["config"] == at_once.provenance["config"]
    store.require_storable(later)
    with pytest.raises(InputError, match="several tries"):
        go_on(later, obj, twice)


@pytest.mark.parametrize("settings", [{"tries": 0}, {"enough": 1.5}, {"budget": -1}])
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        AgainConfig(**settings)  # type: ignore[arg-type]
