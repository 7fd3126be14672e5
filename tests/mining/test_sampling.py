"""The knots' bases, what arms and rollouts rely on; and searches that look farther and sample more where they lost their way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dextrack.hands import load_hand
from dextrack.mining.baseline import make_baseline
from dextrack.mining.sampling import SamplingConfig, SamplingTracker, linear_basis, smooth_basis
from dextrack.objects import signed_distance
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from tests import synthetic


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


def tracker(**settings: float) -> SamplingTracker:
    """A search for a box that slides out of any grip."""
    reference = Reference.load(Path(__file__).parent / "box_lift.npz")
    obj = dataclasses.replace(synthetic.box(), friction=0.03)
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, obj)
    config = SamplingConfig(samples=4, iterations=1, horizon=12, retries=3, retries_each=3, **settings)  # type: ignore[arg-type]
    return SamplingTracker(reference, scene, make_baseline(reference, scene, 2.0), signed_distance(obj), config, 0, 1)


def test_each_try_at_a_place_looks_farther_and_samples_more() -> None:
    search, stages = tracker(farther=0.5, more=2), list[tuple[int, int]]()
    improve = search._improve

    def noted(first: int, last: int, samples: int) -> None:
        stages.append((last - first, samples))
        improve(first, last, samples)

    search._improve = noted  # type: ignore[method-assign]
    search.solve()
    # The horizon is at least three knot intervals, 18 steps; a half of it more, in whole knot intervals, is 24, then 36 and 42.
    seen = {(h, s) for h, s in stages if h >= 18}
    assert seen == {(18, 4), (24, 12), (36, 20), (42, 28)}


def test_samples_beyond_what_runs_at_once_are_all_looked_at() -> None:
    """Costs of many samples, in several rollouts, are those that each would have alone."""
    search = tracker()
    active = (slice(2, 5), slice(4, 8))
    rng = np.random.default_rng(0)
    wrists, bends = 0.01 * rng.normal(size=(12, 3, 6)), rng.uniform(0.0, 1.0, (12, 4, search.knots.fingers.shape[1]))
    cost, _ = search._evaluate(wrists, bends, active, 24, 36)
    alone = [search._evaluate(wrists[k : k + 1], bends[k : k + 1], active, 24, 36)[0][0] for k in range(12)]
    np.testing.assert_allclose(cost, alone, rtol=1e-9)


def test_synergies_are_the_references_own_and_change_no_size() -> None:
    """Noise together lies in the span of the first principal components of the fingers' motion, and is as large on average."""
    search = tracker(synergies=2)
    reference = Reference.load(Path(__file__).parent / "box_lift.npz")
    motion = reference.hand[:, 6:] - reference.hand[:, 6:].mean(axis=0)
    values, vectors = np.linalg.eigh(motion.T @ motion)
    span = vectors[:, np.argsort(-values)[:2]]
    noise = np.random.default_rng(1).normal(size=(4000, 1, 16))
    together = search._together(noise)
    np.testing.assert_allclose(together @ span @ span.T, together, atol=1e-9)
    assert (together**2).sum() == pytest.approx((noise**2).sum(), rel=0.05)
