"""The edge between our arrays and ROS messages."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dextrack_deploy import graph
from dextrack_deploy.drivers.protocols import ObjectPose
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dextrack.errors import InputError


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_survive_to_the_nanosecond(stamp: int) -> None:
    from dextrack_ros import messages

    time = messages.to_time(stamp)
    assert time.sec == stamp // 10**9 and 0 <= time.nanosec < 10**9
    assert messages.from_time(time) == stamp


def test_pose_is_xyzw_in_ros_and_wxyz_here() -> None:
    from dextrack_ros import messages

    rotation = Rotation.from_euler("xyz", [0.3, -0.5, 1.1])
    m = messages.pose(7, [1.0, 2.0, 3.0], rotation.as_quat(scalar_first=True))
    o = m.pose.orientation
    np.testing.assert_allclose(Rotation.from_quat([o.x, o.y, o.z, o.w]).as_matrix(), rotation.as_matrix(), atol=1e-12)
    assert m.header.frame_id == "world"
    np.testing.assert_array_equal([m.pose.position.x, m.pose.position.y, m.pose.position.z], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("covariance", [None, np.arange(36.0).reshape(6, 6)])
def test_what_a_camera_saw_comes_back(covariance: np.ndarray | None) -> None:
    from dextrack_ros import messages

    sample = ObjectPose(7, np.array([1.0, 2.0, 3.0]), Rotation.from_euler("xyz", [0.3, -0.5, 1.1]).as_quat(scalar_first=True), covariance)
    back = messages.from_object_pose(messages.object_pose(sample))
    assert back.stamp == 7 and (back.covariance is None) == (covariance is None)
    for field in ("position_w", "quaternion_w") + (() if covariance is None else ("covariance",)):
        np.testing.assert_array_equal(getattr(back, field), getattr(sample, field))


def test_joints_are_found_by_name_in_any_order() -> None:
    from dextrack_ros import messages

    m = messages.joint_state(5, ["b", "a"], [2.0, 1.0], velocity=[20.0, 10.0])
    np.testing.assert_array_equal(messages.positions(m, ["a", "b"]), [1.0, 2.0])
    np.testing.assert_array_equal(messages.velocities(m, ["a", "b"]), [10.0, 20.0])
    assert messages.efforts(m, ["a", "b"]) is None
    with pytest.raises(InputError, match="missing c"):
        messages.positions(m, ["a", "c"])


def test_status_values_are_text_or_json() -> None:
    from dextrack_ros import messages

    m = messages.status("node", messages.OK, "well", {"text": "as it is", "flag": True, "list": ["a"]})
    values = messages.from_status(m)
    assert values["text"] == "as it is" and json.loads(values["flag"]) is True and json.loads(values["list"]) == ["a"]


@pytest.mark.parametrize("topic", graph.TOPICS, ids=lambda t: t.name)
def test_every_topic_of_the_graph_has_a_message_class_and_a_profile(topic: graph.Topic) -> None:
    from dextrack_ros import messages

    assert messages.message_class(topic.type).__name__ == topic.type.rpartition("/")[2]
    assert messages.qos(topic.qos).depth == graph.QOS[topic.qos].depth


def test_of_a_stamp_that_passes_a_stage_twice_the_first_time_is_noted() -> None:
    from dextrack_ros import messages
    from dextrack_ros.latency import StageLog

    log = StageLog()
    log.add("target", 5, 100)
    log.add("target", 5, 200)
    log.add("target", 6, 300)
    log.add("shadow", 5, 150)
    assert len(log) == 3
    assert {s.name: messages.from_status(s) for s in log.take()} == {"target": {"5": "100", "6": "300"}, "shadow": {"5": "150"}}
    assert len(log) == 0 and log.take() == []
