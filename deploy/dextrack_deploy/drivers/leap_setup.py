"""What is checked and set before a LEAP's motors get torque. Nothing here moves a motor.

EEPROM is written only where it differs, and only then the motors concerned lose torque for a moment. Baud, id and drive mode are never changed:
they are the builder's, and a wrong one is named with its remedy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dextrack.errors import DriverError
from dextrack_deploy.drivers.leap_bus import Identity, LeapBus
from dextrack_deploy.drivers.leap_port import SYSTEM_LATENCY_MS
from dextrack_deploy.drivers.leap_registers import (
    BAUD_RATES,
    CURRENT_POSITION,
    DRIVE_MODE,
    FAST_FIRMWARE,
    HARDWARE_ERROR,
    MODEL,
    OPERATING_MODE,
    OVERHEATING,
    OVERLOAD,
    PROFILE_ACCELERATION,
    PROFILE_VELOCITY,
    RETURN_DELAY,
    RETURN_LEVEL,
    TORQUE,
    Register,
    hazards,
)
from dextrack_deploy.drivers.protocols import OverloadError

SCOUTS = (0, 5, 10, 15)
"""Ids that are asked at other bauds; one of each finger."""


@dataclasses.dataclass(frozen=True)
class LeapInfo:
    """What was found on the bus."""

    device: str
    baud: int
    latency_ms: float | None
    """Latency timer of the adapter, ms; None: not known."""
    firmware: tuple[int, ...]
    """Of each motor."""
    fast: bool
    """Whether all motors know fast reads."""

    @property
    def advice(self) -> str:
        """What would make reads faster; empty where there is nothing to say."""
        if self.latency_ms is None or self.latency_ms < SYSTEM_LATENCY_MS / 4:
            return ""
        remedy = "install deploy/udev/99-dextrack.rules, or `echo 1 | sudo tee /sys/bus/usb-serial/devices/%s/latency_timer`" % self.device.rsplit("/", 1)[-1]
        return "the adapter's latency timer is %g ms, so a read takes up to that long: %s." % (self.latency_ms, remedy)


def find_motors(bus: LeapBus) -> dict[int, Identity]:
    """Ping every id.

    Raises:
        DriverError: ids are missing, and which; where nobody answers, at which other baud somebody does; or a motor is of another model.
    """
    # Twice: a byte may have been lost. And first one motor of each finger: an empty bus is told from a missing motor without asking all.
    scouted = any(bus.ping(motor) or bus.ping(motor) for motor in SCOUTS if motor in bus.ids)
    found = {motor: identity for motor in bus.ids if scouted and (identity := bus.ping(motor) or bus.ping(motor))}
    missing = [m for m in bus.ids if m not in found]
    if not found:
        raise _nobody(bus)
    if missing:
        what = "hand: %d of %d motors answer at %d baud; no answer from %s." % (len(found), len(bus.ids), bus.port.baudrate, bus.names(missing))
        raise DriverError(what, remedy="check their cables, ids (0 to 15, index to thumb) and baud in Dynamixel Wizard.")
    others = [m for m in bus.ids if found[m].model != MODEL]
    if others:
        what = "hand: %s reports model %d, not %d (XC330-M288-T)." % (bus.name(others[0]), found[others[0]].model, MODEL)
        raise DriverError(what, remedy="use the motors that a LEAP is made of; another's current and gains mean other torques.")
    return found


def check_hazards(bus: LeapBus, alerts: Sequence[int]) -> None:
    """Say what hardware errors the motors ``alerts`` have.

    Raises:
        OverloadError: a motor is too hot or overloaded.
        DriverError: there is another one.
    """
    found = {motor: bus.read_one(motor, HARDWARE_ERROR) for motor in alerts}
    said = ["%s: %s" % (bus.name(motor), hazards(status)) for motor, status in found.items()]
    if said:
        remedy = "let it cool, free what it holds and check the supply; then reboot it (LeapHand.reboot, or power off and on)."
        kind = OverloadError if any(status & (OVERHEATING | OVERLOAD) for status in found.values()) else DriverError
        raise kind("hand: hardware error of %s; such a motor drops its torque." % "; ".join(said), remedy=remedy)


def configure(bus: LeapBus) -> None:
    """Set what every motor must have before it gets torque.

    Raises:
        DriverError: a motor does not answer, or does not take a setting.
    """
    settle(bus, RETURN_LEVEL, [2] * len(bus.ids))
    reversed_ones = [m for m, mode in zip(bus.ids, bus.read_number(DRIVE_MODE), strict=True) if mode]
    if reversed_ones:
        what = "hand: the drive mode of %s is not 0: it turns the other way, or treats profiles as times." % bus.names(reversed_ones)
        raise DriverError(what, remedy="set register 10 to 0 in Dynamixel Wizard.")
    for register, value in ((RETURN_DELAY, 0), (OPERATING_MODE, CURRENT_POSITION)):
        for motor, now in zip(bus.ids, bus.read_number(register), strict=True):
            if now != value:
                bus.write_one(motor, TORQUE, 0)
                bus.write_one(motor, register, value)
    for register in (PROFILE_VELOCITY, PROFILE_ACCELERATION):
        settle(bus, register, [0] * len(bus.ids))


def settle(bus: LeapBus, register: Register, values: Sequence[int]) -> None:
    """Write ``values`` to ``register`` of every motor, and read them back.

    Raises:
        DriverError: a motor does not hold its value, or does not answer.
    """
    wanted = [int(v) % (1 << 8 * register.size) for v in values]
    bad: list[int] = []
    # A write to all is not confirmed, so a lost byte shows only here.
    for _ in range(2):
        bus.write(register, values)
        found = bus.read(register)
        check_hazards(bus, found.alerts)
        held = [int.from_bytes(data, "little") for data in found.data]
        bad = [m for m, a, b in zip(bus.ids, held, wanted, strict=True) if a != b]
        if not bad:
            return
    what = "hand: %s holds %s %d, not %d." % (bus.name(bad[0]), register.name, held[bad[0]], wanted[bad[0]])
    raise DriverError(what, remedy="power the hand off and on, and configure it again.")


def fast_reads(found: dict[int, Identity]) -> bool:
    """Whether every motor's firmware knows fast reads."""
    return all(identity.firmware >= FAST_FIRMWARE for identity in found.values())


def _nobody(bus: LeapBus) -> DriverError:
    """Why nobody answers: perhaps the motors have another baud. The port is left at its own."""
    baud = bus.port.baudrate
    try:
        # The slowest first: motors leave their maker with it.
        for other in reversed(BAUD_RATES):
            if other == baud:
                continue
            bus.port.change_baud(other)
            heard = [motor for motor in SCOUTS if motor in bus.ids and bus.ping(motor) is not None]
            if heard:
                what = "hand: no motor answers at %d baud, but %s at %d." % (baud, bus.names(heard), other)
                remedy = "give the address with @%d, or set the motors' baud rate (register 8) to 6 in Dynamixel Wizard: 4000000." % other
                return DriverError(what, remedy=remedy)
    finally:
        bus.port.change_baud(baud)
    tried = ", ".join(map(str, BAUD_RATES))
    return DriverError("hand: no motor answers on %s, at none of %s baud." % (bus.port.port_name, tried), remedy="check the hand's 5 V supply and its cable.")
