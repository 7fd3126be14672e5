from __future__ import annotations

import dataclasses
import math

import pytest
from dextrack_deploy.twin.mismatch import Mismatch

from dextrack.errors import InputError


def test_defaults_are_the_ones_that_a_trial_is_judged_under() -> None:
    m = Mismatch()
    assert (m.friction, m.mass, m.latency_s, m.finger_gain) == (0.7, 1.3, 0.030, 0.8)
    assert (m.object_noise_m, m.camera_rate_hz) == (0.005, 30.0)
    assert math.degrees(m.object_noise_rad) == pytest.approx(3.0)
    assert m.hand_counts == 4096 and 0.001 <= m.hand_noise_rad <= 0.003


def test_label_says_how_hard_a_trial_was() -> None:
    assert Mismatch().label == "default"
    assert Mismatch.none().label == "zero_mismatch"
    assert Mismatch(friction=0.9).label == "custom"
    assert Mismatch.none().as_dict()["label"] == "zero_mismatch"
    assert Mismatch().as_dict()["latency_s"] == 0.030


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Mismatch) if f.name not in ("finger_gravity", "hand_counts")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1e6, "1"])
def test_refuses_what_has_no_meaning(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        Mismatch(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("counts", [-1, 1, 1 << 30])
def test_refuses_an_encoder_that_there_is_not(counts: int) -> None:
    with pytest.raises(InputError, match="hand_counts"):
        Mismatch(hand_counts=counts)
