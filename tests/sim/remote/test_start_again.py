"""A server that makes no more worlds in its process starts itself again when it is told, and nothing depends on who is scheduled when."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dextrack.errors import DriverError, InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.link import LinkClient
from dextrack.sim import make_backend, register_backend, remote_backend
from dextrack.sim.physics import Physics
from dextrack.sim.remote import server as server_module
from dextrack.sim.remote.protocol import PROTOCOL, hand_facts, pack
from dextrack.sim.remote.server import SimServer
from dextrack.sim.remote_backend import make_remote
from tests import synthetic
from tests.served import Server

HAND = load_hand("leap_right")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
OVER = np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.rest])[None]
ORDER = {
    "client": "test",
    "hand": hand_facts(HAND),
    "base_quaternion": pack(UPRIGHT),
    "object": None,
    "physics": {"substeps": 2},
    "n_worlds": 1,
    "table": False,
}


@pytest.fixture
def one_simulation(serve, tmp_path: Path) -> Callable[[], Server]:
    """A server that makes one simulation of MuJoCo in a process, as Isaac Gym's does, but begins sooner."""
    (tmp_path / "sitecustomize.py").write_text("from dextrack.sim.remote import server\nserver.ONCE = ('mujoco',)\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    return lambda: serve("--backend", "mujoco", environment={**os.environ, "PYTHONPATH": path})


@pytest.mark.slow
def test_it_stays_until_it_is_told(one_simulation) -> None:
    """The answer that sends a client away is never in danger: ZeroMQ drops what lies unread from a peer that is gone."""
    server = one_simulation()
    with LinkClient(PROTOCOL, server.endpoint, 60.0, 60.0) as client, LinkClient(PROTOCOL, server.endpoint, 60.0, 60.0) as other:
        with pytest.raises(RefusedError, match="no need to start again"):
            client.call("again")
        worlds = client.call("open", **ORDER)["worlds"]
        with pytest.raises(RefusedError, match="serves another client"):
            other.call("again")
        client.call("close", worlds=worlds)
        for asking in (client, other, client):
            assert asking.call("open", **ORDER) == {"again": True}
        time.sleep(0.5)
        assert other.call("hello")["session"] == client.hello["session"]
        with contextlib.suppress(DriverError):
            client.call("again")
        with pytest.raises(DriverError):
            other.call("hello")
    with LinkClient(PROTOCOL, server.endpoint, 60.0, 60.0) as later:
        assert "worlds" in later.call("open", **ORDER)
        assert later.hello["session"] != client.hello["session"] and later.hello["pid"] == client.hello["pid"] == server.process.pid
    assert server.end() == 0


SLOW_CLIENT = """
import os, signal, sys, time
import numpy as np
from dextrack.hands import load_hand
from dextrack.link import LinkClient
from dextrack.sim.remote_backend import make_remote

call = LinkClient.call
def sleepy(self, do, *args, **kwargs):
    if do not in ("open", "again"):
        return call(self, do, *args, **kwargs)
    receive = self._receive
    def late(*a):
        time.sleep(1.0)  # the request is out, and this thread gets no processor: ZeroMQ's goes on
        return receive(*a)
    self._receive = late
    return call(self, do, *args, **kwargs)
LinkClient.call = sleepy

hand = load_hand("leap_right")
for _ in range(2):
    make_remote(hand, np.array([1.0, 0.0, 0.0, 0.0]), address=sys.argv[1], deadline_s=10.0).close()
"""


@pytest.mark.slow
def test_a_client_that_gets_no_processor_misses_nothing(one_simulation) -> None:
    server = one_simulation()
    done = subprocess.run([sys.executable, "-c", SLOW_CLIENT, server.endpoint], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_processes_ends_it(one_simulation, number: signal.Signals) -> None:
    server = one_simulation()
    with LinkClient(PROTOCOL, server.endpoint, 60.0, 60.0) as client:
        client.call("close", worlds=client.call("open", **ORDER)["worlds"])
        client.call("open", **ORDER)
        with contextlib.suppress(DriverError):
            client.call("again")
        with pytest.raises(DriverError):
            client.call("hello")
    os.kill(server.process.pid, number)
    assert server.process.wait(20.0) == 0
    server.end()


class Clumsy:
    """MuJoCo that fails in a client's third step, the server's fourth; as engines do, with an exception of its own."""

    class Fault(Exception):
        """As ``mujoco.FatalError`` is one."""

    def __init__(self, hand, base, obj=None, physics: Physics | None = None, n_worlds: int = 1, table: bool = True) -> None:
        self._inner, self._steps = make_backend("mujoco", hand, base, obj, physics=physics, n_worlds=n_worlds, table=table, n_threads=1), 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def step(self, targets: np.ndarray) -> None:
        self._steps += 1
        if self._steps == 4:
            raise Clumsy.Fault("an illegal memory access")
        self._inner.step(targets)


class Cold:
    """MuJoCo whose first reset, step and state take as long as a GPU's kernels take to load."""

    LOADING_S = 0.8

    def __init__(self, hand, base, obj=None, **options: object) -> None:
        self._inner, self._cold = make_backend("mujoco", hand, base, obj, n_threads=1, **options), {"reset", "step", "state"}

    def __getattr__(self, name: str) -> object:
        if name in self._cold:
            self._cold.remove(name)
            time.sleep(self.LOADING_S)
        return getattr(self._inner, name)


class Restarting:
    """Servers at one endpoint, each after the other has ended, in a thread of this process."""

    def __init__(self, name: str, answer_again: bool) -> None:
        self.sessions: list[str] = []
        self.last = False
        self.endpoint = ""
        self._name, self._answer_again, self._stop, self._ready = name, answer_again, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10.0)

    def _run(self) -> None:
        bind = "tcp://127.0.0.1:0"
        while not (self.last or self._stop.is_set()):
            server = SimServer(self._name, bind)
            if not self._answer_again:
                server._socket.linger = 0
                begin = server._answers["again"]

                def silently(request, begin=begin, server=server):
                    begin(request)
                    server._socket.close()  # gone before it answers
                    raise InterruptedError

                server._answers["again"] = silently
            self.sessions.append(server._session)
            self.endpoint = bind = server.endpoint
            self._ready.set()
            with contextlib.suppress(InterruptedError):
                server.run(self._stop.is_set)
            server.close()
            time.sleep(0.3)  # it imports its engine

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()


@pytest.fixture
def restarting(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Restarting]]:
    register_backend("clumsy", Clumsy)
    register_backend("cold", Cold)
    monkeypatch.setattr(server_module, "ONCE", ("mujoco",))
    made: list[Restarting] = []

    class Remembered(Restarting):
        def __init__(self, name: str, answer_again: bool = True) -> None:
            super().__init__(name, answer_again)
            made.append(self)

    yield Remembered
    for one in made:
        one.end()


def test_the_answer_of_one_that_ends_may_be_lost(restarting: type[Restarting]) -> None:
    server = restarting("mujoco", answer_again=False)
    for expected in (1, 2, 3):
        backend = make_remote(HAND, UPRIGHT, address=server.endpoint)
        backend.reset(OVER)
        backend.step(OVER)
        backend.close()
        assert len(server.sessions) == expected


def test_an_engine_that_fails_is_told_and_made_anew(restarting: type[Restarting], capfd: pytest.CaptureFixture[str]) -> None:
    server = restarting("clumsy")
    backend = make_remote(HAND, UPRIGHT, address=server.endpoint)
    for _ in range(2):
        backend.reset(OVER)
        backend.step(OVER)
        backend.step(OVER)
        with pytest.raises(DriverError, match=r"backend clumsy: step failed in the server \(Fault: an illegal memory access\)"):
            backend.step(OVER)
        with pytest.raises(DriverError, match="was lost.*reset all worlds"):
            backend.step(OVER)
    assert len(server.sessions) == 2
    assert "Traceback" in capfd.readouterr().err
    backend.close()


@pytest.mark.parametrize("obj", [None, synthetic.box()], ids=["hand alone", "with an object"])
def test_an_engine_that_begins_slowly_is_in_time_once_it_is_open(restarting: type[Restarting], monkeypatch: pytest.MonkeyPatch, obj) -> None:
    """Else a loop would give up, have it made anew, and find it cold again."""
    monkeypatch.setattr(server_module, "ONCE", ("cold",))
    server = restarting("cold")
    where = {} if obj is None else {"object_position_w": np.array([[0.0, 0.0, 0.5]]), "object_quaternion_w": UPRIGHT[None]}
    backend = make_remote(HAND, UPRIGHT, obj, address=server.endpoint, deadline_s=0.5 * Cold.LOADING_S)
    backend.reset(OVER, **where)
    np.testing.assert_allclose(backend.state().hand, OVER, atol=1e-9)
    backend.step(OVER)
    backend.close()
    assert len(server.sessions) == 1


def test_an_engine_that_is_not_there_is_told(restarting: type[Restarting]) -> None:
    register_backend("absent", "dextrack.sim.no_such_engine:make")
    server = restarting("absent")
    with pytest.raises(InputError, match="backend absent: its engine is not installed where the server runs"):
        make_remote(HAND, UPRIGHT, address=server.endpoint)


def test_one_that_does_not_come_back_is_named(restarting: type[Restarting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_backend, "CONNECT_S", 0.5)
    server = restarting("mujoco")
    make_remote(HAND, UPRIGHT, address=server.endpoint).close()
    server.last = True
    with pytest.raises(DriverError, match="did not come back in 1 s"):
        make_remote(HAND, UPRIGHT, address=server.endpoint, open_s=1.0)
