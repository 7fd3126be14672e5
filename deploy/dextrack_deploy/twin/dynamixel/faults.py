"""Faults of bus and motors, on demand. Each is a small record; ``Faults`` holds what is going on and spoils what the host receives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from dextrack.errors import InputError
from dextrack_deploy.twin.dynamixel.motor import Motor


@dataclasses.dataclass(frozen=True)
class LostBytes:
    """The adapter loses bytes of answers."""

    count: int = 1
    """Bytes lost of each answer."""
    times: int = 1
    """Answers that lose some, from the next one on."""
    offset: int = 12
    """Where in the answer they are missing; an answer that is shorter loses its last ones."""


@dataclasses.dataclass(frozen=True)
class BadChecksum:
    """Noise turns a bit of answers, so that the checksum is wrong."""

    times: int = 1


@dataclasses.dataclass(frozen=True)
class Silent:
    """A motor's plug comes out; ``motor`` hears and says nothing until the faults are cleared."""

    motor: int


@dataclasses.dataclass(frozen=True)
class Overheating:
    """A motor is hot."""

    motor: int
    celsius: float = 80.0


@dataclasses.dataclass(frozen=True)
class Overload:
    """A motor has pushed too hard for too long."""

    motor: int


@dataclasses.dataclass(frozen=True)
class Stalled:
    """A motor shows all the current that it may draw, as one does that is blocked."""

    motor: int


@dataclasses.dataclass(frozen=True)
class LowVoltage:
    """A motor's supply sags, not so far that it resets."""

    motor: int
    volts: float = 3.2


@dataclasses.dataclass(frozen=True)
class BrownOut:
    """The supply of motors fails for a moment: they reset, and come back without torque."""

    motors: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Turned:
    """A motor has counted whole turns: its positions lie outside one turn, or below zero."""

    motor: int
    turns: int = -1


@dataclasses.dataclass(frozen=True)
class Misread:
    """The next readings of a motor's position are wrong."""

    motor: int
    counts: int = 1500
    times: int = 1


Fault = LostBytes | BadChecksum | Silent | Overheating | Overload | Stalled | LowVoltage | BrownOut | Turned | Misread
KINDS: Mapping[str, type[Any]] = {kind.__name__: kind for kind in get_args(Fault)}


def as_dict(fault: Fault) -> dict[str, Any]:
    """A fault as plain values, with its ``kind``."""
    return {"kind": type(fault).__name__, **dataclasses.asdict(fault)}


def from_dict(values: Mapping[str, Any]) -> Fault:
    """The inverse of ``as_dict``.

    Raises:
        InputError: no such kind, or a field is missing or unknown.
    """
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name != "kind"}
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        raise InputError("fault %r is not known." % values.get("kind"), remedy="choose one of: %s." % ", ".join(KINDS))
    try:
        fault: Fault = kind(**arguments)
    except TypeError as error:
        raise InputError("fault %s: %s." % (kind.__name__, error), remedy="see dextrack_deploy.twin.dynamixel.faults.") from None
    return fault


class Faults:
    """What is wrong with the bus and its motors."""

    def __init__(self, motors: Mapping[int, Motor]) -> None:
        """Nothing is wrong. ``motors`` are by id."""
        self._motors = motors
        self._lost: list[LostBytes] = []
        self._bad = 0

    def begin(self, fault: Fault, now: float) -> None:
        """Let ``fault`` happen.

        Raises:
            InputError: no such motor.
        """
        if isinstance(fault, LostBytes):
            self._lost += [fault] * fault.times
        elif isinstance(fault, BadChecksum):
            self._bad += fault.times
        elif isinstance(fault, BrownOut):
            for number in fault.motors:
                self._motor(number).reset(now)
        else:
            self._befall(self._motor(fault.motor), fault)

    def clear(self) -> None:
        """Plugs are in again, motors cool and supplied. What a motor latched stays until it is rebooted, and a count of turns until a reset."""
        self._lost, self._bad = [], 0
        for motor in self._motors.values():
            motor.silent, motor.overloaded, motor.stalled, motor.temperature, motor.voltage = False, False, False, 35.0, 5.0
            motor.misread.clear()

    def spoil(self, answer: bytes) -> bytes:
        """What the host receives of one answer."""
        if self._bad:
            self._bad -= 1
            # Behind the header, so that the packet is found and judged.
            answer = answer[:-3] + bytes((answer[-3] ^ 0x10,)) + answer[-2:]
        if self._lost:
            lost = self._lost.pop(0)
            at = min(lost.offset, max(0, len(answer) - lost.count))
            answer = answer[:at] + answer[at + lost.count :]
        return answer

    def _motor(self, number: int) -> Motor:
        if number not in self._motors:
            raise InputError("fault: there is no motor %d." % number, remedy="choose one of: %s." % ", ".join(map(str, self._motors)))
        return self._motors[number]

    def _befall(self, motor: Motor, fault: Silent | Overheating | Overload | Stalled | LowVoltage | Turned | Misread) -> None:
        if isinstance(fault, Silent):
            motor.silent = True
        elif isinstance(fault, Overheating):
            motor.temperature = fault.celsius
        elif isinstance(fault, Overload):
            motor.overloaded = True
        elif isinstance(fault, Stalled):
            motor.stalled = True
        elif isinstance(fault, LowVoltage):
            motor.voltage = fault.volts
        elif isinstance(fault, Turned):
            motor.turns = fault.turns
        else:
            motor.misread += [fault.counts] * fault.times
