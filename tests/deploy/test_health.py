"""Values of heartbeats: what a driver measures reaches the watches through the text that ROS carries, and what it does not measure is said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from dextrack_deploy import health
from dextrack_deploy.drivers.protocols import HandReading
from dextrack_deploy.watches import Measurements


def carried(values: dict[str, Any]) -> dict[str, str]:
    """As ROS carries them: texts, other values as JSON."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


def test_temperatures_arrive_as_measurements() -> None:
    reading = HandReading(1, np.zeros(16), temperature=np.linspace(30.0, 45.0, 16))
    found = health.measured("hand_driver", carried(health.of_hand(reading)))
    np.testing.assert_allclose(Measurements(**found).temperature, reading.temperature, atol=0.05)


def test_a_hand_without_thermometers_says_not_measured() -> None:
    values = health.of_hand(HandReading(1, np.zeros(16)))
    assert values == {"motor_temperature_c": "not measured", "motor_voltage_v": "not measured"}
    assert health.measured("hand_driver", carried(values)) == {"temperature": None, "voltage": None, "overload": ""}


def test_voltages_arrive_as_measurements() -> None:
    reading = HandReading(1, np.zeros(16), voltage=np.linspace(4.6, 5.2, 16))
    found = health.measured("hand_driver", carried(health.of_hand(reading)))
    np.testing.assert_allclose(Measurements(**found).voltage, reading.voltage, atol=0.051)


def test_a_heartbeat_without_the_value_measures_nothing() -> None:
    assert health.measured("hand_driver", {"lifecycle": "inactive"}) == {"temperature": None, "voltage": None, "overload": ""}
    assert health.measured("recorder", {}) == {"disk_free_mb": None}
    assert health.measured("velocity", {"disk_free_mb": "1.0"}) == {}


def test_an_overload_arrives_in_words() -> None:
    assert health.measured("hand_driver", carried(health.of_overload("motor 5: overheating")))["overload"] == "motor 5: overheating"


def test_the_disk_arrives_in_mb() -> None:
    assert health.measured("recorder", carried(health.of_log(1234.56))) == {"disk_free_mb": 1234.6}
