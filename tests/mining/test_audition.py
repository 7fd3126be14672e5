"""Auditions: a firm grasp is told from a slippery one, quick looks come before long ones, and what is asked to be reproducible is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.mining import audition
from dextrack.mining.audition import AuditionConfig, Auditions, Tried
from dextrack.mining.ensemble import MEMBERS, NOMINAL
from dextrack.mining.grasps import other_grasp
from dextrack.mining.replays import replay
from dextrack.objects import ObjectSpec
from dextrack.references.contacts import ContactConfig
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.tracking.verdict import hull_vertices
from tests import synthetic


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(Path(__file__).parent / "box_lift.npz")


def auditions(reference: Reference, obj: ObjectSpec, **settings: object) -> Auditions:
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
    return Auditions(reference, obj, scene, hull_vertices(obj.vertices), AuditionConfig(**settings), 2.0, 0, 1)  # type: ignore[arg-type]


def test_a_grasp_that_carries_is_told_from_one_that_does_not(reference: Reference) -> None:
    """What is said of the nominal world is what a plain replay shows there."""
    for friction in (1.5, 0.05):
        obj = dataclasses.replace(synthetic.box(), friction=friction)
        heard = auditions(reference, obj)
        own = next(heard.run())
        assert own.number == 0 and own.guide is reference
        assert own.carried == pytest.approx(1.0) if friction > 1.0 else own.carried < 0.5
        scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
        reached = replay(scene, reference, np.clip(own.baseline.squeezed(own.squeeze), *scene.hand.limits()))
        away = np.linalg.norm(reached.object_position_w - reference.object_position_w, axis=1)
        assert (away.max() < 0.04) == (own.nominal == 1.0)
        # Four worlds go to the first contact once for all squeezes; an object that was dropped is not simulated on.
        alike = int(np.flatnonzero(own.baseline.weights[1:].max(axis=1) > 0.0)[0])
        whole = 4 * (alike + 4 * (reference.n_steps - alike))
        assert (heard.steps == whole if friction > 1.0 else heard.steps < whole) and heard.physics_seconds > 0.0


def test_only_what_is_worthy_is_tried_to_the_end_and_the_best_in_any_case(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """With shares that are given: 1 and 3 are worthy, of the others the best one is wanted too, and no more than two of the worthy."""
    shares = {1: 0.95, 2: 0.3, 3: 0.91, 4: 0.93, 5: 0.5}
    asked: list[tuple[int, int | None]] = []

    def grasp(reference: Reference, obj: ObjectSpec, number: int, seed: int, last: int | None = None, unlike: object = ()) -> Reference | None:
        asked.append((number, last))
        return dataclasses.replace(reference, name=f"grasp{number}") if number in shares else None

    def carried(self: Auditions, guide: Reference, baseline: object) -> tuple[float, float, float]:
        share = shares.get(int(guide.name[5:]) if guide.name.startswith("grasp") else 0, 0.1)
        return 1.5, share, share

    monkeypatch.setattr(audition, "other_grasp", grasp)
    monkeypatch.setattr(Auditions, "_carried", carried)
    heard = auditions(reference, synthetic.box(), grasps=7, encores=2, ahead=20)
    told: list[float] = []
    assert [t.number for t in heard.run(told.append)] == [0, 1, 3]
    assert told == sorted(told) and heard.first == shares and set(heard.whole) == {0, 1, 3}
    first = int(reference.diagnosis["onset"]) + 20
    assert asked == [(1, first), (1, None), (2, first), (3, first), (3, None), (4, first), (5, first), (6, first)]
    monkeypatch.setitem(shares, 1, 0.2)
    heard = auditions(reference, synthetic.box(), grasps=6, encores=1, least=2)
    assert [t.number for t in heard.run()] == [0, 3, 4]


def test_grasps_differ_and_come_again(reference: Reference) -> None:
    """Another grasp keeps the object's motion and the hand's first state; known ones are left out; a first look ends where it was asked to."""
    obj = synthetic.box()
    assert other_grasp(reference, obj, 0) is reference
    known = [reference.diagnosis["contact_points_o"]]
    found: dict[int, Reference] = {}
    for number in range(1, 5):
        guide = other_grasp(reference, obj, number, last=120, unlike=known)
        if guide is not None:
            found[number] = guide
            known.append(guide.diagnosis["contact_points_o"])
    assert found, "the box has more than one grasp"
    for number, look in found.items():
        assert look.n_steps == 120 and look.hand[0] == pytest.approx(reference.hand[0])
        assert other_grasp(reference, obj, number, last=120, unlike=known) is None
        whole = other_grasp(reference, obj, number)
        assert whole is not None and whole.diagnosis["contact_points_o"] == look.diagnosis["contact_points_o"]
        assert (whole.object_position_w == reference.object_position_w).all() and (whole.base_quaternion_w == reference.base_quaternion_w).all()
        assert np.abs(whole.hand[-1] - reference.hand[-1]).max() > 1e-3
        again = other_grasp(reference, obj, number)
        assert again is not None and (again.hand == whole.hand).all()
    points = [np.array(g.diagnosis["contact_points_o"]) for g in (reference, *found.values())]
    for i, one in enumerate(points):
        assert not any(one.shape == other.shape and np.abs(one - other).max() < 1e-3 for other in points[:i])


def test_a_first_look_has_the_contacts_of_the_whole_motion(reference: Reference) -> None:
    """The person's fingers wander over the box soon after it is lifted: what is solved for in part is planned for in whole."""
    obj, onset = synthetic.box(), int(reference.diagnosis["onset"])
    keypoints = reference.keypoints_w.copy()
    keypoints[onset + 15 :] += [0.0, 0.012, 0.0]
    wandering = dataclasses.replace(reference, keypoints_w=keypoints)
    for number in (1, 2):
        look, whole = other_grasp(wandering, obj, number, last=onset + 20), other_grasp(wandering, obj, number)
        assert look is not None and whole is not None and look.n_steps == onset + 20
        assert look.diagnosis["contact_points_o"] == whole.diagnosis["contact_points_o"]
        assert look.diagnosis["onset"] == onset and look.diagnosis["release"] <= look.n_steps


def test_the_gentlest_of_equal_squeezes_is_taken(reference: Reference) -> None:
    own: Tried = next(auditions(reference, dataclasses.replace(synthetic.box(), friction=1.5), squeezes=(3.0, 2.5, 4.0), spread=0.0).run())
    assert own.carried == pytest.approx(1.0) and own.squeeze == 2.5


@pytest.mark.parametrize(("field", "value"), [("grasps", 0), ("squeezes", ()), ("squeezes", (float("nan"),)), ("away", -1.0), ("encores", 0)])
def test_settings_that_make_no_sense_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        AuditionConfig(**{field: value})  # type: ignore[arg-type]


def test_the_first_world_is_the_nominal_one() -> None:
    assert MEMBERS[0] == NOMINAL


@pytest.mark.parametrize("field", ["scatter", "spacing", "samples"])
def test_contacts_that_make_no_sense_are_refused_by_name(field: str) -> None:
    with pytest.raises(InputError, match=field):
        ContactConfig(**{field: float("nan")})  # type: ignore[arg-type]
