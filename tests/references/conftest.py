"""The grasp of the synthetic recording as a problem for the solvers."""

from __future__ import annotations

import numpy as np
import pytest

from dextrack.hands import load_hand
from dextrack.references.objective import Problem
from dextrack.references.retarget import RetargetConfig, prepare
from tests import synthetic


@pytest.fixture(scope="session")
def posed() -> tuple[Problem, np.ndarray]:
    """(problem, first guess) of the box that is lifted."""
    prepared = prepare(synthetic.recording(), synthetic.box(), load_hand("leap_right"), RetargetConfig(), seed=0)
    return prepared.problem, prepared.guesses[0]
