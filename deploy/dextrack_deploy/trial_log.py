"""TrialData: what the trial log holds, as numpy arrays; read from a whole log or from what a killed recorder left."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from dextrack import rotations
from dextrack.errors import InputError
from dextrack_deploy.drivers.protocols import ObjectPose
from dextrack_deploy.loop_timing import StageTimes
from dextrack_deploy.mcap_reader import McapReader, Message
from dextrack_deploy.status import State, Status
from dextrack_deploy.trial import TrialFolder, read_events

Floats = NDArray[np.float64]
Stamps = NDArray[np.int64]

_SECOND = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Poses:
    """Poses of the object over time; empty arrays where the log has none."""

    stamp_ns: Stamps
    """(n,) when each was sampled, ns since the epoch; increasing."""
    received_ns: Stamps
    """(n,) when the recorder received it."""
    position_w: Floats
    """(n, 3), m."""
    quaternion_w: Floats
    """(n, 4), wxyz, unit."""
    deviation: Floats
    """(n, 2): how sure the estimator was of position, m, and rotation, rad (``ObjectPose.deviation``); zeros where it did not say."""

    def at(self, time_ns: Stamps) -> tuple[Floats, Floats]:
        """Positions (m, 3) and quaternions (m, 4) interpolated at ``time_ns`` (m,); held constant outside the samples."""
        t = np.clip(time_ns, self.stamp_ns[0], self.stamp_ns[-1])
        seconds, at = (self.stamp_ns - self.stamp_ns[0]) / _SECOND, (t - self.stamp_ns[0]) / _SECOND
        position = np.stack([np.interp(at, seconds, self.position_w[:, i]) for i in range(3)], axis=1)
        return position, rotations.slerp(seconds, self.quaternion_w, at)


@dataclasses.dataclass(frozen=True)
class Joints:
    """Joint states over time; empty arrays where the log has none."""

    names: tuple[str, ...]
    """Names of the columns."""
    stamp_ns: Stamps
    """(n,) when each was sampled, or the stamp it carries; increasing."""
    received_ns: Stamps
    """(n,)."""
    position: Floats
    """(n, d), rad and m."""

    def at(self, time_ns: Stamps, names: Sequence[str]) -> Floats:
        """Positions (m, len(names)) of the joints ``names`` interpolated at ``time_ns`` (m,); held constant outside the samples.

        Raises:
            InputError: the log has no such joint.
        """
        missing = [n for n in names if n not in self.names]
        if missing:
            raise InputError(f"trial log: joint {missing[0]} is not in it.", remedy="check that reference and cell have the same hand.")
        seconds, at = (self.stamp_ns - self.stamp_ns[0]) / _SECOND, (time_ns - self.stamp_ns[0]) / _SECOND
        return np.stack([np.interp(at, seconds, self.position[:, self.names.index(n)]) for n in names], axis=1)


@dataclasses.dataclass(frozen=True)
class Progress:
    """What the controller said of itself."""

    received_ns: int
    state: str
    tick: int
    phase: float
    """Targets given so far, with the part of one where the run plays slowly."""
    ticks: int
    done: bool
    overruns: int


@dataclasses.dataclass(frozen=True)
class Health:
    """What a node said of itself when that changed."""

    received_ns: int
    node: str
    level: int
    """0 is well, 1 warns, 2 is an error."""
    message: str


@dataclasses.dataclass(frozen=True)
class TrialData:
    """A trial as it was recorded."""

    object_pose: Poses
    """As the camera estimated it."""
    truth: Poses
    """As it was in the twin; empty on a real cell."""
    hand: Joints
    """Finger joints as measured."""
    arm: Joints
    """Arm joints as measured."""
    state: Joints
    """Hand state theta (22)."""
    target: Joints
    """What the controller asked for (22)."""
    shadow: Joints
    """What the shadow simulator made of it (22), which the cell follows."""
    statuses: tuple[tuple[int, Status], ...]
    """(received ns, status) at each change."""
    progress: tuple[Progress, ...]
    health: tuple[Health, ...]
    stages: StageTimes
    """When the message of each carried stamp passed each stage."""
    target_times_ns: Stamps
    """(n,) when each target was published, in order: the ticks of the control loop."""
    loop: dict[str, Any]
    """What the control loop measured of itself in the last run (``LoopTimer.report``); empty where it did not tell."""
    events: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]
    """What could not be read, one sentence each."""

    def run_interval_ns(self) -> tuple[int, int] | None:
        """First and last moment of the first RUN, as the supervisor told it; None where there was none."""
        begin = next((i for i, (_, s) in enumerate(self.statuses) if s.state is State.RUN), None)
        if begin is None:
            return None
        end = next((t for t, s in self.statuses[begin + 1 :] if s.state is not State.RUN), None)
        return self.statuses[begin][0], end if end is not None else self.ended_ns()

    def frame_times_ns(self, frames: int, period_s: float) -> Stamps:
        """(frames,): when the target of each frame was due in the run, ns.

        A run at its own speed is periodic. One that was paused or slowed is laid out by what the controller said of its progress, ten times a
        second: to within half a period while it changes its pace.
        """
        start, own = int(self.target_times_ns[0]), np.arange(frames) * period_s * _SECOND
        told = [p for p in self.progress if p.state == State.RUN.value and p.received_ns > start]
        if not told or all(s.pace == 1.0 for _, s in self.statuses if s.state is State.RUN):
            return np.asarray(start + np.round(own).astype(np.int64))
        phases, times = np.array([0.0, *(p.phase for p in told)]), np.array([0, *(p.received_ns - start for p in told)])
        # The frame at which a pause began was due when it began: of equal phases the first counts.
        at = np.interp(np.arange(frames), phases + 1e-9 * np.arange(len(phases)), times)
        beyond = np.maximum(np.arange(frames) - phases[-1], 0.0) * period_s * _SECOND
        return np.asarray(start + np.round(at + beyond).astype(np.int64))

    def ended_ns(self) -> int:
        """When the last that the log has of poses, joints or the supervisor was received, ns; 0 where it has nothing."""
        streams = (self.object_pose, self.truth, self.hand, self.arm, self.state, self.target, self.shadow)
        return max([int(s.received_ns[-1]) for s in streams if len(s.received_ns)] + [t for t, _ in self.statuses], default=0)


def read_trial(folder: Path) -> TrialData:
    """Read the log and the events of a trial folder, as far as they go.

    Nothing is raised for what is missing or damaged: ``problems`` says it, because a report on a failed trial is the one that is needed most.

    Raises:
        InputError: the folder does not exist.
    """
    trial = TrialFolder(Path(folder))
    if not trial.path.is_dir():
        raise InputError(f"{folder}: there is no such trial folder.", remedy="give a folder that `dextrack track` wrote; runs/latest is the newest.")
    collected = _Collector()
    problems: list[str] = []
    try:
        reader = McapReader(trial.log)
        for message in reader:
            collected.take(message)
        problems += reader.problems
    except InputError as error:
        problems.append(error.what)
    if collected.unreadable:
        problems.append(f"{collected.unreadable} messages of the trial log could not be decoded")
    events: list[dict[str, Any]] = []
    try:
        events, lost = read_events(trial.events)
        if lost:
            problems.append(f"{lost} lines of {trial.events.name} were cut off")
    except InputError as error:
        problems.append(error.what)
    return collected.data(tuple(events), tuple(problems))


class _Collector:
    """Decodes messages topic by topic."""

    def __init__(self) -> None:
        self.unreadable = 0
        self._types = get_typestore(Stores.ROS2_KILTED)
        self._poses: dict[str, list[tuple[int, int, list[float]]]] = {}
        self._joints: dict[str, list[tuple[int, int, tuple[str, ...], Floats]]] = {}
        self._statuses: list[tuple[int, Status]] = []
        self._progress: list[Progress] = []
        self._health: list[Health] = []
        self._loop: dict[str, Any] = {}
        self._stages = StageTimes()
        self._published: dict[int, int] = {}
        self._handlers: dict[str, Callable[[str, int, Any], None]] = {
            "geometry_msgs/msg/PoseStamped": lambda topic, received, m: self._pose(topic, received, m, m.pose, None),
            "geometry_msgs/msg/PoseWithCovarianceStamped": lambda topic, received, m: self._pose(topic, received, m, m.pose.pose, m.pose.covariance),
            "sensor_msgs/msg/JointState": self._joint,
            "std_msgs/msg/String": self._status,
            "diagnostic_msgs/msg/DiagnosticStatus": self._controller,
            "diagnostic_msgs/msg/DiagnosticArray": self._diagnostics,
        }

    def take(self, message: Message) -> None:
        """Decode a message of a topic that a report needs; count it where that fails."""
        handler = self._handlers.get(message.type)
        if handler is None:
            return
        try:
            handler(message.topic.lstrip("/"), message.received_ns, self._types.deserialize_cdr(message.data, message.type))
        except (SerdeError, AssertionError, IndexError, ValueError, KeyError, TypeError, AttributeError, InputError):
            self.unreadable += 1

    def data(self, events: tuple[dict[str, Any], ...], problems: tuple[str, ...]) -> TrialData:
        """Everything that was taken."""
        poses = {name: _poses(self._poses.get(name, [])) for name in ("object_pose", "twin/truth")}
        names = ("hand/joint_states", "arm/joint_states", "state/hand", "target", "shadow/joint_states")
        hand, arm, state, target, shadow = (_joints(self._joints.get(name, [])) for name in names)
        return TrialData(
            object_pose=poses["object_pose"],
            truth=poses["twin/truth"],
            hand=hand,
            arm=arm,
            state=state,
            target=target,
            shadow=shadow,
            statuses=tuple(self._statuses),
            progress=tuple(self._progress),
            health=tuple(self._health),
            stages=self._stages,
            target_times_ns=self._ticks(),
            loop=self._loop,
            events=events,
            problems=problems,
        )

    def _ticks(self) -> Stamps:
        """When each target was published; of targets that carry the same stamp only the first has a note, and the others their reception."""
        seen: set[int] = set()
        times = []
        for stamp, received, _, _ in self._joints.get("target", []):
            times.append(received if stamp in seen else self._published.get(stamp, received))
            seen.add(stamp)
        return np.sort(np.asarray(times, dtype=np.int64))

    def _pose(self, topic: str, received: int, m: Any, pose: Any, covariance: Any) -> None:
        p, o = pose.position, pose.orientation
        values = [p.x, p.y, p.z, o.w, o.x, o.y, o.z]
        if not np.isfinite(values).all() or abs(float(np.linalg.norm(values[3:])) - 1.0) > 1e-2:
            raise ValueError("no pose")
        told = covariance is not None and np.any(covariance)
        seen = ObjectPose(0, np.array(values[:3]), np.array(values[3:]), np.reshape(covariance, (6, 6)) if told else None)
        self._poses.setdefault(topic, []).append((_stamp(m), received, [*values, *seen.deviation]))

    def _joint(self, topic: str, received: int, m: Any) -> None:
        position = np.asarray(m.position, dtype=np.float64)
        if len(position) != len(m.name) or not np.isfinite(position).all():
            raise ValueError("no joint state")
        self._joints.setdefault(topic, []).append((_stamp(m), received, tuple(m.name), position))

    def _status(self, topic: str, received: int, m: Any) -> None:
        if topic == "supervisor/state":
            status = Status.decode(m.data)
            if not self._statuses or self._statuses[-1][1] != status:
                self._statuses.append((received, status))

    def _controller(self, topic: str, received: int, m: Any) -> None:
        if topic == "controller/progress":
            values = {pair.key: pair.value for pair in m.values}
            tick, ticks, overruns = (int(float(values.get(key, "0"))) for key in ("tick", "ticks", "overruns"))
            phase = float(values.get("phase", tick))
            self._progress.append(Progress(received, values.get("state", ""), tick, phase, ticks, values.get("done") == "true", overruns))

    def _diagnostics(self, topic: str, received: int, m: Any) -> None:
        for status in m.status:
            if topic == "latency":
                for pair in status.values:
                    self._stages.mark(status.name, int(pair.key), int(pair.value))
                    if status.name == "target":
                        self._published.setdefault(int(pair.key), int(pair.value))
            elif topic == "diagnostics":
                health = Health(received, status.name, int(status.level), status.message)
                last = next((h for h in reversed(self._health) if h.node == health.node), None)
                if last is None or (last.level, last.message) != (health.level, health.message):
                    self._health.append(health)
                if status.name == "controller":
                    self._loop = json.loads({pair.key: pair.value for pair in status.values}.get("last_run", "{}")) or self._loop


def _stamp(m: Any) -> int:
    return int(m.header.stamp.sec) * _SECOND + int(m.header.stamp.nanosec)


def _ordered(stamps: list[int]) -> NDArray[np.int64]:
    """Indices that sort ``stamps`` and keep, of equal ones, the first."""
    _, first = np.unique(np.asarray(stamps, dtype=np.int64), return_index=True)
    return np.asarray(first, dtype=np.int64)


def _poses(samples: list[tuple[int, int, list[float]]]) -> Poses:
    keep = _ordered([s for s, _, _ in samples])
    values = np.asarray([v for _, _, v in samples], dtype=np.float64).reshape(-1, 9)[keep]
    stamps, received = (np.asarray(x, dtype=np.int64)[keep] for x in ([s for s, _, _ in samples], [r for _, r, _ in samples]))
    quaternions = rotations.continuous(rotations.normalise(values[:, 3:7])) if len(values) else values[:, 3:7]
    return Poses(stamps, received, values[:, :3], quaternions, values[:, 7:])


def _joints(samples: list[tuple[int, int, tuple[str, ...], Floats]]) -> Joints:
    if not samples:
        return Joints((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 0)))
    names = samples[0][2]
    samples = [s for s in samples if set(s[2]) == set(names)]
    keep = _ordered([s[0] for s in samples])
    position = np.stack([v if n == names else v[[n.index(k) for k in names]] for _, _, n, v in (samples[i] for i in keep)])
    stamps, received = (np.asarray([s[c] for s in samples], dtype=np.int64)[keep] for c in (0, 1))
    return Joints(names, stamps, received, position)
