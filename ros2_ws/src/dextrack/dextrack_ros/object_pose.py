"""The object_pose node: poses of the object from the cell's camera."""

from __future__ import annotations

import sys

from dextrack_deploy import graph
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.protocols import ObjectPoseSource
from dextrack_deploy.drivers.registry import open_object_pose_source

from dextrack_ros import messages
from dextrack_ros.node import ADDRESS, CellNode, run


class ObjectPoseNode(CellNode):
    """Polls twice as fast as the camera, so that a pose waits at most half a period."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("object_pose", (ADDRESS,))
        self._source: ObjectPoseSource | None = None
        self._last = 0

    def configure(self) -> None:
        """Connect to the source of poses."""
        cell = load_cell(self.value("cell"))
        self._source = open_object_pose_source(cell.drivers.object_pose, self.value("address"))

    def activate(self) -> None:
        """Begin to poll."""
        self.every(graph.CAMERA_PERIOD / 2.0, self._poll, "reading the object's pose")

    def cleanup(self) -> None:
        """Disconnect."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _poll(self) -> None:
        assert self._source is not None
        sample = self._source.read()
        if sample is not None and sample.stamp != self._last:
            self._last = sample.stamp
            self.publish("object_pose", messages.object_pose(sample))


def main() -> int:
    """Run the node."""
    return run(ObjectPoseNode)


if __name__ == "__main__":
    sys.exit(main())
