"""The configuration: JSON and back, defaults as in the paper."""

from __future__ import annotations

import json
import math

import pytest

from dextrack.errors import InputError
from dextrack.tracking.config import ActionConfig, RewardConfig, TerminationConfig, TrackingConfig


def test_it_survives_json(tmp_path):
    config = TrackingConfig(action=ActionConfig(baseline_lead=1), termination=TerminationConfig(object_error=0.2), start="uniform")
    config.save(tmp_path / "c.json")
    assert TrackingConfig.from_dict(json.loads((tmp_path / "c.json").read_text())) == config


@pytest.mark.parametrize("values", [{"speed": 1}, {"reward": {"luck": 1.0}}])
def test_unknown_keys_are_refused(values):
    with pytest.raises(InputError, match="unexpected keyword"):
        TrackingConfig.from_dict(values)


def test_defaults_are_the_papers():
    r = RewardConfig()
    assert (r.object_position, r.object_rotation, r.wrist_translation, r.wrist_rotation, r.finger) == (1.0, 0.33, 0.3, 0.05, 0.05)
    assert (r.bonus, r.bonus_distance, r.bonus_angle) == (1.0, 0.05, math.radians(5))
    config = TrackingConfig()
    assert config.action.baseline_lead == 0 and config.observation.object_feature == 256 and config.termination.object_error is None and config.start == "first"
