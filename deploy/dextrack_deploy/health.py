"""What drivers and the recorder measure beside their streams, as the values of a heartbeat on ``/diagnostics``: texts by key, values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dextrack_deploy.drivers.protocols import HandReading

NOT_MEASURED = "not measured"
"""Where a device does not measure something: a person and a program must be able to tell that from a good value."""
_TEMPERATURE, _DISK = "motor_temperature_c", "disk_free_mb"


def of_hand(reading: HandReading) -> dict[str, Any]:
    """The values that the heartbeat of ``hand_driver`` has of ``reading``: motor temperatures (16) in degrees Celsius, or that there are none."""
    return {_TEMPERATURE: NOT_MEASURED if reading.temperature is None else np.round(reading.temperature, 1).tolist()}


def of_log(free_mb: float) -> dict[str, Any]:
    """The values that the heartbeat of ``recorder`` has of the disk, MB."""
    return {_DISK: round(free_mb, 1)}


def measured(node: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The fields of ``watches.Measurements`` that the heartbeat of ``node`` has; those that are not measured are None."""
    if node == "hand_driver":
        text = values.get(_TEMPERATURE, NOT_MEASURED)
        return {"temperature": None if text == NOT_MEASURED else np.asarray(json.loads(text), dtype=np.float64)}
    if node == "recorder":
        return {"disk_free_mb": float(values[_DISK]) if _DISK in values else None}
    return {}
