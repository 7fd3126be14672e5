"""The twin node: the simulated cell as a child process, and the truth about its object for the report."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

from dextrack_deploy.twin.link import TwinClient

from dextrack.errors import DriverError
from dextrack.files import write_json
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages, realtime
from dextrack_ros.node import CellNode, run
from dextrack_ros.placed import placed_reference

_START_S = 25.0
"""Seconds that the simulation may take to start."""


class TwinNode(CellNode):
    """The physics has a process of its own, so that nothing here delays its real time. It ends with this one, however this one ends."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("twin")
        self._process: subprocess.Popen[str] | None = None
        self._client: TwinClient | None = None

    def configure(self) -> None:
        """Start the simulation with the object where the placed reference begins."""
        reference = placed_reference(self.value("placed"))
        position, quaternion = reference.object_position_w[0], reference.object_quaternion_w[0]
        command = [
            *(sys.executable, "-m", "dextrack_deploy.twin.server", "--parent", str(os.getpid())),
            *("--object", self.value("object"), "--cell", self.value("cell")),
            *("--port", str(self.value("port")), "--seed", str(self.value("seed"))),
            *("--position", *(repr(float(v)) for v in position[:2])),
            *("--quaternion", *(repr(float(v)) for v in quaternion)),
            *(("--zero-mismatch",) if self.value("mismatch") == "none" else ()),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        hello = json.loads(self._first_line())
        self._client = TwinClient(hello["endpoint"])
        if self.value("trial"):
            status = self._client.call("status")
            write_json(Path(self.value("trial")) / "twin.json", {**self._client.hello, "settled": status["settled"]})
        self.health("simulating", mismatch=hello["mismatch"]["label"])

    def activate(self) -> None:
        """Begin to publish the truth."""
        assert self._process is not None
        realtime.begin(self._process.pid)
        self.every(CONTROL_PERIOD, self._publish_truth, "reading the twin")

    def cleanup(self) -> None:
        """End the simulation."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _first_line(self) -> str:
        """What the simulation prints when it listens.

        Raises:
            DriverError: it ended instead, or is silent.
        """
        assert self._process is not None and self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise DriverError("the twin did not start.", remedy="read why in the twin's log in the trial folder.")
        return line

    def _publish_truth(self) -> None:
        assert self._client is not None
        truth = self._client.call("truth.read")
        self.publish("twin/truth", messages.pose(int(truth["stamp"]), truth["position"], truth["quaternion"]))


def main() -> int:
    """Run the node."""
    return run(TwinNode)


if __name__ == "__main__":
    sys.exit(main())
