"""Where episodes start: frames drawn, objects displaced while they rest, objects put where the caller says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.tracking.config import TrackingConfig
from dextrack.tracking.start import Starts, _about_vertical
from dextrack.tracking.task import TrackingTask
from tests import synthetic

HAND = load_hand("leap_right")


@pytest.fixture
def task(reference) -> TrackingTask:
    """120 frames; the object rests for 30, then moves."""
    still = reference.object_position_w.copy()
    still[:, 0] = 0.0
    reference = dataclasses.replace(reference, joint_names=HAND.joint_names, object_name="box", object_position_w=still)
    return TrackingTask(reference, synthetic.box())


def starts(task: TrackingTask, **config: object) -> Starts:
    return Starts(task, HAND, TrackingConfig(**config), None, 0)


def test_a_share_of_the_drawn_episodes_begins_at_the_first_frame(task):
    frames = starts(task, start="uniform", start_first=0.5).draw(4000).frame
    assert 0.46 < float((frames == 0).float().mean()) < 0.56  # one of 119 drawn frames is 0 too
    assert int(frames.max()) > 110
    assert (starts(task, start="first", start_first=0.5).draw(50).frame == 0).all()


def test_objects_are_displaced_over_the_table_while_they_rest_and_no_longer(task):
    drawn = starts(task, start_offset=0.01, start_turn=0.2).draw(2000, torch.arange(2000) % 100)
    n = drawn.frame.numpy()
    position = drawn.object_position_w.numpy()
    offset = position - task.reference.object_position_w[n]
    turn = rotations.to_rotation_vector(rotations.multiply(drawn.object_quaternion_w.numpy(), rotations.conjugate(task.reference.object_quaternion_w[n])))
    resting = n <= 30  # the lift passes 2 mm in frame 31
    assert offset[resting, :2].std(axis=0) == pytest.approx(0.01, rel=0.15) and turn[resting, 2].std() == pytest.approx(0.2, rel=0.15)
    assert (offset[:, 2] == 0.0).all() and np.abs(turn[:, :2]).max() < 1e-9
    assert np.abs(offset[~resting]).max() < 1e-12 and np.abs(turn[~resting]).max() < 1e-7
    # The state one period before is displaced alike: a resting object has no velocity.
    assert np.abs(drawn.previous.numpy()[resting, 22:25] - position[resting]).max() < 1e-3


def test_turns_are_those_of_a_rotation_vector():
    angle = np.linspace(-4.0, 4.0, 33)
    turn = _about_vertical(torch.as_tensor(angle)).numpy()
    np.testing.assert_allclose(turn, rotations.from_rotation_vector(angle[:, None] * [0.0, 0.0, 1.0]), atol=1e-15)


def test_objects_put_somewhere_lie_still_there(task):
    position, quaternion = torch.full((3, 3), 0.1, dtype=torch.float64), torch.tensor([[0.0, 1.0, 0.0, 0.0]] * 3, dtype=torch.float64)
    put = starts(task).draw(3, torch.tensor([0, 40, 60])).with_object(position, quaternion)
    assert (put.object_position_w == position).all() and (put.object_quaternion_w == quaternion).all()
    assert (put.object_velocity_w == 0.0).all()
    assert (put.previous[:, 22:] == torch.cat([position, quaternion], dim=1)).all()


@pytest.mark.parametrize("field", ["start_first", "start_offset", "start_turn"])
def test_shares_and_deviations_that_make_no_sense_are_refused(field):
    with pytest.raises(InputError, match=field):
        TrackingConfig(**{field: -0.1})
