"""DDS stays on loopback, without multicast and without shared memory; domains are free ones."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from xml.etree import ElementTree

import psutil
import pytest

from dextrack.errors import InputError

SPACE = "{http://www.eprosima.com}"


def test_profile_says_what_the_design_asks_for() -> None:
    from dextrack_ros import dds

    root = ElementTree.parse(dds.profile()).getroot()
    transport = root.find(f".//{SPACE}transport_descriptor")
    assert [t.text for t in root.iter(f"{SPACE}type")] == ["UDPv4"]
    assert [a.text for a in root.iter(f"{SPACE}address")] == ["127.0.0.1"] * 3
    assert {transport.find(f"{SPACE}{side}BufferSize").text for side in ("send", "receive")} == {str(4 << 20)}
    announcement = root.find(f".//{SPACE}initialAnnouncements/{SPACE}period/{SPACE}nanosec")
    assert int(announcement.text) == 50_000_000
    assert root.find(f".//{SPACE}leaseDuration/{SPACE}sec").text == "5"


def test_a_profile_or_the_network_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    from dextrack_ros import dds

    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.1.2")
    # Fast DDS 2 knows the one name, Fast DDS 3 the other: on either a node that read none would speak on every interface.
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    assert dds.settings({})[names[0]] == dds.profile() and names[1] not in dds.settings({}), "the new one warns of the old name"
    jazzy = {"ROS_DISTRO": "jazzy"}
    assert [dds.settings(jazzy)[name] for name in names] == [dds.profile()] * 2
    for name in names:
        assert [dds.settings({**jazzy, name: "mine.xml"})[n] for n in names] == ["mine.xml"] * 2
        assert dds.settings({name: "mine.xml"})[names[0]] == "mine.xml"
    assert not set(names) & set(dds.settings({"DEXTRACK_DDS_NETWORK": "1"}))


def test_a_node_has_sockets_on_loopback_only(start: Callable[..., subprocess.Popen], observer: object, spin: Callable[..., bool]) -> None:
    process = start("dextrack_ros.object_pose", FASTDDS_DEFAULT_PROFILES_FILE="", FASTRTPS_DEFAULT_PROFILES_FILE="")
    assert spin(observer, lambda: "object_pose" in observer.get_node_names())
    found = psutil.Process(process.pid).net_connections(kind="inet")
    assert len(found) >= 3  # discovery, data, sending
    assert {c.laddr.ip for c in found} == {"127.0.0.1"}
    maps = [m.path for m in psutil.Process(process.pid).memory_maps()]
    assert not [m for m in maps if m.startswith("/dev/shm/fast")]


def test_a_domain_that_the_user_set_is_kept() -> None:
    """An emergency stop is published in it: in a domain of our own choice nobody would hear it."""
    from dextrack_ros import dds

    assert dds.chosen_domain(None, {"ROS_DOMAIN_ID": "42"}) == 42 and dds.chosen_domain(7, {"ROS_DOMAIN_ID": "42"}) == 7
    assert dds.chosen_domain(0, {}) == 0 and dds.chosen_domain(None, {}) in range(1, 101)
    for wrong in ("lab", "233", "-1"):
        with pytest.raises(InputError, match="not a number from 0 to 232"):
            dds.chosen_domain(None, {"ROS_DOMAIN_ID": wrong})


def test_a_domain_is_taken_once_somebody_listens_there() -> None:
    from dextrack_ros import dds

    first = dds.free_domain(seed=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 7400 + 250 * first + 10 + 2 * 3))
        assert dds.free_domain(seed=1) != first
    assert dds.free_domain(seed=1) == first
