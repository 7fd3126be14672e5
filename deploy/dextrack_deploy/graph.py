"""The graph of a running cell, declared once: nodes, topics, services, parameters, launch arguments.

The launch file, ``dextrack track`` and the documentation are made from these tables; a node asks them for its topics, its quality of
service and its parameters, so that a name is spelled in one place. Topic names are relative, except ``/diagnostics``, which is a ROS
convention. Message types are standard ones.
"""

from __future__ import annotations

import dataclasses

from dextrack.errors import InputError
from dextrack.references.reference import CONTROL_PERIOD

CAMERA_PERIOD = 1.0 / 30.0
"""Seconds between two object poses."""
HEARTBEAT_PERIOD = 0.1
"""Seconds between two heartbeats: the supervisor's on ``supervisor/state``, every other node's on ``/diagnostics``."""
HEARTBEAT_DEADLINE = 0.5
"""A node that has not heard the supervisor for this long holds; a node not heard for this long counts as dead. Seconds."""
ENABLE, ESTOP = "operator/enable", "estop"
"""Topics that come from outside the graph: from whoever conducts the trial, and from the cell's emergency stop where it has one."""
PROCEED = "operator/proceed"
"""Service of the node of whoever conducts a trial on real devices: the word to begin what is waited with."""
FOLLOWED = "shadow/joint_states"
"""Topic that the cell follows in RUN."""
MOTION = "motion/joint_targets"
"""What arm and hand follow in APPROACH and RETREAT."""


@dataclasses.dataclass(frozen=True)
class Qos:
    """Quality of service of a kind of topic."""

    reliable: bool
    """False: best effort."""
    latched: bool
    """True: transient local, so that a late subscriber gets the last message."""
    depth: int
    """Messages kept in the history."""


QOS = {
    "sensor": Qos(reliable=False, latched=False, depth=5),
    "command": Qos(reliable=True, latched=False, depth=1),
    "latched": Qos(reliable=True, latched=True, depth=1),
    "report": Qos(reliable=True, latched=False, depth=100),
}
"""The kinds: streams of samples, commands (only the newest counts), the supervisor's state, and what is only reported."""


@dataclasses.dataclass(frozen=True)
class Topic:
    """A named stream of messages."""

    name: str
    type: str
    """Package, ``msg`` and message, joined by slashes."""
    qos: str
    """A key of ``QOS``."""
    period_s: float | None
    """Seconds between two messages in normal running; None where there is no fixed rate."""
    description: str


@dataclasses.dataclass(frozen=True)
class Service:
    """A request that a node answers."""

    name: str
    type: str
    description: str


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a node; the type of ``default`` is its type."""

    name: str
    default: bool | int | float | str
    description: str
    lower: float | None = None
    """Smallest value of a number."""
    upper: float | None = None
    """Largest value of a number."""
    choices: tuple[str, ...] = ()
    """Permitted values of a string; empty: any."""
    read_only: bool = True
    """Fixed once the node is configured."""

    def check(self, value: bool | int | float | str) -> None:
        """Refuse a value of the wrong type or out of range.

        Raises:
            InputError: with the permitted range as remedy.
        """
        # bool is a subclass of int, and an int is an acceptable float.
        right = isinstance(value, (int, float)) and not isinstance(value, bool) if isinstance(self.default, float) else type(value) is type(self.default)
        if not right:
            raise InputError(f"parameter {self.name}: {value!r} is not of type {type(self.default).__name__}.", remedy=f"for example: {self.default!r}.")
        if self.choices and value not in self.choices:
            raise InputError(f"parameter {self.name}: {value!r} is not a choice.", remedy=f"choose one of: {', '.join(self.choices)}.")
        if not isinstance(value, str) and not ((self.lower is None or value >= self.lower) and (self.upper is None or value <= self.upper)):
            raise InputError(f"parameter {self.name}: {value!r} is out of range.", remedy=f"give a value from {self.lower} to {self.upper}.")


@dataclasses.dataclass(frozen=True)
class Node:
    """A lifecycle node: a process of its own."""

    name: str
    description: str
    publishes: tuple[str, ...] = ()
    """Topic names; every node also publishes ``/diagnostics``, its heartbeat."""
    subscribes: tuple[str, ...] = ()
    """Topic names; every node but the twin also hears ``supervisor/state``."""
    services: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    """Its own; every node also has ``COMMON_PARAMETERS``."""


@dataclasses.dataclass(frozen=True)
class LaunchArgument:
    """An argument of ``track.launch.py`` and option of ``dextrack track``."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


LAUNCH_ARGUMENTS = (
    LaunchArgument("cell", "twin", "Cell to run on: the name of a shipped cell configuration, or a path to one."),
    LaunchArgument("reference", "", "Reference (.npz) or demonstration (.h5, or .h5:name) to run. Required."),
    LaunchArgument("mode", "replay", "What makes the targets: replay takes them from a demonstration, or from the reference's own states.", ("replay",)),
    LaunchArgument("hand", "leap_right", "Robot hand on the cell.", ("leap_right",)),
    LaunchArgument("speed", "1.0", "How fast the run plays, as a part of its own speed, 0.1 to 1: slow motion."),
    LaunchArgument("backend", "", "What is behind the shadow simulator: mujoco, isaacgym, mujoco_warp or remote; empty: as the parameter file says."),
    LaunchArgument("backend_address", "", "Of a remote backend: where `dextrack sim serve` listens."),
    LaunchArgument("record", "true", "Record the trial log (MCAP) in the trial folder.", ("true", "false")),
    LaunchArgument("dry_run", "false", "Do everything except move: drivers send no target, and the hand gets no torque.", ("true", "false")),
)

COMMON_PARAMETERS = (
    Parameter("cell", "twin", "Cell configuration: a shipped name or a path."),
    Parameter("placed", "", "Path of the placed reference or demonstration of this trial."),
    Parameter("object", "", "Path of the object file; empty: unknown, and motions look out for the table only."),
    Parameter("trial", "", "Trial folder; empty: this node writes no file."),
    Parameter("dry_run", False, "Do everything except move."),
)

SPEED = Parameter("speed", 1.0, "How fast a run plays, as a part of its own speed.", 0.1, 1.0)
"""Of the supervisor; it belongs to a trial, as its paths do, and not to what an operator tunes."""

_POSE, _SEEN, _JOINTS = "geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped", "sensor_msgs/msg/JointState"

TOPICS = (
    Topic("object_pose", _SEEN, "sensor", CAMERA_PERIOD, "Pose of the object in the world; stamp of the camera image. Covariance zero: not told."),
    Topic("hand/joint_states", _JOINTS, "sensor", CONTROL_PERIOD, "16 finger joints: position, rad; effort holds the current, A; stamp of the sample."),
    Topic("arm/joint_states", _JOINTS, "sensor", CONTROL_PERIOD, "7 arm joints: position, rad, and velocity, rad/s; stamp of the sample."),
    Topic("arm/samples", _JOINTS, "report", None, "For the record: 7 arm joints, velocity, torque in N m, as often as the arm_driver's state_hz says."),
    Topic("state/hand", _JOINTS, "sensor", CONTROL_PERIOD, "Hand state theta (22), its finite-difference velocity; stamp of the newest sample."),
    Topic("state/object_twist", "geometry_msgs/msg/TwistStamped", "sensor", CAMERA_PERIOD, "Finite-difference velocity of the object in the world."),
    Topic("target", _JOINTS, "command", CONTROL_PERIOD, "Target (22) of the PD controllers; stamp of the newest sensor sample used."),
    Topic("shadow/joint_states", _JOINTS, "command", CONTROL_PERIOD, "State (22) of the shadow simulator, which the cell follows in RUN; stamp carried."),
    Topic("motion/joint_targets", _JOINTS, "command", CONTROL_PERIOD, "7 arm and 16 finger targets in APPROACH and RETREAT; stamp of the newest sample."),
    Topic("controller/progress", "diagnostic_msgs/msg/DiagnosticStatus", "command", HEARTBEAT_PERIOD, "Values state, tick, ticks, done, overruns."),
    Topic("supervisor/state", "std_msgs/msg/String", "latched", HEARTBEAT_PERIOD, "The supervisor's status (``status.Status``); also its heartbeat."),
    Topic(ENABLE, "std_msgs/msg/Header", "sensor", HEARTBEAT_PERIOD, "The operator is there: a cell moves only while this is heard."),
    Topic(ESTOP, "std_msgs/msg/Bool", "report", HEARTBEAT_PERIOD, "Whether the emergency stop is pressed; from the cell's safety relay."),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", "report", HEARTBEAT_PERIOD, "Health of each node; also its heartbeat."),
    Topic("latency", "diagnostic_msgs/msg/DiagnosticArray", "report", None, "Stage, carried stamp and time of each message that a node passes on."),
    Topic("twin/truth", _POSE, "sensor", CONTROL_PERIOD, "True pose of the object in the twin; for the report only."),
)

SERVICES = (
    Service("supervisor/approach", "std_srvs/srv/Trigger", "Move slowly to where the trial begins."),
    Service("supervisor/run", "std_srvs/srv/Trigger", "Run the trial."),
    Service("supervisor/pause", "std_srvs/srv/Trigger", "Let the run stand still where it is; the loop goes on holding."),
    Service("supervisor/resume", "std_srvs/srv/Trigger", "Let a paused run go on."),
    Service("supervisor/estop", "std_srvs/srv/Trigger", "Stop the arm by its own stop; needs a reset before anything moves again."),
    Service("supervisor/hold", "std_srvs/srv/Trigger", "Stop and hold."),
    Service("supervisor/retreat", "std_srvs/srv/Trigger", "Open the hand, raise it, and go home slowly."),
    Service("supervisor/reset", "std_srvs/srv/Trigger", "Acknowledge a fault whose cause is gone."),
    Service("arm/recover", "std_srvs/srv/Trigger", "Clear the arm's error; the supervisor's reset comes after it."),
    Service("hand/recover", "std_srvs/srv/Trigger", "Restart motors with an error, as strong as the supervisor lets them be; its reset comes after it."),
)

_OPERATOR_SERVICES = tuple(s.name for s in SERVICES if s.name.startswith("supervisor/"))

NODES = (
    Node("twin", "The simulated cell: serves the drivers' link on loopback and publishes the truth.", publishes=("twin/truth",),
         parameters=(Parameter("port", 0, "TCP port of the link on 127.0.0.1; 0: the cell configuration's.", 0, 65535),
                     Parameter("seed", 0, "Seed of the noise.", 0, 2**31 - 1),
                     Parameter("mismatch", "default", "Physics that mining never used, or the same physics.", choices=("default", "none")))),
    Node("recorder", "Records every topic into the trial log.", subscribes=tuple(t.name for t in TOPICS),
         parameters=(Parameter("record", True, "Write the trial log."),
                     Parameter("min_free_mb", 100.0, "Free disk space below which the trial is held, MB.", 1.0, 1e6))),
    Node("hand_driver", "Reads the hand's joints and writes its targets.", publishes=("hand/joint_states", "latency"),
         subscribes=("shadow/joint_states", "motion/joint_targets"), services=("hand/recover",)),
    Node("arm_driver", "Reads the arm's joints; turns the wrist's target pose into joint targets by inverse kinematics, rate-limited.",
         publishes=("arm/joint_states", "arm/samples", "latency"), subscribes=("shadow/joint_states", "motion/joint_targets"), services=("arm/recover",),
         parameters=(Parameter("state_hz", 0.0, "How often the whole state is published too, Hz; a Franka under control has 1000. 0: never.", 0.0, 1000.0),)),
    Node("object_pose", "Publishes the object's pose from the camera.", publishes=("object_pose",)),
    Node("velocity", "Assembles the hand state and takes finite differences.", publishes=("state/hand", "state/object_twist"),
         subscribes=("hand/joint_states", "arm/joint_states", "object_pose"),
         parameters=(Parameter("max_gap_s", 0.1, "A longer gap between samples gives velocity zero, s.", 0.02, 1.0),)),
    Node("controller", "Makes the targets of a trial, and the slow motions before and after it.",
         publishes=("target", "motion/joint_targets", "controller/progress", "latency"),
         subscribes=("state/hand", "state/object_twist", "object_pose", "arm/joint_states", "hand/joint_states"),
         parameters=(Parameter("mode", "replay", "What makes the targets.", choices=("replay",)),)),
    Node("shadow_sim", "Steps the shadow simulator with each target.", publishes=("shadow/joint_states", "latency"), subscribes=("target", "state/hand"),
         parameters=(Parameter("backend", "mujoco", "What simulates: mujoco, in which demonstrations are mined, isaacgym, mujoco_warp, or remote."),
                     Parameter("address", "", "Of a remote backend: where `dextrack sim serve` listens, tcp://127.0.0.1:PORT."),
                     Parameter("keys", "", "Of a remote backend: folder of keys, where the server asks for them."),
                     Parameter("deadline_s", 0.05, "Of a remote backend: a step without an answer for this long has failed, s.", 0.005, 1.0),
                     Parameter("resynchronise_hz", 0.0, "How often the simulator is put to the measured hand, Hz; 0: never, the paper's loop.", 0.0, 60.0))),
    Node("supervisor", "Holds the state of the cell and watches it.", publishes=("supervisor/state",),
         subscribes=("object_pose", "hand/joint_states", "arm/joint_states", "state/hand", "shadow/joint_states", "motion/joint_targets", "controller/progress",
                     ENABLE, ESTOP, "/diagnostics"),
         services=_OPERATOR_SERVICES),
)  # fmt: skip
"""In the order in which they are configured and activated; the reverse is the order of shutting down."""

STAGES = ("camera", "target", "shadow", "hand_command", "arm_command")
"""What is noted on ``latency`` for a carried stamp: the image's own stamp that the controller used, then the times at which the target was
published, the shadow state was published, the hand was written, the arm was written."""

EDGES = (
    ("camera->target", "camera", "target"),
    ("sensor->target", "sample", "target"),
    ("target->shadow", "target", "shadow"),
    ("shadow->hand_command", "shadow", "hand_command"),
    ("shadow->arm_command", "shadow", "arm_command"),
    ("sensor->command", "sample", "hand_command"),
)
"""(edge, from, to): latencies that the report shows; ``sample`` is the carried stamp itself."""


def topic(name: str) -> Topic:
    """The topic ``name``. KeyError where there is none: that is a mistake in the program."""
    return {t.name: t for t in TOPICS}[name]


def service(name: str) -> Service:
    """The service ``name``. KeyError where there is none."""
    return {s.name: s for s in SERVICES}[name]


def node(name: str) -> Node:
    """The node ``name``. KeyError where there is none."""
    return {n.name: n for n in NODES}[name]


def parameters(name: str) -> tuple[Parameter, ...]:
    """All parameters of the node ``name``: its own, then the common ones."""
    return node(name).parameters + COMMON_PARAMETERS


def publications(name: str) -> tuple[Topic, ...]:
    """The topics that the node ``name`` publishes, with its heartbeat."""
    return tuple(topic(t) for t in node(name).publishes + ("/diagnostics",))


def subscriptions(name: str) -> tuple[Topic, ...]:
    """The topics that the node ``name`` hears, with the supervisor's state."""
    heard = node(name).subscribes
    extra = () if name in ("twin", "supervisor") or "supervisor/state" in heard else ("supervisor/state",)
    return tuple(topic(t) for t in heard + extra)


def node_names(cell_is_twin: bool) -> tuple[str, ...]:
    """Nodes to launch, in order: the twin runs only where the cell is the twin."""
    return tuple(n.name for n in NODES if cell_is_twin or n.name != "twin")
