"""The timing model against closed forms, in simulated time."""

from __future__ import annotations

import pytest
from dextrack_deploy.twin.dynamixel.line import Adapter, Answer, Line

USB = 125e-6
INSTRUCTION, READ, WRITE = 14 + 16, 8 + 16 * 14, 14 + 16 * 5
"""Bytes of a fast sync read of 16 motors, of its answer with 10 bytes each, and of a sync write of 4 bytes each."""


def transfer(size: int, baud: int) -> float:
    return size * 10 / baud


@pytest.mark.parametrize("baud", [57_600, 115_200, 1_000_000, 4_000_000])
def test_an_instruction_takes_one_usb_transfer_and_its_bits(baud: int) -> None:
    line = Line(Adapter())
    assert line.send(INSTRUCTION, baud, now=2.0) == pytest.approx(2.0 + USB + transfer(INSTRUCTION, baud), abs=1e-12)


def test_the_wire_carries_one_packet_at_a_time() -> None:
    line = Line(Adapter())
    first = line.send(WRITE, 57_600, now=0.0)
    assert line.send(INSTRUCTION, 57_600, now=0.001) == pytest.approx(first + transfer(INSTRUCTION, 57_600), abs=1e-12)


def test_an_answer_waits_for_the_latency_timer() -> None:
    line = Line(Adapter(latency_s=0.016))
    heard = line.send(INSTRUCTION, 4_000_000, now=0.0)
    releases = line.answer([Answer(0.0, bytes(READ))], 4_000_000, heard)
    assert heard + transfer(READ, 4_000_000) < 0.016
    assert [(r.time_s, len(r.data)) for r in releases] == [(pytest.approx(0.016 + USB), READ)]


def test_a_timer_that_ends_within_an_answer_splits_it() -> None:
    # 20 bytes at 57600 baud take 3.47 ms; the timer ends after each millisecond, and 5.76 bytes have come in each.
    line = Line(Adapter(latency_s=0.001))
    releases = line.answer([Answer(0.0, bytes(20))], 57_600, heard=0.0)
    assert [len(r.data) for r in releases] == [5, 6, 6, 3]
    assert [r.time_s for r in releases] == pytest.approx([0.001 + USB, 0.002 + USB, 0.003 + USB, 0.004 + USB])


def test_a_full_usb_packet_does_not_wait() -> None:
    line = Line(Adapter(latency_s=0.016, payload=62))
    releases = line.answer([Answer(0.0, bytes(READ))], 4_000_000, heard=0.0)
    assert [len(r.data) for r in releases] == [62, 62, 62, 46]
    # The timer starts anew with each packet that is handed over, so the rest waits from the third one on.
    assert [r.time_s for r in releases] == pytest.approx([transfer(62 * n, 4_000_000) + USB for n in (1, 2, 3)] + [transfer(186, 4_000_000) + 0.016 + USB])


def test_return_delays_add_up_in_a_group_of_plain_answers() -> None:
    fine = Adapter(latency_s=1e-6)
    plain = Line(fine).answer([Answer(500e-6, bytes(21))] * 16, 4_000_000, heard=0.0)
    assert plain[-1].time_s == pytest.approx(16 * (500e-6 + transfer(21, 4_000_000)) + USB, abs=2e-6)
    fast = Line(fine).answer([Answer(500e-6, bytes(22))] + [Answer(0.0, bytes(14))] * 15, 4_000_000, heard=0.0)
    assert fast[-1].time_s == pytest.approx(500e-6 + transfer(READ, 4_000_000) + USB, abs=2e-6)


@pytest.mark.parametrize(("baud", "latency_s"), [(4_000_000, 0.001), (4_000_000, 0.016), (1_000_000, 0.001), (57_600, 0.001), (57_600, 0.016)])
def test_a_loop_of_read_and_write_runs_at_the_rate_of_the_slower_of_wire_and_timer(baud: int, latency_s: float) -> None:
    line, now, times = Line(Adapter(latency_s=latency_s)), 0.0, []
    for _ in range(200):
        now = line.answer([Answer(0.0, bytes(READ))], baud, line.send(INSTRUCTION, baud, now))[-1].time_s
        line.send(WRITE, baud, now)
        times.append(now)
    cycle = (times[-1] - times[99]) / 100
    # Between two answers lie two USB transfers and the bits of write, instruction and answer; then the timer's next end.
    least = 2 * USB + transfer(WRITE + INSTRUCTION + READ, baud)
    assert least <= cycle + 1e-9 and cycle <= least + latency_s
    if least < latency_s:
        assert cycle == pytest.approx(latency_s, rel=1e-6)
