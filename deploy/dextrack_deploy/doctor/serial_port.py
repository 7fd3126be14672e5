"""The serial port of the hand: found, permitted, free, and fast.

A LEAP hand hangs on a U2D2, which is an FTDI FT232H: USB 0403:6014. Other FTDI adapters serve too; anything else can be named with ``--port``.
"""

from __future__ import annotations

import os

from dextrack_deploy.doctor import udev
from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, missing, note, ok, problem
from dextrack_deploy.doctor.system import System

FTDI = "0403"
"""USB vendor of the U2D2."""
U2D2 = "6014"
ADAPTERS = ("6001", "6010", "6011", U2D2, "6015")
"""USB products that are taken for the hand's adapter: those that the driver leap takes."""
LATENCY_MS = 1
"""What ``latency_timer`` should say. An FTDI chip keeps a short answer back for this long; the kernel's default is 16, and one read of
16 motors then takes a whole control period."""


def check(system: System, case: Case) -> list[Finding]:
    """Every port of a hand, or the one that the operator named."""
    if case.port is not None:
        device = case.port.partition("@")[0]  # a baud may follow, as the driver leap takes it
        if not system.exists(device):
            others = ", ".join(_described(system, d) for d in _ports(system)) or "none"
            return [problem("serial port", f"{device} is not there; serial adapters found: {others}.", "connect the hand, or name its port with --port.")]
        return _port(system, case, system.real(device))
    ports = [d for d in _ports(system) if _is_adapter(*(_usb_id(system, d) or (None, None)))]
    if not ports:
        return [_absent(system, case)]
    findings = [finding for device in ports for finding in _port(system, case, device)]
    if len(ports) > 1:
        what = f"{len(ports)} FTDI adapters are connected: {', '.join(ports)}."
        findings.append(doubtful(case.needs_hand, "serial ports", what, "name the hand's with --port."))
    return findings


def _ports(system: System) -> list[str]:
    """Serial ports on USB, as /dev/ttyUSB0."""
    names = [p.rsplit("/", 1)[1] for kind in ("ttyUSB", "ttyACM") for p in system.matches(f"/sys/class/tty/{kind}*")]
    return [f"/dev/{name}" for name in names]


def _usb_id(system: System, device: str) -> tuple[str, str] | None:
    """USB vendor and product behind a serial port; None where it is not on USB."""
    tty = f"/sys/class/tty/{device.rsplit('/', 1)[1]}/device"
    path = system.real(tty)
    while system.exists(tty) and path not in ("", "/"):
        vendor = system.text(f"{path}/idVendor")
        if vendor is not None:
            return vendor, system.text(f"{path}/idProduct") or ""
        path = path.rsplit("/", 1)[0]
    return None


def _is_adapter(vendor: str | None, product: str | None) -> bool:
    """Whether a USB device can be the hand's adapter."""
    return vendor == FTDI and product in ADAPTERS


def _described(system: System, device: str) -> str:
    """A port with its USB id."""
    usb = _usb_id(system, device)
    return device if usb is None else f"{device} ({':'.join(usb)})"


def _absent(system: System, case: Case) -> Finding:
    """No adapter has a port."""
    folders = [p.rsplit("/", 1)[0] for p in system.matches("/sys/bus/usb/devices/*/idVendor")]
    if any(_is_adapter(system.text(f"{f}/idVendor"), system.text(f"{f}/idProduct")) for f in folders):
        return missing(case.needs_hand, "serial port", "an FTDI adapter is on USB, and no driver made a port of it.", "`sudo modprobe ftdi_sio`.")
    others = [_described(system, d) for d in _ports(system)]
    what = "no U2D2 (USB 0403:6014) or other FTDI adapter is connected" + (f"; other adapters: {', '.join(others)}." if others else ".")
    if not case.needs_hand:
        return note("serial port", f"{what} The cell {case.cell} needs none.")
    return problem("serial port", what, "connect the hand's USB cable (`lsusb -d 0403:6014` then shows it), or name another adapter with --port.")


def _port(system: System, case: Case, device: str) -> list[Finding]:
    """One port that is there."""
    links = [link for link in system.matches("/dev/serial/by-id/*") if system.real(link) == device]
    by_id = f", by its own name {links[0]}" if links else ""
    findings = [ok("serial port", f"{_described(system, device)}{by_id}.")]
    if not links and _usb_id(system, device) is not None:
        findings.append(note("serial port name", f"{device} has no link in /dev/serial/by-id, and its number may change when it is plugged in again."))
    return findings + [_permission(system, case, device), _holder(system, case, device), _latency(system, case, device)] + _prober(system, case)


def _permission(system: System, case: Case, device: str) -> Finding:
    """Whether this user may use the port."""
    if system.usable(system.at(device)):
        return ok("port permission", f"{device} may be read and written.")
    return missing(case.needs_hand, "port permission", f"{device} may not be read and written by you.", udev.remedy_of_refusal(system))


def _holder(system: System, case: Case, device: str) -> Finding:
    """Whether another process has the port open. Processes of other users cannot be looked into without root."""
    holders = []
    for link in system.matches("/proc/[0-9]*/fd/*"):
        pid = link.split("/")[2]
        try:
            held = os.readlink(system.at(link))
        except OSError:
            continue
        if held == device and pid != str(os.getpid()):
            holders.append(f"{system.text(f'/proc/{pid}/comm') or 'a process'} ({pid})")
    if not holders:
        return ok("port free", f"no process that you may look into has {device} open.")
    what = f"{device} is open in {', '.join(sorted(set(holders)))}; two programs on one bus garble each other."
    return missing(case.needs_hand, "port free", what, "end it (Dynamixel Wizard, another trial) and run this again.")


def _latency(system: System, case: Case, device: str) -> Finding:
    """What the FTDI driver waits before it hands over a short answer."""
    path = f"/sys/bus/usb-serial/devices/{device.rsplit('/', 1)[1]}/latency_timer"
    value = system.number(path)
    if value is None:
        return note("latency timer", f"{device} has none: it is no FTDI adapter.")
    if value <= LATENCY_MS:
        return ok("latency timer", f"{value} ms.")
    remedy = f"`echo {LATENCY_MS} | sudo tee {path}` until it is unplugged; for good: {udev.INSTALL}."
    return missing(case.needs_hand, "latency timer", f"{device} keeps answers back for {value} ms, and a control period is 16.7 ms.", remedy)


def _prober(system: System, case: Case) -> list[Finding]:
    """ModemManager opens new serial ports to see whether they are modems; our rules tell it to leave this one alone."""
    running = any(system.text(path) == "ModemManager" for path in system.matches("/proc/[0-9]*/comm"))
    if not running or udev.installed(system):
        return []
    what = "ModemManager runs, and opens a port that was just plugged in."
    return [doubtful(case.needs_hand, "port probing", what, f"install the rules, {udev.INSTALL}, or `sudo systemctl disable --now ModemManager`.")]
