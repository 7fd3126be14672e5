"""Humble, Jazzy and Kilted: what the package uses of ROS 2 is there in each, or guarded. ``ros2_ws/README.md`` has the list."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import distro_api
import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Int64

TABLE = json.loads((Path(__file__).parent / "distro_api.json").read_text(encoding="utf-8"))
DISTROS = ("humble", "jazzy", "kilted")
INSTALLED = {3: "humble", 7: "jazzy", 9: "kilted"}.get(int(importlib.metadata.version("rclpy").split(".")[0]))
ROSDEP = {"ament_index_python", "launch", "launch_ros", "rclpy", "rmw_fastrtps_cpp", *distro_api.MESSAGES}
"""Names of packages that the indexes of all three distros have."""


def test_what_is_used_is_in_every_distro_or_guarded(package: Path) -> None:
    uses = distro_api.uses(package)
    assert len(uses) > 150
    unknown = sorted(set(uses) - set(TABLE["uses"]))
    assert unknown == [], "look these up in the sources of the three distros, and add them to distro_api.json"
    assert sorted(set(TABLE["uses"]) - set(uses)) == [], "these are not used any more"
    absent = {use: files for use, files in uses.items() if TABLE["uses"][use] != list(DISTROS)}
    assert {file for files in absent.values() for file in files} == {"distro.py"}
    text = (package.parents[1] / "README.md").read_text(encoding="utf-8")
    assert [use for use in absent if use.split(".")[1] not in text] == []


def test_a_use_that_is_new_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "dextrack_ros").mkdir()
    text = """
from rclpy.node import Node
class CellNode(Node):
    pass
node = Node("a", enable_logger_service=True)
node.create_timer(1.0, print, autostart=False)
"""
    (tmp_path / "dextrack_ros" / "node.py").write_text(text)
    found = set(distro_api.uses(tmp_path))
    # Both came with Iron or later: Humble has neither.
    assert {"rclpy.node.Node(enable_logger_service)", "rclpy.lifecycle.LifecycleNode.create_timer(autostart)"} <= found


@pytest.mark.skipif(INSTALLED is None, reason="this rclpy is of none of the three distros")
@pytest.mark.filterwarnings("ignore:importing 'qos_event'")
def test_the_table_is_right_about_the_installed_distro() -> None:
    # The package's folder of launch files is no module.
    have_launch = getattr(importlib.util.find_spec("launch"), "origin", None) is not None
    checked = [use for use in TABLE["uses"] if have_launch or not use.startswith("launch")]
    assert [use for use in checked if distro_api.installed_has(use) != (INSTALLED in TABLE["uses"][use])] == []


def test_humble_has_the_event_callbacks_elsewhere(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    humble = types.ModuleType("rclpy.qos_event")
    humble.PublisherEventCallbacks, humble.SubscriptionEventCallbacks = type("P", (), {}), type("S", (), {})
    monkeypatch.setitem(sys.modules, "rclpy.event_handler", None)
    monkeypatch.setitem(sys.modules, "rclpy.qos_event", humble)
    spec = importlib.util.spec_from_file_location("distro_on_humble", package / "dextrack_ros" / "distro.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.SubscriptionEventCallbacks is humble.SubscriptionEventCallbacks


@pytest.fixture
def pair(environment: dict[str, str], observer: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Node, Node]]:
    """A node in the default context, and another one that it hears."""
    rclpy.init(domain_id=int(environment["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("tested")
    yield node, observer
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize("ours", [True, False], ids=["our executor", "rclpy's"])
def test_a_stamped_message_is_heard_on_humble_too(ours: bool, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    from dextrack_ros import distro
    from dextrack_ros.executor import NodeExecutor
    from rclpy.executors import SingleThreadedExecutor

    # Humble's rclpy knows callbacks of one argument only.
    monkeypatch.setattr(distro, "Subscription", type("Subscription", (), {}))
    node, observer = pair
    heard: list[tuple[int, int]] = []
    node.create_subscription(Int64, "numbers", distro.with_info(lambda m, info: heard.append((m.data, info["received_timestamp"]))), 10)
    executor = NodeExecutor() if ours else SingleThreadedExecutor()
    executor.add_node(node)
    publisher = observer.create_publisher(Int64, "numbers", 10)
    deadline = time.monotonic() + 20.0
    while not heard and time.monotonic() < deadline:
        publisher.publish(Int64(data=7))
        executor.spin_once(timeout_sec=0.1)
    assert heard[0][0] == 7 and abs(heard[0][1] - time.time_ns()) < 20e9


def test_a_request_is_answered_however_fast_messages_come(pair: tuple[Node, Node]) -> None:
    """rclpy takes messages before requests: an executor that leaves both to it would answer this one never."""
    from dextrack_ros.executor import NodeExecutor
    from std_srvs.srv import Trigger

    node, observer = pair
    fetched = [node.create_subscription(Int64, "numbers", lambda m: None, 1000)]
    node.create_service(Trigger, "ask", lambda request, response: response)
    executor = NodeExecutor(fetched=fetched)
    executor.add_node(node)
    publisher, client = observer.create_publisher(Int64, "numbers", 1000), observer.create_client(Trigger, "ask")
    deadline = time.monotonic() + 20.0
    while not (client.service_is_ready() and publisher.get_subscription_count()) and time.monotonic() < deadline:
        executor.spin_once(0.05)
    for n in range(50):
        publisher.publish(Int64(data=n))
    time.sleep(0.3)
    future = client.call_async(Trigger.Request())
    for _ in range(20):
        executor.spin_once(0.05)
        observer.executor.spin_once(timeout_sec=0.05)
        if future.done():
            break
    assert future.done()


def test_an_error_of_the_state_machine_refuses_the_transition() -> None:
    from dextrack_ros import distro
    from lifecycle_msgs.srv import ChangeState

    def answer(request: object, response: object) -> object:
        raise distro.rclpy_c.RCLError("Transition is not registered.")

    logger = types.SimpleNamespace(error=lambda text: None)
    service = types.SimpleNamespace(srv_type=ChangeState, callback=answer)
    distro.refuse_wrong_transitions(types.SimpleNamespace(services=[service], get_logger=lambda: logger))
    assert service.callback(ChangeState.Request(), ChangeState.Response(success=True)).success is False


@pytest.mark.parametrize(("version", "both"), [("3.3.15", True), ("7.1.6", True), ("9.1.2", False), (None, True)])
def test_the_loopback_profile_is_given_under_the_name_that_fast_dds_reads(version: str | None, both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from dextrack_ros import dds

    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr("importlib.metadata.version", installed)
    found = dds.settings({})
    assert found["FASTDDS_DEFAULT_PROFILES_FILE"] == dds.profile()
    assert ("FASTRTPS_DEFAULT_PROFILES_FILE" in found) is both


def test_humbles_ros2_bag_reads_the_metadata_of_a_trial_log(tmp_path: Path) -> None:
    """Its reader takes the quality of service as a string, whatever the version: rosbag2_storage/src/rosbag2_storage/metadata_io.cpp, humble."""
    from dextrack_deploy import graph
    from dextrack_ros.log_writer import TrialLogWriter

    TrialLogWriter(tmp_path, (graph.topic("target"), graph.topic("supervisor/state")), 1.0).close()
    information = yaml.safe_load((tmp_path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["storage_identifier"] == "mcap"
    for topic in information["topics_with_message_count"]:
        (profile,) = yaml.safe_load(topic["topic_metadata"]["offered_qos_profiles"])
        assert all(isinstance(profile[policy], int) for policy in ("history", "reliability", "durability", "liveliness"))


def test_it_is_valid_python_of_every_distro(package: Path) -> None:
    root = package.parents[2]
    folders = [str(f) for f in (package, root / "deploy" / "dextrack_deploy", root / "calibration" / "dextrack_calibration")]
    # Humble's Python is the oldest, 3.10; what the standard library dropped by 3.12 is an error there.
    command = [str(Path(sys.executable).parent / "vermin"), "-t=3.10-", "--violations", "--eval-annotations", "--no-tips", *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "Minimum required versions: 3.10" in done.stdout, done.stdout
    gone = {"asynchat", "asyncore", "distutils", "imp", "smtpd"}
    for path in (p for folder in folders for p in Path(folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        assert not {n.split(".")[0] for n in names} & gone, path
    assert 'python_requires=">=3.10"' in (package / "setup.py").read_text()


def test_the_manifest_names_every_ros_package_that_is_imported(package: Path) -> None:
    root = ElementTree.parse(package / "package.xml").getroot()
    declared = {e.text for e in root if e.tag.endswith("depend")}
    assert declared <= ROSDEP
    imported = set()
    for path in [*(package / "dextrack_ros").glob("*.py"), *(package / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {n.split(".")[0] for n in names if n}
    assert imported & ROSDEP <= declared
    assert root.attrib["format"] == "3"
