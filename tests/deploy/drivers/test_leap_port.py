"""How the LEAP driver finds its port and baud, and what it sets."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import serial
from dextrack_deploy.drivers import leap_port, leap_setup
from dextrack_deploy.drivers.leap import LeapHand
from dextrack_deploy.drivers.leap_registers import settings
from dextrack_deploy.twin.dynamixel.process import PeerProcess

from dextrack.errors import DriverError, InputError
from dextrack.hands import load_hand

SPEC = load_hand("leap_right")


def test_settings_follow_the_hand_spec() -> None:
    # 0.93 N m at 885 PWM counts, P / 128 PWM counts per position count: a stiffness of 3.5 N m/rad.
    by_hand = round(3.5 / (0.93 / 885 * 4096 / (2 * np.pi) / 128))
    made = settings(dataclasses.replace(SPEC, finger_kp=3.5, effort=(0.208,) * 16))
    assert (made.p[1], made.p[0], made.current_ma[0]) == (by_hand, round(0.75 * by_hand), 400)
    soft = settings(SPEC, 0.25)
    assert (soft.p[1], soft.d[1], soft.current_ma[1]) == (200, 50, 125)
    assert settings(dataclasses.replace(SPEC, effort=(0.9,) * 16)).current_ma.max() == 500, "no more than the LEAP Hand project runs"


def test_another_baud_is_named_and_not_taken_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leap_port, "UNKNOWN_PATIENCE_MS", 300.0)
    with PeerProcess(["--alone", "--baud", "57600"]) as slow:
        with pytest.raises(DriverError, match=r"no motor answers at 4000000 baud, but motor 0 .* at 57600.*@57600"):
            LeapHand(slow.pty)
        connected = LeapHand(slow.pty + "@57600", watchdog_s=2.5)
        np.testing.assert_allclose(connected.read().position, SPEC.rest, atol=0.02)
        # Then its adapter is pulled out.
        slow.close()
        with pytest.raises(DriverError, match="is gone|no motor answers any more"):
            connected.read()
        connected.close()


def test_nobody_there() -> None:
    master, slave = os.openpty()
    with pytest.raises(DriverError, match="at none of 4000000.* baud.*5 V supply"):
        LeapHand(os.ttyname(slave))
    os.close(master)
    os.close(slave)


def test_a_port_that_is_not_there_or_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DriverError, match="there is no /dev/ttyUSB99.*auto"):
        LeapHand("/dev/ttyUSB99")

    def denied(**_: object) -> None:
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "Serial", denied)
    with pytest.raises(DriverError, match="may not be opened by this user.*dialout"):
        LeapHand("/dev/ttyUSB0")
    with pytest.raises(InputError, match="no baud of its motors.*57600"):
        LeapHand("/dev/ttyUSB0@9601")


def fake(device: str, vid: int | None, pid: int | None) -> SimpleNamespace:
    return SimpleNamespace(device=device, vid=vid, pid=pid, description="port " + device[-1])


def test_auto_finds_the_adapter_or_lists_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    u2d2, modem = fake("/dev/ttyUSB1", 0x0403, 0x6014), fake("/dev/ttyS0", None, None)
    monkeypatch.setattr(leap_port.list_ports, "comports", lambda: [modem, u2d2])
    assert leap_port.parse("auto") == ("/dev/ttyUSB1", 4_000_000)
    assert leap_port.parse("auto@1000000") == ("/dev/ttyUSB1", 1_000_000)
    monkeypatch.setattr(leap_port.list_ports, "comports", lambda: [modem])
    with pytest.raises(DriverError, match=r"no U2D2.*/dev/ttyS0 \(port 0\)"):
        leap_port.parse("auto")
    monkeypatch.setattr(leap_port.list_ports, "comports", lambda: [u2d2, fake("/dev/ttyUSB0", 0x0403, 0x6001)])
    with pytest.raises(DriverError, match=r"several.*/dev/ttyUSB0 \(port 0\), /dev/ttyUSB1 \(port 1\)"):
        leap_port.parse("auto")


def test_the_latency_timer_is_read_and_a_slow_one_is_advised_against(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB7").mkdir()
    (tmp_path / "ttyUSB7" / "latency_timer").write_text("16\n")
    assert leap_port.latency_ms("/dev/ttyUSB7", tmp_path) == 16.0
    assert leap_port.latency_ms("/dev/pts/3", tmp_path) is None
    info = leap_setup.LeapInfo("/dev/ttyUSB7", 4_000_000, 16.0, (52,) * 16, True)
    assert "99-dextrack.rules" in info.advice and "ttyUSB7/latency_timer" in info.advice
    assert dataclasses.replace(info, latency_ms=1.0).advice == dataclasses.replace(info, latency_ms=None).advice == ""
