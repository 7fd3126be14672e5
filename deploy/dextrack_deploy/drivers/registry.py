"""The drivers that exist, by name. Adding one means a file beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from dextrack.errors import InputError
from dextrack_deploy.drivers import twin
from dextrack_deploy.drivers.protocols import ArmDriver, HandDriver, ObjectPoseSource

HAND_DRIVERS: Mapping[str, Callable[[str], HandDriver]] = {"twin": twin.TwinHand}
"""Name -> function of the device's address (for the twin: its endpoint) that connects to it."""
ARM_DRIVERS: Mapping[str, Callable[[str], ArmDriver]] = {"twin": twin.TwinArm}
"""Likewise for arms."""
OBJECT_POSE_SOURCES: Mapping[str, Callable[[str], ObjectPoseSource]] = {"twin": twin.TwinCamera}
"""Likewise for what sees the object."""

_Driver = TypeVar("_Driver")


def open_hand(name: str, address: str) -> HandDriver:
    """Connect to the hand at ``address`` through driver ``name``.

    Raises:
        InputError: no such driver.
        DriverError: the device does not answer.
    """
    return _find(HAND_DRIVERS, "hand driver", name)(address)


def open_arm(name: str, address: str) -> ArmDriver:
    """Connect to the arm at ``address`` through driver ``name``; raises as ``open_hand``."""
    return _find(ARM_DRIVERS, "arm driver", name)(address)


def open_object_pose_source(name: str, address: str) -> ObjectPoseSource:
    """Connect to the camera at ``address`` through driver ``name``; raises as ``open_hand``."""
    return _find(OBJECT_POSE_SOURCES, "object pose source", name)(address)


def _find(table: Mapping[str, Callable[[str], _Driver]], kind: str, name: str) -> Callable[[str], _Driver]:
    if name not in table:
        raise InputError("%s %r is not known." % (kind, name), remedy="choose one of: %s." % ", ".join(sorted(table)))
    return table[name]
