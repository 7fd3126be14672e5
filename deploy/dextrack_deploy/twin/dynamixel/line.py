"""The time that bus and USB adapter take. No clocks: time is an argument, s.

The wire is half-duplex, ten bits a byte, one packet at a time. A motor answers its return delay after the instruction's end; the motors of a sync
read answer one after the other, each after its own delay; those of a fast read without a pause, after the delay of the first.

The adapter (an FTDI chip; a U2D2 has an FT232H) collects what comes from the wire, and hands it to the host when a USB packet is full or its latency
timer runs out. The timer starts anew whenever something is handed over, and runs whether or not bytes wait, so an answer waits for what is
left of it. Source: FTDI application note AN232B-04, "Small amounts of data and end of buffer conditions"; 16 ms is its default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

BITS_PER_BYTE = 10
"""A start bit, eight of data and a stop bit."""


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A USB adapter."""

    latency_s: float = 0.016
    """Its latency timer; drivers of the system set it to 1 ms where they are told to."""
    transfer_s: float = 125e-6
    """Time of one USB transfer, either way: a microframe of high-speed USB."""
    payload: int = 510
    """Bytes of one USB packet: 510 of an FT232H (high speed), 62 of an FT232R (full speed)."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a motor puts on the wire."""

    delay_s: float
    """Pause before it, from the end of what was on the wire."""
    data: bytes


@dataclasses.dataclass(frozen=True)
class Release:
    """Bytes that the host can read."""

    time_s: float
    data: bytes


class Line:
    """The wire and its adapter."""

    def __init__(self, adapter: Adapter, start_s: float = 0.0) -> None:
        """Nothing is on the wire; the latency timer starts at ``start_s``."""
        self.adapter = adapter
        self._free = start_s
        self._handed = start_s

    def send(self, size: int, baud: int, now: float) -> float:
        """The host writes ``size`` bytes at ``now``: when their last bit has reached the motors."""
        start = max(now + self.adapter.transfer_s, self._free)
        self._free = start + size * BITS_PER_BYTE / baud
        return self._free

    def answer(self, answers: Sequence[Answer], baud: int, heard: float) -> list[Release]:
        """When the host can read which bytes of ``answers``, to an instruction that ended at ``heard``."""
        byte_s, at, arrivals = BITS_PER_BYTE / baud, max(heard, self._free), []
        for answer in answers:
            at += answer.delay_s
            arrivals.append((at, answer.data))
            at += len(answer.data) * byte_s
        self._free = at
        return self._hand_over(arrivals, byte_s)

    def _hand_over(self, arrivals: list[tuple[float, bytes]], byte_s: float) -> list[Release]:
        data = b"".join(part for _, part in arrivals)
        times = [start + (n + 1) * byte_s for start, part in arrivals for n in range(len(part))]
        out, first = [], 0
        while first < len(data):
            full = times[first + self.adapter.payload - 1] if first + self.adapter.payload <= len(data) else math.inf
            # The timer's next end after the first waiting byte. A sum of floats may come out a hair early.
            periods = max(1, math.ceil((times[first] - self._handed) / self.adapter.latency_s - 1e-9))
            at = min(full, self._handed + periods * self.adapter.latency_s)
            end = first
            while end < len(data) and end - first < self.adapter.payload and times[end] <= at + 1e-9:
                end += 1
            out.append(Release(at + self.adapter.transfer_s, data[first:end]))
            self._handed, first = at, end
        return out
