"""The arm's bus peer: where it listens, what it says, and the twin's arm that follows it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers.franka import FrankaArm
from dextrack_deploy.drivers.franka_payload import payload_of
from dextrack_deploy.drivers.registry import open_arm
from dextrack_deploy.twin import franka_setup
from dextrack_deploy.twin.franka_peer import PORT, FrankaPeer, loaded_model
from dextrack_deploy.twin.link import TwinClient
from dextrack_deploy.twin.process import TwinProcess

from dextrack.errors import DriverError, InputError

CELL = load_cell("twin")
HOME = np.array(CELL.arm.home)
HOST = "127.1.%d.%d" % (os.getpid() // 250 % 250, 2 + os.getpid() % 250)
"""Of this test run: libfranka's port is fixed, so two runs on one machine need two addresses."""
TICK = 1.0 / 60.0


@pytest.fixture(scope="session")
def simulator() -> Path:
    """The simulator's environment, made where it is not there."""
    return franka_setup.interpreter()


@pytest.fixture
def peer(simulator: Path) -> Iterator[FrankaPeer]:
    with FrankaPeer(CELL, HOST, rate=250.0) as running:
        yield running


def test_a_panda_s_protocol_is_not_spoken() -> None:
    with pytest.raises(InputError, match="speaks the protocol of an fr3, and the cell's arm is panda") as caught:
        FrankaPeer(load_cell("twin_panda"), HOST)
    assert "drivers.arm: twin" in caught.value.remedy


def test_the_peer_listens_on_loopback_only(peer: FrankaPeer) -> None:
    arm = FrankaArm(peer.address, CELL)
    arm.write(HOME)
    time.sleep(0.2)
    # Everything that its process has open, from the kernel's own tables: address:port in hexadecimal, least significant byte first.
    own = {os.readlink(fd) for fd in Path("/proc/%d/fd" % peer.process.pid).iterdir() if fd.is_symlink()}
    local = []
    for table in ("tcp", "udp", "tcp6", "udp6"):
        for line in Path("/proc/%d/net/%s" % (peer.process.pid, table)).read_text().splitlines()[1:]:
            fields = line.split()
            if "socket:[%s]" % fields[9] in own:
                local.append((table, fields[1], fields[3]))
    assert any(table == "tcp" and where.endswith(":%04X" % PORT) and state == "0A" for table, where, state in local), "it listens, state 0A"
    assert {table for table, _, _ in local} == {"tcp", "udp"}
    assert all(re.fullmatch(r"[0-9A-F]{6}7F:[0-9A-F]{4}", where) for _, where, _ in local), local
    arm.close()
    for host in ("0.0.0.0", "192.0.2.1", "localhost.example"):
        with pytest.raises(InputError, match="not on loopback"):
            FrankaPeer(CELL, host)


def test_the_twin_s_arm_follows_the_peer_which_ends_with_it(simulator: Path, process: TwinProcess) -> None:
    command = [sys.executable, "-m", "dextrack_deploy.twin.franka_peer", "--twin", process.endpoint, "--host", HOST, "--parent", str(os.getpid())]
    command += ["--lost-cycles", "100"]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdin is not None and running.stdout is not None
    announced = json.loads(running.stdout.readline())
    assert announced["endpoint"] == HOST and announced["pid"] == running.pid
    driver = open_arm("franka", announced["endpoint"], CELL)
    try:
        gaps = []
        with TwinClient(process.endpoint, timeout_s=2.0) as watch:
            np.testing.assert_allclose(watch.call("arm.read")["q"], HOME, atol=3e-3)
            begin = time.monotonic()
            while (t := time.monotonic() - begin) < 3.0:
                driver.write(HOME + 0.15 * (1.0 - np.cos(2.0 * np.pi * 0.3 * t)))
                gaps.append(np.abs(np.array(watch.call("arm.read")["q"]) - driver.read().q).max())
                time.sleep(TICK)
            # At up to 0.28 rad/s: some milliseconds, and the sensors' noise. On a busy machine the twin itself is now and then later.
            assert np.percentile(gaps, 60) < 8e-3, np.percentile(gaps, [50, 90, 99])
            time.sleep(0.5)
            np.testing.assert_allclose(watch.call("arm.read")["q"], driver.read().q, atol=3e-3)
        running.stdin.write('{"fault": "reflex", "name": "joint_reflex"}\n')
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["ok"]
        with pytest.raises(DriverError, match="joint_reflex"):
            for _ in range(200):
                driver.read()
                time.sleep(0.01)
        process.close()
        assert running.wait(20.0) == 1
    finally:
        driver.close()
        running.kill()
        running.communicate()


def test_it_enforces_what_a_robot_enforces(peer: FrankaPeer) -> None:
    """A client whose control loop stands still for 200 ms is stopped."""
    code = "import sys, os, signal, time; from dextrack_deploy.drivers.registry import open_arm\n"
    code += "arm = open_arm('franka', sys.argv[1]); arm.write(arm.read().q); time.sleep(0.3); print('ready', flush=True)\n"
    code += "while True: arm.write(arm.read().q); time.sleep(0.01)"
    client = subprocess.Popen([sys.executable, "-c", code, peer.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert client.stdout is not None
    client.stdout.readline()
    client.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    client.send_signal(signal.SIGCONT)
    _, said = client.communicate(timeout=20.0)
    assert "communication_constraints_violation" in said


def test_it_waits_at_the_cell_s_home_with_the_cell_s_hand(peer: FrankaPeer, tmp_path: Path) -> None:
    q, dq = peer.state()
    np.testing.assert_allclose(q, HOME, atol=1e-3)
    np.testing.assert_allclose(dq, 0.0, atol=1e-3)
    root = ElementTree.parse(loaded_model(CELL, tmp_path / "arm.xml")).getroot()
    carried = root.find(".//body[@name='fr3_flange']/inertial")
    assert carried is not None and float(carried.attrib["mass"]) == pytest.approx(payload_of(CELL).mass)


def test_it_ends_on_a_signal_and_leaves_nothing_behind(simulator: Path) -> None:
    command = [sys.executable, "-m", "dextrack_deploy.twin.franka_peer", "--host", HOST]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    announced = json.loads(running.stdout.readline())
    assert announced["port"] == PORT and Path("/proc/%d" % announced["simulator"]).exists()
    running.send_signal(signal.SIGINT)
    assert running.wait(15.0) == 0
    running.stdout.close()
    assert not Path("/proc/%d" % announced["simulator"]).exists()


def test_a_killed_peer_takes_the_simulator_along(simulator: Path) -> None:
    command = [sys.executable, "-m", "dextrack_deploy.twin.franka_peer", "--host", HOST]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    simulator_pid = json.loads(running.stdout.readline())["simulator"]
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 10.0
    while _runs(simulator_pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_taken_port_is_named(peer: FrankaPeer) -> None:
    with pytest.raises(DriverError, match="already in use|cannot be opened"):
        FrankaPeer(CELL, HOST)
