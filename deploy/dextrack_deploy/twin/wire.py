"""Bus peers of a trial: processes that speak the devices' own protocols and move the twin.

A trial that uses them runs the real drivers, the makers' own libraries under them, and everything above, with the twin's physics behind the wire.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from dextrack.files import write_json
from dextrack_deploy.cell.config import PEER, CellConfig
from dextrack_deploy.twin.dynamixel.process import PeerProcess
from dextrack_deploy.twin.process import Announced

ARM_HOST = "127.0.0.1"
"""libfranka's port is fixed, so there is one simulated Franka on a machine at a time."""
HAND_LINK = "hand.tty"
"""In the trial folder: a link to the pseudo terminal of the simulated motors, whose name only they know."""
PEERS_FILE = "peers.json"
"""In the trial folder: what each peer said of itself, by device; whoever wants to cause a fault finds it there."""
LOST_CYCLES = 100
"""Commands lost in a row at which the simulated Franka stops. A real one stops at 20, on a machine with a real-time kernel that does not simulate it too."""
FRANKA_START_S = 180.0
"""The first simulated Franka makes its environment, s."""


def address(device: str, trial: Path) -> str:
    """Where the driver of ``device`` (``arm`` or ``hand``) finds its peer in the trial folder ``trial``."""
    return ARM_HOST if device == "arm" else str(trial / HAND_LINK)


class WirePeers:
    """The peers that a cell asks for; a context manager that ends them."""

    def __init__(self, cell: CellConfig, cell_name: str, endpoint: str, trial: Path) -> None:
        """Start the peers of ``cell``.

        Args:
            cell: says which there are.
            cell_name: its name or path, for the peers.
            endpoint: of the twin that they move.
            trial: the trial folder.

        Raises:
            DriverError: one did not start, with what it said.
        """
        self.processes: dict[str, Announced] = {}
        """Peers by device."""
        self._link: Path | None = None
        try:
            if cell.drivers.arm_address == PEER:
                command = [
                    "dextrack_deploy.twin.franka_peer",
                    "--twin",
                    endpoint,
                    "--parent",
                    str(os.getpid()),
                    "--cell",
                    cell_name,
                    "--host",
                    ARM_HOST,
                    "--lost-cycles",
                    str(LOST_CYCLES),
                ]
                self.processes["arm"] = Announced("Franka's simulator", command, FRANKA_START_S, listens=True)
            if cell.drivers.hand_address == PEER:
                self.processes["hand"] = motors = PeerProcess(["--twin", endpoint, "--hand", cell.hand.model])
                self._link = trial / HAND_LINK
                self._link.symlink_to(motors.pty)
            if self.processes:
                write_json(trial / PEERS_FILE, {device: process.announcement for device, process in self.processes.items()})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End them; closing twice is allowed."""
        for process in self.processes.values():
            process.close()
        if self._link is not None:
            with contextlib.suppress(FileNotFoundError):
                self._link.unlink()
            self._link = None

    def __enter__(self) -> WirePeers:
        """Return the peers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.close()
