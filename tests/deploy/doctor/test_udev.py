"""The udev rules: installed, and worth installing."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from dextrack_deploy.doctor import Level, serial_port, udev
from dextrack_deploy.doctor.camera import INTEL

KEYS = ("ACTION", "SUBSYSTEM", "SUBSYSTEMS", "DRIVER", "KERNEL", "ATTR", "ATTRS", "ENV", "GROUP", "MODE", "TAG", "RUN", "GOTO", "LABEL")


@pytest.fixture
def rules(root) -> list[str]:
    text = (root / "deploy" / "udev" / udev.RULES).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_installed_or_not(machine, lab, twin) -> None:
    assert [f.level for f in udev.check(machine.system, lab)] == [Level.OK]
    machine.remove("/etc/udev/rules.d/99-dextrack.rules")
    (finding,) = udev.check(machine.system, lab)
    assert finding.level is Level.WARNING and "udevadm control --reload-rules" in finding.remedy
    assert [f.level for f in udev.check(machine.system, twin)] == [Level.NOTE]


def test_every_rule_is_well_formed(rules) -> None:
    entry = re.compile(r'(%s)(\{[^}"]+\})?(==|!=|\+=|:=|=)"[^"]*"' % "|".join(KEYS))
    assert [part for line in rules for part in re.split(r",\s*", line) if not entry.fullmatch(part)] == []
    goto, label = (re.search(r'%s="(\w+)"' % key, "\n".join(rules)) for key in ("GOTO", "LABEL"))
    assert goto and label and goto[1] == label[1]


def test_rules_speak_of_the_devices_that_the_doctor_looks_for(rules) -> None:
    products = "|".join(serial_port.ADAPTERS)
    u2d2 = [line for line in rules if f'ATTRS{{idVendor}}=="{serial_port.FTDI}"' in line and f'ATTRS{{idProduct}}=="{products}"' in line]
    assert any(f'GROUP="{udev.GROUP}"' in line for line in u2d2)
    assert any(f'latency_timer}}="{serial_port.LATENCY_MS}"' in line for line in u2d2)
    camera = [line for line in rules if f'ATTRS{{idVendor}}=="{INTEL}"' in line]
    assert len(camera) == 1 and "RealSense" in camera[0] and f'GROUP="{udev.GROUP}"' in camera[0]
    assert not any('MODE="0666"' in line for line in rules)  # not for everybody


def test_udev_accepts_them(root) -> None:
    udevadm = shutil.which("udevadm")
    if udevadm is None or "verify" not in subprocess.run([udevadm, "--help"], capture_output=True, text=True).stdout:
        pytest.skip("this udevadm has no verify (it came with systemd 254)")
    done = subprocess.run([udevadm, "verify", "--no-style", str(root / "deploy" / "udev" / udev.RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
