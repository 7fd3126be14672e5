"""Real processes over the real link."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
import trimesh
import zmq
from dextrack_deploy.twin.commands import FLUSH_S, read_commands
from dextrack_deploy.twin.link import TIMEOUT_S, TwinClient
from dextrack_deploy.twin.process import TwinProcess

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.objects.spec import ObjectSpec

SERVER = [sys.executable, "-m", "dextrack_deploy.twin.server"]


def raw(endpoint: str, *messages: bytes) -> Iterator[dict]:
    """Send bytes as they are; yields each answer that comes within half a second."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(endpoint)
    for message in messages:
        socket.send(message)
    while socket.poll(500):
        yield msgpack.unpackb(socket.recv())
    socket.close()
    context.term()


def test_hello_names_everything(client: TwinClient, box: ObjectSpec) -> None:
    hello = client.hello
    assert (hello["protocol"], hello["version"], hello["cell"], hello["hand"], hello["seed"]) == ("dextrack-twin", 1, "twin", "leap_right", 3)
    assert hello["hand_joints"] == [str(i) for i in range(16)]
    assert hello["arm_joints"] == [f"fr3_joint{i}" for i in range(1, 8)]
    assert hello["object_digest"] == box.digest
    assert hello["mismatch"]["label"] == "default"


def test_it_listens_on_loopback_only(client: TwinClient) -> None:
    listening = [c.laddr for c in psutil.Process(client.hello["pid"]).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening] == ["127.0.0.1"]


def test_real_time_and_stamps(client: TwinClient) -> None:
    first, wall = client.call("status"), time.monotonic()
    ages = []
    while time.monotonic() - wall < 2.0:
        stamp = client.call("hand.read")["stamp"]
        ages.append(time.time_ns() - stamp)
        time.sleep(0.01)
    last, elapsed = client.call("status"), time.monotonic() - wall
    assert last["time_s"] - first["time_s"] + last["slipped_s"] == pytest.approx(elapsed, abs=0.05)
    # Never from the future, and never much older than a beat and the answer's way.
    assert min(ages) >= 0
    assert np.median(ages) < 20e6
    assert (last["cpu_s"] - first["cpu_s"]) / elapsed < 0.35


def slab(parts: int) -> ObjectSpec:
    """10 x 10 x 1 cm, of ``parts`` slices."""
    slices = []
    for n in range(parts):
        mesh = trimesh.creation.box((0.1 / parts, 0.1, 0.01))
        mesh.apply_translation((0.1 * (n + 0.5) / parts - 0.05, 0.0, 0.0))
        slices.append((np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)))
    whole = trimesh.creation.box((0.1, 0.1, 0.01))
    return ObjectSpec("slab", np.array(whole.vertices), np.array(whole.faces, dtype=np.int32), tuple(slices), mass=0.15)


def test_real_time_with_fingers_pressing_on_an_object_of_ten_parts(tmp_path: Path, low: np.ndarray) -> None:
    slab(10).save(tmp_path / "slab.npz")
    with TwinProcess(tmp_path / "slab.npz") as twin, TwinClient(twin.endpoint) as client:
        client.call("reset", 10.0, position=[-0.05, 0.0, 0.0], arm=low.tolist())
        client.call("hand.write", targets=[0.0, 1.2, 0.0, 0.0] * 3 + [0.9, 0.0, 0.2, 0.2], stamp=0)
        time.sleep(0.5)
        first, begin, contacts = client.call("status"), time.monotonic(), []
        while time.monotonic() - begin < 3.0:
            contacts.append(client.call("truth.read")["hand_contacts"])
            client.call("hand.read"), client.call("arm.read"), client.call("camera.read")
            time.sleep(1.0 / 60.0)
        last, elapsed = client.call("status"), time.monotonic() - begin
    cpu = (last["cpu_s"] - first["cpu_s"]) / elapsed
    print(f"contacts {np.mean(contacts):.1f}, {cpu:.3f} of a core, lateness p99 {last['lateness_p99_ms']:.2f} ms, slips {last['slips']}")
    assert np.mean(contacts) > 3
    assert (last["time_s"] - first["time_s"]) / elapsed > 0.9
    assert cpu < 0.35


def test_camera_samples_come_at_30_hz_with_their_stamps(client: TwinClient) -> None:
    stamps: dict[int, int] = {}
    begin = time.monotonic()
    while time.monotonic() - begin < 2.0:
        sample = client.call("camera.read")
        if sample:
            stamps[sample["number"]] = sample["stamp"]
            assert time.time_ns() - sample["stamp"] >= 30e6
        time.sleep(0.005)
    intervals = np.diff([stamps[n] for n in sorted(stamps)]) / np.diff(sorted(stamps))
    assert len(stamps) >= 50
    np.testing.assert_allclose(intervals, 1e9 / 30.0, rtol=1e-3)


def test_latency_is_visible_over_the_link(client: TwinClient) -> None:
    before = np.array(client.call("hand.read")["position"])
    target = before.copy()
    target[5] += 0.5
    sent = client.call("hand.write", targets=target.tolist(), stamp=1)["stamp"]
    while True:
        reading = client.call("hand.read")
        if reading["position"][5] - before[5] > 0.02:
            break
    # 30 ms of latency, and a few for the motor to turn and to be seen.
    assert 0.030 <= (reading["stamp"] - sent) / 1e9 < 0.100


def test_reset_puts_the_object_where_it_is_told(client: TwinClient) -> None:
    client.call("hand.write", targets=[0.0] * 16, stamp=1)
    settled = client.call("reset", 10.0, position=[0.15, -0.1, 0.5], quaternion=[0.0, 0.0, 0.0, 1.0])
    assert settled["still"] and settled["moved_m"] < 1e-3
    truth = client.call("truth.read")
    np.testing.assert_allclose(truth["position"], [0.15, -0.1, 0.02], atol=1e-3)
    assert abs(truth["quaternion"][3]) == pytest.approx(1.0, abs=1e-3)
    assert truth["table_contacts"] > 0 and truth["hand_contacts"] == 0
    status = client.call("status")
    assert status["time_s"] < 1.0 and status["commands"] == {} and status["hand_command_age_s"] is None


def test_refusals_cross_the_link_with_their_words(client: TwinClient) -> None:
    with pytest.raises(InputError, match="finite"):
        client.call("hand.write", targets=[float("nan")] * 16, stamp=1)
    with pytest.raises(InputError, match="fr3_joint4"):
        client.call("arm.write", q=[0.0] * 7, stamp=1)
    with pytest.raises(InputError, match="argument"):
        client.call("hand.write")
    with pytest.raises(InputError, match="not known"):
        client.call("hand.wave")
    with pytest.raises(InputError, match="quaternion"):
        client.call("reset", position=[0, 0, 0], quaternion=[0, 0, 0, 0])
    assert client.call("status")["commands"] == {}


def test_strangers_neither_stop_the_twin_nor_command_it(client: TwinClient) -> None:
    rubbish = [b"", b"\x00", os.urandom(200), msgpack.packb([1, 2]), msgpack.packb({1: 2}), msgpack.packb("x"), b"\xc1", b"x" * 200_000]
    assert list(raw(client.endpoint, *rubbish[:-1])) == []
    list(raw(client.endpoint, rubbish[-1]))
    wrong_version = {"v": 99, "id": 1, "do": "hello"}
    no_session = {"v": 1, "id": 2, "do": "hand.write", "targets": [0.0] * 16, "stamp": 0}
    unhashable = {"v": 1, "id": 3, "do": ["hello"]}
    answers = {a["id"]: a for a in raw(client.endpoint, *map(msgpack.packb, (wrong_version, no_session, unhashable)))}
    assert "version 99" in answers[1]["error"]["what"]
    assert "session" in answers[2]["error"]["what"]
    assert not answers[3]["ok"]
    assert client.call("status")["commands"] == {}


def test_a_killed_twin_is_a_driver_error_at_once(process: TwinProcess) -> None:
    with TwinClient(process.endpoint, timeout_s=5.0) as client:
        client.call("status")
        process.process.kill()
        process.process.wait()
        begin = time.monotonic()
        with pytest.raises(DriverError, match="connection was lost"):
            client.call("hand.read")
    # At once, and not only when the time for an answer is up.
    assert time.monotonic() - begin < 1.0


def test_a_frozen_twin_is_a_driver_error_and_its_late_answer_is_not_taken_for_another(process: TwinProcess) -> None:
    with TwinClient(process.endpoint) as client:
        process.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(DriverError, match="hangs"):
            client.call("hand.read")
        assert TIMEOUT_S <= time.monotonic() - begin < TIMEOUT_S + 0.5
        process.process.send_signal(signal.SIGCONT)
        assert "q" in client.call("arm.read", 5.0)
        # The time it was frozen is given up, not raced after.
        deadline = time.monotonic() + 2.0
        while client.call("status", 2.0)["slips"] == 0:
            assert time.monotonic() < deadline


def test_a_restarted_twin_does_not_obey_a_client_of_the_earlier_one(box_file: Path) -> None:
    with TwinProcess(box_file) as first:
        port = first.endpoint.rsplit(":", 1)[1]
        client = TwinClient(first.endpoint)
    with TwinProcess(box_file, ["--port", port]), client:
        deadline = time.monotonic() + 5.0
        while True:
            try:
                client.call("hand.write", targets=[0.0] * 16, stamp=0)
            except DriverError:
                assert time.monotonic() < deadline
            except RefusedError as error:
                assert "session" in str(error)
                break


def test_nobody_listening_is_named(process: TwinProcess) -> None:
    endpoint = process.endpoint
    process.close()
    begin = time.monotonic()
    with pytest.raises(DriverError, match="nobody listens"):
        TwinClient(endpoint, connect_timeout_s=0.5)
    assert time.monotonic() - begin < 2.0
    with pytest.raises(DriverError, match="no endpoint"):
        TwinClient("127.0.0.1")


def test_a_taken_port_is_refused(client: TwinClient, box_file: Path) -> None:
    port = client.endpoint.rsplit(":", 1)[1]
    with pytest.raises(DriverError, match="port " + port):
        TwinProcess(box_file, ["--port", port])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(box_file: Path, number: signal.Signals, tmp_path: Path) -> None:
    server = subprocess.Popen([*SERVER, "--object", str(box_file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert server.stdout is not None and server.stderr is not None
    server.stdout.readline()
    server.send_signal(number)
    assert server.wait(5.0) == 0
    assert server.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []
    server.stdout.close()
    server.stderr.close()


def test_it_ends_when_its_owner_is_killed(box_file: Path) -> None:
    code = (
        "import time; from pathlib import Path; from dextrack_deploy.twin.process import TwinProcess;"
        f"t = TwinProcess(Path({str(box_file)!r})); print(t.process.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    twin = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert psutil.wait_procs([twin], timeout=5.0)[1] == []


def test_bad_object_files_are_named(tmp_path: Path) -> None:
    import pickle

    missing, truncated, pickled = tmp_path / "missing.npz", tmp_path / "truncated.npz", tmp_path / "pickled.npz"
    truncated.write_bytes(b"PK\x03\x04 nothing more")
    pickled.write_bytes(pickle.dumps({"vertices": [1, 2, 3]}))
    for path in (missing, truncated, pickled):
        with pytest.raises(DriverError, match=path.name):
            TwinProcess(path)


def test_zero_mismatch_is_explicit_and_labelled(box_file: Path) -> None:
    with TwinProcess(box_file, ["--zero-mismatch"]) as twin, TwinClient(twin.endpoint) as client:
        assert twin.mismatch["label"] == client.call("status")["mismatch"]["label"] == "zero_mismatch"
    with TwinProcess(box_file, ["--mismatch.friction", "0.5"]) as twin:
        assert (twin.mismatch["label"], twin.mismatch["friction"]) == ("custom", 0.5)
    with pytest.raises(DriverError, match="excludes"):
        TwinProcess(box_file, ["--zero-mismatch", "--mismatch.friction", "0.5"])


def test_accepted_commands_are_traced_and_refused_ones_are_not(box_file: Path, low: np.ndarray, tmp_path: Path) -> None:
    trace = tmp_path / "commands.jsonl"
    with TwinProcess(box_file, ["--commands", str(trace)]) as twin, TwinClient(twin.endpoint, timeout_s=2.0) as client:
        before = time.time_ns()
        client.call("hand.write", targets=[0.123456789] * 16, stamp=11)
        client.call("arm.write", q=low.tolist(), stamp=12)
        client.call("arm.stop")
        client.call("hand.power", power="soft")
        with pytest.raises(InputError):
            client.call("hand.write", targets=[float("nan")] * 16, stamp=13)
        with pytest.raises(InputError):
            client.call("arm.write", q=[0.0] * 7, stamp=14)
        after = time.time_ns()
        # A twin that is killed loses no more than what came just before.
        time.sleep(3.0 * FLUSH_S)
        twin.process.kill()
        twin.process.wait()
    commands = read_commands(trace)
    assert (commands.hand.stamp_ns.tolist(), commands.arm.stamp_ns.tolist(), commands.cut) == ([11], [12], 0)
    np.testing.assert_allclose(commands.hand.values, 0.123456789, atol=1e-6)
    np.testing.assert_allclose(commands.arm.values[0], low, atol=1e-6)
    times = [commands.hand.at_ns[0], commands.arm.at_ns[0], *commands.arm_stops_ns, commands.powers[0][0]]
    assert [before, *times, after] == sorted([before, *times, after])
    assert commands.powers[0][1] == "soft"


def test_a_trace_outlives_its_commander_and_a_line_that_was_cut_is_left_out(box_file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "commands.jsonl"
    with TwinProcess(box_file, ["--commands", str(trace)]) as twin:
        code = (
            "import sys; from dextrack_deploy.twin.link import TwinClient; c = TwinClient(sys.argv[1], 2.0);"
            "[c.call('hand.write', targets=[0.1] * 16, stamp=n) for n in range(1, 51)]; import os; os.kill(os.getpid(), 9)"
        )
        assert subprocess.run([sys.executable, "-c", code, twin.endpoint]).returncode == -signal.SIGKILL
    assert read_commands(trace).hand.stamp_ns.tolist() == list(range(1, 51))
    whole = trace.read_bytes()
    trace.write_bytes(whole[:-20])
    assert (len(read_commands(trace).hand.at_ns), read_commands(trace).cut) == (49, 1)
    with pytest.raises(InputError, match="nowhere"):
        read_commands(tmp_path / "nowhere.jsonl")


def test_a_trace_that_cannot_be_written_is_refused_and_a_full_disk_does_not_stop_the_twin(box_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="command trace"):
        TwinProcess(box_file, ["--commands", str(tmp_path / "nowhere" / "commands.jsonl")])
    with TwinProcess(box_file, ["--commands", "/dev/full"]) as twin, TwinClient(twin.endpoint, timeout_s=2.0) as client:
        client.call("hand.write", targets=[0.1] * 16, stamp=1)
        time.sleep(3.0 * FLUSH_S)
        assert client.call("status")["commands"] == {"hand": 1}
