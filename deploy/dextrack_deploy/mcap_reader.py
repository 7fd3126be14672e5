"""Reads MCAP files record by record, without their index: what a killed writer left is read up to where it breaks off.

Format: https://mcap.dev/spec (version 0). A record is an opcode (1 byte), a length (8 bytes, little endian) and that many bytes. Messages lie in
the data section or in chunks; a message names its channel, a channel its topic and schema, a schema its message type.
"""

from __future__ import annotations

import dataclasses
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from dextrack.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F


@dataclasses.dataclass(frozen=True)
class Message:
    """A recorded message."""

    topic: str
    type: str
    """Message type as its schema names it, for example ``sensor_msgs/msg/JointState``."""
    received_ns: int
    """When the recorder received it, ns since the epoch."""
    data: bytes
    """The message in CDR, as it travelled."""


class McapReader:
    """Iterates over the messages of a file; ``problems`` says afterwards what could not be read."""

    def __init__(self, path: Path) -> None:
        """Read ``path``.

        Raises:
            InputError: the file is missing, empty, or no MCAP file.
        """
        self.path = Path(path)
        self.problems: list[str] = []
        """One sentence each; empty for a whole file."""
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}
        try:
            with open(self.path, "rb") as f:
                head = f.read(len(MAGIC))
        except OSError as error:
            raise InputError(f"{self.path}: the trial log cannot be read ({error.strerror}).", remedy="check the trial folder.") from None
        if head != MAGIC:
            raise InputError(f"{self.path}: this is not an MCAP file.", remedy="give the trial.mcap that a trial recorded.")

    def __iter__(self) -> Iterator[Message]:
        """Every message that can be read, in the order of the file."""
        with open(self.path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            ended = False
            for opcode, content in _records(data, len(MAGIC)):
                if opcode == _DATA_END:
                    ended = True
                    break
                if opcode == _CHUNK:
                    yield from self._chunk(content)
                else:
                    yield from self._record(opcode, content)
            if not ended:
                self.problems.append(f"{self.path.name} breaks off: its writer was killed or the disk was full; all whole records before that were read")

    def _chunk(self, content: bytes) -> Iterator[Message]:
        try:
            size, crc = struct.unpack_from("<QI", content, 16)
            compression, at = _text(content, 28)
            (length,) = struct.unpack_from("<Q", content, at)
            data = content[at + 8 : at + 8 + length]
        except (struct.error, UnicodeDecodeError) as error:
            self.problems.append(f"a chunk of {self.path.name} is unreadable ({error})")
            return
        if compression:
            self.problems.append(f"a chunk of {self.path.name} is compressed ({compression}), which our recorder never does; its messages are left out")
            return
        if len(data) != size or (crc and zlib.crc32(data) != crc):
            self.problems.append(f"a chunk of {self.path.name} is damaged: its checksum does not match; its messages are left out")
            return
        for opcode, record in _records(data, 0):
            yield from self._record(opcode, record)

    def _record(self, opcode: int, content: bytes) -> Iterator[Message]:
        try:
            if opcode == _SCHEMA:
                (key,) = struct.unpack_from("<H", content, 0)
                self._schemas[key] = _text(content, 2)[0]
            elif opcode == _CHANNEL:
                key, schema = struct.unpack_from("<HH", content, 0)
                self._channels[key] = (_text(content, 4)[0], self._schemas.get(schema, ""))
            elif opcode == _MESSAGE:
                channel, _, received = struct.unpack_from("<HIQ", content, 0)
                if channel in self._channels:
                    yield Message(*self._channels[channel], int(received), content[22:])
        except (struct.error, UnicodeDecodeError) as error:
            self.problems.append(f"a record of {self.path.name} is unreadable ({error})")


def _records(data: bytes | mmap.mmap, at: int) -> Iterator[tuple[int, bytes]]:
    """(opcode, content) of every whole record from offset ``at``; ends before the first one that is cut off."""
    while at + 9 <= len(data):
        opcode, length = struct.unpack_from("<BQ", data, at)
        if at + 9 + length > len(data):
            return
        yield opcode, bytes(data[at + 9 : at + 9 + length])
        at += 9 + length


def _text(content: bytes, at: int) -> tuple[str, int]:
    """The string at offset ``at`` and the offset behind it."""
    (length,) = struct.unpack_from("<I", content, at)
    if at + 4 + length > len(content):
        raise struct.error("a string is longer than its record")
    return content[at + 4 : at + 4 + length].decode("utf-8"), at + 4 + length
