"""Where a camera saw an object lie, through the noise of its poses, against where it was put."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.placement import lying_at, seen_at
from dextrack_deploy.trial_log import Poses
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.objects.symmetry import Symmetry
from dextrack.references.reference import Reference

NONE = Symmetry()
STAMPS = np.arange(90) * 33_333_333
HAND = load_hand("leap_right")
BEGIN = Rotation.from_euler("zx", [0.4, 1.2]).as_quat(scalar_first=True)
REFERENCE = Reference(
    "lying", HAND.name, "box", HAND.joint_names, np.array([1.0, 0.0, 0.0, 0.0]), np.zeros((3, 22)), np.full((3, 3), 0.05), np.tile(BEGIN, (3, 1)),
    np.zeros((3, 21, 3)),
)  # fmt: skip


def seen(x: float, y: float, turn: float, noise: float = 0.0, spin: Rotation | None = None, seed: int = 0):
    """Poses (90, 3) and (90, 4) of an object at rest, with ``noise`` in m and in tenths of a radian; ``spin`` turns it in its own frame."""
    rng = np.random.default_rng(seed)
    position, quaternion = lying_at(REFERENCE, x, y, turn)
    turned = Rotation.from_quat(quaternion, scalar_first=True) * (spin or Rotation.identity())
    jitter = Rotation.from_rotvec(rng.normal(0.0, 10.0 * noise, (90, 3)))
    signs = rng.choice([-1.0, 1.0], (90, 1))
    return position + rng.normal(0.0, noise, (90, 3)), signs * (jitter * turned).as_quat(scalar_first=True)


def look(position: np.ndarray, quaternion: np.ndarray, symmetry: Symmetry = NONE, stamps: np.ndarray = STAMPS, late_s: float = 0.0, unsure: int = 0):
    """``seen_at``, of poses of which the last ``unsure`` are not sure, when the log goes on for ``late_s`` after them."""
    deviation = np.zeros((len(stamps), 2))
    deviation[len(stamps) - unsure :, 0] = 0.1
    seen = Poses(stamps, stamps + 1_000_000, position, quaternion, deviation)
    return seen_at(REFERENCE, seen, (int(stamps[-1]) if len(stamps) else 0) + round(1e9 * late_s), symmetry)


def apart(a: float, b: float) -> float:
    """Between two turns, degrees."""
    return abs((a - b + 180.0) % 360.0 - 180.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-179.0, 179.0), st.integers(0, 1000))
def test_what_is_seen_is_where_it_was_put(x: float, y: float, turn: float, seed: int) -> None:
    found = look(*seen(x, y, turn, 0.005, seed=seed))
    assert np.hypot(found[0] - x, found[1] - y) < 0.004 and apart(found[2], turn) < 3.0


@settings(max_examples=20, deadline=None)
@given(st.floats(-np.pi, np.pi), st.floats(-179.0, 179.0))
def test_turns_that_look_the_same_do_not_count(spin: float, turn: float) -> None:
    poses = seen(0.1, 0.2, turn, spin=Rotation.from_rotvec([0.0, 0.0, spin]))
    found = look(*poses, Symmetry.parse("z"))
    assert found[:2] == pytest.approx((0.1, 0.2)) and apart(found[2], turn) < 0.1
    rolled = seen(0.1, 0.2, turn, spin=Rotation.from_rotvec([spin, 0.3, 0.0]))
    assert look(*rolled, Symmetry.parse("sphere"))[2] == pytest.approx(0.0, abs=1e-6)


def test_a_moving_a_hidden_a_tilted_and_a_raised_object_are_refused() -> None:
    position, quaternion = seen(0.0, 0.0, 0.0)
    rolling = position + np.linspace(0.0, 0.04, 90)[:, None] * [1.0, 0.0, 0.0]
    with pytest.raises(RefusedError, match="it moves: by 1[0-9] mm"):
        look(rolling, quaternion)
    with pytest.raises(RefusedError, match="the camera had 5 poses"):
        look(position[:5], quaternion[:5], stamps=STAMPS[:5])
    with pytest.raises(RefusedError, match="the camera had 0 poses"):
        look(position[:0], quaternion[:0], stamps=STAMPS[:0])
    with pytest.raises(RefusedError, match="2[0-9] degrees tilted"):
        look(*seen(0.0, 0.0, 0.0, spin=Rotation.from_rotvec([0.5, 0.0, 0.0])))
    with pytest.raises(RefusedError, match="100 mm above"):
        look(position + [0.0, 0.0, 0.1], quaternion)
    # What was seen before the last two seconds does not count, nor does what its estimator was not sure of.
    earlier = np.concatenate([STAMPS - 10_000_000_000, STAMPS])
    moved = np.tile(position, (2, 1)) + np.repeat([[0.3], [0.0]], 90, axis=0)
    assert look(moved, np.tile(quaternion, (2, 1)), stamps=earlier)[0] == pytest.approx(0.0)
    for hidden in ({"late_s": 1.8}, {"unsure": 55}):
        with pytest.raises(RefusedError, match="the camera had [0-9] poses"):
            look(position, quaternion, **hidden)
    assert look(position, quaternion, unsure=30)[0] == pytest.approx(0.0)
