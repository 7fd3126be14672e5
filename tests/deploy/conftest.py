"""Trial folders made by hand: what a recorder would have written of a trial whose every sample is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD, Reference

START_NS = 1_700_000_000_123_456_789
"""When frame 0 of a made trial was."""
BOX = (0.06, 0.06, 0.08)
PERIOD_NS = round(CONTROL_PERIOD * 1e9)
TYPES = get_typestore(Stores.ROS2_KILTED)


def box(folder: Path) -> ObjectSpec:
    """A box among the trial's objects."""
    mesh = trimesh.creation.box(BOX)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces, dtype=np.int32)
    spec = ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1, source="made by a test")
    spec.save(folder / "objects" / "box.npz")
    return spec


def reference(seconds: float = 2.0, lift: float = 0.10) -> Reference:
    """The box goes up ``lift`` m and down again, turning by 30 degrees; the hand goes along above it."""
    hand = load_hand("leap_right")
    n = round(seconds / CONTROL_PERIOD)
    phase = np.linspace(0.0, 1.0, n + 1)
    up = lift * np.sin(np.pi * phase) ** 2
    position = np.stack([0.05 * phase, 0.0 * phase, BOX[2] / 2 + up], axis=1)
    half = 0.5 * np.deg2rad(30.0) * phase
    theta = np.zeros((n + 1, 22))
    theta[:, :3] = position + [-0.02, 0.02, 0.14]
    theta[:, 6:] = np.array(hand.rest) + 0.2 * phase[:, None] * np.sign(np.array(hand.upper) - np.array(hand.rest) - 0.3)
    quaternion = np.stack([np.cos(half), 0.0 * half, 0.0 * half, np.sin(half)], axis=1)
    keypoints = position[:, None] + np.linspace([-0.1, 0.0, 0.1], [0.02, 0.02, 0.06], 21)
    # The palm faces down with the fingers along +y.
    base = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])
    return Reference("made", hand.name, "box", hand.joint_names, base, theta, position, quaternion, keypoints, provenance={"recording": "0" * 64, "seed": 3})


@dataclasses.dataclass
class MadeTrial:
    """How the trial went; ``write`` makes its folder."""

    folder: Path
    offset_m: float = 0.01
    """The true object is this far from the reference, along x."""
    lift_factor: float = 1.0
    """The true object goes up this part of what the reference's does."""
    wrist_offset_m: float = 0.004
    finger_offset_rad: float = 0.05
    hold_at: int | None = None
    """Tick at which the cell went to HOLD; None: it ran to the end."""
    reason: str = "object lost: 0.31 s without a pose"
    truth: bool = True
    run: bool = True
    """False: the approach was refused."""
    period_ns: int = PERIOD_NS
    latency_ns: int = 2_000_000
    """Between each two stages."""
    reference: Reference = dataclasses.field(default_factory=reference)

    def write(self) -> Path:
        """Write the trial folder and return it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        box(self.folder)
        self.reference.save(self.folder / "placed.npz")
        task = {
            "placed": "placed.npz",
            "cell": "twin",
            "command": "dextrack track made",
            "seed": 7,
            "mode": "replay",
        }
        (self.folder / "task.json").write_text(json.dumps(task))
        (self.folder / "twin.json").write_text(json.dumps({"mismatch": {"label": "default", "friction": 0.7}, "object_digest": "x"}))
        bag = self.folder / "bag"
        with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for received, topic, type_name, message in sorted(self._messages(), key=lambda m: m[0]):
                connection = next((c for c in writer.connections if c.topic == topic), None)
                connection = connection or writer.add_connection(topic, type_name, typestore=TYPES)
                writer.write(connection, received, bytes(TYPES.serialize_cdr(message, type_name)))
        (bag / "bag.mcap").rename(self.folder / "trial.mcap")
        self._write_events()
        return self.folder

    @property
    def ticks(self) -> int:
        """Targets that were published."""
        return self.reference.n_steps if self.hold_at is None else self.hold_at

    def object_at(self, frame: float) -> tuple[np.ndarray, np.ndarray]:
        """The true object at a fractional frame of the reference."""
        r = self.reference
        frames = np.arange(len(r.hand))
        p = np.array([np.interp(frame, frames, r.object_position_w[:, i]) for i in range(3)])
        p[2] = BOX[2] / 2 + self.lift_factor * (p[2] - BOX[2] / 2)
        q = np.array([np.interp(frame, frames, r.object_quaternion_w[:, i]) for i in range(4)])
        return p + [self.offset_m, 0.0, 0.0], q / np.linalg.norm(q)

    def theta_at(self, frame: float) -> np.ndarray:
        """The true hand."""
        r = self.reference
        theta = np.array([np.interp(frame, np.arange(len(r.hand)), r.hand[:, i]) for i in range(22)])
        theta[1] += self.wrist_offset_m
        theta[6:] += self.finger_offset_rad
        return theta

    def _write_events(self) -> None:
        events: list[dict[str, Any]] = [{"stamp_ns": START_NS - 3_000_000_000, "kind": "state", "before": "IDLE", "after": "APPROACH", "reason": "asked"}]
        if not self.run:
            events = [{"stamp_ns": START_NS, "kind": "request", "event": "approach", "accepted": False, "reason": "approach is refused: object not in place"}]
        elif self.hold_at is not None:
            events.append({"stamp_ns": START_NS + self.hold_at * PERIOD_NS, "kind": "state", "before": "RUN", "after": "HOLD", "reason": self.reason})
        (self.folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))

    def _messages(self) -> list[tuple[int, str, str, Any]]:
        names = self.reference.joint_names
        out = [self._status(START_NS - 1_000_000_000, "IDLE", "")]
        if not self.run:
            return out
        out.append(self._status(START_NS - 1_000_000, "RUN", "the operator asked to run"))
        # Sensors run from before the first target to after the last, at stamps that are not those of the frames.
        for k in range(-30, self.ticks + 30):
            stamp = START_NS + k * PERIOD_NS + 3_000_000
            frame = min(max((stamp - START_NS) / PERIOD_NS, 0.0), float(self.ticks))
            p, q = self.object_at(frame)
            theta = self.theta_at(frame)
            if self.truth:
                out.append((stamp + 1_000_000, "/twin/truth", "geometry_msgs/msg/PoseStamped", pose(stamp, p, q)))
            if k % 2 == 0:
                out.append((stamp + 1_500_000, "/object_pose", "geometry_msgs/msg/PoseWithCovarianceStamped", seen(stamp, p + [0.0, 0.003, 0.0], q)))
            out.append((stamp + 500_000, "/hand/joint_states", "sensor_msgs/msg/JointState", joints(stamp, names[6:], theta[6:])))
            # Columns in an order of their own: whoever reads must go by name.
            out.append((stamp + 700_000, "/state/hand", "sensor_msgs/msg/JointState", joints(stamp, names[::-1], theta[::-1])))
        for k in range(self.ticks):
            out += self._tick(k)
        last = START_NS + self.ticks * self.period_ns
        told = {"last_run": json.dumps({"loop_duration_ms": {"n": self.ticks, "p50": 1.0, "p99": 2.5, "max": 3.0}, "longest_row": 1})}
        out.append((last + 2_000_000, "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", diagnostics(last, {"controller": told})))
        out.append((last + 3_000_000, "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", diagnostics(last, {"controller": {}})))
        out.append(self._progress(last - 1_000_000, self.ticks, self.hold_at is None))
        out.append(self._status(last, "HOLD", "the trial finished" if self.hold_at is None else self.reason))
        return out

    def _tick(self, k: int) -> list[tuple[int, str, str, Any]]:
        now, stamp = START_NS + k * self.period_ns, START_NS + k * self.period_ns - 4_000_000
        target = joints(stamp, self.reference.joint_names, self.reference.hand[k + 1])
        stages = ("target", "shadow", "hand_command")
        notes = {stage: {str(stamp): str(now + i * self.latency_ns)} for i, stage in enumerate(stages)}
        notes["camera"] = {str(stamp): str(now - 40_000_000)}
        return [
            (now + 200_000, "/target", "sensor_msgs/msg/JointState", target),
            (now + 300_000, "/latency", "diagnostic_msgs/msg/DiagnosticArray", diagnostics(now, notes)),
        ]

    def _status(self, received: int, state: str, reason: str) -> tuple[int, str, str, Any]:
        text = json.dumps({"state": state, "reaction": "HOLD", "reason": reason})
        return received, "/supervisor/state", "std_msgs/msg/String", TYPES.types["std_msgs/msg/String"](data=text)

    def _progress(self, received: int, tick: int, done: bool) -> tuple[int, str, str, Any]:
        values = {"state": "RUN", "tick": str(tick), "ticks": str(self.reference.n_steps), "done": str(done).lower(), "overruns": "2"}
        return received, "/controller/progress", "diagnostic_msgs/msg/DiagnosticStatus", status("controller", values)


def header(stamp: int) -> Any:
    """A ROS header."""
    time = TYPES.types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id="world")


def pose(stamp: int, p: np.ndarray, q: np.ndarray) -> Any:
    """A pose; ``q`` is wxyz."""
    point = TYPES.types["geometry_msgs/msg/Point"](x=float(p[0]), y=float(p[1]), z=float(p[2]))
    turn = TYPES.types["geometry_msgs/msg/Quaternion"](x=float(q[1]), y=float(q[2]), z=float(q[3]), w=float(q[0]))
    return TYPES.types["geometry_msgs/msg/PoseStamped"](header=header(stamp), pose=TYPES.types["geometry_msgs/msg/Pose"](position=point, orientation=turn))


def seen(stamp: int, p: np.ndarray, q: np.ndarray) -> Any:
    """What a camera makes of it."""
    told = TYPES.types["geometry_msgs/msg/PoseWithCovariance"](pose=pose(stamp, p, q).pose, covariance=np.zeros(36))
    return TYPES.types["geometry_msgs/msg/PoseWithCovarianceStamped"](header=header(stamp), pose=told)


def joints(stamp: int, names: tuple[str, ...], position: np.ndarray) -> Any:
    """A joint state without velocities."""
    empty = np.zeros(0)
    return TYPES.types["sensor_msgs/msg/JointState"](header(stamp), list(names), np.ascontiguousarray(position), empty, empty)


def status(name: str, values: dict[str, str]) -> Any:
    """A diagnostic status that is well."""
    pairs = [TYPES.types["diagnostic_msgs/msg/KeyValue"](key=k, value=v) for k, v in values.items()]
    return TYPES.types["diagnostic_msgs/msg/DiagnosticStatus"](level=0, name=name, message="", hardware_id="", values=pairs)


def diagnostics(stamp: int, notes: dict[str, dict[str, str]]) -> Any:
    """Statuses under one stamp."""
    return TYPES.types["diagnostic_msgs/msg/DiagnosticArray"](header=header(stamp), status=[status(n, v) for n, v in notes.items()])


@pytest.fixture
def made_trial(tmp_path: Path) -> MadeTrial:
    """A trial that went well; change it, then ``write`` it."""
    return MadeTrial(tmp_path / "trial")
