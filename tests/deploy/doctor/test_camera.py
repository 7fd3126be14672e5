"""The camera on USB, and its library."""

from __future__ import annotations

from dextrack_deploy.doctor import Level, camera
from dextrack_deploy.doctor.system import Ran

USB = "/sys/devices/pci0000:00/0000:00:14.0/usb1"


def test_a_good_camera(machine, lab, named) -> None:
    findings = camera.check(machine.system, lab)
    assert [(f.name, f.level) for f in findings] == [(n, Level.OK) for n in ("camera library", "camera", "camera permission")]
    assert named(findings, "camera").what == "Intel(R) RealSense(TM) Depth Camera 435 at 5000 Mb/s."


def test_none(machine, bare, lab, twin, named) -> None:
    machine.write(f"{USB}/2-1/product", "USB3.0 Hub")  # of the same maker
    assert named(camera.check(machine.system, lab), "camera").level is Level.PROBLEM
    assert [f.level for f in camera.check(bare, twin)] == [Level.NOTE, Level.NOTE]
    assert [f.level for f in camera.check(bare, lab)] == [Level.PROBLEM, Level.PROBLEM]


def test_usb_2(machine, lab, twin, named) -> None:
    machine.write(f"{USB}/2-1/speed", "480")
    finding = named(camera.check(machine.system, lab), "camera")
    assert finding.level is Level.WARNING and "480 Mb/s" in finding.what
    assert named(camera.check(machine.system, twin), "camera").level is Level.NOTE


def test_permission(machine, lab, named) -> None:
    machine.forbidden.add("/dev/bus/usb/002/007")
    finding = named(camera.check(machine.system, lab), "camera permission")
    assert finding.level is Level.PROBLEM and "/dev/bus/usb/002/007" in finding.what and "99-dextrack.rules" in finding.remedy


def test_a_library_that_does_not_load(machine, lab, named) -> None:
    machine.commands["python"] = Ran(1, "", "ImportError: libusb-1.0.so.0: cannot open shared object file\n")
    finding = named(camera.check(machine.system, lab), "camera library")
    assert finding.level is Level.WARNING and "libusb-1.0.so.0" in finding.what and "libusb-1.0-0" in finding.remedy
