"""The hand's port: found by what is on USB, and every way in which it can be of no use."""

from __future__ import annotations

import dataclasses

import pytest
from dextrack_deploy.doctor import Level, serial_port
from dextrack_deploy.drivers import leap_port

BY_ID = "/dev/serial/by-id/usb-FTDI_USB__-__Serial_Converter_FT6S4DSP-if00-port0"
USB = "/sys/devices/pci0000:00/0000:00:14.0/usb1"


def levels(findings):
    return {f.name: f.level for f in findings}


def test_a_good_port(machine, lab, named) -> None:
    findings = serial_port.check(machine.system, lab)
    assert {f.level for f in findings} == {Level.OK}
    assert list(levels(findings)) == ["serial port", "port permission", "port free", "latency timer"]
    assert named(findings, "serial port").what == f"/dev/ttyUSB0 (0403:6014), by its own name {BY_ID}."


def test_nothing_is_connected(machine, lab, twin, bare) -> None:
    machine.remove("/sys/class/tty/ttyUSB0", "/sys/bus/usb/devices/1-3")
    (finding,) = serial_port.check(machine.system, lab)
    assert finding.level is Level.PROBLEM and "0403:6014" in finding.what and "USB cable" in finding.remedy
    (finding,) = serial_port.check(machine.system, twin)
    assert finding.level is Level.NOTE and "twin needs none" in finding.what
    assert [f.level for f in serial_port.check(bare, twin)] == [Level.NOTE]


def test_a_u2d2_without_a_driver(machine, lab, twin) -> None:
    machine.remove("/sys/class/tty/ttyUSB0")
    (finding,) = serial_port.check(machine.system, lab)
    assert finding.level is Level.PROBLEM and "modprobe ftdi_sio" in finding.remedy
    assert serial_port.check(machine.system, twin)[0].level is Level.NOTE


def test_another_adapter_is_not_taken_for_the_hand(machine, lab) -> None:
    machine.write(f"{USB}/1-3/idVendor", "10c4")
    (finding,) = serial_port.check(machine.system, lab)
    assert finding.level is Level.PROBLEM and "/dev/ttyUSB0 (10c4:6014)" in finding.what and "--port" in finding.remedy


def test_the_adapters_are_those_of_the_driver() -> None:
    assert (int(serial_port.FTDI, 16), {int(p, 16) for p in serial_port.ADAPTERS}) == (leap_port.FTDI, set(leap_port.ADAPTERS))


@pytest.mark.parametrize("port", ["/dev/ttyUSB0", "/dev/ttyUSB0@57600", BY_ID])
def test_a_port_that_is_named(machine, twin, named, port) -> None:
    machine.write(f"{USB}/1-3/idVendor", "10c4")
    machine.write(f"{USB}/1-3/1-3:1.0/ttyUSB0/latency_timer", "16")
    findings = serial_port.check(machine.system, dataclasses.replace(twin, port=port))
    assert named(findings, "serial port").what.startswith("/dev/ttyUSB0 (10c4:6014)")
    assert named(findings, "latency timer").level is Level.PROBLEM  # who names a port needs it


def test_a_named_port_that_is_not_there(machine, twin) -> None:
    (finding,) = serial_port.check(machine.system, dataclasses.replace(twin, port="/dev/ttyUSB7"))
    assert finding.level is Level.PROBLEM and "/dev/ttyUSB7" in finding.what and "/dev/ttyUSB0 (0403:6014)" in finding.what


def test_a_port_that_is_no_usb_adapter_has_no_latency_timer(machine, twin, named) -> None:
    machine.write("/dev/pts/3", "")
    findings = serial_port.check(machine.system, dataclasses.replace(twin, port="/dev/pts/3"))
    assert named(findings, "latency timer").level is Level.NOTE
    assert "serial port name" not in levels(findings)


def test_two_hands(machine, lab, twin, named) -> None:
    machine.write(f"{USB}/1-4/idVendor", "0403")
    machine.write(f"{USB}/1-4/idProduct", "6014")
    machine.write(f"{USB}/1-4/1-4:1.0/ttyUSB1/tty/ttyUSB1/dev", "188:1")
    machine.write("/dev/ttyUSB1", "")
    machine.link("/sys/class/tty/ttyUSB1", f"{USB}/1-4/1-4:1.0/ttyUSB1/tty/ttyUSB1")
    machine.link(f"{USB}/1-4/1-4:1.0/ttyUSB1/tty/ttyUSB1/device", f"{USB}/1-4/1-4:1.0/ttyUSB1")
    finding = named(serial_port.check(machine.system, lab), "serial ports")
    assert finding.level is Level.WARNING and "/dev/ttyUSB0, /dev/ttyUSB1" in finding.what and "--port" in finding.remedy
    assert named(serial_port.check(machine.system, twin), "serial ports").level is Level.NOTE


def test_without_a_name_of_its_own(machine, lab, named) -> None:
    machine.remove(BY_ID)
    assert named(serial_port.check(machine.system, lab), "serial port name").level is Level.NOTE


@pytest.mark.parametrize(
    "groups, members, remedy",
    [
        ("1000", "grace", "`sudo usermod -a -G dialout ada`, then log out and in again."),
        ("1000", "grace,ada", "log out and in again: you are in the group dialout, but this session began before."),
        ("20 1000", "ada", "you are in the group dialout, so the device is not given to it: install the rules"),
    ],
)
def test_no_permission(machine, lab, twin, named, groups, members, remedy) -> None:
    machine.forbidden.add("/dev/ttyUSB0")
    machine.write("/proc/self/status", f"Uid:\t1000\t1000\nGroups:\t{groups}\nCapEff:\t0")
    machine.write("/etc/group", f"dialout:x:20:{members}")
    finding = named(serial_port.check(machine.system, lab), "port permission")
    assert finding.level is Level.PROBLEM and finding.remedy.startswith(remedy)
    assert named(serial_port.check(machine.system, twin), "port permission").level is Level.NOTE


def test_no_permission_where_there_is_no_such_group(machine, lab, named) -> None:
    machine.forbidden.add("/dev/ttyUSB0")
    machine.write("/etc/group", "uucp:x:14:")
    assert "99-dextrack.rules" in named(serial_port.check(machine.system, lab), "port permission").remedy


def test_another_program_holds_the_port(machine, lab, twin, named) -> None:
    machine.at("/proc/4711/fd").mkdir()
    machine.at("/proc/4711/fd/5").symlink_to("/dev/ttyUSB0")
    finding = named(serial_port.check(machine.system, lab), "port free")
    assert finding.level is Level.PROBLEM and "bash (4711)" in finding.what and "Dynamixel Wizard" in finding.remedy
    assert named(serial_port.check(machine.system, twin), "port free").level is Level.NOTE


@pytest.mark.parametrize("value, level", [("0", Level.OK), ("1", Level.OK), ("2", Level.PROBLEM), ("16", Level.PROBLEM)])
def test_latency(machine, lab, twin, named, value, level) -> None:
    machine.write(f"{USB}/1-3/1-3:1.0/ttyUSB0/latency_timer", value)
    finding = named(serial_port.check(machine.system, lab), "latency timer")
    assert finding.level is level
    if level is Level.PROBLEM:
        assert "`echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB0/latency_timer`" in finding.remedy and "99-dextrack.rules" in finding.remedy
        assert named(serial_port.check(machine.system, twin), "latency timer").level is Level.NOTE


def test_modem_manager(machine, lab, named) -> None:
    machine.write("/proc/812/comm", "ModemManager")
    assert "port probing" not in levels(serial_port.check(machine.system, lab))  # our rules keep it away
    machine.remove("/etc/udev/rules.d/99-dextrack.rules")
    assert named(serial_port.check(machine.system, lab), "port probing").level is Level.WARNING
