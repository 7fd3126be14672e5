"""The arm through libfranka, by franky. See ArmDriver.

Two loops run below ``write``: franky's own, at 1 kHz in C++, which is an impedance controller on joint torques; and a thread of this driver at
240 Hz, which feeds it positions and velocities that passed the rules of ``franka_stream``. Both live while the driver is open, so the arm stays
inside its limits whatever the caller does, and comes to rest when the caller falls silent. When the process dies, the robot stops by itself
(``communication_constraints_violation``). No torques are fed forward: they would help an arm that accelerates, and drive on one whose feeder is
held up.

An error of the robot stays: every call raises it until ``recover()``, which is for the operator's word and for nothing else. Between connecting
and the first target, and between recovery and the next, this driver commands nothing and the robot holds by its own controller.

FR3 and Panda: franky-control is built for FR3 (libfranka 0.18 and later); a Panda needs franky built for libfranka 0.9. The cell's configuration says
which of them it has, and the driver refuses the other: their limits differ in every joint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import resource
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack_deploy.cell import CellConfig, load_cell
from dextrack_deploy.drivers import franka_errors as errors
from dextrack_deploy.drivers.franka_payload import Payload, payload_of
from dextrack_deploy.drivers.franka_scheduling import ask_for_priority, own_scheduling
from dextrack_deploy.drivers.franka_sensors import SensorWatch
from dextrack_deploy.drivers.franka_stream import TargetStream, make_limiter
from dextrack_deploy.drivers.protocols import ArmReading, Array

PERIOD_S = 1.0 / 240.0
"""Between two references for the impedance controller: a quarter of the control period. 60 a second would be a staircase of torques."""
STIFFNESS = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)
"""N m/rad; those of libfranka's example of joint impedance control, which people have run for years."""
DAMPING = (50.0, 50.0, 50.0, 50.0, 30.0, 25.0, 15.0)
"""N m s/rad, likewise."""
MOST_STEPS = 8
"""Periods that a late turn makes up for. The limits are per period: a feeder that came half as often, and gave one step each time, would follow with a
quarter of the acceleration, fall behind, and swing. What is not made up for, a stall of more than 33 ms, is a pause."""
STOP_S = 3.0
"""A motion that has not ended this long after it should is cut off, s."""
DESK_KG = 0.05
"""An end effector that Desk knows about and that weighs more is a mistake: the payload would count twice."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CollisionThresholds:
    """External torques (N m, 7 joints) and forces (N, and N m about x, y, z) at which the robot reports a contact, and at which it stops.

    Contact: the thresholds of libfranka's examples. Stop: 1.5 times that, so that a hand that presses on the table does its work (four LEAP
    fingers push with about 10 N) and a force of 30 N on the hand ends the motion. While the arm accelerates, the stop is at twice the
    contact's: the error of the modelled inertia, a hand of 0.8 kg with moving fingers included, would be taken for a collision. All of it is
    below the 65 N that ISO/TS 15066 gives for a pressed face. The robot estimates these forces; this is no safety function.
    """

    torque: tuple[float, ...] = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)
    force: tuple[float, ...] = (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)
    stop: float = 1.5
    """Of the contact's thresholds."""
    stop_accelerating: float = 2.0

    def __post_init__(self) -> None:
        """Refuse thresholds that never or always stop."""
        values = np.array((*self.torque, *self.force))
        if len(self.torque) != 7 or len(self.force) != 6 or not (np.isfinite(values).all() and (values > 0.0).all()):
            raise InputError("collision thresholds: not 7 torques and 6 forces above 0.", remedy="give N m, and N, above 0.")
        if not 1.0 <= self.stop <= self.stop_accelerating <= 4.0:
            raise InputError(
                "collision thresholds: the factors are not 1 <= stop <= stop_accelerating <= 4.", remedy="stop after a contact, and not far after."
            )

    def arguments(self) -> tuple[list[float], ...]:
        """The eight lists of libfranka's ``setCollisionBehavior``."""
        factors = (1.0, self.stop_accelerating, 1.0, self.stop)
        return tuple([f * x for x in v] for v in (self.torque, self.force) for f in factors)


class FrankaArm:
    """A Franka Research 3, or a Panda."""

    def __init__(
        self,
        address: str,
        cell: CellConfig | None = None,
        *,
        stiffness: ArrayLike = STIFFNESS,
        damping: ArrayLike = DAMPING,
        payload: Payload | None = None,
        collision: CollisionThresholds | None = None,
    ) -> None:
        """Connect to the robot at ``address`` (host or IP, for example ``172.16.0.2``) and tell it what it carries and when to stop.

        Args:
            address: of the robot's control unit. libfranka's port is fixed.
            cell: how much of the arm's limits may be used, and what hand it carries; the shipped cell when None.
            stiffness: of the impedance controller, (7,) N m/rad.
            damping: likewise, (7,) N m s/rad.
            payload: what hangs on the flange; computed from the cell's models when None.
            collision: when a contact stops the arm; the defaults when None.

        Raises:
            DriverError: no connection, another robot, or an end effector that is configured twice.
        """
        self.address = address
        cell = load_cell("twin") if cell is None else cell
        self._gains = np.array(stiffness, dtype=np.float64), np.array(damping, dtype=np.float64)
        self._payload = payload_of(cell) if payload is None else payload
        self._collision = CollisionThresholds() if collision is None else collision
        self._cell = cell
        # Of the connection: held while franky is called for anything but the newest state. Of the stream: held for microseconds.
        self._connection, self._lock = threading.RLock(), threading.Lock()
        self._error: DriverError | None = None
        self._seen: tuple[int, int] = (-1, 0)
        self._tracker: Any = None
        self._ending = threading.Event()
        self._stepped = time.monotonic()
        self._sensors = SensorWatch()
        self._robot = self._connect()
        self._stream = TargetStream(make_limiter(cell, PERIOD_S))
        self._newest = self._look()
        self._thread = threading.Thread(target=self._serve, name="franka", daemon=True)
        self._thread.start()

    def read(self) -> ArmReading:
        """The newest sample; at most 1 ms old while the arm is commanded, 5 ms otherwise.

        Its stamp is the time at which the sample was first seen here, which is later than the measurement by the same amount. A robot that
        fell silent gives the same stamp again.

        Raises:
            DriverError: the robot stopped with an error, or the connection is lost; until ``recover()``.
        """
        self._check()
        try:
            # While franky is in control, its state is there without waiting for the wire.
            return self._reading(self._robot.state) if self._robot.is_in_control else self._newest
        except Exception as error:
            raise self._fail(error) from None

    def write(self, q: Array, stamp: int = 0) -> None:
        """Follow joint targets (7,) rad.

        Raises:
            RefusedError: not 7 finite numbers, or the first target after connecting or recovering is far from the arm.
            DriverError: as for ``read``.
        """
        self._check()
        with self._lock:
            self._stream.put(q, time.monotonic(), self._newest.q)

    def stop(self) -> None:
        """End the motion within the acceleration limits; targets that come later are followed again."""
        with self._lock:
            self._stream.stop()

    def recover(self) -> None:
        """On the operator's word only: clear the robot's error, or connect again. The arm holds until the next target, which begins where it is.

        Raises:
            DriverError: the error is still there, with what to do about it.
        """
        with self._connection:
            if self._ending.is_set():
                self._check()
            if self._error is None:
                return
            self._drop_tracker()
            try:
                with own_scheduling():
                    self._robot.recover_from_errors()
            except Exception as error:
                if not _lost(error):
                    raise self._fail(error) from None
                self._robot = self._connect()
            self._error = None
            self._newest = self._look()
            self._check()

    def set_payload(self, payload: Payload) -> None:
        """Tell the robot what it carries from now on; before the first target, or after ``recover()``.

        Raises:
            RefusedError: the arm is being commanded.
            DriverError: the robot refused.
        """
        with self._connection:
            if self._tracker is not None:
                raise RefusedError("payload: the arm is being commanded.", remedy="set it before the first target.")
            try:
                self._robot.set_load(payload.mass, payload.center_f.tolist(), payload.inertia_f.ravel(order="F").tolist())
            except Exception as error:
                raise self._fail(error) from None
            self._payload = payload

    def close(self) -> None:
        """End the motion and disconnect; the robot holds by its own controller. Closing twice is allowed."""
        if self._ending.is_set():
            return
        self.stop()
        deadline = time.monotonic() + STOP_S
        while self._tracker is not None and self._error is None and not self._stream.at_rest and time.monotonic() < deadline:
            time.sleep(PERIOD_S)
        self._ending.set()
        self._thread.join(STOP_S)
        with self._connection:
            if self._error is None:
                self._let_go()
            self._drop_tracker()
            self._error = DriverError("arm at %s: it was closed." % self.address, remedy="connect again.")
            # The last reference: franky leaves the robot when it goes.
            self._robot = None

    # The thread.

    def _serve(self) -> None:
        """Feed the impedance controller until the driver is closed."""
        ask_for_priority()
        due = time.monotonic()
        while not self._ending.is_set():
            with self._connection:
                if self._error is None:
                    try:
                        self._turn()
                    except Exception as error:
                        self._fail(error)
            due = max(due + PERIOD_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _turn(self) -> None:
        if self._tracker is not None and self._tracker.tick() is None:
            # Raises what ended control; where nothing did, that too is an error.
            self._robot.poll_motion()
            raise DriverError("arm at %s: the robot ended control." % self.address, remedy="see what it says in Desk; then recover.")
        self._newest = self._look()
        if self._error is not None:
            # Where the robot has not ended control itself, this does: its sensors lie, and torques would follow them.
            self._let_go()
            return
        if not self._stream.wanted:
            return
        if self._tracker is None:
            self._tracker = self._begin()
        now = time.monotonic()
        steps = min(max(round((now - self._stepped) / PERIOD_S), 1), MOST_STEPS)
        with self._lock:
            for k in reversed(range(steps)):
                q, v = self._stream.step(now - k * PERIOD_S)
        self._stepped = now
        self._tracker.set_target(q, v)

    def _begin(self) -> Any:
        """Take control where the arm is."""
        import franky

        # franky's control thread inherits the priority of the thread that starts it.
        ask_for_priority()
        stiffness, damping = self._gains
        return franky.JointImpedanceTracker(self._robot, stiffness=stiffness, damping=damping)

    def _look(self) -> ArmReading:
        """Read the robot, and keep an error that it reports."""
        import franky

        state = self._robot.state
        names = errors.names_in(state.current_errors)
        if state.robot_mode == franky.RobotMode.UserStopped:
            self._fail(errors.user_stop(self.address))
        elif state.robot_mode == franky.RobotMode.Reflex or names:
            self._fail(errors.reflex(self.address, names or ["an error without a name"]))
        elif state.robot_mode == franky.RobotMode.Guiding and self._tracker is not None:
            self._fail(errors.guided(self.address))
        if jumped := self._sensors.jumped(int(state.time.to_msec()), _array(state.q), _array(state.dq)):
            self._fail(errors.jumped(self.address, jumped))
        return self._reading(state)

    # Errors and readings.

    def _check(self) -> None:
        if self._error is not None:
            raise DriverError(self._error.what, remedy=self._error.remedy)

    def _fail(self, error: Exception) -> DriverError:
        """Keep the first error until it is recovered, and forget what was commanded."""
        with self._lock:
            if self._error is None:
                self._error = errors.surfaced(self.address, error)
            self._stream.forget()
            return self._error

    def _reading(self, state: Any) -> ArmReading:
        with self._lock:
            # The robot's own clock says whether this is a new sample.
            robot_ms = int(state.time.to_msec())
            if robot_ms != self._seen[0]:
                self._seen = robot_ms, time.time_ns()
            stamp = self._seen[1]
        return ArmReading(stamp, _array(state.q), _array(state.dq), mode=_words(state.robot_mode.name), effort=_array(state.tau_J))

    # The connection.

    def _connect(self) -> Any:
        try:
            import franky
        except ImportError as error:
            raise DriverError("arm at %s: franky is not there (%s)." % (self.address, error), remedy="install the extra: dextrack-core[robot].") from None
        config = franky.RealtimeConfig.Enforce if realtime_kernel() else franky.RealtimeConfig.Ignore
        if config == franky.RealtimeConfig.Ignore and not _loopback(self.address):
            _log.warning(
                "arm at %s: this kernel is not real-time, or this user has no real-time priorities: the robot may stop with"
                " communication_constraints_violation. Boot a PREEMPT_RT kernel and give this user rtprio in /etc/security/limits.conf.",
                self.address,
            )
        try:
            with own_scheduling():
                robot = franky.Robot(self.address, realtime_config=config)
            self._introduce(robot)
        except Exception as error:
            raise errors.surfaced(self.address, error) from None
        return robot

    def _introduce(self, robot: Any) -> None:
        """Check that it is the robot that was meant, and tell it what it carries and when to stop."""
        name = "panda"  # libfranka 0.9, which Pandas speak to and nothing newer does, has no model_urdf
        if hasattr(robot, "model_urdf"):
            found = re.search(r'<robot[^>]*\bname="([^"]*)"', robot.model_urdf)
            name = found.group(1) if found else "nothing that has a name"
        if not name.startswith(self._cell.arm.model):
            raise DriverError(
                "arm at %s: it says that it is %s, not %s." % (self.address, name, self._cell.arm.model),
                remedy="correct arm.model of the cell, or the address.",
            )
        carried = float(robot.state.m_ee)
        if carried > DESK_KG:
            raise DriverError(
                "arm at %s: Desk has an end effector of %.2f kg, beside the payload of %.2f kg." % (self.address, carried, self._payload.mass),
                remedy="set the end effector in Desk to Other, with a mass of 0.",
            )
        robot.set_collision_behavior(*self._collision.arguments())
        load = self._payload
        robot.set_load(load.mass, load.center_f.tolist(), load.inertia_f.ravel(order="F").tolist())

    def _let_go(self) -> None:
        """End control: from here on the robot holds by its own controller."""
        if self._tracker is not None:
            with contextlib.suppress(Exception):
                self._tracker.stop()

    def _drop_tracker(self) -> None:
        """Forget the motion that ended; its error was surfaced already."""
        with self._lock:
            self._stream.forget()
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            with contextlib.suppress(Exception):
                self._robot.join_motion(STOP_S)


def realtime_kernel(flag: Path = Path("/sys/kernel/realtime")) -> bool:
    """Whether the kernel is real-time and this user may use it: what libfranka's ``RealtimeConfig.Enforce`` needs."""
    try:
        kernel = flag.read_text().strip() == "1"
    except OSError:
        kernel = False
    return kernel and (os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] != 0)


def _loopback(address: str) -> bool:
    return address == "localhost" or address.startswith("127.")


def _lost(error: Exception) -> bool:
    """Whether the connection is gone."""
    return type(error).__name__ in ("NetworkException", "ProtocolException") or type(error) is RuntimeError


def _array(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64).ravel()


def _words(name: str) -> str:
    """``UserStopped`` -> ``user stopped``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
