"""Between our arrays and ROS messages. This is the edge where wxyz becomes xyzw and nanoseconds become (sec, nanosec)."""

from __future__ import annotations

import importlib
import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from dextrack_deploy import graph
from dextrack_deploy.drivers.protocols import ObjectPose
from dextrack_deploy.hand_state import by_name
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, TwistStamped
from numpy.typing import ArrayLike, NDArray
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

OK = DiagnosticStatus.OK
"""Level of a status without complaint."""

WORLD = "world"
"""Frame id of poses in the world."""

NANOSECONDS = 1_000_000_000
"""In one second. Stamps are whole nanoseconds since the epoch: carried through any number of messages, they stay the same number."""

Floats = NDArray[np.float64]


def qos(kind: str) -> QoSProfile:
    """The rclpy profile of a key of ``graph.QOS``."""
    q = graph.QOS[kind]
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=q.depth,
        reliability=ReliabilityPolicy.RELIABLE if q.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if q.latched else DurabilityPolicy.VOLATILE,
    )


def message_class(type_name: str) -> Any:
    """The class of a message type as the graph spells it: package, ``msg`` and message, joined by slashes."""
    package, folder, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{folder}"), name)


def to_time(stamp: int) -> Time:
    """A stamp in ns as a message."""
    return Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)


def from_time(time: Time) -> int:
    """A message's stamp in ns."""
    return int(time.sec * NANOSECONDS + time.nanosec)


def joint_state(stamp: int, names: Sequence[str], position: ArrayLike, velocity: ArrayLike | None = None, effort: ArrayLike | None = None) -> JointState:
    """A JointState sampled at ``stamp`` (ns) in rad (m for slides); absent fields stay empty."""
    m = JointState(name=list(names), position=_doubles(position))
    m.header.stamp = to_time(stamp)
    if velocity is not None:
        m.velocity = _doubles(velocity)
    if effort is not None:
        m.effort = _doubles(effort)
    return m


def _doubles(values: ArrayLike) -> array[float]:
    """``values`` as the array type that messages take without looking at each element."""
    return array("d", np.asarray(values, dtype=np.float64).tobytes())


def positions(message: JointState, names: Sequence[str]) -> Floats:
    """Positions in the order of ``names``, whatever order the message has. InputError where one is absent."""
    return by_name(message.name, message.position, names)


def velocities(message: JointState, names: Sequence[str]) -> Floats | None:
    """Velocities in the order of ``names``; None where the message has none."""
    return by_name(message.name, message.velocity, names) if len(message.velocity) else None


def efforts(message: JointState, names: Sequence[str]) -> Floats | None:
    """Efforts in the order of ``names``; None where the message has none."""
    return by_name(message.name, message.effort, names) if len(message.effort) else None


def pose(stamp: int, position_w: ArrayLike, quaternion_w: ArrayLike) -> PoseStamped:
    """A pose in the world from a position in m and a wxyz quaternion."""
    m = PoseStamped()
    m.header.stamp = to_time(stamp)
    m.header.frame_id = WORLD
    _put(m.pose, position_w, quaternion_w)
    return m


def object_pose(sample: ObjectPose) -> PoseWithCovarianceStamped:
    """What a camera saw, in the world. A covariance of zeros stands for one that was not told."""
    m = PoseWithCovarianceStamped()
    m.header.stamp = to_time(sample.stamp)
    m.header.frame_id = WORLD
    _put(m.pose.pose, sample.position_w, sample.quaternion_w)
    if sample.covariance is not None:
        m.pose.covariance = np.asarray(sample.covariance, dtype=np.float64).ravel()
    return m


def from_object_pose(message: PoseWithCovarianceStamped) -> ObjectPose:
    """What ``object_pose`` made, or another estimator that publishes on its topic."""
    p, o = message.pose.pose.position, message.pose.pose.orientation
    covariance = np.array(message.pose.covariance).reshape(6, 6)
    position, quaternion = np.array([p.x, p.y, p.z]), np.array([o.w, o.x, o.y, o.z])
    return ObjectPose(from_time(message.header.stamp), position, quaternion, covariance if covariance.any() else None)


def _put(pose: Pose, position_w: ArrayLike, quaternion_w: ArrayLike) -> None:
    p, o = pose.position, pose.orientation
    p.x, p.y, p.z = (float(v) for v in np.asarray(position_w))
    o.w, o.x, o.y, o.z = (float(v) for v in np.asarray(quaternion_w))


def twist(stamp: int, linear_w: ArrayLike, angular_w: ArrayLike) -> TwistStamped:
    """A twist in the world, m/s and rad/s."""
    m = TwistStamped()
    m.header.stamp = to_time(stamp)
    m.header.frame_id = WORLD
    m.twist.linear.x, m.twist.linear.y, m.twist.linear.z = (float(v) for v in np.asarray(linear_w))
    m.twist.angular.x, m.twist.angular.y, m.twist.angular.z = (float(v) for v in np.asarray(angular_w))
    return m


def from_twist(message: TwistStamped) -> tuple[int, Floats, Floats]:
    """(stamp ns, linear (3,) m/s, angular (3,) rad/s) of a twist."""
    v, w = message.twist.linear, message.twist.angular
    return from_time(message.header.stamp), np.array([v.x, v.y, v.z]), np.array([w.x, w.y, w.z])


def status(name: str, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    """A diagnostic status; values other than strings are written as JSON."""
    pairs = [KeyValue(key=k, value=v if isinstance(v, str) else json.dumps(v)) for k, v in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, hardware_id="", values=pairs)


def diagnostics(stamp: int, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Statuses under one stamp."""
    m = DiagnosticArray(status=list(statuses))
    m.header.stamp = to_time(stamp)
    return m


def from_status(message: DiagnosticStatus) -> dict[str, str]:
    """The values of a status by key."""
    return {pair.key: pair.value for pair in message.values}
