"""A made-up machine: the control computer of a lab in which everything is as it should be, for tests to spoil."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dextrack_deploy.doctor import Case, Finding, System
from dextrack_deploy.doctor.system import Ran

USB = "/sys/devices/pci0000:00/0000:00:14.0/usb1"
HEALTHY = {
    "/proc/self/status": "Name:\tdextrack\nUid:\t1000\t1000\t1000\t1000\nGroups:\t20 1000\nCapEff:\t0000000000000000\n",
    "/proc/self/limits": "Limit   Soft Limit  Hard Limit  Units\nMax locked memory         104857600            104857600            bytes\n"
    "Max realtime priority     99                   99                   \n",
    "/proc/sys/kernel/version": "#1 SMP PREEMPT_RT Debian 6.1.99-1",
    "/proc/sys/kernel/osrelease": "6.1.0-rt",
    "/proc/loadavg": "0.21 0.30 0.28 1/300 4711",
    "/proc/meminfo": "MemTotal:       16000000 kB\nMemFree:         2000000 kB\nMemAvailable:   12000000 kB\n",
    # 172.16.0.0/24 on enp3s0, everything else through 192.0.2.1 on eno1: addresses as the kernel writes them, little-endian.
    "/proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eno1\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\nenp3s0\t000010AC\t00000000\t0001\t0\t0\t101\t00FFFFFF\t0\t0\t0\n",
    "/proc/net/tcp": "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A\n",
    "/proc/4711/comm": "bash",
    "/sys/kernel/realtime": "1",
    "/sys/class/net/enp3s0/speed": "1000",
    "/sys/class/net/enp3s0/carrier": "1",
    "/etc/group": "root:x:0:\ndialout:x:20:ada\nada:x:1000:\n",
    "/etc/passwd": "root:x:0:0:root::/bin/bash\nada:x:1000:1000:Ada::/bin/bash\n",
    "/etc/udev/rules.d/99-dextrack.rules": "# ours",
    f"{USB}/1-3/idVendor": "0403",
    f"{USB}/1-3/idProduct": "6014",
    f"{USB}/1-3/1-3:1.0/ttyUSB0/latency_timer": "1",
    f"{USB}/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0/dev": "188:0",
    f"{USB}/2-1/idVendor": "8086",
    f"{USB}/2-1/idProduct": "0b07",
    f"{USB}/2-1/product": "Intel(R) RealSense(TM) Depth Camera 435 ",
    f"{USB}/2-1/speed": "5000",
    f"{USB}/2-1/busnum": "2",
    f"{USB}/2-1/devnum": "7",
    "/dev/bus/usb/002/007": "",
    "/dev/ttyUSB0": "",
    **{f"/sys/devices/system/cpu/cpu{k}/cpufreq/scaling_governor": "performance" for k in range(4)},
    "/sys/devices/system/cpu/cpu0/cpuidle/state0/name": "POLL",
    "/sys/devices/system/cpu/cpu0/cpuidle/state0/latency": "0",
    "/sys/devices/system/cpu/cpu0/cpuidle/state0/disable": "0",
    "/sys/devices/system/cpu/cpu0/cpuidle/state1/name": "C6",
    "/sys/devices/system/cpu/cpu0/cpuidle/state1/latency": "133",
    "/sys/devices/system/cpu/cpu0/cpuidle/state1/disable": "1",
}
LINKS = {
    "/sys/class/tty/ttyUSB0": f"{USB}/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0",
    f"{USB}/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0/device": f"{USB}/1-3/1-3:1.0/ttyUSB0",
    "/sys/bus/usb-serial/devices/ttyUSB0": f"{USB}/1-3/1-3:1.0/ttyUSB0",
    "/sys/bus/usb/devices/1-3": f"{USB}/1-3",
    "/sys/bus/usb/devices/2-1": f"{USB}/2-1",
    "/dev/serial/by-id/usb-FTDI_USB__-__Serial_Converter_FT6S4DSP-if00-port0": "/dev/ttyUSB0",
}
PING = "10 packets transmitted, 10 received, 0% packet loss, time 1842ms\nrtt min/avg/max/mdev = 0.101/0.142/0.210/0.031 ms\n"
CHRONY = "C0000201,192.0.2.1,3,1700000000.1,0.000021,0.000010,0.000020,1.2,0.1,0.3,0.01,0.001,64.2,Normal\n"


class Machine:
    """A machine in a folder. Tests change its files, its commands and what of it is installed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        self.commands: dict[str, Ran | None] = {"ping": Ran(0, PING), "chronyc": Ran(0, CHRONY), "python": Ran(0, "")}
        """By the program's name; "python" stands for every import that is tried. One that is not here is not installed."""
        self.versions = {"dynamixel-sdk": "4.1.0", "franky-control": "2.0.0", "pyrealsense2": "2.59", "ros-rclpy": "9.1.2"}
        self.modules: dict[str, Path] = {m: root / "modules" / m for m in ("rclpy", "dextrack_ros", "dynamixel_sdk", "franky", "pyrealsense2")}
        self.requirements: list[str] = []
        self.forbidden: set[str] = set()
        self.free = 100e9
        self.fields: dict[str, Any] = {"connect": lambda address, port, timeout_s: 0.0004}
        for path, text in HEALTHY.items():
            self.write(path, text)
        for path, target in LINKS.items():
            self.link(path, target)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text + "\n")

    def link(self, path: str, target: str) -> None:
        """Relative, as those of Linux are."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).symlink_to(os.path.relpath(self.at(target), self.at(path).parent.resolve()))

    def remove(self, *paths: str) -> None:
        for path in paths:
            self.at(path).unlink()

    @property
    def system(self) -> System:
        def run(command, timeout_s):
            return self.commands.get("python" if "-c" in command and "import" in command[-1] else command[0])

        fields = {
            "python": (3, 11), "run": run, "version": self.versions.get, "module_folder": self.modules.get, "requirements": lambda: self.requirements,
            "usable": lambda path: "/" + str(path.relative_to(self.root)) not in self.forbidden if path.is_relative_to(self.root) else True,
            "free_bytes": lambda folder: self.free, **self.fields,
        }  # fmt: skip
        return System(root=self.root, environment=self.environment, **fields)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


@pytest.fixture
def bare(tmp_path: Path) -> System:
    """A machine of which nothing can be seen."""
    (tmp_path / "bare").mkdir()
    return System(root=tmp_path / "bare", environment={}, run=lambda command, timeout_s: None, version=lambda name: None, module_folder=lambda name: None)


@pytest.fixture
def lab(tmp_path: Path) -> Case:
    """A cell of real devices."""
    return Case("lab", "leap", "franka", "realsense", tmp_path / "data", tmp_path / "runs", host="172.16.0.2")


@pytest.fixture
def twin(tmp_path: Path) -> Case:
    """A cell that needs no device."""
    return Case("twin", "twin", "twin", "twin", tmp_path / "data", tmp_path / "runs")


@pytest.fixture
def named() -> Callable[[list[Finding], str], Finding]:
    """Picks the one finding of a name."""

    def pick(findings: list[Finding], name: str) -> Finding:
        found = [f for f in findings if f.name == name]
        assert len(found) == 1, [f.name for f in findings]
        return found[0]

    return pick
