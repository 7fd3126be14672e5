"""Targets that run ahead of a lagging hand."""

from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.hand_command import ahead


def test_a_first_order_loop_follows_without_lag() -> None:
    """q' = (target - q) / lag, integrated finely: with targets ahead, q is the wanted motion; without, it trails by lag * velocity."""
    lag, h = 0.05, 1e-4
    t = np.arange(0.0, 2.0, h)
    wanted, velocity = np.sin(2 * t), 2 * np.cos(2 * t)
    for lead, bound in ((lag, 2e-4), (0.0, None)):
        q, error = wanted[0], []
        for k in range(len(t)):
            error.append(q - wanted[k])
            q += h * (ahead(wanted[k], velocity[k], lead) - q) / lag
        late = np.abs(error[len(t) // 4 :]).max()
        if bound is None:
            assert late == pytest.approx(2 * lag / np.hypot(1.0, 2 * lag), rel=0.02)
        else:
            assert late < bound
