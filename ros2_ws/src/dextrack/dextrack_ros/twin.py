"""The twin node: the simulated cell and its bus peers as child processes, and the truth about its object for the report."""

from __future__ import annotations

import sys
from pathlib import Path

from dextrack_deploy.cell import load_cell
from dextrack_deploy.placed import placed_reference
from dextrack_deploy.twin.commands import COMMANDS_FILE
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.process import TwinProcess
from dextrack_deploy.twin.wire import WirePeers

from dextrack.files import write_json
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages, realtime
from dextrack_ros.node import CellNode, run


class TwinNode(CellNode):
    """The physics has a process of its own, so that nothing here delays its real time. It ends with this one, however this one ends."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("twin")
        self._twin: TwinProcess | None = None
        self._client: TwinClient | None = None
        self._peers: WirePeers | None = None

    def configure(self) -> None:
        """Start the simulation with the object where the placed reference begins."""
        reference = placed_reference(self.value("placed"))
        position, quaternion = reference.object_position_w[0], reference.object_quaternion_w[0]
        options = [
            *("--cell", self.value("cell"), "--port", str(self.value("port")), "--seed", str(self.value("seed"))),
            *("--position", *(repr(float(v)) for v in position[:2])),
            *("--quaternion", *(repr(float(v)) for v in quaternion)),
            *(("--zero-mismatch",) if self.value("mismatch") == "none" else ()),
            *(("--commands", str(Path(self.value("trial")) / COMMANDS_FILE)) if self.value("trial") else ()),
        ]
        self._twin = TwinProcess(Path(self.value("object")), options)
        # From now on: the peers end where it does not answer, and every other node is starting.
        realtime.begin(self._twin.process.pid)
        self._client = TwinClient(self._twin.endpoint)
        self._peers = WirePeers(load_cell(self.value("cell")), self.value("cell"), self._twin.endpoint, Path(self.value("trial") or "."))
        if self.value("trial"):
            settled = self._client.call("status")["settled"]
            write_json(Path(self.value("trial")) / "twin.json", {**self._client.hello, "settled": settled})
        self.health("simulating", mismatch=self._twin.mismatch["label"])

    def activate(self) -> None:
        """Begin to publish the truth."""
        assert self._peers is not None
        if "hand" in self._peers.processes:
            # The arm's peer looks after its own scheduling: a thousand commands a second come before the nodes.
            realtime.begin(self._peers.processes["hand"].process.pid)
        self.every(CONTROL_PERIOD, self._publish_truth, "reading the twin")

    def cleanup(self) -> None:
        """End the simulation."""
        if self._peers is not None:
            self._peers.close()
        if self._client is not None:
            self._client.close()
        if self._twin is not None:
            self._twin.close()
        self._client = self._twin = self._peers = None

    def _publish_truth(self) -> None:
        assert self._client is not None
        truth = self._client.call("truth.read")
        self.publish("twin/truth", messages.pose(int(truth["stamp"]), truth["position"], truth["quaternion"]))


def main() -> int:
    """Run the node."""
    return run(TwinNode)


if __name__ == "__main__":
    sys.exit(main())
