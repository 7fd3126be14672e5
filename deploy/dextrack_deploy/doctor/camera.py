"""The camera: a RealSense on USB 3, permitted, and its library."""

from __future__ import annotations

import sys

from dextrack_deploy.doctor import udev
from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, missing, note, ok
from dextrack_deploy.doctor.system import System

INTEL = "8086"
"""USB vendor of RealSense cameras, and of much else: the product's name tells them apart."""
USB3_MBPS = 5000
"""Speed of USB 3; USB 2 has 480, and no room for depth and colour at 30 Hz in full size."""


def check(system: System, case: Case) -> list[Finding]:
    """Library and devices."""
    return [_library(system, case), *_devices(system, case)]


def _library(system: System, case: Case) -> Finding:
    """Whether pyrealsense2 is there, and loads."""
    if system.module_folder("pyrealsense2") is None:
        what = "Python finds no pyrealsense2."
        if not case.needs_camera:
            return note("camera library", f"{what} The cell {case.cell} needs none.")
        return missing(True, "camera library", what, "`pip install pyrealsense2` into the environment of DexTrack, and `sudo apt install libusb-1.0-0`.")
    ran = system.run((sys.executable, "-c", "import pyrealsense2"), 3.0)
    if ran is not None and ran.code == 0:
        return ok("camera library", f"pyrealsense2 {system.version('pyrealsense2') or 'of unknown version'}.")
    reason = "it took longer than 3 s" if ran is None else (ran.errors.strip().splitlines() or ["no reason given"])[-1]
    return doubtful(case.needs_camera, "camera library", f"pyrealsense2 does not load ({reason}).", "`sudo apt install libusb-1.0-0`, then run this again.")


def _devices(system: System, case: Case) -> list[Finding]:
    """Every RealSense on USB."""
    folders = [p.rsplit("/", 1)[0] for p in system.matches("/sys/bus/usb/devices/*/idVendor") if system.text(p) == INTEL]
    cameras = [f for f in folders if "RealSense" in (system.text(f"{f}/product") or "")]
    if cameras:
        return [finding for folder in cameras for finding in _camera(system, case, folder)]
    if not case.needs_camera:
        return [note("camera", f"no RealSense is connected. The cell {case.cell} needs none.")]
    return [missing(True, "camera", "no RealSense is connected.", "plug it into a USB 3 port with its own cable; `lsusb -d 8086:` then shows it.")]


def _camera(system: System, case: Case, folder: str) -> list[Finding]:
    """Speed and permission of one camera."""
    name = " ".join((system.text(f"{folder}/product") or "").split())
    speed = system.number(f"{folder}/speed") or 0
    if speed >= USB3_MBPS:
        found = ok("camera", f"{name} at {speed} Mb/s.")
    else:
        remedy = "use a USB 3 port (blue) and the camera's own cable, and push the plug in quickly: slowly it is taken for USB 2."
        found = doubtful(case.needs_camera, "camera", f"{name} runs at {speed} Mb/s, USB 2: depth and colour at 30 Hz do not fit.", remedy)
    bus, number = system.number(f"{folder}/busnum"), system.number(f"{folder}/devnum")
    if bus is None or number is None:
        return [found]
    device = f"/dev/bus/usb/{bus:03d}/{number:03d}"
    if system.usable(system.at(device)):
        return [found, ok("camera permission", f"{device} may be read and written.")]
    return [found, missing(case.needs_camera, "camera permission", f"{device} may not be read and written by you.", udev.remedy_of_refusal(system))]
