"""The bus of a LEAP: reads and writes of all its motors through the Dynamixel SDK, that name the motor which does not answer.

A group read fails as a whole when one motor is silent, and the SDK does not say which. So a failed one is tried once more (a byte may have been
lost), and then every motor is asked alone. Each step has the timeout of one answer, so that the worst case stays within a fraction of a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import termios
import time
from collections.abc import Iterator, Sequence

import serial
from dynamixel_sdk import BROADCAST_ID, COMM_SUCCESS, INST_PING, INST_READ, INST_REBOOT, INST_WRITE, Protocol2PacketHandler

from dextrack.errors import DriverError
from dextrack_deploy.drivers.leap_port import Port
from dextrack_deploy.drivers.leap_registers import Register

ALERT = 0x80
_REFUSALS = {
    1: "failed", 2: "unknown instruction", 3: "wrong checksum", 4: "value out of range", 5: "wrong length", 6: "value beyond its limit", 7: "no access",
}  # fmt: skip
_CABLE = "check the cable of that motor, and of the one before it in its finger."
_POWER = "check the hand's 5 V supply and the cable between adapter and hand."
ALL_SILENT = 3
"""After so many silent motors and none that answers, the rest are not asked."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a motor says of itself."""

    model: int
    firmware: int
    alert: bool
    """Whether its hardware error status is not zero."""


@dataclasses.dataclass(frozen=True)
class GroupReading:
    """The same register of every motor."""

    stamp: int
    """When the motors took the values, ns since the epoch: the end of the instruction on the wire."""
    data: tuple[bytes, ...]
    """Bytes of each motor, in the order of the ids."""
    alerts: tuple[int, ...]
    """Ids that raised the alert bit."""


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A status packet: its data and its error."""

    data: bytes
    error: int


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def _data(packet: Sequence[int]) -> bytes:
    """The data of a status packet, by its own length."""
    return bytes(packet[9 : 5 + (packet[5] | packet[6] << 8)])


class LeapBus:
    """The motors ``ids`` behind ``port``. For one thread."""

    def __init__(self, port: Port, joints: Sequence[str]) -> None:
        """Speak to ids 0 to n - 1, which move ``joints``; nothing is sent yet."""
        self.port = port
        self.ids = tuple(range(len(joints)))
        self.fast = False
        """Whether group reads are fast ones, which every motor's firmware must know."""
        self.retries = 0
        """Group reads that failed at first."""
        self.sent_at = -float("inf")
        """When something was last sent, s of the monotonic clock."""
        self._joints = tuple(joints)
        self._sdk = Protocol2PacketHandler()

    def name(self, motor: int) -> str:
        """A motor in words."""
        return "motor %d (joint %s)" % (motor, self._joints[motor])

    def names(self, motors: Sequence[int]) -> str:
        """Motors in words."""
        return ", ".join(self.name(m) for m in motors)

    def ping(self, motor: int) -> Identity | None:
        """Who is there; None: nobody answers.

        Raises:
            DriverError: the port is gone.
        """
        answer = self._exchange(motor, INST_PING, b"", 3)
        return None if answer is None else Identity(int.from_bytes(answer.data[:2], "little"), answer.data[2], bool(answer.error & ALERT))

    def read(self, register: Register) -> GroupReading:
        """Read ``register`` of every motor.

        Raises:
            DriverError: motors do not answer, and which; or one refuses; or the port is gone.
        """
        for _ in range(2):
            with self._wire():
                reading = self._read_fast(register) if self.fast else self._read_group(register)
            if reading is not None:
                return reading
            self.retries += 1
        return self._read_each(register)

    def read_number(self, register: Register) -> list[int]:
        """``register`` of every motor as unsigned numbers; raises as ``read``."""
        return [int.from_bytes(data, "little") for data in self.read(register).data]

    def read_one(self, motor: int, register: Register) -> int:
        """``register`` of one motor as an unsigned number; raises as ``read``."""
        return int.from_bytes(self._once_more(motor, INST_READ, _words(register.address, register.size), register.size).data, "little")

    def write(self, register: Register, values: Sequence[int]) -> None:
        """Write ``register`` of every motor at once. Nobody answers: what must be certain is read back.

        Raises:
            DriverError: the port is gone.
        """
        parameters: list[int] = []
        for motor, value in zip(self.ids, values, strict=True):
            parameters += [motor, *(int(value) % (1 << 8 * register.size)).to_bytes(register.size, "little")]
        with self._wire():
            result = self._sdk.syncWriteTxOnly(self.port, register.address, register.size, parameters, len(parameters))
        if result != COMM_SUCCESS:
            raise DriverError("hand: %s could not be sent (%s)." % (register.name, self._sdk.getTxRxResult(result)), remedy="check the USB cable.")

    def write_one(self, motor: int, register: Register, value: int) -> None:
        """Write ``register`` of one motor, which confirms it.

        Raises:
            DriverError: it does not answer or refuses, or the port is gone.
        """
        data = (int(value) % (1 << 8 * register.size)).to_bytes(register.size, "little")
        self._refuse(motor, register, self._once_more(motor, INST_WRITE, _words(register.address) + data, 0).error)

    def reboot(self, motor: int) -> None:
        """Let one motor begin anew, without torque. Raises DriverError when the port is gone."""
        # Its answer may be lost, but a second reboot would find it booting: whether it obeyed shows when it answers again.
        self._exchange(motor, INST_REBOOT, b"", 0)

    def close(self) -> None:
        """Close the port."""
        if self.port.is_open:
            self.port.closePort()

    def _once_more(self, motor: int, instruction: int, parameters: bytes, size: int) -> _Answer:
        """What one motor answers; asked again where the answer was lost, for asking twice does what asking once does."""
        for _ in range(2):
            answer = self._exchange(motor, instruction, parameters, size)
            if answer is not None:
                return answer
        raise self._missing([motor])

    def _exchange(self, motor: int, instruction: int, parameters: bytes, size: int) -> _Answer | None:
        """One instruction to one motor, and its answer with ``size`` bytes; None: there is none, or it is the late one to something else.

        The SDK's own calls do not look at the length: of an answer that is too short they return the checksum as if it were data.
        """
        length = len(parameters) + 3
        packet = [0, 0, 0, 0, motor, length & 0xFF, length >> 8, instruction, *parameters, 0, 0]
        with self._wire():
            received, result, error = self._sdk.txRxPacket(self.port, packet)
        if result != COMM_SUCCESS:
            return None
        data = _data(received)
        refused = bool(error & ~ALERT)
        return _Answer(data, int(error)) if len(data) == size or refused else None

    def _read_fast(self, register: Register) -> GroupReading | None:
        stamp = self._ask(register, fast=True)
        block = 4 + register.size
        data, result, _ = self._sdk.fastSyncReadRx(self.port, BROADCAST_ID, block * len(self.ids))
        if result != COMM_SUCCESS or len(data) != block * len(self.ids):
            return None
        # For each motor: error, id, data and a checksum of everything so far.
        blocks = [bytes(data[at : at + block]) for at in range(0, len(data), block)]
        if tuple(b[1] for b in blocks) != self.ids:
            return None
        return self._reading(stamp, register, [b[2:-2] for b in blocks], [b[0] for b in blocks])

    def _read_group(self, register: Register) -> GroupReading | None:
        stamp = self._ask(register, fast=False)
        values, errors = [], []
        for motor in self.ids:
            received, result = self._sdk.rxPacket(self.port, False)
            if result != COMM_SUCCESS or received[4] != motor or len(_data(received)) != register.size:
                return None
            values.append(_data(received))
            errors.append(int(received[8]))
        return self._reading(stamp, register, values, errors)

    def _ask(self, register: Register, fast: bool) -> int:
        """Send the instruction of a group read; the stamp of its end."""
        begin = time.time_ns()
        result = self._sdk.syncReadTx(self.port, register.address, register.size, list(self.ids), len(self.ids), fast)
        if result != COMM_SUCCESS:
            raise DriverError("hand: a read could not be sent (%s)." % self._sdk.getTxRxResult(result), remedy="check the USB cable.")
        return begin + round(1e9 * self.port.wire_s(14 + len(self.ids)))

    def _read_each(self, register: Register) -> GroupReading:
        values: list[bytes] = []
        errors: list[int] = []
        missing: list[int] = []
        stamp = time.time_ns()
        for motor in self.ids:
            answer = self._exchange(motor, INST_READ, _words(register.address, register.size), register.size)
            if answer is None:
                missing.append(motor)
                if not values and len(missing) == ALL_SILENT:
                    raise DriverError("hand: no motor answers any more (%s and the rest)." % self.names(missing), remedy=_POWER)
                continue
            values.append(answer.data)
            errors.append(answer.error)
        if missing:
            raise self._missing(missing)
        return self._reading(stamp, register, values, errors)

    def _reading(self, stamp: int, register: Register, values: list[bytes], errors: list[int]) -> GroupReading:
        for motor, error in zip(self.ids, errors, strict=True):
            self._refuse(motor, register, error)
        return GroupReading(stamp, tuple(values), tuple(m for m, e in zip(self.ids, errors, strict=True) if e & ALERT))

    def _refuse(self, motor: int, register: Register, error: int) -> None:
        number = error & ~ALERT
        if number:
            what = "hand: %s refuses its %s: %s." % (self.name(motor), register.name, _REFUSALS.get(number, "error %d" % number))
            raise DriverError(what, remedy="compare the motor's control table with a new one's in Dynamixel Wizard.")

    def _missing(self, motors: Sequence[int]) -> DriverError:
        return DriverError("hand: no answer from %s." % self.names(motors), remedy=_CABLE)

    @contextlib.contextmanager
    def _wire(self) -> Iterator[None]:
        """Turn what pyserial raises when an adapter is pulled out into an error of ours."""
        self.sent_at = time.monotonic()
        try:
            yield
        except (OSError, termios.error, serial.SerialException, TypeError) as error:
            if isinstance(error, TypeError) and self.port.ser is not None and self.port.ser.is_open:
                raise
            self.port.is_using = False
            what = "hand: the port %s is gone (%s)." % (self.port.port_name, error)
            raise DriverError(what, remedy="check the adapter's USB cable, then configure the hand again.") from None
