"""Polishing: targets that lift in the nominal world come to lift in worlds that polishing never saw."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.hands import load_hand
from dextrack.hands.motors import FingerMotors
from dextrack.mining import campaign, ledger, mine, workers
from dextrack.mining.again import AgainConfig
from dextrack.mining.audition import AuditionConfig
from dextrack.mining.baseline import make_baseline
from dextrack.mining.engine import MUJOCO
from dextrack.mining.hardening import HardeningConfig
from dextrack.mining.mine import MineConfig
from dextrack.mining.polishing import Polishing, PolishingConfig
from dextrack.mining.raising import RaisingConfig
from dextrack.mining.replays import perturbations, selection, survivals
from dextrack.mining.tuning import TuningConfig
from dextrack.objects import lowest_z, signed_distance
from dextrack.references.reference import Reference
from dextrack.sim import make_rollouts
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices
from tests import synthetic
from tests.mining import pretend

BOX_LIFT = Path(__file__).parent / "box_lift.npz"


class Task:
    """A box, and targets that lift it."""

    def __init__(self, friction: float, squeeze: float) -> None:
        self.reference = Reference.load(BOX_LIFT)
        self.obj = dataclasses.replace(synthetic.box(), friction=friction)
        self.scene, self.hull = build_scene(load_hand("leap_right"), self.reference.base_quaternion_w, self.obj), hull_vertices(self.obj.vertices)
        self.targets = np.clip(make_baseline(self.reference, self.scene, 2.0).squeezed(squeeze), *self.scene.hand.limits())

    def polishing(self, **settings: object) -> Polishing:
        made = (self.reference, self.obj, self.scene, self.hull, signed_distance(self.obj), PolishingConfig(**settings), TuningConfig())  # type: ignore[arg-type]
        return Polishing(*made, force=2.0, seed=3, rollouts=make_rollouts("mujoco", self.scene, 1), threads=1)

    def lower(self, by: float) -> None:
        """Let the hand lag behind, m, as long as the object is less than 9 cm high."""
        height = lowest_z(self.hull, self.reference.object_position_w, self.reference.object_quaternion_w)[1:]
        self.targets[:, 2] -= np.where((height > 0.005) & (height < 0.09), by, 0.0)

    def survived(self, targets: np.ndarray, members: object) -> int:
        return sum(survivals(self.scene, self.reference, self.hull, targets, 1, members))  # type: ignore[arg-type]


def test_what_hangs_too_low_is_raised_and_nothing_else_is_done() -> None:
    """The box is held all the way, and 3 cm too low until it is high up: the verdict calls that no lift, and a hand that goes up by as much is all it takes."""
    task = Task(1.0, 4.0)
    task.lower(0.03)
    before = task.survived(task.targets, perturbations())
    polishing = task.polishing(raising=RaisingConfig(after=10))  # the box is up soon after it first moves
    best = polishing.run(task.targets, 0)
    assert before < 7 <= task.survived(best.targets, perturbations())
    assert {a["by"] for a in polishing.attempts} == {"raising"} and best.held >= 0.9 and best.parts == 4
    assert (best.targets[:, np.arange(22) != 2] == task.targets[:, np.arange(22) != 2]).all()
    # Each survey is one nominal replay and one of each world.
    assert polishing.spent.steps == (1 + len(polishing.attempts)) * 25 * task.reference.n_steps


def test_what_is_good_is_left_as_it_is() -> None:
    task = Task(1.0, 4.0)
    polishing = task.polishing()
    best = polishing.run(task.targets, 0)
    assert best.targets is task.targets and polishing.attempts == []


def test_what_is_hopeless_is_not_hardened() -> None:
    task = Task(0.25, 1.5)
    polishing = task.polishing(hopeless=1.0)
    polishing.run(task.targets, 0)
    assert all(a["by"] == "raising" for a in polishing.attempts)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_slips_is_hardened() -> None:
    """A box that slides easily: raising does not help, and a firmer grasp does, in worlds of neither kind that polishing looked at."""
    task, told = Task(0.25, 1.5), []
    before = task.survived(task.targets, selection())
    polishing = task.polishing(hopeless=0.0, rounds=1, hardening=HardeningConfig(budget=160_000))
    best = polishing.run(task.targets, 0, told.append)
    assert task.survived(best.targets, selection()) >= before + 6
    by = [a["by"] for a in polishing.attempts]
    assert "polishing" in by and told == sorted(told) and told[-1] <= 1.0
    lower, upper = task.scene.hand.limits()
    assert (best.targets >= lower).all() and (best.targets <= upper).all()


def test_targets_that_diverge_cost_only_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already is kept where the replay of raised targets leaves the range of finite numbers."""
    task = Task(1.0, 4.0)
    task.lower(0.03)
    own, asked = Polishing._survey, []

    def survey(self: Polishing, targets: np.ndarray) -> object:
        asked.append(targets)
        if len(asked) > 1:
            raise SimulationError("replay: not finite.", remedy="")
        return own(self, targets)

    monkeypatch.setattr(Polishing, "_survey", survey)
    best = task.polishing(hopeless=1.0).run(task.targets, 0)
    assert len(asked) == 2 and best.targets is task.targets


BARE = MineConfig(
    audition=AuditionConfig(grasps=1, squeezes=(1.5,)), tuning=TuningConfig(budget=0), hardening=HardeningConfig(budget=0),
    polishing=PolishingConfig(rounds=0), again=AgainConfig(tries=1), surviving=0.0, threads=1,
)  # fmt: skip
"""Mining that is content with a grasp which slips elsewhere."""
POLISHED = dataclasses.replace(BARE, polishing=PolishingConfig(rounds=1, hopeless=0.0, hardening=HardeningConfig(budget=40_000)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_mined_without_is_polished_to_the_same(tmp_path: Path) -> None:
    """Mined without, stored, read and polished is mined with: bit by bit, and at the same cost."""
    obj = dataclasses.replace(synthetic.box(), friction=0.25)
    reference = synthetic.made_with(Reference.load(BOX_LIFT), obj)
    bare, path = mine.mine(reference, obj, BARE), tmp_path / "d.h5"
    assert "polishing" not in bare.provenance and bare.verdict["lifts_and_holds"]
    store.save(path, bare)
    later, at_once = mine.go_on(store.load(path, store.name_of(bare)), obj, POLISHED), mine.mine(reference, obj, POLISHED)
    assert later.provenance["polishing"]["attempts"]
    assert (later.targets == at_once.targets).all() and later.verdict == at_once.verdict
    assert later.provenance["control_steps"] == at_once.provenance["control_steps"] > bare.provenance["control_steps"]
    assert later.provenance["config"] == at_once.provenance["config"]
    store.require_storable(later)
    assert (mine.go_on(later, obj, POLISHED).targets == later.targets).all()  # there is nothing left to do
    motors = FingerMotors(3.4, 0.21, (0.2,) * 16)
    with pytest.raises(InputError, match="other motors"):
        mine.go_on(bare, obj, POLISHED, motors=motors)
    # What was mined with them, and read from a store, is polished with them.
    store.save(path, dataclasses.replace(bare, provenance={**bare.provenance, "motors": dataclasses.asdict(motors)}), replace=True)
    mine.go_on(store.load(path, store.name_of(bare)), obj, dataclasses.replace(POLISHED, polishing=PolishingConfig(rounds=1, hopeless=1.0)), motors=motors)


def test_a_store_of_a_version_without_polishing_is_only_polished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored from the same inputs but for polishing goes on from there; what is not, or where all is mined anew, does not."""
    reference, path, asked = Reference.load(BOX_LIFT), tmp_path / "d.h5", []

    def pretended(by: str, *arguments: object) -> Demonstration:
        asked.append(by)
        n = len(reference.hand)
        states = (reference.hand, np.zeros((n, 22)), reference.object_position_w, reference.object_quaternion_w)
        return Demonstration(reference, reference.hand[1:], *states, {}, {}, {"by": by})

    monkeypatch.setattr(mine, "mine", lambda *a: pretended("mine", *a))
    monkeypatch.setattr(mine, "go_on", lambda *a: pretended("go on", *a))

    def made(config: MineConfig, seed: int = 0, out: Path | None = path) -> Demonstration:
        return campaign.made(reference, synthetic.box(), out, config, seed, lambda *a: None)

    bare = made(BARE)
    store.save(path, bare)
    polished = made(POLISHED)
    assert asked == ["mine", "go on"] and polished.provenance["went_on_from"] == bare.provenance["inputs"] != polished.provenance["inputs"]
    made(POLISHED, seed=1)
    made(POLISHED, out=None)
    made(dataclasses.replace(POLISHED, grasps=1))
    assert asked[2:] == ["mine"] * 3
    store.save(path, polished, replace=True)
    made(dataclasses.replace(POLISHED, polishing=PolishingConfig(rounds=2)))
    assert asked[5:] == ["mine"]
    again = made(dataclasses.replace(POLISHED, again=AgainConfig(tries=2)))
    assert asked[6:] == ["go on"] and again.provenance["went_on_from"] == polished.provenance["inputs"]


def test_what_was_only_polished_has_cost_what_mining_it_had(tmp_path: Path) -> None:
    wanted = pretend.wanted(tmp_path / "d.h5", pretend.references(tmp_path, ("a",)))
    task, reference = wanted.tasks[0], Reference.load(wanted.tasks[0].path)
    n = len(reference.hand)
    states = (reference.hand, np.zeros((n, 22)), reference.object_position_w, reference.object_quaternion_w)
    found = Demonstration(reference, reference.hand[1:], *states, {}, {}, {"control_steps": 900, "went_on_from": "before"})
    ended = workers.Ended(0, workers.Job(task.key, print, ()), workers.DONE, seconds=2.0, cpu_seconds=1.5, peak_rss_mb=300.0)
    before = ledger.Row(task.key, ledger.MINED, "before", seconds=10.0, cpu_seconds=9.0, peak_rss_mb=400.0, control_steps=700)
    row = campaign._mined(wanted, task, found, ended, before)
    assert (row.seconds, row.cpu_seconds, row.peak_rss_mb, row.control_steps) == (12.0, 10.5, 400.0, 900)
    for other in (None, dataclasses.replace(before, inputs="others")):
        row = campaign._mined(wanted, task, found, ended, other)
        assert (row.seconds, row.cpu_seconds, row.peak_rss_mb) == (2.0, 1.5, 300.0)
    assert campaign.inputs("0" * 64, POLISHED, 0, MUJOCO) != campaign.inputs("0" * 64, BARE, 0, MUJOCO)


@pytest.mark.parametrize("settings", [{"rounds": -1}, {"worlds": 0}, {"enough": 1.5}, {"hopeless": -0.1}, {"hold": -1.0}, {"away": 0.0}])
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        PolishingConfig(**settings)  # type: ignore[arg-type]
