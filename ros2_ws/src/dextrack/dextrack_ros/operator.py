"""The operator: brings the graph up and takes a trial through approach, run, hold and retreat, all by requests that may be refused.

Where a person sits in front of it, a trial that was stopped is not over: the nodes stay up until the person took the cell home, or wants to leave it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from dextrack_deploy import graph
from dextrack_deploy.status import State, Status
from dextrack_deploy.trial import TrialFolder, TrialOutcome
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from dextrack.errors import DexTrackError, DriverError, RefusedError
from dextrack_ros import dds, messages
from dextrack_ros.conclusion import conclude
from dextrack_ros.executor import NodeExecutor
from dextrack_ros.interruption import Interruption, uninterruptible
from dextrack_ros.lifecycle import ACTIVATE, CONFIGURE, Interrupt, LifecycleClient
from dextrack_ros.preparation import load_prepared
from dextrack_ros.recovery import Recovery
from dextrack_ros.word import Word

_TRANSITION_S = 30.0
"""Seconds that a node may take to configure: building simulators takes a while on a busy machine."""
_ANSWER_S = 5.0
_READY_S = 30.0
"""Sensors become fresh within this: a shadow simulator in another process, started again on a busy machine, needs seconds for its scene."""
_PATIENCE_S = 2.0
_SLACK_S = 10.0
"""A run may take this much longer than its reference: a busy machine is slow before it is late."""
_SILENCE_S = 2.0
"""A supervisor that was not heard for this long is gone."""
_GATHER_S = 0.02
"""Heartbeats of the nodes are heard together; nobody's hand is as fast."""
_STATE_TOPIC = "supervisor/state"
_LOOK_S = 1.0
_MOTIONS = {"approach": State.APPROACH, "run": State.RUN, "retreat": State.RETREAT}
"""Requests that begin a motion, and the state of each."""

Say = Callable[[str], None]
"""Takes a line for the operator to read."""


class Operator:
    """A client of the graph, in whatever process has a person in front of it."""

    def __init__(self, names: Sequence[str], say: Say, interrupt: Interrupt = lambda: None, asks: bool = False) -> None:
        """Join the graph of the nodes ``names`` (in the order of bring-up). rclpy must be initialised.

        Args:
            names: nodes to drive.
            say: gets a line of progress now and then.
            interrupt: called while waiting; raises to end the wait.
            asks: no motion is asked for before a person's word: real devices move where people are.
        """
        self._names = tuple(names)
        self._say = say
        self._node = Node("operator", start_parameter_services=False, enable_rosout=False)
        self._executor = NodeExecutor(_GATHER_S)
        self._executor.add_node(self._node)
        self.lifecycle = LifecycleClient(self._node, self._executor, names, interrupt)
        self.status: Status | None = None
        """The supervisor's newest status."""
        self._heard = 0.0
        self.moved = False
        """Whether the cell was ever in a state that moves."""
        self._node.create_subscription(String, _STATE_TOPIC, self._hear_status, messages.qos(graph.topic(_STATE_TOPIC).qos))
        self._services: dict[str, Any] = {s.name: self._node.create_client(Trigger, s.name) for s in graph.SERVICES}
        self._leaving = False
        self._left = False
        self._word = Word(self._node, say) if asks else None
        self._recovery = Recovery(self._services, self._ask)
        # A cell moves only while it hears this. It leaves from the loop that waits for the cell: an operator that hangs is silent.
        enable = graph.topic(graph.ENABLE)
        self._enable = self._node.create_publisher(Header, enable.name, messages.qos(enable.qos))
        self._node.create_timer(graph.HEARTBEAT_PERIOD, self._beat)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.remove_node(self._node)
        self._node.destroy_node()

    def conduct(self, seconds: float, dry_run: bool, attended: bool = False) -> TrialOutcome:
        """Bring the graph up, run one trial of ``seconds``, and bring the graph down; errors become the outcome.

        The cell stays in HOLD where the trial did not finish: only a finished trial is taken home without asking, and not even that where an operator
        ``asks``. ``attended``: somebody may ask (``press``), and the nodes stay up for that.
        """
        try:
            self.bring_up()
            self.wait_until_ready()
            if dry_run:
                self._say("dry run: nothing moves; an approach would be accepted now")
                outcome = TrialOutcome("finished", "dry run: every node is up, every sensor fresh, and preflight passes")
            else:
                outcome = self.run_trial(seconds + _SLACK_S)
                if outcome.complete:
                    self._go_home()
                if attended and self.moved and not self._left:
                    self._attend()
        except DexTrackError as error:
            outcome = TrialOutcome("held" if self.moved else "refused", str(error))
        self.shut_down()
        return outcome

    def bring_up(self) -> None:
        """Configure and activate every node: the twin before those that talk to it, the supervisor last.

        Raises:
            RefusedError: a node refused.
            DriverError: a node did not appear or answer.
        """
        twin, others, last = self._groups()
        # The twin takes longest to configure, and the drivers need it: it begins while the others still start.
        self.lifecycle.wait_for_nodes(twin, _TRANSITION_S)
        simulating = self.lifecycle.begin(twin, CONFIGURE)
        self.lifecycle.wait_for_nodes(self._names, _TRANSITION_S)
        self._say(f"{len(self._names)} nodes are up")
        self.lifecycle.finish(simulating, _TRANSITION_S)
        for group, transition in ((others, CONFIGURE), (last, CONFIGURE), (twin, ACTIVATE), (others, ACTIVATE), (last, ACTIVATE)):
            self.lifecycle.finish(self.lifecycle.begin(group, transition), _TRANSITION_S)
        self._say(f"{len(self._names)} nodes are active")

    def wait_until_ready(self) -> None:
        """Wait until the supervisor has nothing against an approach: every sensor is fresh, and preflight passes.

        Raises:
            RefusedError: it still has something after ``_READY_S``.
        """
        if not self.lifecycle.spin_until(lambda: self._against() == [], _READY_S):
            against, status = self._against(), self.status
            if against is None:
                # Not in IDLE: an emergency stop that is not heard is a fault from the first moment.
                against = [f"the cell is in {status.state.value}: {status.reason}" if status else "the supervisor says nothing"]
            raise RefusedError("; ".join(against), remedy="repair that, and start again.")
        self._say("every sensor is fresh, and preflight passes")

    def request(self, service: str) -> str:
        """Ask the supervisor for ``service``; its answer.

        Raises:
            RefusedError: it refused; with its reason.
            DriverError: it did not answer.
        """
        client = self._services[f"supervisor/{service}"]
        if not client.service_is_ready() and not self.lifecycle.spin_until(client.service_is_ready, _ANSWER_S):
            raise DriverError(f"the supervisor does not offer {service}.", remedy="read its log in the trial folder.")
        future = client.call_async(Trigger.Request())
        if not self.lifecycle.spin_until(future.done, _ANSWER_S):
            raise DriverError(f"the supervisor did not answer to {service}.", remedy="read its log in the trial folder.")
        answer: Any = future.result()
        if not answer.success:
            raise RefusedError(f"supervisor: {answer.message}", remedy="repair that, and ask again.")
        return str(answer.message)

    def press(self, what: str) -> None:
        """Do what a key asks for, without waiting: something else is waited for meanwhile.

        ``proceed`` is the word to begin what is waited with; ``recover`` clears the errors of arm and hand, and then resets the fault; ``quit`` leaves a
        cell that stands as it is; anything else is a service of the supervisor. A refusal is said when it comes.
        """
        if what == "quit":
            self._leaving = True
        elif what == "proceed":
            if self._word is not None:
                self._word.give()
        elif what == "recover":
            self._recovery.begin()
        else:
            self._ask(f"supervisor/{what}")

    def _may_begin(self, what: str) -> bool:
        """Wait for a person's word where this operator asks; False where they leave instead, or the cell stopped meanwhile.

        Who asks the supervisor itself for that motion has given the word too.
        """
        if self._word is None:
            return True
        before, self._leaving = self._state(), False
        given = self._word.wait(what, self.lifecycle.spin_until, lambda: self._leaving or self._state() is not before)
        self._left = self._leaving
        return self._state() is _MOTIONS[what] or (given and self._state() is before)

    def _begin(self, what: str) -> TrialOutcome | None:
        """Begin a motion, on a person's word where this operator asks; None, or how the trial ends without it."""
        while True:
            if not self._may_begin(what):
                stopped = self.status is not None and self.status.state in (State.HOLD, State.FAULT)
                why = self.status.reason if self.status and stopped else f"nobody let the {what} begin"
                return self._outcome("fault" if self._state() is State.FAULT else "held" if self.moved else "refused", why)
            try:
                if self._state() is not _MOTIONS[what]:
                    self._insist(what)
                return None
            except RefusedError as error:
                if self._word is None:
                    return self._outcome("refused", error.what)
                self._say(str(error))

    def _go_home(self) -> None:
        """After a finished trial: who leaves at the question, or a node that dies there, changes nothing of how it ended."""
        try:
            begins = self._may_begin("retreat")
        except (DexTrackError, KeyboardInterrupt) as error:
            self._left = isinstance(error, KeyboardInterrupt)
            self._say("interrupted: leaving the cell where it stands" if self._left else str(error))
            return
        if begins:
            self.retreat()

    def _beat(self) -> None:
        """Say that the operator is there; and ask for the reset that is due."""
        self._enable.publish(Header(stamp=messages.to_time(time.time_ns())))
        if self._recovery.reset_due():
            self._ask("supervisor/reset")

    def _ask(self, service: str, then: Callable[[str], None] = lambda service: None) -> None:
        def answered(future: Any) -> None:
            if future.exception() is not None or not future.result().success:
                self._say(f"{service}: {future.exception() or future.result().message}")
            then(service)

        self._services[service].call_async(Trigger.Request()).add_done_callback(answered)

    def _attend(self) -> None:
        """Stay until the cell is home, or the person leaves it where it stands. The trial is over, whatever happens now."""
        self._leaving = False
        try:
            if self._state() is not State.IDLE:
                self._say("the cell stands, and its motors are on. t: retreat (after h, where it is READY); c: clear errors and reset a fault; q: leave it so")
            while not self._leaving and not self.reach(_LOOK_S, State.IDLE):
                pass
        except DexTrackError as error:
            self._say(str(error))
        except KeyboardInterrupt:
            self._say("interrupted: leaving the cell where it stands")
        self._hold()

    def _insist(self, service: str) -> None:
        """Ask for ``service``, and again for a moment where that is refused: a machine that stalled once makes every sensor stale, and nothing moves yet.

        Raises:
            RefusedError: it is still refused after ``_PATIENCE_S``.
            DriverError: the supervisor did not answer.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.request(service)
                return
            except RefusedError:
                if time.monotonic() > deadline:
                    raise
            self.lifecycle.spin_until(lambda: False, 0.2)

    def run_trial(self, timeout_s: float) -> TrialOutcome:
        """Approach, run, and wait for the end; ``timeout_s`` bounds the run.

        Returns:
            How the trial ended. The cell is in HOLD or FAULT then, or never left IDLE.
        """
        for service, goal in (("approach", State.READY), ("run", State.HOLD)):
            if (ended := self._begin(service)) is not None:
                return ended
            self._say(f"{service} …")
            limit = timeout_s if service == "run" else 60.0
            if not self.reach(limit, goal, State.HOLD, State.FAULT):
                self.request("hold")
                return self._outcome("held", f"{service} did not end within {limit:.0f} s")
            if self._state() is not goal:
                break
        status = self.status or Status(State.FAULT, reason="the supervisor was never heard")
        if status.state is State.FAULT:
            return self._outcome("fault", status.reason)
        # The state comes first; how far the trial came is in the supervisor's next heartbeat.
        self.lifecycle.spin_until(lambda: self._said("state") == status.state.value, _ANSWER_S)
        return self._outcome("finished" if self._said("finished") == "true" else "held", status.reason)

    def retreat(self) -> None:
        """Open the hand, raise it and go home; a refusal or a stop on the way is said, not raised."""
        try:
            if self._state() is not State.RETREAT:
                self.request("retreat")
            self._say("retreat …")
            self.reach(60.0, State.IDLE, State.HOLD, State.FAULT)
        except DexTrackError as error:
            self._say(str(error))
            return
        self._say("home" if self._state() is State.IDLE else f"the retreat stopped: {self.status.reason if self.status else 'unknown'}")

    def shut_down(self) -> None:
        """Deactivate, clean up and end every node, in the reverse order of bring-up."""
        for group in reversed(self._groups()):
            try:
                self.lifecycle.shut_down(group, _ANSWER_S)
            except DexTrackError as error:
                self._say(str(error))

    def stop(self) -> None:
        """The short way out: hold, then end every node."""
        self._hold()
        self.shut_down()

    def _hold(self) -> None:
        """Hold a cell that moves."""
        if self.status is not None and self.status.may_move:
            try:
                self.request("hold")
            except DexTrackError as error:
                self._say(str(error))

    def _groups(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Nodes that go through a transition together, in order: the twin, those that talk to it, the supervisor."""
        twin, last = (tuple(n for n in self._names if n == name) for name in ("twin", "supervisor"))
        return twin, tuple(n for n in self._names if n not in twin + last), last

    def reach(self, timeout_s: float, *states: State) -> bool:
        """Wait until the cell is in one of ``states``; whether it came there. A pause of a run does not count.

        Raises:
            DriverError: the supervisor fell silent.
        """

        def there() -> bool:
            if time.monotonic() - self._heard > _SILENCE_S:
                raise DriverError("the supervisor fell silent; the drivers hold by themselves.", remedy="read its log in the trial folder.")
            return self._state() in states

        deadline = time.monotonic() + timeout_s
        while not self.lifecycle.spin_until(there, max(deadline - time.monotonic(), 0.0)):
            # A pause is as long as the operator likes.
            if not (self.status and self.status.state is State.RUN and self.status.pace == 0.0):
                return False
            deadline = time.monotonic() + timeout_s
        return True

    def _against(self) -> list[str] | None:
        """What the supervisor has against an approach; None where it said nothing of one: it says so only in IDLE."""
        text = self.lifecycle.values.get("supervisor", {}).get("against")
        return None if text is None else list(json.loads(text))

    def _state(self) -> State | None:
        return self.status.state if self.status else None

    def _said(self, key: str) -> str:
        """A value of the supervisor's newest heartbeat."""
        return self.lifecycle.values.get("supervisor", {}).get(key, "")

    def _outcome(self, ended: str, reason: str) -> TrialOutcome:
        return TrialOutcome(ended, reason, int(self._said("tick") or 0), int(self._said("ticks") or 0))

    def _hear_status(self, message: String) -> None:
        status = Status.decode(message.data)
        if self.status is not None and status.state is not self.status.state:
            self._say(f"{status.state.value}: {status.reason}")
        self._heard = time.monotonic()
        self.status = status
        self.moved = self.moved or status.may_move


def main() -> int:
    """Conduct the trial that ``prepare`` put into the folder given by ``--trial``: what the launch file starts."""
    arguments = rclpy.utilities.remove_ros_args(sys.argv)[1:]
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trial", type=Path, required=True, help="folder of a prepared trial")
    folder = TrialFolder(parser.parse_args(arguments).trial)
    trial = load_prepared(folder)
    print(f"the object begins at {trial.where}{'; note: ' + trial.note if trial.note else ''}", flush=True)
    dds.keep_on_loopback()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with Interruption() as interruption, interruption.deferred():
        operator = Operator(trial.nodes, lambda line: print(line, flush=True), interruption.check, asks=bool(trial.hardware))
        try:
            outcome = operator.conduct(trial.seconds, trial.dry_run)
        except KeyboardInterrupt:
            with uninterruptible():
                operator.stop()
            outcome = TrialOutcome("interrupted", "the operator ended the trial (Ctrl-C or SIGTERM)")
        finally:
            operator.close()
            rclpy.shutdown()
    return conclude(folder, outcome, trial.dry_run, lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())
