from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dextrack_deploy.replay import ReplayController

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.references.reference import Reference

NAMES = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))


def reference(n: int = 5) -> Reference:
    rng = np.random.default_rng(0)
    unit = np.tile([1.0, 0, 0, 0], (n + 1, 1))
    return Reference("ref", "leap_right", "box", NAMES, unit[0], rng.normal(size=(n + 1, 22)), np.zeros((n + 1, 3)), unit, np.zeros((n + 1, 21, 3)))


def demonstration() -> Demonstration:
    r = reference()
    targets = r.hand[1:] + 0.1
    return Demonstration(r, targets, r.hand, np.zeros_like(r.hand), r.object_position_w, r.object_quaternion_w, {}, {}, {})


def test_a_demonstrations_targets_are_replayed_and_the_last_is_held() -> None:
    d = demonstration()
    c = ReplayController(d)
    assert c.n_ticks == 5 and c.joint_names == NAMES
    for tick in range(5):
        np.testing.assert_array_equal(c.target(tick), d.targets[tick])
    np.testing.assert_array_equal(c.target(10_000), d.targets[-1])
    np.testing.assert_array_equal(c.start_state, d.reference.hand[0])


def test_without_an_expert_the_next_state_is_the_target() -> None:
    r = reference()
    c = ReplayController(r)
    assert c.n_ticks == r.n_steps
    np.testing.assert_array_equal(c.target(0), r.hand[1])
    np.testing.assert_array_equal(c.target(4), r.hand[5])


def test_progress_and_end() -> None:
    c = ReplayController(reference())
    assert [c.progress(t) for t in (-1, 0, 1, 5, 9)] == [0.0, 0.0, 0.2, 1.0, 1.0]
    assert [c.finished(t) for t in (0, 4, 5)] == [False, False, True]


def test_what_it_gives_away_cannot_change_it() -> None:
    c = ReplayController(demonstration())
    before = c.target(0)
    c.target(0)[:] = 7.0
    c.start_state[:] = 7.0
    np.testing.assert_array_equal(c.target(0), before)
    assert not (c.start_state == 7.0).all()


def test_a_wrong_period_negative_ticks_and_bad_targets_are_refused() -> None:
    with pytest.raises(InputError, match="period"):
        ReplayController(dataclasses.replace(reference(), period=1 / 30))
    with pytest.raises(InputError, match="negative"):
        ReplayController(reference()).target(-1)

    @dataclasses.dataclass
    class Placed:
        reference: Reference
        targets: np.ndarray

    for targets in (np.zeros((4, 22)), np.full((5, 22), np.nan)):
        with pytest.raises(InputError, match="targets"):
            ReplayController(Placed(reference(), targets))
