"""The fit of the prediction's weights recovers known weights, and its cross-validation does not look at what it foretells."""

from __future__ import annotations

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.mining.prediction import WEIGHTS
from dextrack.mining.prediction_fit import cross_validated, fit, logistic


def drawn(count: int, seed: int = 0) -> tuple[list[dict[str, float]], np.ndarray]:
    """Numbers of ``count`` tasks, and outcomes that depend on the first of them alone."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, len(WEIGHTS)))
    y = rng.uniform(size=count) < 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * x[:, 0])))
    return [dict(zip(WEIGHTS, (3.0 + 0.1 * row).tolist(), strict=True)) for row in x], y


def test_known_weights_are_recovered() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20000, 3))
    y = (rng.uniform(size=20000) < 1.0 / (1.0 + np.exp(-(-0.7 + x @ [1.5, 0.0, -0.8])))).astype(float)
    bias, weights = logistic(x, y)
    assert bias == pytest.approx(-0.7, abs=0.06) and weights == pytest.approx([1.5, 0.0, -0.8], abs=0.06)


def test_a_weight_of_the_wrong_sign_is_none() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20000, 2))
    y = (rng.uniform(size=20000) < 1.0 / (1.0 + np.exp(-(x @ [1.5, -0.8])))).astype(float)
    _, weights = logistic(x, y, (1.0, 1.0))
    assert weights[0] > 1.0 and weights[1] == 0.0


def test_the_penalty_keeps_separable_outcomes_finite() -> None:
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    _, weights = logistic(x, (x[:, 0] > 0).astype(float))
    assert 0.5 < weights[0] < 5.0


def test_scales_are_those_of_the_tasks_and_the_first_number_decides() -> None:
    measured, y = drawn(400)
    weights, bias = fit(measured, y.tolist(), y.tolist())
    first, *others = weights.values()
    assert first[0] == pytest.approx(3.0, abs=0.02) and first[1] == pytest.approx(0.1, rel=0.1)
    assert first[2] == pytest.approx(2.0, abs=0.5) and all(abs(w[2]) < 0.4 for w in others)
    assert first[2] == first[3] and bias[0] == bias[1]
    with pytest.raises(InputError, match="too few"):
        fit(measured[:9], y[:9].tolist(), y[:9].tolist())


def test_a_group_is_foretold_without_its_own_outcomes() -> None:
    """Turning the outcomes of one group over changes what is foretold for the others, and nothing for itself."""
    measured, y = drawn(60)
    groups = [str(i % 6) for i in range(60)]
    mine = np.array([g == "0" for g in groups])
    before, after = cross_validated(measured, y.tolist(), groups), cross_validated(measured, np.where(mine, ~y, y).tolist(), groups)
    assert after[mine] == pytest.approx(before[mine], abs=1e-9) and np.abs(after[~mine] - before[~mine]).max() > 0.01
