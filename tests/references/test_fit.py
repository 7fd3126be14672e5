"""A bare hand: fingertips that the robot can reach are reached, and nonsense is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.hands import hand_names, load_hand
from dextrack.hands.kinematics import HandKinematics
from dextrack.hands.spec import KEYPOINTS
from dextrack.references.fit import FitConfig, fit_hand
from tests import synthetic


@pytest.mark.parametrize("name", [n for n in hand_names() if n.endswith("_right")])
def test_fingertips_lie_on_the_person_s(name: str) -> None:
    """Kinematics of pytorch_kinematics, which the solver's own Jacobians do not use, say where the tips are."""
    import torch

    hand, keypoints = load_hand(name), synthetic.recording().keypoints_w
    fitted = fit_hand(keypoints, hand)
    tips = [k for k in hand.keypoints if k.human.endswith("_tip")]
    kinematics = HandKinematics(hand, fitted.base_quaternion_w)
    at = kinematics.points(torch.as_tensor(fitted.theta), [k.body for k in tips], [k.offset for k in tips]).numpy()
    error = np.linalg.norm(at - keypoints[:, [KEYPOINTS.index(k.human) for k in tips]], axis=-1)
    assert error.mean() < 0.001 and error.max() < 0.005
    lower, upper = hand.limits()
    assert (fitted.theta >= lower - 1e-9).all() and (fitted.theta <= upper + 1e-9).all()
    assert np.abs(np.diff(fitted.theta[:, 6:], axis=0)).max() < 0.2


def test_where_the_hand_starts_in_the_world_does_not_matter() -> None:
    hand, keypoints = load_hand("leap_right"), synthetic.recording().keypoints_w[::4]
    turn = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    here, there = fit_hand(keypoints, hand), fit_hand(keypoints @ turn.T + np.array([0.3, -0.2, 0.5]), hand)
    assert np.abs(here.theta[:, 6:] - there.theta[:, 6:]).max() < 0.02
    assert here.cost == pytest.approx(there.cost, rel=1e-2)


def test_nonsense_is_refused_by_name() -> None:
    hand, keypoints = load_hand("leap_right"), synthetic.recording().keypoints_w
    with pytest.raises(InputError, match="shape"):
        fit_hand(keypoints[:, :20], hand)
    holed = keypoints.copy()
    holed[7, 3] = np.nan
    with pytest.raises(InputError, match="frame 7"):
        fit_hand(holed, hand)
    with pytest.raises(InputError, match="period"):
        fit_hand(keypoints, hand, period=0.0)
    with pytest.raises(InputError, match="tip_scale"):
        FitConfig(tip_scale=0.0)
