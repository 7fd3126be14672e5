"""Raising: the hand goes up by what is missing, where it is missing, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.mining.raising import Raising, RaisingConfig
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import EDGE, hull_vertices, looked_at
from tests import synthetic

WORLDS = 24


class Task:
    """A reference, and its object a little lower than it in some of the worlds."""

    def __init__(self) -> None:
        self.reference, self.hull = Reference.load(Path(__file__).parent / "box_lift.npz"), hull_vertices(synthetic.box().vertices)
        self.height = lowest_z(self.hull, self.reference.object_position_w, self.reference.object_quaternion_w)
        self.asked = looked_at(self.height, round(0.5 * EDGE / self.reference.period))[1:]
        self.config = RaisingConfig(after=10)  # the box is up soon after it first moves

    def rise(self, lower: float, worlds: int, away: float = 0.0) -> np.ndarray:
        """What raising answers to an object that is ``lower`` m too low in ``worlds`` worlds, and ``away`` m to the side there."""
        position = np.tile(self.reference.object_position_w[1:], (WORLDS, 1, 1))
        position[:worlds] += (away, 0.0, -lower)
        return Raising(self.reference, self.hull, self.config).rise(position, np.tile(self.reference.object_quaternion_w[1:], (WORLDS, 1, 1)))


@pytest.fixture(scope="module")
def task() -> Task:
    return Task()


def test_with_the_rise_the_object_is_as_high_as_wanted(task: Task) -> None:
    """The wrist carries the object: what it rises, the object does."""
    lower = 0.02
    rise, onset = task.rise(lower, WORLDS), int(task.reference.diagnosis["onset"])
    missing = np.clip(task.config.height - (task.height[1:] - lower), 0.0, None)
    begun = np.arange(len(rise)) >= onset + task.config.after
    needed = task.asked & begun & (missing > 1e-3)
    assert needed.any()
    # Smoothing takes a twentieth at most: the whole rise reaches two of its standard deviations to either side.
    assert (rise[needed] >= 0.95 * missing[needed]).all()
    assert rise.max() <= np.clip(missing[task.asked], 0.0, task.config.most).max() + 1e-12
    assert (rise[: onset + 1] == 0.0).all()


def test_an_arm_can_follow_the_rise(task: Task) -> None:
    """Of 2 cm at once, the most there is: a small part of what a Franka may accelerate by, 13 m/s2, and no jump where it sets in."""
    reference, config = task.reference, RaisingConfig()
    low = np.tile(reference.object_position_w[1:] - (0.0, 0.0, 0.05), (2, 1, 1))
    rise = Raising(reference, task.hull, config).rise(low, np.tile(reference.object_quaternion_w[1:], (2, 1, 1)))
    assert rise.max() > 0.5 * config.most
    assert np.abs(np.diff(rise, 2, prepend=[0.0, 0.0])).max() / reference.period**2 < 0.5


def test_what_is_high_enough_is_left(task: Task) -> None:
    assert not task.rise(-0.05, WORLDS).any()


def test_one_world_of_many_is_no_reason_and_several_are(task: Task) -> None:
    assert (task.rise(0.02, 1) == task.rise(0.0, 1)).all()
    assert task.rise(0.02, 3).max() > task.rise(0.0, 3).max()


def test_a_world_that_has_lost_the_object_is_no_reason(task: Task) -> None:
    assert (task.rise(0.02, 12, away=0.1) == task.rise(0.0, 0)).all()


def test_no_more_than_the_most_at_once(task: Task) -> None:
    rise = task.rise(0.05, WORLDS)
    assert 0.9 * task.config.most < rise.max() <= task.config.most + 1e-12


@pytest.mark.parametrize("field", ["height", "most", "smooth", "share", "times", "width"])
def test_settings_that_make_no_sense_are_refused_by_name(field: str) -> None:
    with pytest.raises(InputError, match=field):
        RaisingConfig(**{field: -1})
