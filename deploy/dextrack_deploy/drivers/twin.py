"""The twin's counterparts of hand, arm and camera: each a client of the link, in the process of its caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dextrack_deploy.drivers.protocols import ArmReading, Array, HandReading, ObjectPose
from dextrack_deploy.twin.link import TwinClient

if TYPE_CHECKING:
    from dextrack_deploy.cell import CellConfig


class TwinHand:
    """The hand of the twin. See HandDriver."""

    def __init__(self, address: str, *, zeros: Mapping[str, float] | None = None, engage: bool = True) -> None:
        """Connect to the twin at ``address`` (``tcp://127.0.0.1:PORT``). Raises DriverError when nobody answers.

        Its joints show what they are, so it has no use for ``zeros``; nor has it for ``engage``: it holds from the beginning.
        """
        self._link = TwinClient(address)

    def read(self) -> HandReading:
        """Read the newest sample; a twin's motors have no temperature."""
        r = self._link.call("hand.read")
        return HandReading(int(r["stamp"]), np.array(r["position"]), np.array(r["velocity"]), np.array(r["current"]))

    def write(self, targets: Array, stamp: int) -> None:
        """Send joint targets (16,), rad."""
        self._link.call("hand.write", targets=np.asarray(targets).tolist(), stamp=int(stamp))

    def set_power(self, power: str) -> None:
        """Make the motors ``full``, ``soft`` or ``off``."""
        self._link.call("hand.power", power=power)

    def recover(self, power: str = "full") -> None:
        """Give the motors ``power``; the twin's have no errors."""
        self.set_power(power)

    def close(self) -> None:
        """Disconnect; the motors keep their last target."""
        self._link.close()


class TwinArm:
    """The arm of the twin. See ArmDriver."""

    def __init__(self, address: str, cell: CellConfig | None = None) -> None:
        """Connect as TwinHand does. The twin has a cell of its own: ``cell`` is not used."""
        self._link = TwinClient(address)

    def read(self) -> ArmReading:
        """Read the newest sample."""
        r = self._link.call("arm.read")
        return ArmReading(int(r["stamp"]), np.array(r["q"]), np.array(r["dq"]))

    def write(self, q: Array, stamp: int = 0) -> None:
        """Send joint targets (7,), rad."""
        self._link.call("arm.write", q=np.asarray(q).tolist(), stamp=int(stamp))

    def stop(self) -> None:
        """End the motion where it is now."""
        self._link.call("arm.stop")

    def recover(self) -> None:
        """Do nothing: the twin's arm has no errors that stay."""

    def close(self) -> None:
        """Disconnect; the arm holds its last target."""
        self._link.close()


class TwinCamera:
    """The camera of the twin. See ObjectPoseSource."""

    def __init__(self, address: str) -> None:
        """Connect as TwinHand does."""
        self._link = TwinClient(address)

    def read(self) -> ObjectPose | None:
        """Read the newest sample."""
        r = self._link.call("camera.read")
        if not r:
            return None
        # The twin knows the noise that it adds; an estimator tells its own.
        covariance = np.diag(np.repeat(np.array(r["deviation"]) ** 2, 3))
        return ObjectPose(int(r["stamp"]), np.array(r["position"]), np.array(r["quaternion"]), covariance)

    def close(self) -> None:
        """Disconnect."""
        self._link.close()
