"""Mining a hand-made recording, and the parts that mining is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.hands import load_hand
from dextrack.hands.motors import FingerMotors
from dextrack.mining.again import AgainConfig
from dextrack.mining.audition import AuditionConfig, Auditions, Tried
from dextrack.mining.baseline import make_baseline
from dextrack.mining.campaign import inputs
from dextrack.mining.demonstrating import demonstrate
from dextrack.mining.ensemble import MEMBERS, NOMINAL, Ensemble, Member
from dextrack.mining.hardening import HardeningConfig
from dextrack.mining.mine import MineConfig, mine
from dextrack.mining.polishing import PolishingConfig
from dextrack.mining.replays import perturbations, replay, selection
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.mining.tuning import TuningConfig
from dextrack.objects import signed_distance
from dextrack.references.reference import Reference
from dextrack.references.retarget import RetargetConfig, retarget
from dextrack.sim.scene import build_scene
from tests import synthetic

UNHEARD = AuditionConfig(grasps=1, squeezes=(0.0,))
"""Auditions that nothing passes, ..."""
UNTUNED = TuningConfig(budget=0)
"""... and no tuning, so that mining has to search, ..."""
ONCE = AgainConfig(tries=1)
"""... and does it once."""
SMALL = SamplingConfig(samples=16, iterations=2, horizon=24)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return retarget(synthetic.recording(), synthetic.box(), load_hand("leap_right"), RetargetConfig(iterations=150))


@pytest.mark.slow
def test_mining_lifts_and_holds(reference: Reference) -> None:
    obj = synthetic.box()
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
    found = mine(reference, obj, MineConfig(sampling=SMALL, audition=UNHEARD, tuning=UNTUNED, again=ONCE))
    assert found.verdict["lifted"]["state"] == "passed" and found.verdict["held"]["state"] == "passed"
    assert found.metrics["t_err_m"] < 0.03
    # The stored states are what the stored targets lead to.
    again = replay(scene, reference, found.targets)
    assert (again.hand == found.hand).all() and (again.object_position_w == found.object_position_w).all()


def test_ensemble_agrees_with_a_plain_loop(reference: Reference) -> None:
    """The nominal member of the batch and one MjData in a Python loop see the same physics."""
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    ensemble = Ensemble(scene, reference, (NOMINAL, Member(mass_scale=1.2)), 2, 1)
    qpos, _ = ensemble.advance(reference.hand[1:41])
    plain = replay(scene, reference, reference.hand[1:41])
    assert np.abs(qpos[0][:, scene.hand_qpos] - plain.hand[1:]).max() < 1e-12


def test_rollouts_do_not_advance_the_members(reference: Reference) -> None:
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    ensemble = Ensemble(scene, reference, (NOMINAL,), 3, 1)
    before = ensemble.qpos()
    targets = np.repeat(reference.hand[None, 1:13], 3, axis=0)
    rolled, tips = ensemble.rollout(targets)
    assert (ensemble.qpos() == before).all()
    live, live_tips = ensemble.advance(reference.hand[1:13])
    assert (rolled[0, 0] == live[0]).all() and (tips[0, 1] == live_tips[0]).all()


def test_members_have_the_physics_they_say(reference: Reference) -> None:
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box(mass=0.1))
    member = Member(friction_scale=0.5, mass_scale=2.0, offset=(0.01, -0.02), yaw=0.1)
    ensemble = Ensemble(scene, reference, (member,), 1, 1)
    model = ensemble._live.batch.get_model(0)
    assert model.body("object").mass[0] == pytest.approx(0.2)
    assert model.geom("object_0").friction[0] == pytest.approx(0.5)
    k = scene.object_qpos
    assert ensemble.qpos()[0, k : k + 2] == pytest.approx(reference.object_position_w[0, :2] + [0.01, -0.02])


def test_perturbations_are_fixed_and_within_their_ranges() -> None:
    drawn = perturbations()
    assert drawn == perturbations() and len(drawn) == 8
    assert all(0.8 <= m.friction_scale <= 1.2 and 0.8 <= m.mass_scale <= 1.2 for m in drawn)
    assert 0.002 < np.std([m.offset for m in drawn]) < 0.009
    chosen = selection()
    assert chosen == selection() and len(chosen) == 16
    assert all(0.8 <= m.friction_scale <= 1.0 <= m.mass_scale <= 1.2 for m in chosen)


def test_the_wrong_object_is_refused(reference: Reference) -> None:
    other = dataclasses.replace(synthetic.box(), mass=0.2)
    with pytest.raises(InputError, match="digest"):
        mine(reference, other, MineConfig(sampling=SMALL))


def test_the_last_steps_leave_no_knot_to_sample(reference: Reference) -> None:
    """Near the end every wrist knot already acts on an executed step; targets stay finite all the same."""
    obj, hand = synthetic.box(), load_hand("leap_right")
    scene = build_scene(hand, reference.base_quaternion_w, obj)
    config = dataclasses.replace(SMALL, samples=4, iterations=1, horizon=6, knot=6)
    short = dataclasses.replace(
        reference,
        **{k: getattr(reference, k)[90:] for k in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")},
        diagnosis={**reference.diagnosis, "onset": 0, "release": len(reference.hand) - 91},
    )
    tracker = SamplingTracker(short, scene, make_baseline(short, scene, 2.0), signed_distance(obj), config, 0, 1)
    assert np.isfinite(tracker.solve()).all()


def _tracker(reference: Reference, config: SamplingConfig) -> SamplingTracker:
    obj = synthetic.box()
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
    return SamplingTracker(reference, scene, make_baseline(reference, scene, 2.0), signed_distance(obj), config, 0, 1)


def test_what_tracks_well_is_not_searched(reference: Reference) -> None:
    """With a tolerance that everything meets, each stage costs one rollout of one sequence, and nothing is changed."""
    config = dataclasses.replace(SMALL, good=10.0, good_turn=10.0, lost=10.0, retries=0)
    tracker = _tracker(reference, config)
    tracker.solve()
    assert not tracker.knots.wrist.any()
    assert tracker.ensemble.steps <= reference.n_steps * (1 + config.horizon // config.knot)


def test_a_lost_object_ends_the_search(reference: Reference) -> None:
    """The plain baseline leaves the box on the table: once it is as far behind as allowed, nothing more is simulated."""
    config = dataclasses.replace(SMALL, samples=2, iterations=1, lost=0.03, scale_squeeze=0.0, squeeze_first=0.0, retries=0)
    tracker = _tracker(reference, config)
    targets = tracker.solve()
    assert tracker.lost and targets.shape == (reference.n_steps, 22) and np.isfinite(targets).all()


def test_going_back_is_exact(reference: Reference) -> None:
    """From a state that was put back, the same targets lead to the same states, to the last bit."""
    ensemble = _tracker(reference, dataclasses.replace(SMALL, members=MEMBERS[:2])).ensemble
    targets = reference.hand[1:13]
    ensemble.advance(targets[:6])
    state = ensemble.state()
    once, _ = ensemble.advance(targets[6:])
    assert not (ensemble.state() == state).all()
    ensemble.set_state(state)
    again, _ = ensemble.advance(targets[6:])
    assert (once == again).all()


@pytest.mark.parametrize(("retries", "each"), [(0, 3), (5, 1), (5, 3)])
def test_a_solution_that_loses_its_way_goes_back(reference: Reference, retries: int, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing counts as on course it goes back as often as allowed, each time farther at one place, and goes on from what came farthest."""
    config = dataclasses.replace(SMALL, samples=2, iterations=1, astray=1e-9, lost=10.0, lost_turn=4.0, retries=retries, retries_each=each)
    tracker = _tracker(reference, config)
    stages: list[int] = []
    monkeypatch.setattr(tracker, "_improve", lambda first, last, samples: stages.append(first))
    assert np.isfinite(tracker.solve()).all() and not tracker.lost
    back = [b - a for a, b in zip(stages, stages[1:], strict=False) if b <= a]
    assert len(back) == min(retries, each)
    assert back == sorted(back, reverse=True) and stages[-1] >= reference.n_steps - config.knot
    assert set(stages) == set(range(stages[0], reference.n_steps, config.knot))


def test_the_cost_of_all_attempts_is_told(reference: Reference) -> None:
    """A budget of one step allows the first search and no other; what was spent on auditions counts too."""
    sampling = dataclasses.replace(SMALL, samples=2, iterations=1)
    unpolished = PolishingConfig(rounds=0)
    config = MineConfig(sampling=sampling, audition=UNHEARD, tuning=UNTUNED, polishing=unpolished, again=ONCE, budget=1, threads=1)
    found = mine(reference, synthetic.box(), config)
    attempts = found.provenance["attempts"]
    assert len(attempts) == 1 and attempts[0]["by"] == "search" and found.provenance["attempt"] == 0
    heard = found.provenance["control_steps"] - found.provenance["judging"]["steps"] - attempts[0]["control_steps"]
    assert 0 < heard <= len(MEMBERS) * reference.n_steps  # less where the object is dropped
    assert 0.0 < found.provenance["physics_seconds"] < found.provenance["seconds"]


def test_a_demonstration_keeps_the_motors_that_it_was_mined_with(reference: Reference) -> None:
    hand, obj = load_hand("leap_right"), synthetic.box()
    motors = FingerMotors(3.4, 0.21, tuple(0.2 + 0.001 * i for i in range(16)))
    sampling = dataclasses.replace(SMALL, samples=2, iterations=1)
    found = mine(reference, obj, MineConfig(sampling=sampling, audition=UNHEARD, tuning=UNTUNED, again=ONCE, budget=1, threads=1), motors=motors)
    assert found.hand_spec == motors.on(hand) != hand
    # Its states are those of these motors, and of no others.
    theirs, own = (replay(build_scene(h, reference.base_quaternion_w, obj), reference, found.targets).hand for h in (found.hand_spec, hand))
    assert (theirs == found.hand).all() and np.abs(own - found.hand).max() > 1e-3
    with pytest.raises(InputError, match="its motors are damaged"):
        dataclasses.replace(found, provenance={"motors": {"kp": 1.0}}).hand_spec  # noqa: B018
    config, digest = MineConfig(threads=1), "0" * 64
    assert inputs(digest, config, 0, motors=motors) != inputs(digest, config, 0) == inputs(digest, config, 0, motors=None)


def test_a_grasp_that_does_it_alone_is_not_searched(reference: Reference) -> None:
    told: list[tuple[int, float, float]] = []
    obj = dataclasses.replace(synthetic.box(), friction=1.5)
    reference = synthetic.made_with(reference, obj)
    found = mine(reference, obj, MineConfig(threads=1), 0, lambda *a: told.append(a))
    p = found.provenance
    assert found.verdict["passed"] and [a["by"] for a in p["attempts"]] == ["replay"]
    number = p["attempts"][0]["grasp"]
    assert dict(p["auditions"]["whole"])[number] == pytest.approx(1.0, abs=0.05)
    assert all(attempt == 0 and np.isnan(error) for attempt, _, error in told)
    again = mine(reference, obj, MineConfig(threads=2))
    assert (again.targets == found.targets).all()


def _three_grasps(reference: Reference, alone: float) -> Callable[[Auditions, object], Iterator[Tried]]:
    """What takes the place of ``Auditions.run``: three grasps, of which the last carries the object ``alone`` of the way."""

    def run(self: Auditions, progress: object) -> Iterator[Tried]:
        own = Auditions._to_the_end(self, 0, reference)
        for number, carried, nominal in ((0, 0.4, 0.4), (1, 0.8, 0.3), (2, 0.6, alone)):
            yield dataclasses.replace(own, number=number, carried=carried, nominal=nominal)

    return run


@pytest.mark.parametrize(
    ("alone", "budget", "hardened", "expected"),
    [
        (1.0, 10**9, 1, [(2, "replay"), (2, "hardening"), (1, "search"), (1, "hardening")]),
        (0.9, 10**9, 1, [(1, "search"), (1, "hardening"), (2, "search"), (2, "hardening")]),
        (0.9, 1, 1, [(1, "search"), (1, "hardening")]),
        (0.9, 1, 0, [(1, "search")]),
    ],
)
def test_grasps_that_lift_are_hardened_and_others_are_searched(
    alone: float, budget: int, hardened: int, expected: list[tuple[int, str]], reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three that were tried to the end, one whose replay lifted comes first and is only hardened; then the one that carried farther.

    After what spent the budget no search begins.
    """
    sampling = dataclasses.replace(SMALL, samples=2, iterations=1)

    def judged(*arguments: object, **more: object) -> Demonstration:
        found = demonstrate(*arguments, **more)  # type: ignore[arg-type]
        return dataclasses.replace(found, verdict={**found.verdict, "passed": False, "lifts_and_holds": True})

    monkeypatch.setattr(Auditions, "run", _three_grasps(reference, alone))
    monkeypatch.setattr("dextrack.mining.mine.demonstrate", judged)
    config = MineConfig(sampling=sampling, tuning=UNTUNED, hardening=HardeningConfig(budget=hardened), again=ONCE, threads=1, budget=budget)
    found = mine(reference, synthetic.box(), config)
    assert [(a["grasp"], a["by"]) for a in found.provenance["attempts"]] == expected
    store.require_storable(found)


@pytest.mark.parametrize(("diverging", "message"), [(1, ""), (2, "the replays of all 2 attempts left the range")])
def test_an_attempt_that_diverges_costs_only_itself(diverging: int, message: str, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two searches the first ``diverging`` cannot be replayed: what the other found is kept, and without one mining ends."""
    sampling, left = dataclasses.replace(SMALL, samples=2, iterations=1), [SimulationError("replay: not finite.", remedy="")] * diverging

    def judged(*arguments: object, **more: object) -> Demonstration:
        if left:
            raise left.pop()
        return demonstrate(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Auditions, "run", _three_grasps(reference, 0.5))
    monkeypatch.setattr("dextrack.mining.mine.demonstrate", judged)
    config = MineConfig(sampling=sampling, tuning=UNTUNED, hardening=HardeningConfig(budget=0), again=ONCE, threads=1, budget=10**9)
    if message:
        with pytest.raises(SimulationError, match=message):
            mine(reference, synthetic.box(), config)
        return
    first, second = mine(reference, synthetic.box(), config).provenance["attempts"]
    assert first["diverged"].startswith("replay: not finite.") and not first["lifts_and_holds"] and "diverged" not in second


def test_the_worlds_that_choose_are_not_those_that_judge(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is chosen is judged once more, in the worlds of verdicts; what it survived when it was chosen is told beside that."""
    asked: list[object] = []

    def judged(*arguments: object, **more: object) -> Demonstration:
        asked.append(arguments[7] if len(arguments) > 7 else None)
        return demonstrate(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("dextrack.mining.mine.demonstrate", judged)
    obj = dataclasses.replace(synthetic.box(), friction=1.5)
    reference = synthetic.made_with(reference, obj)
    found = mine(reference, obj, MineConfig(threads=1))
    chosen = selection()
    assert not set(chosen) & set(perturbations()) and len(chosen) == 16
    assert asked == [chosen] * (len(asked) - 1) + [None]
    assert found.verdict["robust"]["numbers"]["replays"] == 8
    assert found.provenance["selection"]["replays"] == 16 and found.provenance["selection"]["survived"] >= 15
    # Judging is simulated too, and counts: a nominal replay and the worlds of either kind.
    judging = found.provenance["judging"]
    assert judging["steps"] == reference.n_steps * (17 * (len(asked) - 1) + 9)
    assert 0.0 < judging["physics_seconds"] < found.provenance["physics_seconds"] < found.provenance["seconds"]
    assert found.provenance["control_steps"] > judging["steps"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: SamplingConfig(samples=1), "samples"),
        (lambda: SamplingConfig(knot=-1), "knot"),
        (lambda: SamplingConfig(temperature=0.0), "temperature"),
        (lambda: SamplingConfig(force=float("nan")), "force"),
        (lambda: MineConfig(threads=-1), "threads"),
        (lambda: MineConfig(grasps=0), "grasps"),
        (lambda: MineConfig(surviving=1.5), "surviving"),
        (lambda: HardeningConfig(spread=0.0), "spread"),
        (lambda: HardeningConfig(budget=-1), "budget"),
        (lambda: SamplingConfig(astray=0.0), "astray"),
        (lambda: SamplingConfig(retries=-1), "retries"),
        (lambda: SamplingConfig(farther=float("nan")), "farther"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(make: Callable[[], object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        make()


def test_a_negative_seed_and_other_joints_are_refused(reference: Reference) -> None:
    with pytest.raises(InputError, match="seed"):
        mine(reference, synthetic.box(), MineConfig(sampling=SMALL), seed=-1)
    with pytest.raises(InputError, match="joint_names"):
        mine(dataclasses.replace(reference, joint_names=reference.joint_names[::-1]), synthetic.box(), MineConfig(sampling=SMALL))
