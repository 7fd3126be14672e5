"""The real Dynamixel SDK against the peer, over a real pseudo terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from dextrack_deploy.twin.dynamixel.__main__ import Options, serve
from dextrack_deploy.twin.dynamixel.faults import BadChecksum, LostBytes, Silent, Turned
from dextrack_deploy.twin.dynamixel.motor import BOOT_S
from dextrack_deploy.twin.dynamixel.process import PeerProcess
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.process import TwinProcess
from dynamixel_sdk import COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS, GroupSyncRead, GroupSyncWrite, PortHandler, Protocol2PacketHandler

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand

SDK = Protocol2PacketHandler()
REST = np.array(load_hand("leap_right").rest)
COMMAND = [sys.executable, "-m", "dextrack_deploy.twin.dynamixel"]


class PatientPort(PortHandler):
    """The SDK's port, which gives up after 34 ms: less than the stalls of a busy test machine."""

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(300.0)


@pytest.fixture(scope="module")
def shared() -> Iterator[PeerProcess]:
    with PeerProcess(["--alone"]) as running:
        yield running
    assert running.process.returncode == 0, "it did not end on SIGTERM"


@pytest.fixture
def peer(shared: PeerProcess) -> Iterator[PeerProcess]:
    """A peer that other tests have used too; without faults."""
    shared.client.clear()
    yield shared
    shared.client.clear()


@pytest.fixture
def port(peer: PeerProcess) -> Iterator[PortHandler]:
    handler = PatientPort(peer.pty)
    assert handler.setBaudRate(4_000_000)
    yield handler
    handler.closePort()


def counts(joints: np.ndarray) -> np.ndarray:
    return np.round((joints + np.pi) * 4096 / (2 * np.pi)).astype(int)


def test_a_ping_tells_model_and_firmware(port: PortHandler) -> None:
    assert SDK.ping(port, 5) == (1240, COMM_SUCCESS, 0)
    assert SDK.read1ByteTxRx(port, 5, 6) == (52, COMM_SUCCESS, 0)
    assert SDK.ping(port, 77)[1] == COMM_RX_TIMEOUT


def test_a_broadcast_ping_finds_all(port: PortHandler) -> None:
    found, result = SDK.broadcastPing(port)
    assert result == COMM_SUCCESS and found == {n: [1240, 52] for n in range(16)}


def test_another_baud_is_not_heard(peer: PeerProcess, port: PortHandler) -> None:
    assert port.setBaudRate(57_600)
    assert SDK.ping(port, 0)[1] == COMM_RX_TIMEOUT
    assert port.setBaudRate(4_000_000)
    assert SDK.ping(port, 0)[1] == COMM_SUCCESS


@pytest.mark.parametrize("fast", [False, True])
def test_group_reads(port: PortHandler, fast: bool) -> None:
    read = GroupSyncRead(port, SDK, 132, 4)
    for n in range(16):
        read.addParam(n)
    assert (read.fastSyncRead if fast else read.txRxPacket)() == COMM_SUCCESS
    np.testing.assert_allclose([read.getData(n, 132, 4) for n in range(16)], counts(REST), atol=1)


def test_a_group_write_moves_motors_that_have_torque(peer: PeerProcess, port: PortHandler) -> None:
    for n in range(16):
        assert SDK.write1ByteTxRx(port, n, 11, 5) == (COMM_SUCCESS, 0)
    goal = counts(REST) + 100
    write = GroupSyncWrite(port, SDK, 116, 4)
    for n in range(16):
        write.addParam(n, int(goal[n]).to_bytes(4, "little"))
    assert write.txPacket() == COMM_SUCCESS
    assert SDK.write1ByteTxRx(port, 3, 64, 1) == (COMM_SUCCESS, 0)
    assert SDK.write1ByteTxRx(port, 3, 9, 0)[1] == 7, "EEPROM is locked"
    deadline = time.monotonic() + 5.0
    while abs(SDK.read4ByteTxRx(port, 3, 132)[0] - goal[3]) > 2:
        assert time.monotonic() < deadline
    assert abs(SDK.read4ByteTxRx(port, 2, 132)[0] - counts(REST)[2]) <= 1
    SDK.write1ByteTxRx(port, 3, 64, 0)


def test_values_that_look_like_a_header_survive(port: PortHandler) -> None:
    # Stuffed on the way to the motor and on the way back.
    assert SDK.writeTxRx(port, 1, 116, 4, [0xFF, 0xFF, 0xFD, 0xFF]) == (COMM_SUCCESS, 0)
    assert SDK.readTxRx(port, 1, 116, 4) == ([0xFF, 0xFF, 0xFD, 0xFF], COMM_SUCCESS, 0)


def test_negative_positions_are_large_on_the_wire(peer: PeerProcess, port: PortHandler) -> None:
    peer.client.begin(Turned(7, -2))
    value, result, _ = SDK.read4ByteTxRx(port, 7, 132)
    assert result == COMM_SUCCESS and abs(value - 2**32 + 8192 - counts(REST)[7]) <= 1
    peer.client.begin(Turned(7, 0))


@pytest.mark.parametrize("offset", [1, 5, 12])
def test_lost_bytes_and_bad_checksums_spoil_one_answer(peer: PeerProcess, port: PortHandler, offset: int) -> None:
    peer.client.begin(LostBytes(offset=offset))
    assert SDK.read4ByteTxRx(port, 0, 132)[1] in (COMM_RX_CORRUPT, COMM_RX_TIMEOUT)
    assert SDK.read4ByteTxRx(port, 0, 132)[1] == COMM_SUCCESS
    peer.client.begin(BadChecksum())
    assert SDK.read4ByteTxRx(port, 0, 132)[1] == COMM_RX_CORRUPT
    assert SDK.read4ByteTxRx(port, 0, 132)[1] == COMM_SUCCESS


def test_one_silent_motor_spoils_the_read_of_all(peer: PeerProcess, port: PortHandler) -> None:
    read = GroupSyncRead(port, SDK, 126, 10)
    for n in range(16):
        read.addParam(n)
    peer.client.begin(Silent(0))
    assert read.fastSyncRead() == COMM_RX_TIMEOUT
    peer.client.clear()
    peer.client.begin(Silent(9))
    assert read.fastSyncRead() == COMM_RX_CORRUPT


def test_a_reboot_is_answered_and_takes_a_moment(peer: PeerProcess, port: PortHandler) -> None:
    assert SDK.write2ByteTxRx(port, 4, 84, 700) == (COMM_SUCCESS, 0)
    begin = time.monotonic()
    assert SDK.reboot(port, 4) == (COMM_SUCCESS, 0)
    while SDK.ping(port, 4)[1] != COMM_SUCCESS:
        assert time.monotonic() - begin < 5.0
    assert time.monotonic() - begin > 0.9 * BOOT_S
    assert peer.client.register(4, "position_p_gain") == 1100


def test_it_listens_on_loopback_only_and_refuses_nonsense(peer: PeerProcess) -> None:
    listening = [c.laddr.ip for c in psutil.Process(peer.process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    with pytest.raises(RefusedError, match="'sabotage' is not known"):
        peer.client.call("sabotage")
    with pytest.raises(RefusedError, match="an argument is missing"):
        peer.client.call("push")


def test_it_ends_on_an_interrupt() -> None:
    with PeerProcess(["--alone"]) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10.0) == 0
        assert not os.path.exists(running.pty)


def test_it_ends_with_its_parent() -> None:
    code = (
        "from dextrack_deploy.twin.dynamixel.process import PeerProcess; p = PeerProcess(['--alone']); print(p.process.pid, flush=True); import os; os._exit(0)"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    deadline = time.monotonic() + 10.0
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("options", "what"), [(Options(), "either --twin or --alone"), (Options(alone=True, baud=1234), "baud is not one of")])
def test_wrong_options_are_refused(options: Options, what: str) -> None:
    with pytest.raises(InputError) as refused:
        serve(options)
    assert what in str(refused.value)


@pytest.mark.slow
def test_it_moves_the_fingers_of_the_twin_and_gives_them_power(process: TwinProcess) -> None:
    with PeerProcess(["--twin", process.endpoint]) as joined, TwinClient(process.endpoint, timeout_s=2.0) as watch:
        port = PatientPort(joined.pty)
        assert port.setBaudRate(4_000_000)

        def power() -> str:
            time.sleep(0.2)
            return str(watch.call("status")["hand_power"])

        for n in range(16):
            assert SDK.write1ByteTxRx(port, n, 11, 5) == (COMM_SUCCESS, 0)
            assert SDK.write2ByteTxRx(port, n, 102, 500) == (COMM_SUCCESS, 0)
            assert SDK.write4ByteTxRx(port, n, 116, int(counts(REST)[n])) == (COMM_SUCCESS, 0)
        for n in range(16):
            SDK.write1ByteTxRx(port, n, 64, 1)
        assert power() == "full"
        SDK.write4ByteTxRx(port, 5, 116, int(counts(REST)[5]) + 326)
        time.sleep(1.0)
        np.testing.assert_allclose(watch.call("hand.read")["position"][5], REST[5] + 0.5, atol=0.1)
        np.testing.assert_allclose(SDK.read4ByteTxRx(port, 5, 132)[0], counts(REST)[5] + 326, atol=60)
        for n in range(16):
            SDK.write2ByteTxRx(port, n, 102, 125)
        assert power() == "soft"
        for n in range(16):
            SDK.write1ByteTxRx(port, n, 64, 0)
        assert power() == "off"
        port.closePort()
        process.process.kill()
        assert joined.process.wait(10.0) == 1, "without its twin there is nothing to move"


@pytest.mark.slow
def test_no_twin_is_named() -> None:
    with pytest.raises(DriverError, match="no answer to hello|connection was lost"):
        PeerProcess(["--twin", "tcp://127.0.0.1:9"])
