"""Demonstrations with random but plausible content, for the tests of stores and exports."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.hands import load_hand
from dextrack.references.reference import Reference


def smooth(rng: np.random.Generator, frames: int, columns: int, size: float = 1.0) -> np.ndarray:
    """(frames, columns) that wander by at most about ``size``."""
    t = np.linspace(0.0, 1.0, frames)[:, None]
    return size * rng.uniform(-0.7, 0.7, columns) + 0.3 * size * np.sin(2 * np.pi * (t * rng.uniform(0.3, 1.0, columns) + rng.uniform(size=columns)))


def demonstration(
    name: str = "cube_lift", hand: str = "leap_right", frames: int = 40, seed: int = 0, passed: bool = True, period: float = 1 / 60
) -> Demonstration:
    """A demonstration whose hand, targets, reference and object all differ."""
    rng = np.random.default_rng(seed)
    spec = load_hand(hand)
    base = Rotation.random(random_state=seed).as_quat(canonical=True, scalar_first=True)
    reference, reached, aimed = (np.hstack([smooth(rng, frames, 3, 0.5), smooth(rng, frames, 3, 0.9), smooth(rng, frames, 16, 0.8)]) for _ in range(3))
    poses = [(smooth(rng, frames, 3, 0.5), Rotation.from_rotvec(smooth(rng, frames, 3, 0.8)).as_quat(scalar_first=True)) for _ in range(2)]
    provenance = {"dataset": "made", "licence": "none asked"}
    ref = Reference(name, hand, "cube", spec.joint_names, base, reference, *poses[0], np.zeros((frames, 21, 3)), period=period, provenance=provenance)
    return Demonstration(
        ref, aimed[1:], reached, smooth(rng, frames, 22, 2.0), *poses[1],
        metrics={"t_err_m": 0.01}, verdict={"passed": passed, "held": {"state": "passed"}}, provenance={"seed": seed, "nested": {"a": [1, 2]}},
    )  # fmt: skip
