"""TrialLogWriter: the trial's messages in one MCAP file that standard tools read, which survives a full disk and a killed writer.

- Messages are kept for at most a second before they are on their way to the disk, so a killed recorder loses little, and what is there is whole records.
- Where the disk fills, a reserve is given back to it, so that the file can be closed with its index: everything recorded before stays readable.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from dextrack_deploy import graph
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from dextrack.errors import RefusedError

FILE_NAME = "trial.mcap"
"""The trial log in a trial folder; with ``metadata.yaml`` beside it the folder is a rosbag2 bag."""
_RESERVE_BYTES = 4 << 20
_BAG_VERSION = 8
"""Of rosbag2: from 9 on metadata.yaml lists the quality of service as a sequence, which Humble's `ros2 bag` refuses; Jazzy and Kilted read 8 too."""
_INFINITE = QosTime(2**31 - 1, 2**32 - 1)
_MB = 1e6


class _Patient:
    """A file that keeps what the disk would not take, so that a write can be completed once there is room."""

    def __init__(self, path: Path, start: int) -> None:
        self._handle = os.open(path, os.O_WRONLY)
        self._position = os.lseek(self._handle, start, os.SEEK_SET)
        self._pending = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._pending += data
        return len(data)

    def tell(self) -> int:
        """Where the next byte will be, once everything pending is on the disk."""
        return self._position + len(self._pending)

    def flush(self) -> None:
        """Hand everything pending to the disk. OSError where it takes no more: the rest stays pending."""
        while self._pending:
            written = os.write(self._handle, self._pending)
            self._position += written
            del self._pending[:written]

    def close(self) -> None:
        if self._handle >= 0:
            try:
                self.flush()
                os.fsync(self._handle)
            finally:
                os.close(self._handle)
                self._handle = -1


class TrialLogWriter:
    """Writes messages of the graph's topics, as DDS delivered them, into ``folder``."""

    def __init__(self, folder: Path, topics: tuple[graph.Topic, ...], min_free_mb: float) -> None:
        """Open the log.

        Args:
            folder: the trial folder.
            topics: what will be recorded.
            min_free_mb: free space, MB, below which the log ends.

        Raises:
            RefusedError: the folder has a log already, cannot be written, or has too little space.
        """
        self.path = folder / FILE_NAME
        self.broken = ""
        """Why the log ended early; empty while it is well."""
        self.messages = 0
        """Messages recorded."""
        self._min_free_mb = min_free_mb
        self._folder = folder
        self._reserve = folder / ".reserve"
        self._closed = False
        if self.path.exists():
            raise RefusedError(f"{self.path}: there is a trial log already.", remedy="give the trial a folder of its own.")
        if self.free_mb() < min_free_mb:
            what = f"{folder}: {self.free_mb():.0f} MB are free, and the trial log wants {min_free_mb:.0f} MB."
            raise RefusedError(what, remedy="free disk space, or choose another folder.")
        try:
            self._open(topics)
        except OSError as error:
            raise RefusedError(f"{folder}: the trial log cannot be written ({error}).", remedy="choose a folder that you may write to.") from None

    def _open(self, topics: tuple[graph.Topic, ...]) -> None:
        with open(self._reserve, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, _RESERVE_BYTES)
        # rosbags makes <bag>/<bag>.mcap; the file moves up at once, so that it is where it belongs even if this process is killed.
        bag = self._folder / FILE_NAME.removesuffix(".mcap")
        self._writer = Writer(bag, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        storage: Any = self._writer.storage
        os.replace(storage.path, self.path)
        bag.rmdir()
        self._writer.metapath = self._folder / "metadata.yaml"
        storage.path = self.path
        storage.bio.flush()
        start = storage.bio.tell()
        storage.bio.close()
        storage.bio = _Patient(self.path, start)
        self._storage = storage
        types = get_typestore(Stores.ROS2_KILTED)
        self._connections: dict[str, Connection] = {
            t.name: self._writer.add_connection(resolved(t.name), t.type, typestore=types, offered_qos_profiles=[_qos(t)]) for t in topics
        }

    def free_mb(self) -> float:
        """Free disk space where the log lies, MB."""
        return shutil.disk_usage(self._folder).free / _MB

    def write(self, topic: str, stamp: int, data: bytes) -> None:
        """Record ``data`` (serialized) of ``topic``, received at ``stamp`` (ns). A broken or closed log ignores it."""
        if self._closed:
            return
        try:
            self._writer.write(self._connections[topic], stamp, data)
            self.messages += 1
        except OSError as error:
            self._end_early(error)

    def flush(self) -> None:
        """Hand what was recorded to the disk, and end the log in order where too little space is left. Call it once a second."""
        if self._closed:
            return
        try:
            if self._storage.chunk.msgs:
                self._storage.close_chunk()
            self._storage.bio.flush()
        except OSError as error:
            self._end_early(error)
        else:
            free = self.free_mb()
            if free < self._min_free_mb:
                self._end_early(OSError(f"{free:.0f} MB are free, fewer than {self._min_free_mb:.0f} MB"))

    def close(self) -> None:
        """Write the index and close. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        self._reserve.unlink(missing_ok=True)
        try:
            self._writer.close()
        except OSError as error:
            # Whole records are on the disk, but no index: the reader falls back to them.
            self.broken = self.broken or str(error)
            self._writer.storage = None

    def _end_early(self, error: OSError) -> None:
        self.broken = str(error)
        self.close()


def resolved(topic: str) -> str:
    """The full name of a topic in the root namespace, as a log records it."""
    return topic if topic.startswith("/") else "/" + topic


def _qos(topic: graph.Topic) -> Qos:
    """The quality of service that the topic's publishers offer."""
    q = graph.QOS[topic.qos]
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=q.depth,
        reliability=QosReliability.RELIABLE if q.reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if q.latched else QosDurability.VOLATILE,
        deadline=_INFINITE,
        lifespan=_INFINITE,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_INFINITE,
        avoid_ros_namespace_conventions=False,
    )
