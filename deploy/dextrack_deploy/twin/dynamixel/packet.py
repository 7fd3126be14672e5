"""Packets of Dynamixel Protocol 2.0: checksum, byte stuffing, and a parser of the stream that a host sends.

A packet is ``FF FF FD 00 ID LEN_L LEN_H`` and LEN bytes: an instruction, its parameters and the checksum. A status packet's instruction is 0x55 and
its first parameter the error. Multi-byte values are little-endian.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

HEADER = b"\xff\xff\xfd"
BROADCAST = 0xFE
"""The id that every motor takes as its own."""
ALERT = 0x80
"""Bit of a status packet's error: the motor's hardware error status is not zero."""
LONGEST = 1024
"""Largest LEN that is believed; a longer one is noise."""

_POLYNOMIAL = 0x8005


class Instruction(enum.IntEnum):
    """What a packet asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Error(enum.IntEnum):
    """What a status packet says of the instruction; its highest bit is ``ALERT``."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


def _table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        register = byte << 8
        for _ in range(8):
            register = (register << 1) ^ (_POLYNOMIAL if register & 0x8000 else 0)
        values.append(register & 0xFFFF)
    return tuple(values)


_CRC = _table()


def crc16(data: bytes, register: int = 0) -> int:
    """CRC-16 with polynomial x^16 + x^15 + x^2 + 1, highest bit first, of ``data``; ``register`` is that of what came before it."""
    for byte in data:
        register = ((register << 8) & 0xFFFF) ^ _CRC[(register >> 8) ^ byte]
    return register


def stuff(body: bytes) -> bytes:
    """Instruction and parameters as they go over the wire: FD follows every FF FF FD, so that no header appears within a packet."""
    return body.replace(HEADER, HEADER + b"\xfd")


def unstuff(body: bytes) -> bytes:
    """The inverse of ``stuff``."""
    return body.replace(HEADER + b"\xfd", HEADER)


def frame(motor: int, body: bytes) -> bytes:
    """The packet to or from ``motor`` with ``body`` (instruction and parameters, before stuffing)."""
    stuffed = stuff(body)
    packet = HEADER + bytes((0, motor)) + (len(stuffed) + 2).to_bytes(2, "little") + stuffed
    return packet + crc16(packet).to_bytes(2, "little")


def status(motor: int, error: int, parameters: bytes = b"") -> bytes:
    """A status packet of ``motor``."""
    return frame(motor, bytes((Instruction.STATUS, error)) + parameters)


def fast_statuses(parts: list[tuple[int, int, bytes]], length: int) -> list[bytes]:
    """What motors in turn put on the wire to answer a fast read, in the order asked.

    Together they are one status packet that is not stuffed: after the header each motor adds its error, its id, its data and the checksum of
    everything so far.

    Args:
        parts: (motor id, error, data) of each motor that answers.
        length: LEN of the whole packet, which the first motor already announces.
    """
    head = HEADER + bytes((0, BROADCAST)) + length.to_bytes(2, "little") + bytes((Instruction.STATUS,))
    out, register = [], 0
    for motor, error, data in parts:
        part = head + bytes((error, motor)) + data
        register = crc16(part, register)
        tail = register.to_bytes(2, "little")
        register = crc16(tail, register)
        out.append(part + tail)
        head = b""
    return out


@dataclasses.dataclass(frozen=True)
class Packet:
    """An instruction packet."""

    motor: int
    """Id that it is for."""
    instruction: int
    parameters: bytes
    """Without stuffing."""
    intact: bool
    """Whether its checksum is right."""
    size: int
    """Bytes on the wire."""


class Parser:
    """Cuts a stream of bytes into packets; what is none is passed over."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._pending = b""

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not complete."""
        return len(self._pending)

    def forget(self) -> None:
        """Drop an incomplete packet: its rest will not come any more."""
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take ``data`` and yield every packet that it completes."""
        self._pending += data
        while (packet := self._next()) is not None:
            yield packet

    def _next(self) -> Packet | None:
        while True:
            start = self._pending.find(HEADER)
            if start < 0:
                # The end of what has come may be the beginning of a header.
                self._pending = self._pending[max(0, len(self._pending) - 2) :]
                return None
            self._pending = self._pending[start:]
            if len(self._pending) < 7:
                return None
            length = int.from_bytes(self._pending[5:7], "little")
            if self._pending[3] == 0 and 3 <= length <= LONGEST:
                break
            self._pending = self._pending[3:]
        size = 7 + length
        if len(self._pending) < size:
            return None
        raw, self._pending = self._pending[:size], self._pending[size:]
        body = unstuff(raw[7:-2])
        return Packet(raw[4], body[0], body[1:], crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"), size)
