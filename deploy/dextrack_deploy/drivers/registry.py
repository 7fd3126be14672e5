"""The drivers that exist, by name. Adding one means a file beside this one, and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dextrack.errors import InputError
from dextrack_deploy.drivers.protocols import ArmDriver, HandDriver, ObjectPoseSource

if TYPE_CHECKING:
    from dextrack_deploy.cell import CellConfig

# Classes by their place and not by themselves: a cell configuration is checked against the names, and that must not load every device's libraries.
HAND_DRIVERS: Mapping[str, str] = {
    "leap": "dextrack_deploy.drivers.leap:LeapHand",
    "twin": "dextrack_deploy.drivers.twin:TwinHand",
}
"""Name -> ``module:class``; the class takes the device's address (for the twin: its endpoint), and what ``open_hand`` takes, and connects to it."""
ARM_DRIVERS: Mapping[str, str] = {
    "franka": "dextrack_deploy.drivers.franka:FrankaArm",
    "twin": "dextrack_deploy.drivers.twin:TwinArm",
}
"""Likewise for arms; the class also takes the cell: limits, and what the arm carries."""
OBJECT_POSE_SOURCES: Mapping[str, str] = {"twin": "dextrack_deploy.drivers.twin:TwinCamera"}
"""Likewise for what sees the object."""


def open_hand(name: str, address: str, zeros: Mapping[str, float] | None = None, engage: bool = True) -> HandDriver:
    """Connect to the hand at ``address`` through driver ``name``.

    Args:
        name: of the driver.
        address: of the device.
        zeros: joint name -> angle, rad, that the joint shows when it truly is at zero; none where left out.
        engage: whether its motors are to hold at once, and not only when they are told a power.

    Raises:
        InputError: no such driver.
        DriverError: the device does not answer.
    """
    driver: HandDriver = _find(HAND_DRIVERS, "hand driver", name)(address, zeros=zeros, engage=engage)
    return driver


def open_arm(name: str, address: str, cell: CellConfig | None = None) -> ArmDriver:
    """Connect to the arm of ``cell`` (the shipped one when None) at ``address`` through driver ``name``; raises as ``open_hand``."""
    driver: ArmDriver = _find(ARM_DRIVERS, "arm driver", name)(address, cell)
    return driver


def open_object_pose_source(name: str, address: str) -> ObjectPoseSource:
    """Connect to the camera at ``address`` through driver ``name``; raises as ``open_hand``."""
    source: ObjectPoseSource = _find(OBJECT_POSE_SOURCES, "object pose source", name)(address)
    return source


def _find(table: Mapping[str, str], kind: str, name: str) -> Any:
    if name not in table:
        raise InputError("%s %r is not known." % (kind, name), remedy="choose one of: %s." % ", ".join(sorted(table)))
    module, _, driver = table[name].partition(":")
    return getattr(importlib.import_module(module), driver)
