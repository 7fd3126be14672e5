"""A node's process: lifecycle over real services, parameters, heartbeat, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
)
Spin = Callable[..., bool]
Start = Callable[..., subprocess.Popen]


class Remote:
    """A node in another process, through its services."""

    def __init__(self, observer: object, spin: Spin, name: str) -> None:
        self._observer, self._spin, self._name = observer, spin, name
        self._change = observer.create_client(ChangeState, f"{name}/change_state")
        self._get = observer.create_client(GetState, f"{name}/get_state")
        assert spin(observer, lambda: self._change.service_is_ready() and self._get.service_is_ready())

    def call(self, client: object, request: object) -> object:
        future = client.call_async(request)
        assert self._spin(self._observer, future.done)
        return future.result()

    def change(self, transition: int) -> bool:
        return self.call(self._change, ChangeState.Request(transition=Transition(id=transition))).success

    @property
    def state(self) -> str:
        return self.call(self._get, GetState.Request()).current_state.label


def test_transitions_in_the_wrong_order_are_refused(start: Start, observer: object, spin: Spin, tmp_path: Path) -> None:
    process = start("dextrack_ros.recorder", "--ros-args", "-p", f"trial:={tmp_path}", "-p", "min_free_mb:=1.0")
    node = Remote(observer, spin, "recorder")
    assert node.state == "unconfigured"
    for wrong in (ACTIVATE, DEACTIVATE, CLEANUP):
        assert not node.change(wrong) and node.state == "unconfigured"
    assert not (tmp_path / "trial.mcap").exists()
    assert node.change(CONFIGURE) and node.state == "inactive"
    for wrong in (CONFIGURE, DEACTIVATE):
        assert not node.change(wrong) and node.state == "inactive"
    assert node.change(ACTIVATE) and node.state == "active"
    for wrong in (CONFIGURE, ACTIVATE, CLEANUP):
        assert not node.change(wrong) and node.state == "active"
    assert node.change(DEACTIVATE) and node.change(CLEANUP) and node.state == "unconfigured"
    assert node.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert process.wait(10.0) == 0


def test_a_refused_transition_gives_its_reason_in_the_heartbeat(start: Start, observer: object, spin: Spin) -> None:
    from dextrack_ros import messages

    heard = []
    observer.create_subscription(messages.message_class("diagnostic_msgs/msg/DiagnosticArray"), "/diagnostics", lambda m: heard.extend(m.status), 10)
    start("dextrack_ros.recorder")
    node = Remote(observer, spin, "recorder")
    assert spin(observer, lambda: len(heard) > 3)
    assert {(s.name, s.level, s.message) for s in heard} == {("recorder", b"\x00", "")}
    assert not node.change(CONFIGURE) and node.state == "unconfigured"
    assert spin(observer, lambda: heard[-1].level == b"\x02")
    assert "trial is empty" in heard[-1].message and "Remedy" in heard[-1].message


def test_a_log_that_ends_early_is_an_error_in_the_heartbeat(start: Start, observer: object, spin: Spin, tmp_path: Path) -> None:
    from dextrack_ros import messages

    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        heard = []
        observer.create_subscription(messages.message_class("diagnostic_msgs/msg/DiagnosticArray"), "/diagnostics", lambda m: heard.extend(m.status), 10)
        process = start("dextrack_ros.recorder", "--ros-args", "-p", f"trial:={disk}", "-p", "min_free_mb:=10.0")
        node = Remote(observer, spin, "recorder")
        assert node.change(CONFIGURE) and node.change(ACTIVATE)
        assert spin(observer, lambda: bool(heard) and heard[-1].message == "recording")
        (disk / "filler").write_bytes(bytes(12_000_000))
        assert spin(observer, lambda: heard[-1].level == b"\x02")
        assert "the log ended early" in heard[-1].message and "MB are free" in heard[-1].message
        # It stays an error although every callback works.
        count = len(heard)
        assert spin(observer, lambda: len(heard) > count + 12) and {s.level for s in heard[count:]} == {b"\x02"}
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_a_node_in_order(number: signal.Signals, start: Start, observer: object, spin: Spin, tmp_path: Path) -> None:
    from dextrack_deploy.mcap_reader import McapReader

    process = start("dextrack_ros.recorder", "--ros-args", "-p", f"trial:={tmp_path}", "-p", "min_free_mb:=1.0")
    node = Remote(observer, spin, "recorder")
    assert node.change(CONFIGURE) and node.change(ACTIVATE)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(5.0) == 0
    reader = McapReader(tmp_path / "trial.mcap")
    assert sum(1 for _ in reader) > 0 and reader.problems == []
    assert (tmp_path / "metadata.yaml").exists()


def test_a_parameter_out_of_range_ends_the_process_with_the_reason(start: Start, tmp_path: Path) -> None:
    assert start("dextrack_ros.recorder", "--ros-args", "-p", "min_free_mb:=-5.0").wait(20.0) == 2
    text = (tmp_path / "dextrack_ros.recorder.log").read_text()
    assert "min_free_mb" in text and "Traceback" not in text


def test_parameters_have_ranges_and_are_fixed_while_configured(start: Start, observer: object, spin: Spin, tmp_path: Path) -> None:
    from rcl_interfaces.msg import Parameter, ParameterValue
    from rcl_interfaces.srv import DescribeParameters, SetParameters

    start("dextrack_ros.recorder", "--ros-args", "-p", f"trial:={tmp_path}", "-p", "min_free_mb:=1.0")
    node = Remote(observer, spin, "recorder")
    describe = observer.create_client(DescribeParameters, "recorder/describe_parameters")
    change = observer.create_client(SetParameters, "recorder/set_parameters")
    assert spin(observer, lambda: describe.service_is_ready() and change.service_is_ready())
    described = node.call(describe, DescribeParameters.Request(names=["min_free_mb"])).descriptors[0]
    assert described.description and described.floating_point_range[0].from_value == 1.0

    def set_to(value: float) -> tuple[bool, str]:
        parameter = Parameter(name="min_free_mb", value=ParameterValue(type=3, double_value=value))
        result = node.call(change, SetParameters.Request(parameters=[parameter])).results[0]
        return result.successful, result.reason

    assert set_to(2.0)[0]
    assert not set_to(-1.0)[0]
    assert node.change(CONFIGURE)
    successful, reason = set_to(3.0)
    assert not successful and "fixed" in reason
    assert node.change(CLEANUP) and set_to(3.0)[0]


def test_a_node_ends_when_its_launcher_is_gone(environment: dict[str, str]) -> None:
    launcher = "import os, subprocess, sys, time\nos.environ['DEXTRACK_PARENT'] = str(os.getpid())\n"
    launcher += "p = subprocess.Popen([sys.executable, '-m', 'dextrack_ros.recorder'])\nprint(p.pid, flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", launcher], env=environment, stdout=subprocess.PIPE, text=True)
    node = int(process.stdout.readline())
    time.sleep(3.0)
    assert Path(f"/proc/{node}").exists()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 15.0
    while Path(f"/proc/{node}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{node}").exists()
