"""ROS 2: present, loadable, and kept on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from dextrack_deploy.doctor import Level, ros
from dextrack_deploy.doctor.system import Ran


@pytest.fixture
def ours(machine) -> Path:
    """The loopback profile as it is installed."""
    folder = machine.modules["dextrack_ros"]
    folder.mkdir(parents=True)
    (folder / "loopback.xml").write_text("<dds>ours</dds>")
    return folder / "loopback.xml"


def test_all_is_well(machine, lab, named) -> None:
    findings = ros.check(machine.system, lab)
    assert {f.level for f in findings} == {Level.OK}
    assert named(findings, "ROS 2").what == "rclpy 9.1.2 from the package index."
    machine.environment["ROS_DISTRO"] = "kilted"
    assert named(ros.check(machine.system, lab), "ROS 2").what == "kilted is sourced."


def test_no_rclpy(machine, twin, named) -> None:
    del machine.modules["rclpy"]
    finding = named(ros.check(machine.system, twin), "ROS 2")
    assert finding.level is Level.PROBLEM and "make setup" in finding.remedy


def test_rclpy_of_another_python(machine, twin, named) -> None:
    machine.commands["python"] = Ran(1, "", "Traceback (most recent call last):\nModuleNotFoundError: No module named 'rclpy._rclpy_pybind11'\n")
    finding = named(ros.check(machine.system, twin), "ROS 2")
    assert finding.level is Level.PROBLEM and "_rclpy_pybind11" in finding.what
    machine.commands["python"] = None
    assert named(ros.check(machine.system, twin), "ROS 2").level is Level.WARNING


def test_no_package_of_ours(machine, twin, named) -> None:
    del machine.modules["dextrack_ros"]
    assert named(ros.check(machine.system, twin), "ROS package").level is Level.PROBLEM


@pytest.mark.parametrize(
    "name, variable, value, level",
    [
        ("ROS middleware", "RMW_IMPLEMENTATION", "rmw_fastrtps_cpp", Level.OK),
        ("ROS middleware", "RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp", Level.WARNING),
        ("ROS domain", "ROS_DOMAIN_ID", "7", Level.OK),
        ("ROS domain", "ROS_DOMAIN_ID", "101", Level.OK),
        ("ROS domain", "ROS_DOMAIN_ID", "102", Level.WARNING),
        ("ROS domain", "ROS_DOMAIN_ID", "233", Level.PROBLEM),
        ("ROS domain", "ROS_DOMAIN_ID", "lab", Level.PROBLEM),
        ("ROS discovery", "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST", Level.OK),
        ("ROS discovery", "ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF", Level.PROBLEM),
        ("ROS discovery", "ROS_AUTOMATIC_DISCOVERY_RANGE", "localhost", Level.WARNING),
        ("ROS discovery", "ROS_LOCALHOST_ONLY", "1", Level.NOTE),
        ("ROS discovery", "ROS_STATIC_PEERS", "192.0.2.9", Level.WARNING),
        ("DDS profile", "DEXTRACK_DDS_NETWORK", "1", Level.NOTE),
        ("DDS profile", "FASTDDS_DEFAULT_PROFILES_FILE", "/gone.xml", Level.PROBLEM),
    ],
)
def test_variables(machine, lab, named, name, variable, value, level) -> None:
    machine.environment[variable] = value
    assert named(ros.check(machine.system, lab), name).level is level


def test_profiles(machine, lab, twin, named, ours) -> None:
    machine.write("/etc/mine.xml", "<dds>mine</dds>")
    machine.environment["FASTDDS_DEFAULT_PROFILES_FILE"] = "/etc/mine.xml"
    assert named(ros.check(machine.system, lab), "DDS profile").level is Level.WARNING
    assert named(ros.check(machine.system, twin), "DDS profile").level is Level.NOTE
    machine.at("/etc/mine.xml").write_text(ours.read_text())
    assert named(ros.check(machine.system, lab), "DDS profile").what.startswith("DexTrack's own")


def test_fast_dds_2_reads_another_variable(machine, twin, named, ours) -> None:
    machine.environment["ROS_DISTRO"] = "jazzy"
    machine.write("/etc/mine.xml", "<dds>mine</dds>")
    machine.environment["FASTDDS_DEFAULT_PROFILES_FILE"] = "/etc/mine.xml"
    assert "FASTDDS_DEFAULT_PROFILES_FILE is your own" in named(ros.check(machine.system, twin), "DDS profile").what, "DexTrack passes it on"
    machine.write("/etc/loopback.xml", "")
    machine.at("/etc/loopback.xml").write_text(ours.read_text())
    machine.environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = "/etc/loopback.xml"
    assert named(ros.check(machine.system, twin), "DDS profile").level is Level.OK


@pytest.mark.parametrize("name", ["fastrtps_0a1b", "sem.fastrtps_port7413_mutex", "fastdds_segment"])
def test_leftovers(machine, twin, named, name) -> None:
    machine.write(f"/dev/shm/{name}", "")
    finding = named(ros.check(machine.system, twin), "ROS leftovers")
    assert finding.level is Level.NOTE and "rm -f /dev/shm/" in finding.remedy


def test_the_loopback_profile_has_the_name_that_is_looked_for(root) -> None:
    assert (root / "ros2_ws" / "src" / "dextrack" / "dextrack_ros" / "loopback.xml").is_file()
