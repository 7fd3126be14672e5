"""The supervisor node: passes measurements to the Supervisor and the operator's requests too, and tells everybody its status."""

from __future__ import annotations

import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

from dextrack_deploy import graph, preflight
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.health import measured
from dextrack_deploy.placed import load_placed
from dextrack_deploy.status import State
from dextrack_deploy.supervisor import Event, Supervisor
from dextrack_deploy.trial import EventLog, TrialFolder
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Measurements, Watcher
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header, String

from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack_ros import dds, messages
from dextrack_ros.node import CellNode, run

OBSERVE_PERIOD = 1.0 / 30.0
"""Seconds between two looks at the measurements."""
_ENDS = {State.APPROACH: Event.ARRIVED, State.RUN: Event.FINISHED, State.RETREAT: Event.HOME}
"""What it means that the controller is done in a state."""
OFFERED = (Event.APPROACH, Event.RUN, Event.PAUSE, Event.RESUME, Event.HOLD, Event.ESTOP, Event.RETREAT, Event.RESET)
"""What the operator asks for by a service of the event's name."""
WATCHED = graph.Parameter("watched", "", "Nodes whose heartbeat is watched, joined by commas; empty: every node of the graph.")


class SupervisorNode(CellNode):
    """Collects; ``dextrack_deploy.supervisor`` decides."""

    def __init__(self) -> None:
        """Join the graph and offer the operator's services."""
        super().__init__("supervisor", (WATCHED, graph.SPEED))
        self._supervisor: Supervisor | None = None
        self._preflight: preflight.TrialPreflight | None = None
        self._events: EventLog | None = None
        self._logged = 0
        self._heard_nodes: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        for event in OFFERED:
            self.offer(f"supervisor/{event.value}", functools.partial(self._serve, event))
        self._forget()
        # What is only measured is looked at when the measurements are: it wakes nobody in between.
        self.hear("object_pose", self._hear_object, fetched=True)
        self.hear("hand/joint_states", self._hear_hand, fetched=True)
        self.hear("arm/joint_states", self._hear_arm, fetched=True)
        self.hear("state/hand", self._hear_state, fetched=True)
        self.hear(graph.FOLLOWED, self._hear_shadow, fetched=True)
        self.hear(graph.MOTION, self._hear_motion, fetched=True)
        self.hear("controller/progress", self._hear_progress)
        self.hear(graph.ENABLE, self._hear_operator)
        self.hear(graph.ESTOP, self._hear_estop)
        self.hear("/diagnostics", self._hear_diagnostics, always=True, fetched=True, stamped=True)

    def configure(self) -> None:
        """Take limits from the cell, and where the trial begins from the placed reference."""
        cell = load_cell(self.value("cell"))
        placed, trial = load_placed(self.value("placed")), self.value("trial")
        self._arm, self._hand = load_arm(cell.arm.model), load_hand(cell.hand.model)
        self._joint_names = self._hand.joint_names
        names = tuple(n for n in self.value("watched").split(",") if n) or tuple(n.name for n in graph.NODES)
        self._watched = tuple(n for n in names if n != self.get_name())
        where = f"on the topic {graph.ESTOP} of ROS domain {os.environ.get(dds.DOMAIN_VARIABLE, '0')}"
        limits = WatchLimits.of_cell(cell, self._arm, self._hand, self._watched, where)
        self._supervisor = Supervisor(Watcher(limits, self._joint_names, self._arm.joint_names), speed=self.value("speed"))
        symmetry = symmetry_of(ObjectSpec.load(Path(self.value("object")))) if self.value("object") else None
        self._preflight = preflight.TrialPreflight(self._arm, self._hand, placed, limits, Path(trial) if trial else None, symmetry)
        self._forget()
        self._logged = 0
        if trial:
            self._events = EventLog(TrialFolder(Path(trial)).events)

    def activate(self) -> None:
        """Every other node is active already: the cell is configured."""
        assert self._supervisor is not None
        self._supervisor.request(Event.CONFIGURE, time.time())
        self._observe()
        self._tell()
        self.every(OBSERVE_PERIOD, self._observe, "watching the cell")
        self.every(graph.HEARTBEAT_PERIOD, self._tell, "telling the state")

    def deactivate(self) -> None:
        """Stop a cell that moves, and say that it is not watched any more."""
        if self._supervisor is not None:
            self._supervisor.request(Event.HOLD, time.time())
            self._supervisor.request(Event.CLEANUP, time.time())
            self._tell()

    def cleanup(self) -> None:
        """Close the events."""
        if self._events is not None:
            self._events.close()
        self._events = self._supervisor = self._preflight = None

    # Requests.

    def _serve(self, event: Event) -> tuple[bool, str]:
        """Answer a request of the operator: whether it is accepted, and why not."""
        if self._supervisor is None or not self.active:
            return False, f"{event.value} is not possible: the supervisor is not active"
        checks = self._checks(event) if event in (Event.APPROACH, Event.RUN) else []
        decision = self._supervisor.request(event, time.time(), preflight.refusals(checks))
        self._log("request", event=event.value, accepted=decision.accepted, reason=decision.reason, checks=[c.what for c in checks])
        if not decision.accepted:
            self.get_logger().warning(decision.reason)
        self._tell()
        return decision.accepted, decision.reason

    def _checks(self, event: Event) -> list[preflight.Check]:
        """What must be right before the cell may move."""
        assert self._preflight is not None
        return self._preflight.checks(self._measurements(), time.time(), running=event is Event.RUN)

    def _against(self) -> list[str]:
        """What an approach would be refused for now, for the operator to see before asking."""
        # Stricter than the watch: a node whose heartbeat is late now would end the motion that is about to begin.
        self.fetch()
        now, limit = time.time(), graph.HEARTBEAT_DEADLINE / 2.0
        silent = [f"node {n} is silent" for n in self._watched if now - self._heard_nodes.get(n, 0.0) > limit]
        return silent + [f"{n} reports: {e}" for n, e in self._reported.items() if e] + preflight.refusals(self._checks(Event.APPROACH))

    # Measurements.

    def _forget(self) -> None:
        self._measured: dict[str, Any] = {}
        self._stamps: dict[str, float] = {}
        self._finished, self._ticks = False, (0, 0)
        self._operator_stamp = 0

    def _measurements(self) -> Measurements:
        self.fetch()
        return Measurements(stamps=dict(self._stamps), heard=dict(self._heard_nodes), errors=dict(self._reported), **self._measured)

    def _hear_object(self, message: PoseWithCovarianceStamped) -> None:
        seen = messages.from_object_pose(message)
        self._stamps["object_pose"] = seen.stamp * 1e-9
        self._measured.update(object_position_w=seen.position_w, object_quaternion_w=seen.quaternion_w, object_deviation=seen.deviation)

    def _hear_hand(self, message: JointState) -> None:
        self._stamps["hand/joint_states"] = messages.from_time(message.header.stamp) * 1e-9
        self._measured["fingers"] = messages.positions(message, self._hand.finger_joints)
        self._measured["current"] = messages.efforts(message, self._hand.finger_joints)

    def _hear_arm(self, message: JointState) -> None:
        self._stamps["arm/joint_states"] = messages.from_time(message.header.stamp) * 1e-9
        self._measured.update(arm_q=messages.positions(message, self._arm.joint_names), arm_dq=messages.velocities(message, self._arm.joint_names))

    def _hear_state(self, message: JointState) -> None:
        self._measured.update(theta=messages.positions(message, self._joint_names), theta_dot=messages.velocities(message, self._joint_names))

    def _hear_progress(self, message: DiagnosticStatus) -> None:
        assert self._supervisor is not None
        values, state = messages.from_status(message), self._supervisor.state
        if values["state"] != state.value:
            # Of a motion that has ended: neither its overruns nor its end mean anything now.
            return
        self._measured.update(overruns=int(values["in_a_row"]), ticks=int(values["tick"]))
        if state is State.RUN:
            self._ticks = int(values["tick"]), int(values["ticks"])
        if values["done"] == "true" and state in _ENDS:
            self._finished = state is State.RUN
            self._supervisor.request(_ENDS[state], time.time())
            self._tell()

    def _hear_shadow(self, message: JointState) -> None:
        self._stamps[graph.FOLLOWED] = messages.from_time(message.header.stamp) * 1e-9
        self._measured["shadow"] = messages.positions(message, self._joint_names)

    def _hear_motion(self, message: JointState) -> None:
        self._stamps[graph.MOTION] = messages.from_time(message.header.stamp) * 1e-9
        arm, fingers = (messages.positions(message, names) for names in (self._arm.joint_names, self._hand.finger_joints))
        self._measured.update(arm_target=arm, finger_target=fingers)

    def _hear_operator(self, message: Header) -> None:
        stamp = messages.from_time(message.stamp)
        # A heartbeat that is only repeated on its way is nobody's; its clock may be another one.
        if stamp != self._operator_stamp:
            self._operator_stamp = stamp
            self._stamps[graph.ENABLE] = time.time()

    def _hear_estop(self, message: Bool) -> None:
        self._stamps[graph.ESTOP] = time.time()
        pressed = self._measured["estop"] = bool(message.data)
        if pressed:
            # Now, and not at the next look.
            self._observe()

    def _hear_diagnostics(self, heard: tuple[DiagnosticArray, int]) -> None:
        message, came = heard
        for status in message.status:
            if status.name == self.get_name():
                continue
            self._heard_nodes[status.name] = came * 1e-9
            self._reported[status.name] = status.message if status.level == DiagnosticStatus.ERROR else ""
            self._measured.update(measured(status.name, messages.from_status(status)))

    # The cell.

    def _observe(self) -> None:
        assert self._supervisor is not None
        before = self._supervisor.status
        self._supervisor.observe(self._measurements(), time.time())
        if self._supervisor.status != before:
            self._tell()

    def _tell(self) -> None:
        """Publish the status, and write what changed into the trial's events."""
        assert self._supervisor is not None
        status = self._supervisor.status
        self.publish("supervisor/state", String(data=status.encode()))
        for t in self._supervisor.transitions[self._logged :]:
            self._log("state", at=t.now, durable=True, before=t.before.value, after=t.after.value, reason=t.reason)
            self.get_logger().info(f"{t.before.value} -> {t.after.value}: {t.reason}")
            self._measured.update(overruns=0, ticks=0)
            if t.after is State.RUN:
                self._finished, self._ticks = False, (0, 0)
        self._logged = len(self._supervisor.transitions)
        values = {"state": status.state.value, "finished": self._finished, "tick": self._ticks[0], "ticks": self._ticks[1]}
        self.health(status.reason, **values, **({"against": self._against()} if status.state is State.IDLE else {}))

    def _log(self, kind: str, at: float | None = None, durable: bool = False, **fields: Any) -> None:
        if self._events is not None:
            self._events.write(kind, time.time_ns() if at is None else round(at * 1e9), durable=durable, **fields)


def main() -> int:
    """Run the node."""
    return run(SupervisorNode)


if __name__ == "__main__":
    sys.exit(main())
