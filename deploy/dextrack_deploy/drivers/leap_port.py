"""The serial port of a LEAP: which device it is, and how it is opened."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import serial
from dynamixel_sdk import PortHandler
from serial.tools import list_ports

from dextrack.errors import DriverError, InputError
from dextrack_deploy.drivers.leap_registers import BAUD_RATES

FTDI = 0x0403
"""USB vendor of the chips in a U2D2 and in nearly every adapter that is used for Dynamixel motors."""
ADAPTERS = {0x6001: "FT232R", 0x6010: "FT2232", 0x6011: "FT4232", 0x6014: "FT232H (U2D2)", 0x6015: "FT-X"}
"""Their USB products."""
SYSTEM_LATENCY_MS = 16.0
"""Latency timer that a system sets by itself."""
UNKNOWN_PATIENCE_MS = 100.0
"""How long an answer may take beside its time on the wire, where the latency timer is not known: another maker's adapter, or a bus peer."""
WAIT_S = 0.002
"""A read waits this long for bytes before it looks at the time again."""
_OTHER = "Dynamixel Wizard or a second driver: close it."


def parse(address: str) -> tuple[str, int]:
    """(device, baud) of an address: ``/dev/ttyUSB0``, ``auto``, either with ``@57600`` behind it.

    Raises:
        InputError: the baud is none that a LEAP's motors know.
        DriverError: ``auto``, and there is not exactly one adapter.
    """
    device, at, speed = address.partition("@")
    baud = int(speed) if speed.isdecimal() else 0
    if not at:
        baud = BAUD_RATES[0]
    if baud not in BAUD_RATES:
        raise InputError("hand address %r: no baud of its motors." % address, remedy="choose one of: %s." % ", ".join(map(str, BAUD_RATES)))
    return find_device() if device in ("auto", "") else device, baud


def find_device() -> str:
    """The one adapter that is plugged in.

    Raises:
        DriverError: there is none or more than one; the message lists what there is.
    """
    ports = sorted(list_ports.comports(), key=lambda p: p.device)
    found = [p for p in ports if p.vid == FTDI and p.pid in ADAPTERS]
    if len(found) == 1:
        return str(found[0].device)
    listed = ", ".join("%s (%s)" % (p.device, p.description) for p in found or ports) or "none at all"
    if found:
        raise DriverError("hand: several adapters are plugged in: %s." % listed, remedy="give the hand's own device as the address.")
    remedy = "plug in the U2D2's USB cable and check `lsusb`; or give the device as the address."
    raise DriverError("hand: no U2D2 or other FTDI adapter was found; serial ports here: %s." % listed, remedy=remedy)


def latency_ms(device: str, folder: Path = Path("/sys/bus/usb-serial/devices")) -> float | None:
    """Latency timer of the adapter behind ``device``, ms; None where the system does not tell. It is read and never set."""
    try:
        return float((folder / Path(device).resolve().name / "latency_timer").read_text())
    except (OSError, ValueError):
        return None


class Port(PortHandler):
    """The SDK's port, but locked against other programs, waiting for bytes instead of spinning, and with a timeout for this adapter."""

    def __init__(self, device: str, baud: int, latency: float | None) -> None:
        """Open ``device`` at ``baud``.

        Args:
            device: for example ``/dev/ttyUSB0``.
            baud: bits per second.
            latency: latency timer of its adapter, ms; None: not known.

        Raises:
            DriverError: it cannot be opened, with the reason.
        """
        super().__init__(device)
        self.is_open: bool = False
        self._patience_ms = UNKNOWN_PATIENCE_MS if latency is None else 2.0 * latency + 20.0
        self.change_baud(baud)

    def change_baud(self, baud: int) -> None:
        """Open it at ``baud``; raises as the constructor."""
        try:
            if not self.setBaudRate(baud):
                raise InputError("%s: %d is no baud that the Dynamixel SDK knows." % (self.port_name, baud), remedy="choose another.")
        except serial.SerialException as error:
            raise _refusal(self.port_name, error) from None

    def setupPort(self, cflag_baud: int) -> bool:  # noqa: N802 (the SDK's name)
        """Open the port; the SDK calls it."""
        if self.is_open:
            self.closePort()
        self.ser = serial.Serial(port=self.port_name, baudrate=self.baudrate, timeout=WAIT_S, exclusive=True)
        self.is_open = True
        self.ser.reset_input_buffer()
        self.tx_time_per_byte = 1e4 / self.baudrate
        return True

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Expect ``packet_length`` bytes; the SDK calls it."""
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self._patience_ms)

    def wire_s(self, size: int) -> float:
        """Seconds that ``size`` bytes take on the wire."""
        return 1e-3 * float(self.tx_time_per_byte) * size


def _refusal(device: str, error: serial.SerialException) -> DriverError:
    number = error.errno or next((int(n) for n in re.findall(r"Errno (\d+)", str(error))), 0)
    if number in (errno.EACCES, errno.EPERM):
        remedy = "`sudo usermod -aG dialout $USER` and log in again; or install deploy/udev/99-dextrack.rules."
        return DriverError("hand: %s may not be opened by this user." % device, remedy=remedy)
    if number in (errno.EAGAIN, errno.EBUSY):
        return DriverError("hand: %s is in use by another program." % device, remedy=_OTHER)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DriverError("hand: there is no %s." % device, remedy="check the USB cable and `ls /dev/ttyUSB*`, or give `auto`.")
    return DriverError("hand: %s cannot be opened (%s)." % (device, error), remedy="check that it is the serial port of the hand's adapter.")
