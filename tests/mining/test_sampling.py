"""The knots' bases: what arms and rollouts rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dextrack.mining.sampling import linear_basis, smooth_basis


@given(st.integers(1, 200), st.integers(1, 20), st.sampled_from([linear_basis, smooth_basis]))
def test_bases_are_partitions_of_unity(n: int, interval: int, basis) -> None:
    b = basis(n, interval)
    assert b.shape[0] == n and (b >= 0.0).all()
    assert b.sum(axis=1) == pytest.approx(np.ones(n))


def test_smooth_basis_matches_scipy() -> None:
    from scipy.interpolate import BSpline

    interval, n = 12, 96
    b = smooth_basis(n, interval)
    c = np.random.default_rng(0).normal(size=b.shape[1])
    knots = np.arange(-2, b.shape[1] + 1) * interval
    truth = BSpline(knots, c, 2)(np.arange(1, n + 1))
    assert b @ c == pytest.approx(truth)


def test_smooth_basis_bounds_the_acceleration() -> None:
    """A unit step between knots accelerates by at most 2 / interval^2 per step^2, where a linear basis kinks by 1 / interval."""
    interval = 12
    for basis, bound in ((smooth_basis, 2.0 / interval**2), (linear_basis, 1.0 / interval)):
        b = basis(120, interval)
        c = np.zeros(b.shape[1])
        c[b.shape[1] // 2 :] = 1.0
        assert np.abs(np.diff(b @ c, 2)).max() <= bound + 1e-12
