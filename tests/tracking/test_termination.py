"""Ends and time-outs, at their bounds."""

from __future__ import annotations

import torch

from dextrack.tracking import termination
from dextrack.tracking.config import TerminationConfig


def test_nothing_terminates_by_default():
    far = torch.full((3, 3), 9.0)
    assert termination.terminated(TerminationConfig(), far, torch.zeros(3, 3)) is None


def test_the_bound_is_a_distance():
    p = torch.tensor([[0.12, 0.0, 0.0], [0.12, 0.0, 0.17], [0.2, 0.0, 0.0], [0.0, -0.21, 0.0]])
    flags = termination.terminated(TerminationConfig(object_error=0.2), p, torch.zeros(4, 3))
    assert flags is not None and flags.tolist() == [False, True, False, True]


def test_time_outs_come_at_the_last_frame_or_the_horizon():
    frame, age = torch.tensor([99, 100, 40]), torch.tensor([99, 30, 31])
    assert termination.timed_out(TerminationConfig(), frame, age, 100).tolist() == [False, True, False]
    assert termination.timed_out(TerminationConfig(horizon=31), frame, age, 100).tolist() == [True, True, True]
    assert termination.timed_out(TerminationConfig(horizon=32), frame, age, 100).tolist() == [True, True, False]
