"""Tests of the ROS 2 layer: real processes and real DDS, on loopback, in a domain of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "ros2_ws" / "src" / "dextrack"
# The checkout's package, here and in every process that a test starts, and not one that was installed some time ago.
for folder in (str(HERE), str(PACKAGE)):
    sys.path.insert(0, folder)
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(PACKAGE), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def package() -> Path:
    """The ROS package in the checkout."""
    return PACKAGE


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a process of a test runs under: loopback, and a domain that nobody uses."""
    from dextrack_ros import dds

    return {**os.environ, **dds.settings({}), "ROS_LOG_DIR": str(tmp_path), "ROS_DOMAIN_ID": str(dds.free_domain())}


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """A function that starts ``python -m module arguments``; what still runs at the end is killed by its id."""
    started = []

    def run(module: str, *arguments: str, **more: str) -> subprocess.Popen:
        with open(tmp_path / f"{module}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], env={**environment, **more}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def spin() -> Callable[..., bool]:
    """Spin a node until a condition, or for some seconds; whether the condition came true."""

    def until(node: object, condition: Callable[[], bool], seconds: float = 20.0) -> bool:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            node.executor.spin_once(timeout_sec=0.05)
        return condition()

    return until


@pytest.fixture
def observer(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A node in the test's own process, in the domain of the processes that it starts."""
    import rclpy
    from dextrack_ros import dds
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    for key in dds.settings({}):
        monkeypatch.setenv(key, environment[key])
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("observer", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node
    executor.remove_node(node)
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def started(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes a node of this process and activates it; spinning is the test's to do."""
    import rclpy
    from dextrack_ros import dds
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    for key in dds.settings({}):
        monkeypatch.setenv(key, environment[key])
    rclpy.init(domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    made = []

    def start(make: Callable[[], Any], **parameters: Any) -> Any:
        node = make()
        made.append(node)
        node.set_parameters([Parameter(name, value=value) for name, value in parameters.items()])
        node.trigger_configure()
        node.trigger_activate()
        assert node.active, node._errors
        return node

    yield start
    for node in made:
        node.end()
        node.destroy_node()
    rclpy.try_shutdown()
