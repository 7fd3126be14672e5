"""The trial log: read back by rosbags, whole after a full disk, and salvaged after a kill."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy import graph
from dextrack_deploy.mcap_reader import McapReader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from dextrack.errors import RefusedError

TYPES = get_typestore(Stores.ROS2_KILTED)
TOPICS = (graph.topic("target"), graph.topic("object_pose"), graph.topic("/diagnostics"))


def pose(x: float) -> bytes:
    t = TYPES.types
    header = t["std_msgs/msg/Header"](stamp=t["builtin_interfaces/msg/Time"](sec=1, nanosec=2), frame_id="world")
    point = t["geometry_msgs/msg/Point"](x=x, y=0.0, z=0.0)
    value = t["geometry_msgs/msg/Pose"](position=point, orientation=t["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0))
    seen = t["geometry_msgs/msg/PoseWithCovariance"](pose=value, covariance=np.zeros(36))
    name = graph.topic("object_pose").type
    return bytes(TYPES.serialize_cdr(t[name](header=header, pose=seen), name))


def test_reads_back_with_standard_tools(tmp_path: Path) -> None:
    from dextrack_ros.log_writer import TrialLogWriter

    log = TrialLogWriter(tmp_path, TOPICS, 1.0)
    for n in range(300):
        log.write("object_pose", 1000 + n, pose(float(n)))
        if n % 100 == 99:
            log.flush()
    log.close()
    log.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metadata.yaml", "trial.mcap"]
    with Reader(tmp_path) as bag:  # the folder is a rosbag2 bag
        assert {c.topic for c in bag.connections} == {"/target", "/object_pose", "/diagnostics"}
        assert bag.message_count == 300
    with AnyReader([tmp_path / "trial.mcap"], default_typestore=TYPES) as bag:  # and the file alone is MCAP
        read = [(t, bag.deserialize(raw, c.msgtype).pose.pose.position.x) for c, t, raw in bag.messages()]
    assert read == [(1000 + n, float(n)) for n in range(300)]


def test_offers_the_quality_of_service_of_the_graph(tmp_path: Path) -> None:
    from dextrack_ros.log_writer import TrialLogWriter

    TrialLogWriter(tmp_path, (graph.topic("supervisor/state"), graph.topic("object_pose")), 1.0).close()
    with Reader(tmp_path) as bag:
        qos = {c.topic: c.ext.offered_qos_profiles[0] for c in bag.connections}
    assert qos["/supervisor/state"].durability.name == "TRANSIENT_LOCAL" and qos["/supervisor/state"].reliability.name == "RELIABLE"
    assert qos["/object_pose"].durability.name == "VOLATILE" and qos["/object_pose"].reliability.name == "BEST_EFFORT"


def test_refuses_a_second_log_and_a_disk_without_room(tmp_path: Path) -> None:
    from dextrack_ros.log_writer import TrialLogWriter

    TrialLogWriter(tmp_path, TOPICS, 1.0).close()
    with pytest.raises(RefusedError, match="trial log already"):
        TrialLogWriter(tmp_path, TOPICS, 1.0)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(RefusedError, match="MB are free"):
        TrialLogWriter(other, TOPICS, 1e12)
    assert not list(other.iterdir())


def count(path: Path) -> tuple[int, list[str]]:
    reader = McapReader(path)
    return sum(1 for _ in reader), reader.problems


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from dextrack_deploy import graph
    from dextrack_ros.log_writer import TrialLogWriter
    log = TrialLogWriter(Path(sys.argv[1]), (graph.topic("target"),), 0.001)
    n = 0
    while True:
        log.write("target", n, bytes(2000))
        n += 1
        if n % 50 == 0:
            log.flush()
            if log.broken:
                break
            print(n, flush=True)
    print("broken", log.messages, log.broken, flush=True)
""")


def test_a_killed_writer_leaves_what_it_flushed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(20):
        flushed = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    found, problems = count(tmp_path / "trial.mcap")
    assert found >= flushed
    assert len(problems) == 1 and "breaks off" in problems[0]


def test_a_full_disk_ends_the_log_with_its_index(tmp_path: Path) -> None:
    """A file system of 8 MB is filled by the log itself: the reserve makes room for the end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        out = subprocess.run([sys.executable, "-c", WRITER, str(disk)], capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()[-1]
        word, messages, reason = out.split(" ", 2)
        assert word == "broken" and "No space left" in reason
        found, problems = count(disk / "trial.mcap")
        assert found == int(messages) > 1000 and problems == []
        with Reader(disk) as bag:
            assert bag.message_count == found
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_takes_nothing_more_leaves_whole_records(tmp_path: Path) -> None:
    """With a limit on the file's size not even the reserve helps: no index, but every record that fits."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True, preexec_fn=limit)
    assert "File too large" in done.stdout.splitlines()[-1]
    found, problems = count(tmp_path / "trial.mcap")
    assert found > 1000 and len(problems) == 1
    assert np.isclose(found * 2000, 5_000_000, rtol=0.2)
