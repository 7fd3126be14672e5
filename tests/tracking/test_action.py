"""The cumulative residual: what is accumulated is what is commanded, bounded, and an expert's targets survive the projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack.hands import load_hand
from dextrack.tracking import action
from dextrack.tracking.config import ActionConfig

HAND = load_hand("leap_right")
LOWER, UPPER = (torch.as_tensor(x) for x in HAND.limits())
STEP = action.step_sizes(ActionConfig(), HAND.joint_names, 1 / 60)


def baseline(n: int, seed: int = 0) -> torch.Tensor:
    """A smooth trajectory (n + 1, 22) in the middle half of the limits."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 1, n + 1)[:, None] + rng.uniform(size=22)
    middle, half = 0.5 * (UPPER + LOWER), 0.25 * (UPPER - LOWER)
    return middle + half * torch.as_tensor(np.sin(2 * np.pi * phase)) * torch.tensor([0.1] * 6 + [1.0] * 16)


def test_step_sizes_follow_the_names():
    np.testing.assert_allclose(STEP, [0.5 / 60] * 6 + [20 / 60] * 16)
    shuffled = action.step_sizes(ActionConfig(wrist_rotation_rate=3.0), ("7", "rz", "tx"), 0.1)
    np.testing.assert_allclose(shuffled, [2.0, 0.3, 0.05])


def test_the_target_is_the_baseline_plus_the_sum_of_residuals():
    rows = action.baseline_rows(baseline(30), LOWER, UPPER, lead=0)
    actions = 0.02 * torch.randn(30, 22, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    delta = torch.zeros(22, dtype=torch.float64)
    for n in range(30):
        target, delta = action.accumulate(delta, actions[n], rows[n], STEP, LOWER, UPPER)
        torch.testing.assert_close(target, baseline(30)[n] + (actions[: n + 1] * STEP).sum(dim=0))


def test_actions_beyond_one_count_as_one():
    zero, row = torch.zeros(2, 22, dtype=torch.float64), baseline(1)[:1]
    wild, _ = action.accumulate(zero, torch.full((2, 22), 50.0), row, STEP, LOWER, UPPER)
    one, _ = action.accumulate(zero, torch.ones(2, 22), row, STEP, LOWER, UPPER)
    assert torch.equal(wild, one)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), gain=st.floats(0.0, 30.0))
def test_targets_stay_within_limits_and_nothing_winds_up(seed, gain):
    """Whatever is pushed for however long, the first action back moves the target at once."""
    rows = action.baseline_rows(3.0 * baseline(40, seed), LOWER, UPPER, lead=0)
    push = gain * torch.randn(22, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).sign()
    delta = torch.zeros(22, dtype=torch.float64)
    for n in range(40):
        target, delta = action.accumulate(delta, push, rows[n], STEP, LOWER, UPPER)
        assert (target >= LOWER).all() and (target <= UPPER).all()
        torch.testing.assert_close(rows[n] + delta, target)
    back, _ = action.accumulate(delta, -push.clamp(-1, 1), rows[39], STEP, LOWER, UPPER)
    torch.testing.assert_close(target - back, push.clamp(-1, 1) * STEP)


def test_without_residual_a_baseline_beyond_the_limits_leaves_no_residual():
    rows = action.baseline_rows(50.0 * baseline(5), LOWER, UPPER, lead=0)
    target, delta = action.accumulate(torch.zeros(22, dtype=torch.float64), torch.zeros(22), rows[3], STEP, LOWER, UPPER)
    assert torch.equal(delta, torch.zeros_like(delta))
    assert (target >= LOWER).all() and (target <= UPPER).all()


def test_lead_takes_the_next_row_of_the_baseline():
    b = baseline(4)
    torch.testing.assert_close(action.baseline_rows(b, LOWER, UPPER, lead=1), torch.cat([b[1:], b[-1:]]))


def test_an_expert_within_the_action_scale_round_trips_exactly():
    b = baseline(60)
    generator = torch.Generator().manual_seed(1)
    residual = ((2 * torch.rand(60, 22, dtype=torch.float64, generator=generator) - 1) * STEP * 0.9).cumsum(dim=0)
    expert = (b[:-1] + residual).clamp(LOWER, UPPER)
    p = action.project(expert, b, STEP, LOWER, UPPER)
    assert p.worst.max() < 1e-12
    # The actions alone, accumulated as the environment does it, command the expert's targets.
    rows, delta = action.baseline_rows(b, LOWER, UPPER, 0), torch.zeros(22, dtype=torch.float64)
    for n in range(60):
        target, delta = action.accumulate(delta, p.actions[n], rows[n], STEP, LOWER, UPPER)
        torch.testing.assert_close(target, expert[n], rtol=0, atol=1e-12)
        torch.testing.assert_close(p.delta[n], expert[n] - b[n], rtol=0, atol=1e-12)


def test_an_expert_beyond_the_action_scale_is_followed_at_full_action_and_caught_up():
    b = torch.zeros(61, 22, dtype=torch.float64)
    expert = torch.zeros(60, 22, dtype=torch.float64)
    expert[10:, 0] = 0.05  # 5 cm at once; a step is 8.3 mm
    p = action.project(expert, b, STEP, LOWER, UPPER)
    assert p.actions.abs().max() <= 1.0 and (p.actions[10:16, 0] >= 1.0 - 1e-9).all()
    assert p.worst[0] == pytest.approx(0.05 - 0.5 / 60) and p.worst[1:].max() == 0.0
    assert (p.targets[16:, 0] - 0.05).abs().max() < 1e-12


def test_an_expert_beyond_the_limits_is_reported():
    expert = UPPER.expand(10, 22) + torch.linspace(0, 0.1, 22)
    p = action.project(expert, UPPER.expand(11, 22), STEP, LOWER, UPPER)
    torch.testing.assert_close(p.worst, torch.linspace(0, 0.1, 22).double(), rtol=0, atol=1e-6)
