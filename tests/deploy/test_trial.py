"""The trial folder with real processes, real kills and a really full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dextrack_deploy.trial import EventLog, TrialFolder, TrialOutcome, read_events

from dextrack.errors import InputError, RefusedError

HOLDER = """
import sys, time
from pathlib import Path
from dextrack_deploy.trial import TrialFolder
with TrialFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""

WRITER = """
import sys
from pathlib import Path
from dextrack_deploy.trial import EventLog
log = EventLog(Path(sys.argv[1]))
k = 0
while True:
    log.write("state", k, durable=k % 10 == 0, text="x" * 200)
    if k == 50:
        print("going", flush=True)
    k += 1
"""


def start(script: str, path: Path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() in ("locked", "going")
    return process


def test_the_second_owner_is_refused_with_the_first_ones_pid_and_a_dead_one_locks_nothing(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "run")
    process = start(HOLDER, folder.path)
    try:
        with pytest.raises(RefusedError, match=f"process {process.pid} "), folder.locked():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder.path / ".lock").exists(), "the killed owner left its file"
    with folder.locked() as owned:
        assert (owned.path / ".lock").read_text() == str(os.getpid())
        with pytest.raises(RefusedError), TrialFolder(folder.path).locked():
            pass
    assert os.listdir(folder.path) == []


def test_many_processes_at_once_leave_one_owner(tmp_path: Path) -> None:
    script = HOLDER.replace("time.sleep(60)", "time.sleep(3)")
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(5)]
    outputs = [p.communicate()[0] for p in processes]
    assert outputs.count("locked\n") == 1 and outputs.count("") == 4


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), TrialFolder(tmp_path / "file" / "run").locked():
        pass


def test_latest_points_to_the_newest_and_spares_a_real_folder(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        TrialFolder(tmp_path / name).point_latest()
        assert os.readlink(tmp_path / "latest") == name
    assert sorted(os.listdir(tmp_path)) == ["first", "latest", "second"]
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    TrialFolder(tmp_path / "first").point_latest()
    assert (tmp_path / "latest").is_dir() and not (tmp_path / "latest").is_symlink()


def test_events_survive_a_kill_up_to_the_line_being_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    process = start(WRITER, path)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(path, "ab") as f:
        f.write(b'{"stamp_ns": 12, "kind": "sta')
    events, damaged = read_events(path)
    assert damaged == 1 and len(events) > 50
    assert [e["stamp_ns"] for e in events] == list(range(len(events)))
    log = EventLog(path)
    log.write("state", 10**9, durable=True, state="HOLD")
    log.close()
    after, damaged = read_events(path)
    assert damaged == 1 and after[-1] == {"stamp_ns": 10**9, "kind": "state", "state": "HOLD"}


def test_two_writers_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    processes = [start(WRITER, path) for _ in range(2)]
    time.sleep(0.2)
    for p in processes:
        p.send_signal(signal.SIGTERM)
        p.wait()
    events, damaged = read_events(path)
    assert damaged == 0 and len(events) > 100


def test_a_full_disk_keeps_events_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write("state", 1)
    full, write, room = OSError(28, "No space left on device"), os.write, 10

    def short_write(handle: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise full
        n = write(handle, data[:room])
        room -= n
        return n

    monkeypatch.setattr(os, "write", short_write)
    log.write("state", 2, durable=True)
    log.write("state", 3)
    assert "No space" in log.error
    assert read_events(path) == ([{"stamp_ns": 1, "kind": "state"}], 1)
    room = 10**6
    log.close()
    monkeypatch.undo()
    assert [e["stamp_ns"] for e in read_events(path)[0]] == [1, 2, 3] and log.error == ""


def test_a_device_without_room_is_reported_not_raised() -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("this system has no /dev/full")
    log = EventLog(Path("/dev/full"))
    log.write("state", 1, durable=True)
    assert "No space" in log.error


def test_events_are_sorted_by_stamp_and_nan_is_refused(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e.jsonl")
    for stamp in (3, 1, 2):
        log.write("note", stamp)
    with pytest.raises(ValueError):
        log.write("note", 4, value=float("nan"))
    log.close()
    (tmp_path / "e.jsonl").open("a").write("[1]\n" + json.dumps({"kind": "x"}) + "\n")
    events, damaged = read_events(tmp_path / "e.jsonl")
    assert [e["stamp_ns"] for e in events] == [1, 2, 3] and damaged == 2
    with pytest.raises(InputError):
        read_events(tmp_path / "missing.jsonl")


def test_outcomes() -> None:
    assert TrialOutcome("finished", "the trial finished", 300, 300).complete
    assert not TrialOutcome("held", "object lost").complete
    with pytest.raises(InputError):
        TrialOutcome("won", "")
