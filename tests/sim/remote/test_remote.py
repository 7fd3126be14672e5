"""A served backend is the backend itself: same numbers, same refusals; and what is lost is said and comes back on the caller's word."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.hands.motors import FingerMotors
from dextrack.link import LinkClient, Protocol, encode
from dextrack.sim import Backend, make_backend
from dextrack.sim.physics import Physics
from dextrack.sim.remote.keys import make_keys, on_this_machine
from dextrack.sim.remote.protocol import PROTOCOL, differences, hand_facts, pack, unpack
from dextrack.sim.remote.server import SimServer
from dextrack.sim.remote_backend import make_remote
from tests import synthetic

HAND = load_hand("leap_right")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
OVER = np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.rest])


def hands(n: int) -> np.ndarray:
    return np.tile(OVER, (n, 1)) + 0.01 * np.arange(n)[:, None]


def begin(backend: Backend) -> None:
    n = backend.n_worlds
    velocity = np.tile([0.1, 0.0, 0.0, 0.0, 0.0, 1.0], (n, 1))
    backend.reset(hands(n), np.tile([0.2, 0.0, 0.3], (n, 1)), np.tile(UPRIGHT, (n, 1)), object_velocity_w=velocity)


def trace(backend: Backend) -> list[np.ndarray]:
    """Everything that a backend shows over a second in which worlds are varied, reset and spoiled."""
    begin(backend)
    backend.vary(np.array([0.5, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]))
    seen = []
    for n in range(60):
        backend.step(hands(3) + 0.2 * np.sin(0.1 * n))
        if n == 20:
            backend.reset(hands(3)[1:2], np.array([[0.3, 0.0, 0.2]]), UPRIGHT[None], np.array([1]), hand_velocity=np.full((1, 22), 0.1))
        if n == 40:
            backend.reset(np.full((1, 22), np.nan), np.array([[0.3, 0.0, 0.2]]), UPRIGHT[None], np.array([2]))
        state = backend.state()
        seen += [np.array(getattr(state, f.name)) for f in dataclasses.fields(state)] + [np.array(backend.bad_worlds())]
    backend.close()
    return seen


def test_the_same_numbers_as_without_a_server(serve) -> None:
    options = {"physics": Physics(substeps=3), "n_worlds": 3}
    server = serve("--backend", "mujoco", "--option", "n_threads=1")
    near = trace(make_backend("mujoco", HAND, UPRIGHT, synthetic.box(), n_threads=1, **options))
    far = trace(make_backend("remote", HAND, UPRIGHT, synthetic.box(), address=server.endpoint, **options))
    assert len(near) == len(far) == 60 * 8
    for a, b in zip(near, far, strict=True):
        np.testing.assert_array_equal(a, b)
    assert near[-1].tolist() == [2]
    assert server.end() == 0


def test_a_hand_alone_and_the_next_client(serve) -> None:
    """A scene without an object; and a server that is left serves whoever comes next."""
    server = serve("--backend", "mujoco")
    for name in ("leap_right", "allegro_left"):
        hand = load_hand(name)
        backend = make_remote(hand, UPRIGHT, table=False, address=server.endpoint)
        theta = np.concatenate([[0.0, 0.0, -0.5, 0.0, 0.0, 0.0], hand.rest])[None]
        backend.reset(theta)
        backend.step(theta)
        assert backend.joint_names == hand.joint_names
        np.testing.assert_allclose(backend.state().hand, theta, atol=1e-6)
        assert backend.state().object_position_w.shape == (1, 0) and not len(backend.bad_worlds())
        backend.close()


def test_a_hand_with_measured_motors_is_simulated_as_here(serve) -> None:
    server = serve("--backend", "mujoco")
    hand = FingerMotors(1.5, 0.2, tuple(0.1 + 0.01 * i for i in range(16))).on(HAND)
    theta = np.concatenate([[0.0, 0.0, -0.5, 0.0, 0.0, 0.0], hand.rest])[None]
    reached = []
    for there in (make_remote(hand, UPRIGHT, address=server.endpoint), make_backend("mujoco", hand, UPRIGHT), make_backend("mujoco", HAND, UPRIGHT)):
        there.reset(theta)
        there.step(theta + 0.3)
        reached.append(there.state().hand)
        there.close()
    np.testing.assert_allclose(reached[0], reached[1], atol=1e-9)
    assert np.abs(reached[1] - reached[2]).max() > 1e-3
    with pytest.raises(InputError, match="its motors are none"):
        make_remote(dataclasses.replace(HAND, finger_kp=-1.0), UPRIGHT, address=server.endpoint)


def test_a_different_hand_is_refused_with_the_difference(serve) -> None:
    server = serve("--backend", "mujoco")
    lower = (HAND.lower[0] - 0.1, *HAND.lower[1:])
    with pytest.raises(RefusedError, match=r"hand leap_right: server \(here\) and client \(there\) differ: lower of %s is" % HAND.finger_joints[0]):
        make_remote(dataclasses.replace(HAND, lower=lower), UPRIGHT, address=server.endpoint)
    with pytest.raises(InputError, match="leap_middle"):
        make_remote(dataclasses.replace(HAND, name="leap_middle"), UPRIGHT, address=server.endpoint)
    swapped = (HAND.finger_joints[1], HAND.finger_joints[0], *HAND.finger_joints[2:])
    assert "joint_names of" in "; ".join(differences(hand_facts(HAND), hand_facts(dataclasses.replace(HAND, finger_joints=swapped))))
    with pytest.raises(InputError, match="n_worlds"):
        make_remote(HAND, UPRIGHT, address=server.endpoint, n_worlds=1 << 20)


def test_another_version_is_refused(serve) -> None:
    server = serve("--backend", "mujoco")
    with pytest.raises(RefusedError, match="version"):
        LinkClient(Protocol(PROTOCOL.name, PROTOCOL.version + 1, PROTOCOL.peer, 1 << 20), server.endpoint, 1.0, 5.0)


def test_one_client_at_a_time(serve) -> None:
    server = serve("--backend", "mujoco")
    first = make_remote(HAND, UPRIGHT, address=server.endpoint)
    first.reset(hands(1))
    with pytest.raises(RefusedError, match="serves another client, heard 0"):
        make_remote(HAND, UPRIGHT, address=server.endpoint)
    first.step(hands(1))
    time.sleep(5.2)
    second = make_remote(HAND, UPRIGHT, address=server.endpoint)
    second.reset(hands(1))
    with pytest.raises(RefusedError, match="given to another client"):
        first.step(hands(1))
    second.step(hands(1) + 0.1)
    with pytest.raises(RefusedError, match="serves another client"):
        first.reset(hands(1))
    second.close()
    first.reset(hands(1))
    first.step(hands(1))
    first.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_killed_and_started_again(serve) -> None:
    """Every call says so until all worlds are reset; then it is as if nothing had been."""
    endpoint = "tcp://127.0.0.1:%d" % free_port()
    server = serve("--backend", "mujoco", "--bind", endpoint)
    backend = make_remote(HAND, UPRIGHT, synthetic.box(), n_worlds=2, address=endpoint)
    begin(backend)
    backend.step(hands(2))
    expected = backend.state()
    server.process.kill()
    began = time.monotonic()
    with pytest.raises(DriverError, match="process ended"):
        backend.step(hands(2))
    assert time.monotonic() - began < 0.5
    with pytest.raises(DriverError, match="was lost.*reset all worlds"):
        backend.step(hands(2))
    with pytest.raises(DriverError, match="nobody listens|lost during hello"):
        begin(backend)
    serve("--backend", "mujoco", "--bind", endpoint)
    with pytest.raises(DriverError, match="was lost"):
        backend.reset(hands(1), np.zeros((1, 3)), UPRIGHT[None], np.array([0]))
    begin(backend)
    backend.step(hands(2))
    np.testing.assert_array_equal(backend.state().hand, expected.hand)
    np.testing.assert_array_equal(backend.state().object_position_w, expected.object_position_w)
    backend.close()


def test_a_server_that_hangs_is_late_and_its_late_answer_is_not_believed(serve) -> None:
    server = serve("--backend", "mujoco")
    backend = make_remote(HAND, UPRIGHT, address=server.endpoint, deadline_s=1.0)
    backend.reset(hands(1))
    os.kill(server.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(DriverError, match="no answer to step in time"):
        backend.step(hands(1) + 0.5)
    assert 1.0 <= time.monotonic() - began < 3.0
    os.kill(server.process.pid, signal.SIGCONT)
    with pytest.raises(DriverError, match="was lost"):
        backend.state()
    backend.reset(hands(1))
    np.testing.assert_array_equal(backend.state().hand, hands(1))
    backend.close()


def test_what_is_no_request_does_not_end_it(serve) -> None:
    server = serve("--backend", "mujoco")
    context = zmq.Context()
    rude = context.socket(zmq.DEALER)
    rude.linger = 0
    rude.connect(server.endpoint)
    for message in (b"", b"\xc1", b"hello", encode({"v": 1}), os.urandom(1000)):
        rude.send(message)
    rude.send_multipart([b"a", b"b", b"c"])
    with LinkClient(PROTOCOL, server.endpoint, 2.0, 5.0) as client:
        for do, arguments in [("step", {}), ("open", {"client": "x", "hand": 3}), ("reset", {"worlds": 1}), ("jump", {}), ("state", {"worlds": ""})]:
            with pytest.raises((InputError, RefusedError)):
                client.call(do, **arguments)
    rude.close(linger=0)
    context.term()
    backend = make_remote(HAND, UPRIGHT, n_worlds=2, address=server.endpoint)
    backend.reset(hands(2))
    for refused in (
        lambda: backend.step(np.zeros((2, 21))),
        lambda: backend.reset(hands(2)[:1], worlds=np.array([2])),
        lambda: backend.reset(hands(2), worlds=np.array([0])),
    ):
        with pytest.raises(InputError):
            refused()
    backend.step(hands(2))
    backend.close()


def test_other_machines_need_keys(serve, key_folders: tuple[Path, Path]) -> None:
    for endpoint in ("tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.168.1.5:0"):
        assert not on_this_machine(endpoint)
        with pytest.raises(RefusedError, match="other machines could reach"):
            SimServer("mujoco", endpoint)
    assert (
        on_this_machine("tcp://127.0.0.1:0") and on_this_machine("tcp://[::1]:5") and on_this_machine("ipc:///tmp/x") and on_this_machine("tcp://localhost:1")
    )
    for wrong in ("127.0.0.1", "udp://127.0.0.1:1", "tcp://nobody:1", "tcp://:1"):
        with pytest.raises(InputError, match="no endpoint"):
            on_this_machine(wrong)
    one, other = key_folders
    server = serve("--backend", "mujoco", "--keys", str(one))
    backend = make_remote(HAND, UPRIGHT, address=server.endpoint, keys=one)
    backend.reset(hands(1))
    np.testing.assert_array_equal(backend.state().hand, hands(1))
    backend.close()
    began = time.monotonic()
    for keys in (None, other):
        with pytest.raises(DriverError, match="refuses this client's keys"):
            make_remote(HAND, UPRIGHT, address=server.endpoint, keys=keys)
    assert time.monotonic() - began < 12.0


def test_keys_are_their_owners_and_are_never_overwritten(key_folders: tuple[Path, Path], tmp_path: Path) -> None:
    one, _ = key_folders
    for secret in one.glob("**/*_secret"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    with pytest.raises(RefusedError, match="exists"):
        make_keys(one)
    with pytest.raises(InputError, match="no key"):
        make_remote(HAND, UPRIGHT, address="tcp://127.0.0.1:1", keys=tmp_path)
    with pytest.raises(InputError, match="no address"):
        make_remote(HAND, UPRIGHT)


@pytest.mark.parametrize("dtype", ["<f8", "<i8", "<i4"])
def test_arrays_travel_unchanged(dtype: str) -> None:
    array = np.arange(12).astype(dtype).reshape(3, 2, 2)
    back = unpack(pack(array[:, ::-1]), "it")
    np.testing.assert_array_equal(back, array[:, ::-1])
    assert back.dtype == array.dtype and back.flags.writeable


@pytest.mark.parametrize("wrong", [None, 3, ("|O", [1], b"x"), ("<f8", [2], b"12345678"), ("<f8", ["a"], b""), ("<f8", [-1, 2], b"1234567")])
def test_what_is_no_array_is_refused_by_name(wrong: object) -> None:
    with pytest.raises(InputError, match="targets: it is no array"):
        unpack(wrong, "targets")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bind", "tcp://0.0.0.0:0"], "other machines"),
        (["--keys", "nowhere"], "no key"),
        (["--option", "n_worlds=3"], "the client says"),
        (["--bind", "x"], "no endpoint"),
    ],
)
def test_the_command_refuses_in_two_lines(arguments: str, message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dextrack.sim.remote.serve", "--backend", "mujoco", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr and "remedy: " in done.stderr and "Traceback" not in done.stderr
