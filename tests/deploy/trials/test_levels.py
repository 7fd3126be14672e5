"""The three levels against hand-made motions whose level anyone would agree on."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.trials.levels import LASTING, STEPS, first_lasting, gripping, heights, judge

from dextrack import rotations
from dextrack.hands import load_hand
from dextrack.references.reference import Reference
from tests import synthetic

N = 200
ALWAYS = np.ones(N, dtype=bool)


def up(first: int, last: int = N, height: float = 0.05) -> np.ndarray:
    h = np.zeros(N)
    h[first:last] = height
    return h


def test_lifted_and_followed_long_enough_is_level_3() -> None:
    levels = judge(up(40), up(50), ALWAYS, ALWAYS, qualifies=True, complete=True)
    assert (levels.level, levels.to_end, levels.followed) == (3, True, N - 50)
    assert levels.whole_m == pytest.approx(0.05)


@pytest.mark.parametrize(("steps", "level"), [(STEPS, 2), (STEPS + 1, 3)])
def test_level_3_is_more_than_100_steps(steps: int, level: int) -> None:
    follows = ALWAYS.copy()
    follows[50 + steps :] = False
    assert judge(up(50), up(50), ALWAYS, follows, qualifies=True, complete=True).level == level


def test_a_short_reference_reaches_level_2_at_most_and_may_be_followed_to_its_end() -> None:
    levels = judge(up(150), up(150), ALWAYS, ALWAYS, qualifies=False, complete=True)
    assert (levels.level, levels.to_end) == (2, True)
    assert not judge(up(150), up(150), ALWAYS, ALWAYS, qualifies=False, complete=False).to_end, "a trial that broke off did not come to the end"


def test_one_side_up_is_level_1_and_only_while_gripped() -> None:
    assert judge(up(50), up(N), ALWAYS, ALWAYS, True, True).level == 1
    assert judge(up(50), up(N), ~ALWAYS, ALWAYS, True, True).level == 0, "an object that was knocked over was not grasped"
    assert judge(up(50), up(50), ~ALWAYS, ALWAYS, True, True).level == 0, "nor was one that flew"


def test_a_moment_is_no_lift() -> None:
    assert judge(up(50, 50 + LASTING - 1), up(50, 50 + LASTING - 1), ALWAYS, ALWAYS, True, True).level == 0
    assert judge(up(50, 50 + LASTING), up(50, 50 + LASTING), ALWAYS, ALWAYS, False, True).level == 2
    assert first_lasting(np.ones(LASTING - 1, dtype=bool)) is None
    assert first_lasting(np.ones(LASTING, dtype=bool)) == 0


def test_heights_of_a_box_that_is_tilted() -> None:
    """A box of edge 2 a on its edge, tilted by t about it: the far bottom edge is at 2 a sin t, the lowest point on the table."""
    a, t = 0.03, np.radians(30.0)
    corners = np.array([[x, y, z] for x in (-a, a) for y in (-a, a) for z in (-a, a)])
    q = np.stack([[1.0, 0.0, 0.0, 0.0], rotations.from_rotation_vector([0.0, -t, 0.0])])
    lowest = float((rotations.rotate(q[1], corners))[:, 2].min())
    side, whole = heights(corners, np.array([[0.0, 0.0, a], [0.0, 0.0, -lowest]]), q)
    assert whole == pytest.approx([0.0, 0.0], abs=1e-12)
    assert side == pytest.approx([0.0, 2 * a * np.sin(t)], abs=1e-12)


def test_a_hand_grips_what_lies_between_thumb_and_finger_and_nothing_far_away() -> None:
    import torch

    from dextrack.hands.kinematics import HandKinematics

    hand, obj = load_hand("leap_right"), synthetic.box()
    theta = np.zeros((1, 22))
    theta[0, 6:] = hand.rest
    tips = [(t.body, t.offset) for t in hand.fingertips[:2]]
    unit = np.array([1.0, 0.0, 0.0, 0.0])
    thumb, index = HandKinematics(hand, unit).points(torch.as_tensor(theta), [b for b, _ in tips], [o for _, o in tips]).numpy()[0]
    reference = Reference(
        "made", hand.name, obj.name, hand.joint_names, unit, np.repeat(theta, 2, 0), np.zeros((2, 3)), np.tile(unit, (2, 1)), np.zeros((2, 21, 3))
    )
    extent = np.ptp(obj.vertices, axis=0)
    # The box stands so that the thumb's tip is at one face; the index finger is then as near as the box is wide, or not.
    for position, expected in ((0.5 * (thumb + index), bool(np.linalg.norm(thumb - index) < extent.min() + 0.05)), (thumb + [0.0, 0.0, 1.0], False)):
        assert gripping(reference, obj, theta, position[None], unit[None])[0] == expected
