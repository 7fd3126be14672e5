"""The paper's metrics against hand computation and scipy's rotations."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.tracking import metrics

Z90 = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])


def test_a_perfect_run_has_no_error(reference):
    m = metrics.measure(reference, reference.hand, reference.object_position_w, reference.object_quaternion_w)
    assert max(m.t_err_m, m.r_err_rad, m.e_wrist, m.e_finger_rad) < 1e-12
    assert m.success_20 and m.success_40


def test_hand_computed_case(reference):
    n = len(reference.hand)
    hand = reference.hand.copy()
    hand[:, 0] += 0.3  # 0.5 * 0.3 m on every frame
    hand[: n // 2, 6] += 1.6  # half the frames, one of 16 joints: mean 1.6 / 16 / 2
    position = reference.object_position_w + [0.03, 0.0, 0.04]  # 5 cm
    quaternion = reference.object_quaternion_w.copy()
    quaternion[: n // 4] = Z90  # a quarter of the frames at 90 degrees
    m = metrics.measure(reference, hand, position, quaternion)
    assert m.t_err_m == pytest.approx(0.05)
    assert m.r_err_rad == pytest.approx(np.pi / 8)
    assert m.e_wrist == pytest.approx(0.15)
    assert m.e_finger_rad == pytest.approx(0.05)
    assert m.as_dict() == {
        "t_err_m": m.t_err_m, "r_err_rad": m.r_err_rad, "e_wrist": m.e_wrist, "e_finger_rad": m.e_finger_rad, "success_20": False, "success_40": True,
    }  # fmt: skip
    json.dumps(m.as_dict(), allow_nan=False)


def test_wrist_rotation_against_scipy(reference):
    rng = np.random.default_rng(3)
    a, b = rng.uniform(-2.0, 2.0, (2, 50, 6))
    base = Rotation.from_quat(reference.base_quaternion_w, scalar_first=True)
    ra = base * Rotation.from_euler("XYZ", a[:, 3:])
    rb = base * Rotation.from_euler("XYZ", b[:, 3:])
    expected = 0.5 * (ra.inv() * rb).magnitude() + 0.5 * np.linalg.norm(a[:, :3] - b[:, :3], axis=1)
    np.testing.assert_allclose(metrics.wrist_error(a, b, reference.base_quaternion_w), expected, atol=1e-12)


def test_columns_are_found_by_name(reference):
    order = np.random.default_rng(0).permutation(22)
    shuffled = dataclasses.replace(reference, hand=reference.hand[:, order], joint_names=tuple(reference.joint_names[i] for i in order))
    hand = reference.hand + np.linspace(0.0, 0.3, 22)
    plain = metrics.measure(reference, hand, reference.object_position_w, reference.object_quaternion_w)
    other = metrics.measure(shuffled, hand[:, order], reference.object_position_w, reference.object_quaternion_w)
    assert other.as_dict() == pytest.approx(plain.as_dict())


@pytest.mark.parametrize(
    ("t", "r", "wrist", "finger", "expected"),
    [
        (0.099, np.radians(19.9), 0.7, 0.89, (True, True)),
        (0.1, 0.0, 0.0, 0.0, (False, False)),  # below, not at
        (0.099, np.radians(20.1), 0.0, 0.0, (False, True)),
        (0.0, np.radians(40.1), 0.0, 0.0, (False, False)),
        (0.0, 0.0, 0.9, 0.71, (False, True)),
        (0.0, 0.0, 1.6, 0.0, (False, True)),
        (0.0, 0.0, 2.4, 0.1, (False, False)),
    ],
)
def test_success_needs_all_three(t, r, wrist, finger, expected):
    m = metrics.Metrics(t, r, wrist, finger)
    assert (m.success_20, m.success_40) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=8).filter(lambda v: np.linalg.norm(v[:4]) > 0.1 and np.linalg.norm(v[4:]) > 0.1))
def test_rotation_error_is_a_distance_blind_to_sign(v):
    a, b = rotations.normalise(np.reshape(v, (2, 4)))
    expected = (Rotation.from_quat(a, scalar_first=True).inv() * Rotation.from_quat(b, scalar_first=True)).magnitude()
    for sign in (1.0, -1.0):
        assert metrics.rotation_error(a, sign * b) == pytest.approx(expected, abs=1e-7)
    assert metrics.rotation_error(b, a) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("spoil", ["short", "nan"])
def test_what_does_not_fit_is_refused(reference, spoil):
    position = reference.object_position_w[:-1] if spoil == "short" else np.full_like(reference.object_position_w, np.nan)
    with pytest.raises(InputError, match="object_position_w"):
        metrics.measure(reference, reference.hand, position, reference.object_quaternion_w)


def test_judging_needs_no_torch():
    code = "import sys; from dextrack.tracking import metrics, verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
