"""What drivers and the recorder measure beside their streams, as the values of a heartbeat on ``/diagnostics``: texts by key, values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dextrack_deploy.drivers.protocols import HandReading

NOT_MEASURED = "not measured"
"""Where a device does not measure something: a person and a program must be able to tell that from a good value."""
_TEMPERATURE, _VOLTAGE, _DISK, _OVERLOAD = "motor_temperature_c", "motor_voltage_v", "disk_free_mb", "motor_overload"


def of_hand(reading: HandReading) -> dict[str, Any]:
    """The values that the heartbeat of ``hand_driver`` has of ``reading``: motor temperatures (16) in degrees Celsius and voltages (16) in V, or none."""
    given = {_TEMPERATURE: reading.temperature, _VOLTAGE: reading.voltage}
    return {key: NOT_MEASURED if values is None else np.round(values, 1).tolist() for key, values in given.items()}


def of_overload(what: str) -> dict[str, Any]:
    """The values that the heartbeat of ``hand_driver`` has while motors have ended their own torque; ``what`` says which, and why."""
    return {_OVERLOAD: what}


def of_log(free_mb: float) -> dict[str, Any]:
    """The values that the heartbeat of ``recorder`` has of the disk, MB."""
    return {_DISK: round(free_mb, 1)}


def measured(node: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The fields of ``watches.Measurements`` that the heartbeat of ``node`` has; those that are not measured are None."""
    if node == "hand_driver":
        texts = {"temperature": values.get(_TEMPERATURE, NOT_MEASURED), "voltage": values.get(_VOLTAGE, NOT_MEASURED)}
        arrays = {field: None if text == NOT_MEASURED else np.asarray(json.loads(text), dtype=np.float64) for field, text in texts.items()}
        return {**arrays, "overload": values.get(_OVERLOAD, "")}
    if node == "recorder":
        return {"disk_free_mb": float(values[_DISK]) if _DISK in values else None}
    return {}
