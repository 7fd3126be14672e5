"""The recorder node: every topic of the graph into the trial log, byte for byte as DDS delivered it."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from dextrack_deploy import graph, health

from dextrack.errors import RefusedError
from dextrack_ros.log_writer import TrialLogWriter
from dextrack_ros.node import CellNode, run

FLUSH_PERIOD = 0.5
"""Seconds between two flushes of the log."""
_DEPTH = 120
"""Messages of a topic that may wait: two seconds of a stream."""


class Recorder(CellNode):
    """Subscribes raw: nothing is decoded on the way to the disk. Stamps are DDS's, so that messages may wait for each other."""

    gather_s = 0.04

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("recorder")
        self._log: TrialLogWriter | None = None
        self._subscribed = False

    def configure(self) -> None:
        """Open the log and subscribe."""
        if not self.value("record"):
            return
        if not self.value("trial"):
            raise RefusedError("parameter trial is empty: the recorder has nowhere to write.", remedy="give a trial folder, or set record to false.")
        topics = graph.subscriptions("recorder")
        self._log = TrialLogWriter(Path(self.value("trial")), topics, self.value("min_free_mb"))
        self._tell()
        if not self._subscribed:
            self._subscribed = True
            for topic in topics:
                self.hear(topic.name, functools.partial(self._record, topic.name), raw=True, stamped=True, depth=_DEPTH)

    def activate(self) -> None:
        """Begin to flush regularly."""
        self.every(FLUSH_PERIOD, self._flush, "writing the trial log")

    def cleanup(self) -> None:
        """Close the log with its index."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _record(self, topic: str, message: tuple[bytes, int]) -> None:
        if self._log is not None:
            data, received = message
            self._log.write(topic, received, data)

    def _flush(self) -> None:
        if self._log is not None:
            self._log.flush()
            self._tell()

    def _tell(self) -> None:
        """Say how the log is; the supervisor holds the trial where it ended early."""
        if self._log is not None:
            self.health("recording", messages=self._log.messages, **health.of_log(self._log.free_mb()))
            if self._log.broken:
                # An error of its own, until the log is closed: no callback that works again mends it.
                self.fail("the log ended early", self._log.broken)


def main() -> int:
    """Run the node."""
    return run(Recorder)


if __name__ == "__main__":
    sys.exit(main())
