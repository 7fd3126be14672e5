"""Fitting the weights of ``mining.prediction``: two logistic regressions with an L2 penalty, on results of mining."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dextrack.errors import InputError
from dextrack.mining.prediction import WEIGHTS

Floats = NDArray[np.float64]

AGAINST = ("in_hand", "tilt", "seconds")
"""Numbers of which more can only speak against a task; of the others more can only speak for it. Without that, a chance of a few dozen tasks would have
``because`` blame a good pinch."""
PENALTY = 3.0
"""Weight of half the squared coefficients against the summed log-loss: a few dozen tasks say little about eight numbers."""


def logistic(x: Floats, y: Floats, signs: Sequence[float] = (), penalty: float = PENALTY) -> tuple[float, Floats]:
    """Bias and weights (d,) that minimise the summed log-loss of outcomes ``y`` (n,) in {0, 1} given ``x`` (n, d), plus the penalty on the weights.

    Where there are ``signs`` (d,) of 1 and -1, no weight has the other sign than its own.
    """
    bounds = [(None, None), *((0.0, None) if s > 0.0 else (None, 0.0) for s in signs)] if signs else None

    def loss(w: Floats) -> tuple[float, Floats]:
        odds = w[0] + x @ w[1:]
        error = 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))) - y
        value = np.logaddexp(0.0, odds).sum() - y @ odds + 0.5 * penalty * (w[1:] ** 2).sum()
        return float(value), np.concatenate([[error.sum()], x.T @ error + penalty * w[1:]])

    solved = minimize(loss, np.zeros(1 + x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(solved.x[0]), solved.x[1:]


def fit(measured: Sequence[dict[str, float]], tracked: Sequence[bool], passed: Sequence[bool]) -> tuple[dict[str, tuple[float, float, float, float]], Floats]:
    """Fit both outcomes.

    Args:
        measured: what ``prediction.features`` gave for each task.
        tracked: whether each was lifted within 20 degrees.
        passed: whether each passed the whole verdict.

    Returns:
        (mean, scale, weight for tracked, weight for passed) of each number by name, and the two biases.

    Raises:
        InputError: there are fewer than ten tasks.
    """
    if len(measured) < 10:
        raise InputError(f"prediction: {len(measured)} tasks are too few to fit weights on.", remedy="mine more tasks first.")
    names = list(WEIGHTS)
    values = np.array([[m[name] for name in names] for m in measured])
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    x = (values - mean) / scale
    fits = [logistic(x, np.asarray(y, dtype=np.float64), _signs()) for y in (tracked, passed)]
    weights = {name: (float(mean[i]), float(scale[i]), float(fits[0][1][i]), float(fits[1][1][i])) for i, name in enumerate(names)}
    return weights, np.array([bias for bias, _ in fits])


def cross_validated(measured: Sequence[dict[str, float]], outcome: Sequence[bool], groups: Sequence[str]) -> Floats:
    """Probabilities (n,) of ``outcome``, each from weights fitted without the tasks of its group (the same object)."""
    values = np.array([[m[name] for name in WEIGHTS] for m in measured])
    y, out = np.asarray(outcome, dtype=np.float64), np.zeros(len(measured))
    for group in sorted(set(groups)):
        mine = np.array([g == group for g in groups])
        mean, scale = values[~mine].mean(axis=0), np.maximum(values[~mine].std(axis=0), 1e-6)
        bias, weights = logistic((values[~mine] - mean) / scale, y[~mine], _signs())
        odds = bias + ((values[mine] - mean) / scale) @ weights
        out[mine] = 1.0 / (1.0 + np.exp(-odds))
    return out


def _signs() -> list[float]:
    return [-1.0 if name in AGAINST else 1.0 for name in WEIGHTS]
