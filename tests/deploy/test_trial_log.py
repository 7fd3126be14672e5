"""The trial log: every stream by its stamps and names, whole or broken off, against rosbags' own reader."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy.mcap_reader import MAGIC, McapReader
from dextrack_deploy.status import State, Status
from dextrack_deploy.trial_log import Progress, read_trial
from rosbags.rosbag2 import Reader

from dextrack.errors import InputError

START_NS = 1_700_000_000_123_456_789


def test_streams_come_back_as_they_were_sent(made_trial) -> None:
    data = read_trial(made_trial.write())
    assert data.problems == ()
    for i in (0, 40, 100):
        stamp = data.truth.stamp_ns[i]
        frame = min(max((stamp - START_NS) / made_trial.period_ns, 0.0), 120.0)
        position, quaternion = made_trial.object_at(frame)
        assert data.truth.position_w[i] == pytest.approx(position, abs=1e-9)
        assert np.abs(data.truth.quaternion_w[i] @ quaternion) == pytest.approx(1.0, abs=1e-12)  # wxyz, not xyzw
        assert data.state.at(np.array([stamp]), made_trial.reference.joint_names)[0] == pytest.approx(made_trial.theta_at(frame), abs=1e-9)
    assert len(data.object_pose.stamp_ns) == len(data.truth.stamp_ns) // 2
    assert len(data.target.stamp_ns) == 120
    assert (np.diff(data.truth.stamp_ns) > 0).all()
    assert [s.state for _, s in data.statuses] == [State.IDLE, State.RUN, State.HOLD]
    assert (data.progress[-1].tick, data.progress[-1].ticks, data.progress[-1].done, data.progress[-1].overruns) == (120, 120, True, 2)
    begin, end = data.run_interval_ns() or (0, 0)
    assert (begin, end) == (START_NS - 1_000_000, START_NS + 120 * made_trial.period_ns)


def test_interpolation_is_by_stamps(made_trial) -> None:
    data = read_trial(made_trial.write())
    between = (data.truth.stamp_ns[60] + data.truth.stamp_ns[61]) // 2
    position, _ = data.truth.at(np.array([between]))
    assert position[0] == pytest.approx(0.5 * (data.truth.position_w[60] + data.truth.position_w[61]), abs=1e-9)
    with pytest.raises(InputError, match="no_such"):
        data.state.at(np.array([between]), ("no_such",))


def test_our_reader_sees_what_rosbags_sees(made_trial) -> None:
    log = made_trial.write() / "trial.mcap"
    bag = log.parent / "bag"
    (bag / "bag.mcap").symlink_to(log)
    with Reader(bag) as reader:
        theirs = sorted((c.topic, c.msgtype, t, bytes(raw)) for c, t, raw in reader.messages())
    ours = sorted((m.topic, m.type, m.received_ns, m.data) for m in McapReader(log))
    assert ours == theirs
    assert len(ours) > 500


@pytest.mark.parametrize("part", [0.0, 0.25, 0.6, 0.97])
def test_a_log_that_breaks_off_is_read_as_far_as_it_goes(made_trial, part: float) -> None:
    log = made_trial.write() / "trial.mcap"
    whole = [(m.topic, m.received_ns, m.data) for m in McapReader(log)]
    data = log.read_bytes()
    log.write_bytes(data[: len(MAGIC) + int(part * (len(data) - len(MAGIC)))])
    reader = McapReader(log)
    left = [(m.topic, m.received_ns, m.data) for m in reader]
    assert left == whole[: len(left)]
    assert ("breaks off" in " ".join(reader.problems)) == (len(left) < len(whole) or part < 0.99)
    trial = read_trial(made_trial.folder)
    assert len(trial.target.stamp_ns) == sum(topic == "/target" for topic, _, _ in left)
    assert "breaks off" in trial.problems[0]


def test_a_log_written_by_a_killed_recorder_has_its_flushed_chunks(made_trial) -> None:
    """Cut after the first whole chunk: all of it is there, and nothing else."""
    log = made_trial.write() / "trial.mcap"
    data, at = log.read_bytes(), len(MAGIC)
    while True:
        opcode, length = struct.unpack_from("<BQ", data, at)
        at += 9 + length
        if opcode == 0x06:
            break
    expected = [m for m in McapReader(log)]
    log.write_bytes(data[: at + 5])
    kept = list(McapReader(log))
    assert 0 < len(kept) <= len(expected)
    assert kept == expected[: len(kept)]


def test_a_damaged_chunk_is_left_out_and_said(made_trial) -> None:
    log = made_trial.write() / "trial.mcap"
    content = bytearray(log.read_bytes())
    at = len(MAGIC)
    while content[at] != 0x06:
        at += 9 + struct.unpack_from("<Q", content, at + 1)[0]
    (length,) = struct.unpack_from("<Q", content, at + 1)
    # rosbags leaves the checksum out; a writer that has one is checked against it.
    start = at + 9 + 16 + 8 + 4 + 4 + 8
    struct.pack_into("<I", content, at + 9 + 24, zlib.crc32(bytes(content[start : at + 9 + length])))
    log.write_bytes(content)
    whole = McapReader(log)
    assert len(list(whole)) > 0
    assert whole.problems == []
    content[start + 200] ^= 0xFF
    log.write_bytes(content)
    damaged = McapReader(log)
    list(damaged)
    assert "checksum" in damaged.problems[0]


def test_a_pose_that_is_not_finite_is_left_out_and_said(made_trial) -> None:
    log = made_trial.write() / "trial.mcap"
    whole = read_trial(made_trial.folder)
    z = struct.pack("<d", whole.truth.position_w[50, 2])
    content = log.read_bytes()
    assert z in content
    log.write_bytes(content.replace(z, struct.pack("<d", float("nan"))))
    data = read_trial(made_trial.folder)
    assert "could not be decoded" in data.problems[0]
    assert np.isfinite(data.truth.position_w).all()
    assert 0 < len(whole.truth.stamp_ns) - len(data.truth.stamp_ns) < 5


@pytest.mark.parametrize("content", [b"", b"no mcap file at all", MAGIC[:5]])
def test_what_is_no_log_is_said_and_not_raised(made_trial, content: bytes) -> None:
    log = made_trial.write() / "trial.mcap"
    log.write_bytes(content)
    data = read_trial(made_trial.folder)
    assert "not an MCAP file" in data.problems[0]
    assert len(data.truth.stamp_ns) == len(data.target_times_ns) == 0
    assert data.run_interval_ns() is None
    assert len(data.events) == 1


def test_a_missing_log_and_missing_events_are_said(tmp_path: Path) -> None:
    data = read_trial(tmp_path)
    assert any("trial log cannot be read" in p for p in data.problems)
    assert any("events cannot be read" in p for p in data.problems)
    with pytest.raises(InputError, match="no such trial folder"):
        read_trial(tmp_path / "nowhere")


def test_every_tick_counts_also_when_two_carry_the_same_stamp(made_trial) -> None:
    """Two targets may be made from the same newest sample; the loop's period must not double for that."""
    folder = made_trial.write()
    data = read_trial(folder)
    assert np.diff(data.target_times_ns) == pytest.approx(made_trial.period_ns, abs=1)
    from dextrack_deploy import trial_log

    collector = trial_log._Collector()
    for m in McapReader(folder / "trial.mcap"):
        collector.take(m)
    samples = collector._joints["target"]
    stamp = samples[10][0]
    samples[11] = (stamp, *samples[11][1:])
    times = collector.data((), ()).target_times_ns
    assert len(times) == 120
    assert np.diff(times).max() < 1.2 * made_trial.period_ns


def test_frames_of_a_slow_and_paused_run_are_where_the_controller_says(made_trial) -> None:
    """Half speed for 2 s, a pause of 3 s, then half speed again: frame n lies at n/30 s, and 3 s later from frame 60 on."""
    data = read_trial(made_trial.write())
    start = int(data.target_times_ns[0])

    def phase(t: float) -> float:
        return 30.0 * (t if t < 2.0 else max(t - 3.0, 2.0))

    progress = tuple(Progress(start + round(t * 1e9), "RUN", int(phase(t)), phase(t), 120, False, 0) for t in np.arange(0.1, 7.05, 0.1))
    slow = dataclasses.replace(data, progress=progress, statuses=((start, Status(State.RUN, pace=0.5)),))
    times = (slow.frame_times_ns(121, 1.0 / 60.0) - start) * 1e-9
    expected = np.arange(121) / 30.0
    expected[61:] += 3.0
    assert times == pytest.approx(expected, abs=0.12)
    assert np.delete(times, range(59, 65)) == pytest.approx(np.delete(expected, range(59, 65)), abs=1e-6)
    # At its own speed a run is periodic, whatever was said of its progress.
    own = dataclasses.replace(slow, statuses=((start, Status(State.RUN)),))
    assert (own.frame_times_ns(121, 1.0 / 60.0) - start) * 1e-9 == pytest.approx(np.arange(121) / 60.0, abs=1e-8)
