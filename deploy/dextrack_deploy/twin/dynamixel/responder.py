"""What the motors of one bus answer to an instruction, in the order of Protocol 2.0.

A motor hears what is for its id or for all, at its own baud. In the group reads each motor waits for the one before it in the list: behind one
that is silent nobody answers, which is why a single missing id spoils a whole read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dextrack_deploy.twin.dynamixel.line import Answer
from dextrack_deploy.twin.dynamixel.motor import Motor
from dextrack_deploy.twin.dynamixel.packet import BROADCAST, Error, Instruction, Packet, fast_statuses, status

_GROUPS = (Instruction.SYNC_READ, Instruction.BULK_READ, Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ)
_FAST = (Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ)
READS = (Instruction.READ, *_GROUPS)
"""Instructions that ask for registers."""


class Responder:
    """The motors of a bus, as the host hears them."""

    def __init__(self, motors: Sequence[Motor]) -> None:
        """Speak for ``motors``."""
        self.motors = tuple(motors)

    def answers(self, packet: Packet, baud: int, now: float) -> list[Answer]:
        """Do what ``packet``, sent at ``baud``, asks; what the motors put on the wire."""
        hearing = [m for m in self.motors if m.hears(baud, now) and packet.motor in (m.number, BROADCAST)]
        if not packet.intact:
            # To a packet for all, nobody complains.
            return [self._say(m, Error.CRC) for m in hearing if packet.motor != BROADCAST]
        for motor in hearing:
            motor.note(now)
        if packet.instruction in _GROUPS:
            return self._group(packet, {m.number: m for m in hearing})
        if packet.instruction in (Instruction.SYNC_WRITE, Instruction.BULK_WRITE):
            by_number: dict[int, list[Motor]] = {}
            for motor in hearing:
                by_number.setdefault(motor.number, []).append(motor)
            for number, address, data in _writes(packet):
                for motor in by_number.get(number, []):
                    motor.write(address, data)
            return []
        said = [a for m in sorted(hearing, key=lambda m: m.number) if (a := self._one(m, packet, now)) is not None]
        # Of the instructions for all, only a ping is answered.
        return said if packet.motor != BROADCAST or packet.instruction == Instruction.PING else []

    def _one(self, motor: Motor, packet: Packet, now: float) -> Answer | None:
        """The answer of one motor to an instruction that is no group's; None where its status return level says nothing."""
        number = motor.number
        if packet.instruction == Instruction.PING:
            told = motor.get("model_number").to_bytes(2, "little") + bytes((motor.get("firmware_version"),))
            return Answer(motor.return_delay_s, status(number, motor.alert, told))
        level, p = motor.get("status_return_level"), packet.parameters
        if packet.instruction == Instruction.READ:
            data = motor.read(_word(p, 0), _word(p, 2)) if len(p) == 4 else None
            return self._say(motor, Error.NONE if data is not None else Error.ACCESS, data or b"") if level >= 1 else None
        actions: dict[int, Callable[[], Error]] = {
            Instruction.WRITE: lambda: motor.write(_word(p, 0), p[2:]) if len(p) > 2 else Error.DATA_LENGTH,
            Instruction.REG_WRITE: lambda: self._keep(motor, p),
            Instruction.ACTION: motor.act,
            # A peer keeps what its builder set; so does a careful driver.
            Instruction.FACTORY_RESET: lambda: Error.RESULT_FAIL,
            Instruction.REBOOT: lambda: Error.NONE,
        }
        delay = motor.return_delay_s
        error = actions.get(packet.instruction, lambda: Error.INSTRUCTION)()
        answer = Answer(delay, status(number, error | motor.alert)) if level >= 2 else None
        if packet.instruction == Instruction.REBOOT:
            motor.reset(now)
        return answer

    def _keep(self, motor: Motor, parameters: bytes) -> Error:
        if len(parameters) <= 2:
            return Error.DATA_LENGTH
        motor.register_write(_word(parameters, 0), parameters[2:])
        return Error.NONE

    def _group(self, packet: Packet, hearing: dict[int, Motor]) -> list[Answer]:
        asked = list(_reads(packet))
        chain: list[tuple[Motor, int, bytes]] = []
        for number, address, length in asked:
            motor = hearing.get(number)
            if motor is None or motor.get("status_return_level") < 1:
                break
            data = motor.read(address, length)
            error = Error.NONE if data is not None else Error.ACCESS
            # In a fast read every motor has its place, so one that refuses fills it.
            filled = data if data is not None else bytes(length if packet.instruction in _FAST else 0)
            chain.append((motor, error | motor.alert, filled))
        if packet.instruction not in _FAST:
            return [Answer(m.return_delay_s, status(m.number, error, data)) for m, error, data in chain]
        size = 1 + sum(4 + length for _, _, length in asked)
        parts = fast_statuses([(m.number, error, data) for m, error, data in chain], size)
        return [Answer(m.return_delay_s if n == 0 else 0.0, part) for n, ((m, _, _), part) in enumerate(zip(chain, parts, strict=True))]

    def _say(self, motor: Motor, error: int, data: bytes = b"") -> Answer:
        return Answer(motor.return_delay_s, status(motor.number, error | motor.alert, data))


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _reads(packet: Packet) -> Iterator[tuple[int, int, int]]:
    """(id, address, length) of everything that a group read asks for."""
    p = packet.parameters
    if packet.instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        for number in p[4:]:
            yield number, _word(p, 0), _word(p, 2)
    else:
        for at in range(0, len(p) - 4, 5):
            yield p[at], _word(p, at + 1), _word(p, at + 3)


def _writes(packet: Packet) -> Iterator[tuple[int, int, bytes]]:
    """(id, address, data) of everything that a group write holds."""
    p = packet.parameters
    if packet.instruction == Instruction.SYNC_WRITE:
        address, length = _word(p, 0), _word(p, 2)
        for at in range(4, len(p) - length, 1 + length):
            yield p[at], address, p[at + 1 : at + 1 + length]
        return
    at = 0
    while at + 5 <= len(p):
        length = _word(p, at + 3)
        if at + 5 + length <= len(p):
            yield p[at], _word(p, at + 1), p[at + 5 : at + 5 + length]
        at += 5 + length
