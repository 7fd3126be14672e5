"""The libfranka-protocol simulator in its own environment: run by ``franka_peer`` as a script, and not imported by anything.

It needs franka-sim, numpy 1.26 and MuJoCo 3.2, which do not go together with ours, so it imports nothing of DexTrack. Its one argument is
a JSON map: ``host`` (address to listen on), ``home`` (7 joint positions, rad), ``model`` (MJCF of the arm), ``channel`` (file descriptor of
a SOCK_SEQPACKET socket to the peer), ``rate`` (states per second on that channel) and ``lost_cycles`` (commands lost in a row that stop it).

On the channel, to the peer: one ``ready`` as JSON, then states as 14 little-endian doubles (q, dq; rad, rad/s), and a JSON answer to each
request. From the peer: requests as JSON maps, see ``Faults``. The process ends when the peer closes the channel, and on SIGINT and SIGTERM.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any

import franka_sim.mujoco_franka_sim as physics
import numpy as np
from franka_sim.comm_constraints import MAX_CONSECUTIVE_LOST_CYCLES, CommConstraintTracker
from franka_sim.franka_protocol import Command, MessageHeader, MoveStatus
from franka_sim.franka_sim_server import FrankaSimServer
from franka_sim.server.constants import RobotMode

STATE = struct.Struct("<14d")
PRIORITY = 20
"""Real-time priority that the process asks for: the robot is the last that may miss a cycle. Refused silently where the user may not."""
ERRORS = {
    "joint_position_limits_violation": 0, "self_collision_avoidance_violation": 2, "joint_velocity_violation": 3, "cartesian_velocity_violation": 4,
    "joint_reflex": 6, "cartesian_reflex": 7, "communication_constraints_violation": 25, "power_limit_violation": 26,
}  # fmt: skip
"""Errors that can be asked for: places in the wire's list (``research_interface::robot::Error`` of libfranka)."""


RECOVERY_REJECTED = 2
"""``AutomaticErrorRecovery::Status::kCommandRejectedDueToActivatedSafetyFunctions``."""


class Arm(physics.MujocoFrankaSim):
    """The simulator's arm, with joint sensors that can be put out."""

    sensor_offset: Any = np.zeros(7)
    """Added to the joint positions that are reported, rad."""

    def true_state(self) -> dict[str, Any]:
        """Where the arm is, whatever its sensors say; arrays as MujocoFrankaSim's."""
        return dict(super().get_robot_state())

    def get_robot_state(self) -> dict[str, Any]:
        """The newest state as the sensors have it."""
        state = self.true_state()
        state["q"] = state["q"] + self.sensor_offset
        return state


class LossySocket(socket.socket):
    """A socket from which nothing arrives while it loses what it sends."""

    lost_until = 0.0
    """What is sent before this time of ``time.monotonic`` is lost."""

    def sendto(self, data: Any, *more: Any) -> int:
        """Send, or lose without a word, as a wire does."""
        return len(data) if time.monotonic() < self.lost_until else super().sendto(data, *more)


class Server(FrankaSimServer):
    """The simulator's server, listening where it is told and nowhere else, with faults on request."""

    udp_socket: Any
    frozen_until = 0.0
    """No state is sent before this time of ``time.monotonic``."""
    lost_cycles = MAX_CONSECUTIVE_LOST_CYCLES
    """Commands lost in a row at which communication_constraints_violation stops the arm."""
    user_stopped = False
    """Whether the user stop is pressed."""

    def reset_state(self) -> None:
        """For a new client: count its lost commands from here."""
        super().reset_state()
        self.comm = CommConstraintTracker(enforce=self.enforce_comm_constraints, max_consecutive_lost=self.lost_cycles)

    def start_command_receiver(self) -> None:
        """Bind the state socket first: franka-sim leaves it to the kernel, which would open it on every interface."""
        self.udp_socket = LossySocket(fileno=self.udp_socket.detach())
        self.udp_socket.bind((self.host, 0))
        super().start_command_receiver()

    def _drain_gate(self, answer_deadline: float = 0.0) -> float:
        """Called before every state that is sent: while frozen, nothing is."""
        begin = time.perf_counter()
        while self.running and self.connection_running and time.monotonic() < self.frozen_until:
            time.sleep(0.001)
        waited = time.perf_counter() - begin + super()._drain_gate(answer_deadline)
        if self.user_stopped:
            # Whatever else sets the mode: a pressed user stop is what the robot says.
            self.robot_state.state["robot_mode"] = RobotMode.kUserStopped
        return float(waited)

    def _abort_with_error(self, error_index: Any, reason: str, motion_id: int = 0) -> None:
        """Abort the motion; the errors of earlier ones are forgotten first, as the robot does."""
        if self.robot_state.state["robot_mode"] != RobotMode.kReflex:
            self.robot_state.state["reflex_reason"] = [False] * 41
        super()._abort_with_error(error_index, reason, motion_id)

    def handle_move_command(self, client_socket: Any, header: Any, payload: bytes) -> None:
        """Refuse while the user stop is pressed."""
        if self.user_stopped:
            self.send_move_response(client_socket, header.command_id, MoveStatus.kCommandRejectedDueToActivatedSafetyFunctions)
        else:
            super().handle_move_command(client_socket, header, payload)

    def handle_automatic_error_recovery_command(self, client_socket: Any, header: Any, payload: bytes) -> None:
        """Likewise: nothing is recovered behind a pressed user stop."""
        if self.user_stopped:
            answer = MessageHeader(Command.kAutomaticErrorRecovery, header.command_id, 16).to_bytes()
            self._send_tcp(client_socket, answer + struct.pack("<B3x", RECOVERY_REJECTED))
        else:
            super().handle_automatic_error_recovery_command(client_socket, header, payload)


class Faults:
    """What can go wrong on request: a map with ``fault`` and its arguments.

    ============ ============= =====================================================================================================
    fault        argument      what happens
    ============ ============= =====================================================================================================
    none                       nothing; with the answer come the robot's mode and the share of commands that came in time
    freeze       seconds       the robot stalls: no state is sent and no command missed; libfranka gives the connection up after 1 s
    lose         seconds       states are lost on the wire: the robot goes on, and stops when it has missed too many commands
    reflex       name          the motion is aborted, the error stays until the client recovers
    user_stop                  the user stop is pressed: the motion is aborted, and nothing is accepted until
    release                    the user stop is released again
    drop                       the connection is cut; the simulator listens again at once
    out_of_range joint, rad    the sensor of joint 1 to 7 is off by so much, until asked with 0
    ============ ============= =====================================================================================================
    """

    def __init__(self, server: Server) -> None:
        """Faults of ``server``."""
        self._server = server

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what ``request`` asks for; the answer has ``ok`` and, where it is false, ``what``."""
        try:
            getattr(self, "_" + str(request.pop("fault")))(**request)
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            return {"ok": False, "what": "%s: %s" % (type(error).__name__, error)}
        state = self._server.robot_state.state
        return {"ok": True, "mode": int(state["robot_mode"]), "success_rate": float(state["control_command_success_rate"])}

    def _none(self) -> None:
        pass

    def _freeze(self, seconds: float) -> None:
        self._server.frozen_until = time.monotonic() + float(seconds)

    def _lose(self, seconds: float) -> None:
        self._server.udp_socket.lost_until = time.monotonic() + float(seconds)

    def _reflex(self, name: str) -> None:
        if name not in ERRORS:
            raise ValueError("%r is none of %s" % (name, ", ".join(ERRORS)))
        self._server._abort_with_error(ERRORS[name], "asked for")

    def _user_stop(self) -> None:
        server = self._server
        with server._motion_lock:
            server._abort_with_error((), "user stop asked for")
            server.user_stopped = True
            if server._pending_move_response is not None:
                motion, _, packed = server._pending_move_response
                server._pending_move_response = (motion, MoveStatus.kPreemptedDueToActivatedSafetyFunctions, packed)

    def _release(self) -> None:
        self._server.user_stopped = False
        self._server.robot_state.state["robot_mode"] = RobotMode.kIdle

    def _drop(self) -> None:
        client = self._server.client_socket
        if client is not None:
            client.shutdown(socket.SHUT_RDWR)

    def _out_of_range(self, joint: int, rad: float) -> None:
        offset = np.zeros(7)
        offset[int(joint) - 1] = float(rad)
        self._server.physics_sim.sensor_offset = offset


def report(server: Server, channel: socket.socket, rate: float) -> None:
    """Send states and answer requests until the peer is gone; then end the process."""
    faults, period, due = Faults(server), 1.0 / rate, time.monotonic()
    announced = False
    while True:
        try:
            with contextlib.suppress(BlockingIOError):
                request = channel.recv(1 << 16)
                if not request:
                    break
                channel.send(json.dumps(faults.ask(json.loads(request))).encode())
            if server.running and server.server_socket is not None and server.physics_sim.running:
                if not announced:
                    announced = True
                    channel.send(json.dumps({"ready": True}).encode())
                state = server.physics_sim.true_state()
                # A peer that does not listen misses states; the arm goes on.
                with contextlib.suppress(BlockingIOError):
                    channel.send(STATE.pack(*state["q"], *state["dq"]))
        except OSError:
            break
        due = max(due + period, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    # The physics loop watches this flag, and the process ends with it.
    server.running = server.physics_sim.running = False


def main() -> int:
    """Serve until the peer is gone or a signal comes."""
    options = json.loads(sys.argv[1])
    home = np.array(options["home"], dtype=float)
    if home.shape != (7,) or not all(math.isfinite(x) for x in home):
        print("home is not 7 finite numbers", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    # Threads that work for some ten microseconds each must not wait 5 ms for their turn. They take turns anyway: on one core, without waking another.
    sys.setswitchinterval(2e-4)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    physics.ARM_INITIAL_Q = home
    # The servo that holds an idle arm is meant for a model with heavier rotors: with ours, its damping would ring at the physics rate.
    physics.ARM_POSITION_KD = 0.25 * physics.ARM_POSITION_KD
    arm = Arm(model_path=options["model"])
    server = Server(host=options["host"], physics_sim=arm, enable_gripper=False, enforce_comm_constraints=True, enforce_motion_limits=True)
    server.lost_cycles = int(options["lost_cycles"])
    channel = socket.socket(fileno=int(options["channel"]))
    channel.setblocking(False)

    def stop(number: int, frame: object) -> None:
        server.running = arm.running = False

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    threading.Thread(target=report, args=(server, channel, float(options["rate"])), daemon=True).start()
    try:
        server.start()
    except OSError as error:
        print("%s:%d cannot be opened: %s" % (server.host, server.port, error), file=sys.stderr)
        return 2
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
