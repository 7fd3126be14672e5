"""Framing against the packets that the ROBOTIS e-manual prints (page "DYNAMIXEL Protocol 2.0"), and against what a wire does to them."""

from __future__ import annotations

import pytest
from dextrack_deploy.twin.dynamixel.packet import BROADCAST, Instruction, Parser, crc16, fast_statuses, frame, status, stuff, unstuff
from hypothesis import given
from hypothesis import strategies as st

PRINTED = {
    "ping of 1": (frame(1, b"\x01"), "FF FF FD 00 01 03 00 01 19 4E"),
    "ping of all": (frame(BROADCAST, b"\x01"), "FF FF FD 00 FE 03 00 01 31 42"),
    "status of a ping": (status(1, 0, b"\x06\x04\x26"), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    "status of a ping of all": (status(2, 0, b"\x06\x04\x26"), "FF FF FD 00 02 07 00 55 00 06 04 26 6F 6D"),
    "read": (frame(1, bytes((2, 0x84, 0, 4, 0))), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    "status of a read": (status(1, 0, bytes((0xA6, 0, 0, 0))), "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
    "write": (frame(1, bytes((3, 0x74, 0, 0, 2, 0, 0))), "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89"),
    "reboot": (frame(1, b"\x08"), "FF FF FD 00 01 03 00 08 2F 4E"),
    "status without parameters": (status(1, 0), "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "sync read": (frame(BROADCAST, bytes((0x82, 0x84, 0, 4, 0, 1, 2))), "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
    "sync write": (
        frame(BROADCAST, bytes((0x83, 0x74, 0, 4, 0, 1, 0x96, 0, 0, 0, 2, 0xAA, 0, 0, 0))),
        "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
    ),
    "bulk read": (frame(BROADCAST, bytes((0x92, 1, 0x90, 0, 2, 0, 2, 0x92, 0, 1, 0))), "FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05"),
    "bulk write": (
        frame(BROADCAST, bytes((0x93, 1, 0x20, 0, 2, 0, 0xA0, 0, 2, 0x1F, 0, 1, 0, 0x50))),
        "FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68",
    ),
    "fast sync read": (frame(BROADCAST, bytes((0x8A, 0x84, 0, 4, 0, 3, 7, 4))), "FF FF FD 00 FE 0A 00 8A 84 00 04 00 03 07 04 20 F2"),
}
"""Left out: the fast bulk read's instruction, under which the e-manual prints the checksum of the fast sync read once more."""


@pytest.mark.parametrize("name", PRINTED)
def test_the_printed_packets(name: str) -> None:
    made, printed = PRINTED[name]
    assert made == bytes.fromhex(printed)


def test_the_printed_answer_to_a_fast_sync_read() -> None:
    parts = fast_statuses([(3, 0, bytes((0xA6, 0, 0, 0))), (7, 0, bytes((0x1F, 8, 0, 0))), (4, 0, bytes((0xFF, 3, 0, 0)))], 25)
    assert parts[0] == bytes.fromhex("FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08")
    assert parts[1:] == [bytes.fromhex("00 07 1F 08 00 00 16 CA"), bytes.fromhex("00 04 FF 03 00 00 D1 9E")]


def test_the_printed_answer_to_a_fast_bulk_read() -> None:
    parts = fast_statuses([(3, 0, bytes((0xA6, 0, 0, 0))), (7, 0, bytes((0xA5, 1))), (4, 0, bytes((0x1F,)))], 20)
    assert parts[0] == bytes.fromhex("FF FF FD 00 FE 14 00 55 00 03 A6 00 00 00 67 A4")
    assert parts[1:] == [bytes.fromhex("00 07 A5 01 24 74"), bytes.fromhex("00 04 1F D9 C1")]


def test_no_header_within_a_packet() -> None:
    body = bytes((3, 0x74, 0)) + b"\xff\xff\xfd\xff\xff\xfd\xfd"
    packet = frame(7, body)
    assert packet.find(b"\xff\xff\xfd", 1) == packet.find(b"\xff\xff\xfd\xfd", 1) > 0
    # LEN counts the stuffing.
    assert int.from_bytes(packet[5:7], "little") == len(packet) - 7 == len(body) + 2 + 2
    assert [p.parameters for p in Parser().feed(packet)] == [body[1:]]


@given(st.lists(st.sampled_from((0xFF, 0xFD, 0x00, 0x74)), max_size=40))
def test_stuffing_comes_off_again(values: list[int]) -> None:
    assert unstuff(stuff(bytes(values))) == bytes(values)


@given(st.binary(max_size=30), st.integers(1, 9))
def test_packets_are_found_in_noise_however_they_are_cut(noise: bytes, cut: int) -> None:
    # Noise that announces a packet takes the next one with it, as on a real wire.
    stream = noise.replace(b"\xff", b"\x00") + frame(3, b"\x01") + b"\x00\xff" + frame(4, bytes((2, 0x84, 0, 4, 0)))
    parser, found = Parser(), []
    for at in range(0, len(stream), cut):
        found += list(parser.feed(stream[at : at + cut]))
    assert [(p.motor, p.instruction, p.intact) for p in found] == [(3, Instruction.PING, True), (4, Instruction.READ, True)]
    assert parser.pending == 0


def test_a_wrong_checksum_is_seen() -> None:
    packet = frame(3, bytes((2, 0x84, 0, 4, 0)))
    for at in range(7, len(packet) - 2):
        spoiled = packet[:at] + bytes((packet[at] ^ 1,)) + packet[at + 1 :]
        assert [p.intact for p in Parser().feed(spoiled)] == [False]


def test_a_torn_packet_is_forgotten_and_a_length_that_cannot_be_is_passed_over() -> None:
    parser = Parser()
    assert list(parser.feed(frame(3, b"\x01")[:6])) == [] and parser.pending == 6
    parser.forget()
    assert [p.motor for p in parser.feed(b"\xff\xff\xfd\x00\x05\xff\xff" + frame(6, b"\x01"))] == [6]


def test_the_checksum_continues() -> None:
    assert crc16(b"de", crc16(b"abc")) == crc16(b"abcde")
