"""Case: which cell is examined, what of it is hardware, and what the operator named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dextrack_deploy.cell import CellConfig
from dextrack_deploy.cell.config import PEER, TWIN

_ANY_PORT = "auto"
"""Address of a hand behind the one adapter that is plugged in."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What the findings are judged against."""

    cell: str
    """Name of the cell."""
    hand: str
    """Driver of the hand, as the cell configuration names it."""
    arm: str
    """Driver of the arm."""
    camera: str
    """What sees the object."""
    data: Path
    """The user data folder."""
    runs: Path
    """Where trials are written."""
    port: str | None = None
    """Serial port of the hand, where the operator or the cell names one."""
    host: str | None = None
    """Address of the arm, where the operator or the cell names one."""
    peers: tuple[str, ...] = ()
    """``hand`` or ``arm``, where it is the twin's bus peer: its driver is the real one's, and there is no hardware."""
    zeros: int = 0
    """How many joints of the hand have a measured zero in the cell's file."""
    motors: str = ""
    """File of the hand's measured motors; empty: the cell names none."""

    @classmethod
    def of(cls, cell: CellConfig, data: Path, runs: Path, port: str | None = None, host: str | None = None) -> Case:
        """The case of ``cell``; ``port`` and ``host`` are what the operator says instead of the cell's own addresses."""
        d = cell.drivers
        peers = tuple(device for device in ("hand", "arm") if getattr(d, f"{device}_address") == PEER)
        addresses = (port or _own(d.hand_address), host or _own(d.arm_address))
        return cls(cell.name, d.hand, d.arm, d.object_pose, data, runs, *addresses, peers, len(cell.hand.zeros), cell.hand.motors)

    @property
    def needs_hand(self) -> bool:
        """Whether a real hand is part of the cell, or its port was named."""
        return (self.hand != TWIN and "hand" not in self.peers) or self.port is not None

    @property
    def needs_arm(self) -> bool:
        """Whether a real arm is part of the cell, or its address was named."""
        return (self.arm != TWIN and "arm" not in self.peers) or self.host is not None

    @property
    def arm_on_cable(self) -> bool:
        """Whether the arm is reached over a network: a simulator on this machine waits, and needs no real time."""
        return self.needs_arm and not (self.host == "localhost" or (self.host or "").startswith("127."))

    @property
    def needs_camera(self) -> bool:
        """Whether a real camera is part of the cell."""
        return self.camera != TWIN

    @property
    def is_hardware(self) -> bool:
        """Whether anything of the cell is real."""
        return self.needs_hand or self.needs_arm or self.needs_camera


def _own(address: str) -> str | None:
    """Where a device is by ``address`` of its cell; None where that names no place."""
    return None if address.partition("@")[0] in ("", PEER, _ANY_PORT) else address
