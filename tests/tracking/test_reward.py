"""Every term against its closed form, the weights against Table 3."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from dextrack import rotations
from dextrack.tracking import reward
from dextrack.tracking.config import RewardConfig

ONE = np.array([1.0, 0.0, 0.0, 0.0])


def evaluate(config=None, d_position=(0.0, 0.0, 0.0), angle=0.0, d_hand=None, tips=0.0, palm=0.0):
    """The reward of one world whose errors are as given; tips and palm are this far from the object, m."""
    config = config or RewardConfig()
    position = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64)
    goal_hand = torch.linspace(-0.5, 0.5, 22).double()[None].clone()
    hand = goal_hand.clone()
    hand[:, :3] = position + torch.tensor([0.0, 0.0, palm])
    goal_hand[:, :3] = hand[:, :3]
    if d_hand is not None:
        goal_hand = hand - torch.as_tensor(d_hand)
    q = torch.as_tensor(rotations.multiply(rotations.from_rotation_vector([0.3, 0.1, -0.7]), rotations.from_rotation_vector([angle, 0.0, 0.0])))[None]
    goal_q = torch.as_tensor(rotations.from_rotation_vector([0.3, 0.1, -0.7]))[None]
    tips_w = (position + torch.tensor([tips, 0.0, 0.0])).expand(4, 3)[None]
    weights = reward.hand_weights(config, 22).double()
    total, terms = reward.reward(config, weights, hand, goal_hand, position, position - torch.tensor(d_position), q, goal_q, tips_w)
    assert float(total) == pytest.approx(sum(float(t) for t in terms.values()))
    return float(total), {k: float(v) for k, v in terms.items()}


def test_a_perfect_state_earns_the_largest_reward():
    total, terms = evaluate()
    assert terms == pytest.approx({"hand": 0.0, "object_position": 0.9, "object_rotation": 0.33 * math.pi, "affinity": 0.0, "bonus": 1.0})
    assert total == pytest.approx(0.9 + 0.33 * math.pi + 1.0)


def test_object_terms_are_eq_11_and_12():
    _, terms = evaluate(d_position=(0.03, 0.0, -0.04), angle=0.7)
    assert terms["object_position"] == pytest.approx(0.85)
    assert terms["object_rotation"] == pytest.approx(0.33 * (math.pi - 0.7))
    _, terms = evaluate(d_position=(2.0, 0.0, 0.0), angle=2 * math.pi - 0.7)
    assert terms["object_position"] == pytest.approx(-1.1) and terms["object_rotation"] == pytest.approx(0.33 * (math.pi - 0.7))


def test_hand_terms_are_table_3_over_sums():
    d = np.zeros(22)
    d[:3], d[3:6], d[6:] = [0.1, -0.1, 0.2], [0.5, -0.5, 1.0], 0.25
    _, terms = evaluate(d_hand=d)
    assert terms["hand"] == pytest.approx(-(0.3 * 0.4 + 0.05 * 2.0 + 0.05 * 4.0))


@pytest.mark.parametrize(("distance", "degrees", "expected"), [(0.049, 4.9, 1.0), (0.051, 4.9, 0.0), (0.049, 5.1, 0.0)])
def test_bonus_needs_both(distance, degrees, expected):
    assert evaluate(d_position=(distance, 0.0, 0.0), angle=math.radians(degrees))[1]["bonus"] == expected


@pytest.mark.parametrize(
    ("tips", "palm", "expected"),
    [(0.1, 0.1, -0.3 * (0.4 + 0.2)), (0.1, 0.13, -0.3 * 0.26), (1.0, 0.1, -0.3 * (2.4 + 0.2)), (1.0, 3.0, -0.3 * 1.0)],
)
def test_affinity_is_the_releases_formula(tips, palm, expected):
    assert evaluate(tips=tips, palm=palm)[1]["affinity"] == pytest.approx(expected)


def test_options_switch_terms_off():
    _, terms = evaluate(RewardConfig(affinity=0.0, bonus=0.0))
    assert set(terms) == {"hand", "object_position", "object_rotation"}


@pytest.mark.parametrize(
    ("distance", "tips", "palm", "expected"),
    [(0.04, 0.1, 0.1, 1 / 1.4 - 0.08), (0.06, 0.1, 0.1, -0.12), (0.04, 0.13, 0.1, 0.0), (0.04, 0.1, 0.13, 0.0)],
)
def test_the_releases_object_reward_is_gated_on_the_hand(distance, tips, palm, expected):
    _, terms = evaluate(RewardConfig(object_form="release"), d_position=(distance, 0.0, 0.0), tips=tips, palm=palm)
    assert terms["object_position"] == pytest.approx(expected) and "object_rotation" not in terms


def test_every_term_falls_with_its_error():
    """Central differences: no term rewards moving away."""
    config = dataclasses.replace(RewardConfig(), bonus=0.0)
    for name, more, less in (
        ("object_position", {"d_position": (0.11, 0.0, 0.0)}, {"d_position": (0.09, 0.0, 0.0)}),
        ("object_rotation", {"angle": 1.1}, {"angle": 0.9}),
        ("affinity", {"palm": 0.31}, {"palm": 0.29}),
    ):
        slope = (evaluate(config, **more)[1][name] - evaluate(config, **less)[1][name]) / (0.02 if name != "object_rotation" else 0.2)
        assert slope == pytest.approx({"object_position": -1.0, "object_rotation": -0.33, "affinity": -0.6}[name])


def test_worlds_do_not_mix():
    rng = np.random.default_rng(0)
    config, w = RewardConfig(), 5
    args = [torch.as_tensor(rng.normal(size=(w, n))) if n != 4 else torch.as_tensor(rotations.normalise(rng.normal(size=(w, 4)))) for n in (22, 22, 3, 3, 4, 4)]
    args.append(torch.as_tensor(rng.normal(size=(w, 4, 3))))
    weights = reward.hand_weights(config, 22).double()
    together, _ = reward.reward(config, weights, *args)
    apart = torch.cat([reward.reward(config, weights, *(a[i : i + 1] for a in args))[0] for i in range(w)])
    torch.testing.assert_close(together, apart)
