"""LeapHand: the driver of a LEAP hand, sixteen XC330-M288-T behind one USB adapter.

Its rules, in order:

1. A motor gets torque only after its goal was set to where it stands: the hand does not jump, at start, after ``off``, ``soft`` or a watchdog.
2. A target that is not finite, or of a wrong length, is refused. Others are clamped to the joint limits, and to one step from the last target: what
   the motor can turn in the time between, one tenth of a second at most.
3. Nothing is recovered unasked. A hardware error, a reset motor, a missing id or a tripped watchdog raises DriverError with joint and remedy;
   ``set_power`` and ``reboot`` are the operator's word.
4. When this process falls silent the motors hold their last goal by themselves. Their bus watchdog, which the first target arms, then makes the
   goals read-only, so that a process which comes back after a stall cannot go on with an old motion: it must be told to. (Firmware 51 of the 330
   series marks a trip without stopping what moves; a position-controlled motor stops at its goal anyway.) ``close`` disarms it and leaves the
   hand as it is.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import DexTrackError, DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.hands.spec import HandSpec
from dextrack_deploy.drivers import leap_registers as registers
from dextrack_deploy.drivers.leap_bus import LeapBus
from dextrack_deploy.drivers.leap_port import Port, latency_ms, parse
from dextrack_deploy.drivers.leap_setup import LeapInfo, check_hazards, configure, fast_reads, find_motors, settle
from dextrack_deploy.drivers.protocols import Array, HandReading

WATCHDOG_S = 0.5
"""Silence after which the motors make their goals read-only, s: longer than any stall that a running cell survives."""
HEALTH_PERIOD_S = 0.1
"""Every so often torque, or voltage and temperature, or the watchdog of all motors is read too, in turn: one more read in six control periods."""
LONGEST_STEP_S = 0.1
SLACK_RAD = 0.2
"""A reading may differ from the one before by twice what a motor turns in the time between, and by this."""
FARTHEST_TURNS = 2
"""A motor that has counted more turns than this has not turned them: a LEAP's joint is mechanically stopped within one."""
REBOOT_S = 2.0
"""A rebooted motor answers again within this, s."""
_POWERS = {"full": 1.0, "soft": registers.SOFT, "off": 0.0}

_log = logging.getLogger(__name__)


class LeapHand:
    """A LEAP hand. See HandDriver. For one thread; reads and writes block for one answer, or raise after a few timeouts."""

    def __init__(
        self,
        address: str,
        *,
        hand: HandSpec | None = None,
        zeros: Mapping[str, float] | None = None,
        engage: bool = True,
        watchdog_s: float = WATCHDOG_S,
    ) -> None:
        """Connect, check the motors, and hold the hand where it is with full power.

        Args:
            address: ``/dev/ttyUSB0``, or ``auto`` for the one adapter that is plugged in; ``@57600`` behind it is a baud other than 4000000.
            hand: limits, effort and gains; the right LEAP when None.
            zeros: joint name -> angle, rad, that the joint shows when it truly is at zero (from a calibration); joints left out have none.
            engage: whether to hold it. If not, motors that have no torque get none, and those that hold go on, until ``set_power``; settings that no
                motor may have are corrected all the same.
            watchdog_s: silence after which the motors' own watchdog trips, s; 0.02 to 2.54.

        Raises:
            InputError: no such baud, joint or watchdog.
            DriverError: port, motors or settings are not as they must be, with the remedy.
        """
        self._spec = hand or load_hand("leap_right")
        joints = self._spec.finger_joints
        strange = [name for name, zero in (zeros or {}).items() if name not in joints or not np.isfinite(zero)]
        if strange:
            raise InputError("hand: the zero of joint %s is not a joint's or not finite." % strange[0], remedy="calibrate the hand again.")
        self._watchdog = round(watchdog_s / registers.WATCHDOG_UNIT_S)
        if not 1 <= self._watchdog <= 127:
            raise InputError("hand: a watchdog of %g s." % watchdog_s, remedy="choose 0.02 to 2.54 s.")
        self._zero = np.array([(zeros or {}).get(name, 0.0) for name in joints])
        self._lower, self._upper, self._speed = (np.array(v) for v in (self._spec.lower, self._spec.upper, self._spec.velocity))
        self._turns = np.zeros(len(joints), dtype=np.int64)
        self._torque = np.zeros(len(joints), dtype=bool)
        self._power, self._stopped, self._armed = "off", "", False
        self._target, self._written_at = np.zeros(len(joints)), 0.0
        self._last: tuple[float, Array] | None = None
        self._supply: tuple[Array, Array] | None = None
        self._health_at, self._health_turn = 0.0, 0
        self.implausible = 0
        """Readings that were discarded because no joint moves so fast."""
        self.clamped: tuple[str, ...] = ()
        """Joints whose last target was outside limits or step."""
        device, baud = parse(address)
        latency = latency_ms(device)
        self._bus = LeapBus(Port(device, baud, latency), joints)
        try:
            self.info = self._connect(device, baud, latency, engage)
        except BaseException:
            self._bus.close()
            raise

    @property
    def retries(self) -> int:
        """Reads of all motors that failed at first."""
        return self._bus.retries

    def read(self) -> HandReading:
        """The newest reading; its stamp is when the motors took it.

        Raises:
            DriverError: a motor is silent, has a hardware error, was reset, or reads what cannot be; or the watchdog has tripped.
        """
        self._check_silence()
        for _ in range(2):
            reading = self._sample()
            wrong = self._implausible(reading.position)
            if not wrong.any():
                break
            self.implausible += 1
        else:
            what = "hand: %s jumped, twice, farther than it can turn." % self._bus.names(np.flatnonzero(wrong).tolist())
            raise DriverError(what, remedy="check the motor's horn and cable; where it was reset, configure the hand again.")
        self._last = time.monotonic(), reading.position
        self._look_after(time.monotonic())
        return reading

    def write(self, targets: Array, stamp: int) -> None:
        """Send joint targets (16,), rad; without torque nothing is sent. ``stamp`` goes no farther.

        Raises:
            RefusedError: a wrong length, or a target that is not finite.
            DriverError: the port is gone, or the watchdog has tripped.
        """
        wanted = np.array(targets, dtype=np.float64)
        if wanted.shape != self._zero.shape or not np.isfinite(wanted).all():
            raise RefusedError("hand: targets are not %d finite numbers." % len(self._zero), remedy="find what produced them; the hand holds its last target.")
        self._check_silence()
        if self._stopped:
            raise self._halted()
        if self._power == "off":
            return
        if not self._armed:
            # Not before: between connecting and the first target nothing moves, and whoever connected may take his time.
            settle(self._bus, registers.WATCHDOG, [self._watchdog] * len(self._zero))
            self._armed = True
        now = time.monotonic()
        reach = self._speed * min(max(now - self._written_at, 1.0 / 60.0), LONGEST_STEP_S)
        allowed = np.clip(np.clip(wanted, self._lower, self._upper), self._target - reach, self._target + reach)
        self.clamped = tuple(name for name, cut in zip(self._spec.finger_joints, np.abs(allowed - wanted) > 1e-9, strict=True) if cut)
        self._bus.write(registers.GOAL_POSITION, self._counts(allowed))
        self._target, self._written_at = allowed, now

    def set_power(self, power: str) -> None:
        """Make the motors ``full``, ``soft`` or ``off``; what was weak or stopped holds where it is now, and the next targets begin there.

        Raises:
            InputError: another name.
            DriverError: a motor does not answer, has a hardware error or does not take it.
        """
        if power not in _POWERS:
            raise InputError("hand power: %r." % power, remedy="choose one of: %s." % ", ".join(_POWERS))
        if power == "off":
            self._drop()
            return
        if power == "soft":
            # At once and for all, whatever the checks that follow find.
            self._bus.write(registers.GOAL_CURRENT, registers.settings(self._spec, registers.SOFT).current_ma.tolist())
        self._engage(power)

    def reboot(self, motors: tuple[int, ...]) -> None:
        """Reboot ``motors``, on the operator's word, and set them up; they stay without torque until ``set_power``. The others hold.

        Raises:
            InputError: no such motor.
            DriverError: one does not come back, or its error is still there.
        """
        if not set(motors) <= set(self._bus.ids):
            raise InputError("hand: reboot of %s." % (motors,), remedy="choose ids 0 to %d." % (len(self._zero) - 1))
        for motor in motors:
            self._torque[motor] = False
            self._bus.reboot(motor)
        waiting, deadline = set(motors), time.monotonic() + REBOOT_S
        while waiting and time.monotonic() < deadline:
            waiting -= {m for m in waiting if self._bus.ping(m) is not None}
        if waiting:
            raise DriverError("hand: %s did not come back from a reboot." % self._bus.names(sorted(waiting)), remedy="power the hand off and on.")
        self._last = None
        configure(self._bus)
        self._count_turns()

    def recover(self, power: str = "full") -> None:
        """Reboot the motors that have an error, and give the hand ``power`` where it is; on the operator's word.

        Raises:
            InputError: another power than those of ``set_power``.
            DriverError: a motor does not answer, or its error is still there.
        """
        wrong = tuple(motor for motor, identity in find_motors(self._bus).items() if identity.alert)
        if wrong:
            self.reboot(wrong)
        else:
            # One that was reset by a supply that failed has lost its settings, and says nothing of it.
            configure(self._bus)
        self.set_power(power)

    def close(self) -> None:
        """Disconnect; the motors hold their last target, or where their watchdogs stopped them. Closing twice is allowed."""
        if self._bus.port.is_open:
            # Who closes the hand on purpose wants it to go on holding: nothing shall trip. Where a watchdog has tripped, its motor holds where it is, and would
            # go back to its target if that were cleared; the others may then trip too.
            with contextlib.suppress(DexTrackError):
                self._check_watchdogs()
                if not self._stopped:
                    self._bus.write(registers.WATCHDOG, [0] * len(self._zero))
                    self._bus.port.ser.flush()
            self._bus.close()

    def _connect(self, device: str, baud: int, latency: float | None, engage: bool) -> LeapInfo:
        found = find_motors(self._bus)
        self._bus.fast = fast_reads(found)
        check_hazards(self._bus, [motor for motor, identity in found.items() if identity.alert])
        configure(self._bus)
        if engage:
            self._engage("full")
        else:
            self._count_turns()
        self._read_supply()
        info = LeapInfo(device, baud, latency, tuple(found[m].firmware for m in self._bus.ids), self._bus.fast)
        if info.advice:
            _log.warning("hand: %s", info.advice)
        return info

    def _drop(self) -> None:
        """End the torque of every motor, though one has a hardware error: that is when it is asked for."""
        self._power = "off"
        self._torque[:] = False
        held: list[int] = []
        for _ in range(2):
            self._bus.write(registers.TORQUE, [0] * len(self._zero))
            held = [m for m, torque in zip(self._bus.ids, self._bus.read_number(registers.TORQUE), strict=True) if torque]
            if not held:
                return
        raise DriverError("hand: %s keep their torque." % self._bus.names(held), remedy="cut the hand's power.")

    def _engage(self, power: str) -> None:
        """Give the motors ``power`` where they stand."""
        bus, n = self._bus, len(self._zero)
        settle(bus, registers.WATCHDOG, [0] * n)
        self._armed = False
        self._count_turns()
        position = self._sample().position
        settle(bus, registers.GOAL_POSITION, self._counts(position))
        s = registers.settings(self._spec, _POWERS[power])
        pairs = (registers.P_GAIN, s.p), (registers.I_GAIN, s.i), (registers.D_GAIN, s.d), (registers.GOAL_CURRENT, s.current_ma)
        for register, values in pairs:
            settle(bus, register, values.tolist())
        settle(bus, registers.TORQUE, [1] * n)
        self._torque[:] = True
        self._power, self._stopped = power, ""
        self._target, self._written_at = position, time.monotonic()
        self._last = time.monotonic(), position

    def _count_turns(self) -> None:
        """Whole turns by which each motor's count is off: a joint is stopped within one, so they cannot be meant."""
        counts = np.frombuffer(b"".join(self._bus.read(registers.PRESENT).data), registers.PRESENT_TYPE)["position"].astype(np.int64)
        turns = np.floor_divide(counts, registers.COUNTS)
        if (np.abs(turns) > FARTHEST_TURNS).any():
            motor = int(np.argmax(np.abs(turns)))
            raise DriverError("hand: %s reads %d turns." % (self._bus.name(motor), turns[motor]), remedy="power the hand off and on; check its homing offset.")
        self._turns = turns

    def _sample(self) -> HandReading:
        r = self._bus.read(registers.PRESENT)
        check_hazards(self._bus, r.alerts)
        present = np.frombuffer(b"".join(r.data), registers.PRESENT_TYPE)
        position = registers.to_angles(present["position"] - registers.COUNTS * self._turns) - registers.OFFSET - self._zero
        voltage, temperature = self._supply if self._supply is not None else (None, None)
        return HandReading(
            r.stamp, position, registers.VELOCITY_UNIT * present["velocity"], 1e-3 * present["current"], temperature=temperature, voltage=voltage
        )

    def _counts(self, joints: Array) -> list[int]:
        counts: list[int] = (registers.to_counts(joints + registers.OFFSET + self._zero) + registers.COUNTS * self._turns).tolist()
        return counts

    def _implausible(self, position: Array) -> NDArray[np.bool_]:
        """Joints that moved farther than they can since the reading before."""
        if self._last is None:
            return np.zeros(len(position), dtype=bool)
        then, before = self._last
        return np.abs(position - before) > 2.0 * self._speed * (time.monotonic() - then) + SLACK_RAD

    def _look_after(self, now: float) -> None:
        """One of the slower reads, where it is due."""
        if now < self._health_at:
            return
        self._health_at = now + HEALTH_PERIOD_S
        self._health_turn += 1
        (self._check_torque, self._read_supply, self._check_watchdogs)[self._health_turn % 3]()

    def _check_torque(self) -> None:
        held = np.array(self._bus.read_number(registers.TORQUE), dtype=bool)
        lost = np.flatnonzero(self._torque & ~held).tolist()
        if lost:
            what = "hand: %s lost torque without being told: reset by a supply that failed for a moment." % self._bus.names(lost)
            raise DriverError(what, remedy="check the 5 V supply and its cable (16 motors stall at far more than 5 A), then configure the hand again.")

    def _read_supply(self) -> None:
        supply = np.frombuffer(b"".join(self._bus.read(registers.SUPPLY).data), registers.SUPPLY_TYPE)
        self._supply = 0.1 * supply["voltage"], supply["temperature"].astype(np.float64)

    def _check_silence(self) -> None:
        """After a stall, ask whether the watchdogs have tripped before anything is believed or sent."""
        silence = time.monotonic() - self._bus.sent_at
        if self._stopped or not self._armed or self._power == "off" or silence < 0.8 * self._watchdog * registers.WATCHDOG_UNIT_S:
            return
        self._check_watchdogs()

    def _check_watchdogs(self) -> None:
        silence = time.monotonic() - self._bus.sent_at
        if self._stopped or not self._armed or self._power == "off":
            return
        tripped = [m for m, value in zip(self._bus.ids, self._bus.read_number(registers.WATCHDOG), strict=True) if value == 0xFF]
        if tripped:
            self._stopped = "the bus was silent (%.2f s before this), and the watchdogs of %s tripped" % (silence, self._bus.names(tripped))
            raise self._halted()

    def _halted(self) -> DriverError:
        remedy = "find what stalled it; configure the hand again (set_power goes on from where the fingers are)."
        return DriverError("hand: %s: the motors take no targets." % self._stopped, remedy=remedy)
