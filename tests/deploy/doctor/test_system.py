"""The machine as checks see it: reading never raises, and nothing takes longer than it may."""

from __future__ import annotations

import sys
import time

import pytest
from dextrack_deploy.doctor.system import System, connect, module_folder, resolve, run, version


def test_commands() -> None:
    ran = run((sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), 20.0)
    assert ran is not None and (ran.code, ran.output, ran.errors) == (3, "out\n", "err\n")
    assert run(("no-such-program",), 1.0) is None


def test_a_command_that_hangs_is_ended() -> None:
    began = time.monotonic()
    assert run(("sleep", "20"), 0.2) is None
    assert time.monotonic() - began < 5.0


def test_a_command_gets_no_input() -> None:
    ran = run(("cat",), 10.0)
    assert ran is not None and ran.output == ""


def test_names_and_connections() -> None:
    assert resolve("127.0.0.1") == "127.0.0.1"
    assert resolve("no host") is None
    with pytest.raises(OSError):
        connect("127.0.0.1", 1, 1.0)


def test_packages() -> None:
    assert version("numpy") and version("no-such-package") is None
    assert module_folder("numpy") and module_folder("no_such_module") is None


def test_reading(machine) -> None:
    system = machine.system
    assert system.text("/sys/kernel/realtime") == "1" and system.number("/sys/kernel/realtime") == 1
    assert system.text("/no/such") is None and system.number("/proc/loadavg") is None and system.text("/sys") is None
    assert system.field("/proc/self/status", "Groups") == "20 1000" and system.field("/proc/self/status", "Threads") is None
    assert system.matches("/dev/tty*") == ["/dev/ttyUSB0"] and system.matches("/no/such/*") == []
    assert system.real("/sys/class/tty/ttyUSB0").endswith("/1-3:1.0/ttyUSB0/tty/ttyUSB0")


def test_links_that_lead_nowhere_or_in_circles(machine) -> None:
    machine.at("/dev/gone").symlink_to("nothing")
    machine.at("/dev/circle").symlink_to("circle")
    system = machine.system
    assert not system.exists("/dev/gone") and not system.exists("/dev/circle")
    assert system.text("/dev/circle") is None
    system.real("/dev/circle")


def test_capabilities(machine) -> None:
    machine.write("/proc/self/status", "CapEff:\t0000000000800000")
    assert machine.system.may(23) and not machine.system.may(14)
    machine.write("/proc/self/status", "CapEff:\tnonsense")
    assert not machine.system.may(23)


def test_the_real_machine() -> None:
    system = System()
    assert system.text("/proc/self/status") and system.real("/proc/self") != "/proc/self" and system.at("/dev/null").exists()
