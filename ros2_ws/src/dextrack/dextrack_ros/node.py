"""CellNode: what every node of the graph has in common; and ``run``, the main function of its process.

Rules
- A node's topics, quality of service and parameters come from ``dextrack_deploy.graph``; none is spelled here or in a node.
- Work happens in the lifecycle: files, sockets and simulators open when the node is configured and close when it is cleaned up; streams flow
  only while it is active. An error in a transition refuses the transition, and the reason is on ``/diagnostics`` and in the log.
- Every node publishes its health ten times a second from its first moment to its last: that is its heartbeat.
- A node that has not heard the supervisor for ``HEARTBEAT_DEADLINE`` takes the cell to be held. Where it moved then, the node goes on holding when it
  hears the supervisor again, says so, and believes it again once it has heard of a cell that stands: a motion does not go on by itself.
- A motion that does not begin where it must (``status.BEGINS``) is held likewise: a node that missed something, or joined in the middle, does not move.
- An exception in a callback never ends a node and is never silent: it is an error on ``/diagnostics`` until the callback works again, and the
  supervisor decides.
- A process ends in order (deactivate, clean up, shut down) on SIGINT, on SIGTERM, and when the process that started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from dextrack_deploy import graph
from dextrack_deploy.status import BEGINS, State, Status
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dextrack.errors import DexTrackError, InputError
from dextrack_ros import dds, distro, messages, realtime
from dextrack_ros.executor import NodeExecutor, hand_over
from dextrack_ros.latency import StageLog
from dextrack_ros.processes import PARENT_VARIABLE

ADDRESS = graph.Parameter("address", "", "Address of the device; for the twin: its endpoint, tcp://127.0.0.1:PORT.")
"""Parameter of every node that talks to a device."""
EXIT_REFUSED = 2
_DOUBT = "following the supervisor"
_STAGES_PER_MESSAGE = 30
"""Notes that are published together: half a second of a control loop."""
_SECONDS_TO_ANSWER = 0.3
"""A node that was shut down keeps spinning this long, so that its answer to the request leaves."""


class CellNode(LifecycleNode):
    """A lifecycle node of the graph. Subclasses override ``configure``, ``activate``, ``deactivate`` and ``cleanup``."""

    realtime = True
    """Whether the process asks for real-time scheduling while the node is active."""
    gather_s = 0.0
    """Messages are gathered for this long and handled together (``NodeExecutor``)."""

    def __init__(self, name: str, own_parameters: Sequence[graph.Parameter] = ()) -> None:
        """Declare the parameters and publishers of the node ``name`` of the graph, and begin its heartbeat.

        ``own_parameters`` are those that only make sense over ROS.
        """
        super().__init__(name)
        distro.refuse_wrong_transitions(self)
        self.active = False
        self.finished_at: float | None = None
        self._parameters_of = {p.name: p for p in (*graph.parameters(name), *own_parameters)}
        self._configured = False
        self._heard: tuple[float, Status] | None = None
        self._doubt = ""
        self._errors: dict[str, str] = {}
        self._health: tuple[str, dict[str, Any]] = ("", {})
        self._timers_of_activity: list[Timer] = []
        self.fetched: list[Any] = []
        """Subscriptions whose messages wait for ``fetch``."""
        self._stages = StageLog()
        self._declare_parameters()
        self._publishers_by_topic = {t.name: self._make_publisher(t) for t in graph.publications(name)}
        if "supervisor/state" in {t.name for t in graph.subscriptions(name)}:
            # Deeper than the graph's: a node that was busy for a moment must not miss the state that a motion begins from.
            self.hear("supervisor/state", self._hear_status, always=True, depth=10)
        self.create_timer(graph.HEARTBEAT_PERIOD, self._beat)

    # What a subclass overrides.

    def configure(self) -> None:
        """Open what the node needs. A DexTrackError refuses the transition."""

    def activate(self) -> None:
        """Begin to work: timers with ``every``."""

    def deactivate(self) -> None:
        """Stop working; timers made with ``every`` have ended already."""

    def cleanup(self) -> None:
        """Close what ``configure`` opened, even where that ended halfway."""

    def on_status(self, status: Status) -> None:
        """A status of the supervisor that differs from the one before."""

    # What a subclass uses.

    def value(self, name: str) -> Any:
        """Value of a declared parameter."""
        return self.get_parameter(name).value

    def hear(
        self,
        topic: str,
        callback: Callable[[Any], None],
        *,
        raw: bool = False,
        always: bool = False,
        depth: int | None = None,
        fetched: bool = False,
        stamped: bool = False,
    ) -> None:
        """Subscribe to a topic of the graph; ``callback`` runs while the node is active, or ``always``. ``depth`` messages may wait (default: the graph's).

        A ``raw`` subscription's callback gets bytes. A ``stamped`` one's gets the message and when it came, ns since the epoch, as one pair. Messages
        that are to be ``fetched`` wake nobody: they wait for ``fetch``.
        """
        entry = graph.topic(topic)
        guarded = self.guarded(f"hearing {topic}", callback)

        def call(message: Any) -> None:
            if always or self.active:
                guarded(message)

        def call_stamped(message: Any, info: Mapping[str, Any]) -> None:
            call((message, info["received_timestamp"]))

        profile = messages.qos(entry.qos)
        profile.depth = profile.depth if depth is None else depth
        # Topics and their quality of service come from one table, so they fit; watching that costs more than the messages.
        silent = distro.SubscriptionEventCallbacks(use_default_callbacks=False)
        told = distro.with_info(call_stamped) if stamped else call
        made = self.create_subscription(messages.message_class(entry.type), entry.name, told, profile, raw=raw, event_callbacks=silent)
        if fetched:
            self.fetched.append(made)

    def fetch(self) -> None:
        """Hear what came on the topics that are fetched: before it is used, so that it is as new as if each message had been heard at once."""
        hand_over(self.fetched)

    def offer(self, service: str, answer: Callable[[], tuple[bool, str]]) -> None:
        """Answer a Trigger service of the graph with (success, message); an exception is an answer too: no."""
        entry = graph.service(service)

        def fill(response: Trigger.Response) -> None:
            response.success, response.message = answer()

        guarded = self.guarded(f"answering {service}", fill)

        def call(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = False, "the node could not answer; its error is on /diagnostics"
            guarded(response)
            return response

        self.create_service(messages.message_class(entry.type), entry.name, call)

    def every(self, period_s: float, callback: Callable[[], None], what: str) -> None:
        """Call ``callback`` periodically until the node is deactivated; ``what`` names the work in errors."""
        guarded = self.guarded(what, lambda _: callback())
        self._timers_of_activity.append(self.create_timer(period_s, lambda: guarded(None)))

    def publish(self, topic: str, message: Any) -> None:
        """Publish on a topic of the graph. Streams leave only while the node is active."""
        self._publishers_by_topic[topic].publish(message)

    def note(self, stage: str, stamp: int, at: int | None = None) -> None:
        """Note for the ``latency`` topic that the message carrying ``stamp`` passed ``stage`` ``at`` this time (both ns; default: the clock)."""
        self._stages.add(stage, stamp, time.time_ns() if at is None else at)

    def health(self, message: str = "", **values: Any) -> None:
        """What the next heartbeats say of a node without errors."""
        self._health = (message, values)

    def fail(self, what: str, reason: str) -> None:
        """Report an error under the name ``what`` from now on."""
        if self._errors.get(what) != reason:
            self.get_logger().error(f"{what}: {reason}")
        self._errors[what] = reason

    def mend(self, what: str) -> None:
        """End the error that was reported under ``what``."""
        self._errors.pop(what, None)

    def status(self) -> Status:
        """The supervisor's status; HOLD where it was not heard for ``HEARTBEAT_DEADLINE``."""
        if self._heard is None:
            return Status(State.HOLD, reason="the supervisor was never heard")
        age = time.monotonic() - self._heard[0]
        if age > graph.HEARTBEAT_DEADLINE:
            why = f"the supervisor was last heard {age:.2f} s ago"
            if self._heard[1].may_move:
                self._doubt = "the supervisor was silent while the cell moved"
            return Status(State.HOLD, reason=why)
        return Status(State.HOLD, reason=self._doubt) if self._doubt else self._heard[1]

    # The lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``configure``; where it fails, ``cleanup`` runs and the node stays unconfigured."""
        result = self._transition("configure", self.configure)
        self._configured = result is TransitionCallbackReturn.SUCCESS
        if not self._configured:
            self._transition("cleanup", self.cleanup)
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers and run ``activate``."""
        super().on_activate(state)
        # Nobody fetched meanwhile: what waits is from before, and is not heard.
        self.fetch()
        result = self._transition("activate", self.activate)
        self.active = result is TransitionCallbackReturn.SUCCESS
        if not self.active:
            self._end_activity(state)
        elif self.realtime and not realtime.begin(os.getpid()):
            self.get_logger().info("no real-time scheduling for this user (ulimit -r is 0): the control loop shares its cores as everything else does")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop timers, run ``deactivate`` and silence the publishers."""
        self._end_activity(state)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``cleanup``."""
        self._configured = False
        self._errors.clear()
        self._health = ("", {})
        return self._transition("cleanup", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End whatever state the node is in; its process ends soon after."""
        if self.active:
            self._end_activity(state)
        if self._configured:
            self.on_cleanup(state)
        self.finished_at = time.monotonic() + _SECONDS_TO_ANSWER
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition broke down: close everything; the node can be configured again."""
        self._end_activity(state)
        self.on_cleanup(state)
        return TransitionCallbackReturn.SUCCESS

    def end(self) -> None:
        """Leave in order from whatever state the node is in."""
        if self.finished_at is None:
            self.trigger_shutdown()

    def _transition(self, what: str, work: Callable[[], None]) -> TransitionCallbackReturn:
        """Run the work of a transition; an error is reported and refuses the transition."""
        try:
            work()
        except DexTrackError as error:
            self.fail(what, str(error))
        except Exception as error:  # a defect, or a device's own exception: the operator must see it, and the process must live to clean up
            self.get_logger().error(traceback.format_exc())
            self.fail(what, f"{type(error).__name__}: {error}")
        else:
            self.mend(what)
            return TransitionCallbackReturn.SUCCESS
        self._beat()
        return TransitionCallbackReturn.FAILURE

    def _end_activity(self, state: LifecycleState) -> None:
        self.active = False
        for timer in self._timers_of_activity:
            self.destroy_timer(timer)
        self._timers_of_activity.clear()
        self._publish_stages()
        if self.realtime:
            realtime.end(os.getpid())
        self._transition("deactivate", self.deactivate)
        super().on_deactivate(state)

    # Heartbeat, errors, parameters.

    def _beat(self) -> None:
        """Publish health, and the noted stages when there are enough of them."""
        message, values = self._health
        level = DiagnosticStatus.ERROR if self._errors else DiagnosticStatus.OK
        text = "; ".join(f"{what}: {reason}" for what, reason in self._errors.items()) or message
        status = messages.status(self.get_name(), level, text, {"lifecycle": self._state_machine.current_state[1], **values})
        self._publishers_by_topic["/diagnostics"].publish(messages.diagnostics(time.time_ns(), [status]))
        if len(self._stages) >= _STAGES_PER_MESSAGE:
            self._publish_stages()

    def _publish_stages(self) -> None:
        if len(self._stages):
            self.publish("latency", messages.diagnostics(time.time_ns(), self._stages.take()))

    def guarded(self, what: str, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """``callback`` with its errors reported under ``what`` until it works again."""

        def call(argument: Any) -> None:
            try:
                callback(argument)
            except DexTrackError as error:
                self.fail(what, str(error))
            except Exception as error:  # see the rules: never silent, never the end of the node
                if what not in self._errors:
                    self.get_logger().error(traceback.format_exc())
                self.fail(what, f"{type(error).__name__}: {error}")
            else:
                self.mend(what)

        return call

    def _hear_status(self, message: String) -> None:
        told = Status.decode(message.data)
        before = self.status() if self._heard else None
        self._heard = (time.monotonic(), told)
        if not told.may_move:
            self._doubt = ""
            self.mend(_DOUBT)
        elif before is None or (told.state is not before.state and BEGINS[told.state] is not before.state):
            self._doubt = self._doubt or f"{told.state.value} came after {before.state.value if before else 'nothing that this node heard'}"
        if self._doubt:
            self.fail(_DOUBT, self._doubt)
        status = self.status()
        if status != before:
            self.on_status(status)

    def _make_publisher(self, entry: graph.Topic) -> Any:
        """Streams are silent while the node is not active; the supervisor's state and everyone's health never are."""
        make = self.create_publisher if entry.name in ("/diagnostics", "supervisor/state") else self.create_lifecycle_publisher
        silent = distro.PublisherEventCallbacks(use_default_callbacks=False)
        return make(messages.message_class(entry.type), entry.name, messages.qos(entry.qos), event_callbacks=silent)

    def _declare_parameters(self) -> None:
        for p in self._parameters_of.values():
            descriptor = ParameterDescriptor(description=p.description, additional_constraints=f"one of: {', '.join(p.choices)}" if p.choices else "")
            if p.lower is not None and p.upper is not None:
                if isinstance(p.default, float):
                    descriptor.floating_point_range = [FloatingPointRange(from_value=float(p.lower), to_value=float(p.upper), step=0.0)]
                else:
                    descriptor.integer_range = [IntegerRange(from_value=int(p.lower), to_value=int(p.upper), step=1)]
            self.declare_parameter(p.name, p.default, descriptor)
            p.check(self.value(p.name))
        self.add_on_set_parameters_callback(self._check_parameters)

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse values out of range, and changes of what is fixed once the node is configured."""
        for change in changes:
            declared = self._parameters_of.get(change.name)
            if declared is None:
                continue
            if declared.read_only and self._configured:
                return SetParametersResult(successful=False, reason=f"parameter {change.name} is fixed while the node is configured; clean the node up first.")
            try:
                declared.check(change.value)
            except InputError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def run(make: Callable[[], CellNode]) -> int:
    """Run the node that ``make`` gives until it is shut down, a signal asks it to end, or its launcher is gone; then end the process.

    Returns:
        ``EXIT_REFUSED``, where a parameter is not acceptable; else the process ends with 0 from here.
    """
    dds.keep_on_loopback()
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: signals.append(n))
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make()
    except (DexTrackError, rclpy.exceptions.InvalidParameterValueException, rclpy.exceptions.InvalidParameterTypeException) as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.shutdown()
        return EXIT_REFUSED
    launcher = int(os.environ.get(PARENT_VARIABLE, "0"))
    executor = NodeExecutor(node.gather_s, node.fetched)
    executor.add_node(node)
    try:
        # The heartbeat's timer ends every wait, so signals and a lost launcher are seen within its period.
        while not signals and not (launcher and os.getppid() != launcher) and not (node.finished_at and time.monotonic() > node.finished_at):
            executor.spin_once()
        node.end()
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything of ours is closed. Static destructors of the middleware have been seen to hang a process that had nothing left to do.
    os._exit(0)
