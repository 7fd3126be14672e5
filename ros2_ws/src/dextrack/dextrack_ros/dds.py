"""DDS stays on loopback: the Fast DDS profile that every process of a trial runs under, and a domain of its own."""

from __future__ import annotations

import importlib.metadata
import os
import random
import socket
from collections.abc import Mapping
from importlib import resources

from dextrack.errors import InputError, RefusedError

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
"""Environment variable from which Fast DDS 3 (Kilted) takes its profile, once per process."""
EARLIER_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""The same of Fast DDS 2 (Humble, Jazzy); later ones complain of it."""
_EARLIER = ("humble", "iron", "jazzy")
_RCLPY_OF_FAST_DDS_3 = 9
"""Major version of the first rclpy that stands on Fast DDS 3, Kilted's; Humble's is 3, Jazzy's 7."""
DOMAIN_VARIABLE = "ROS_DOMAIN_ID"
"""Environment variable in which ROS 2 looks for its domain."""
NETWORK_VARIABLE = "DEXTRACK_DDS_NETWORK"
"""Set to 1: the operator's explicit choice to let DDS leave this machine."""
_DOMAIN_RANGE = range(1, 101)
_DOMAIN_IDS = range(233)
# RTPS ports: 7400 + 250 * domain + 10 + 2 * participant (OMG DDSI-RTPS 2.3, section 9.6.1.1). Ids up to 101 keep clear of ephemeral ports.
_PORT_BASE, _PORTS_PER_DOMAIN, _UNICAST_OFFSET, _PORTS_PER_PARTICIPANT = 7400, 250, 10, 2
_PARTICIPANTS = 12


def profile() -> str:
    """Path of the loopback profile."""
    return str(resources.files("dextrack_ros") / "loopback.xml")


def keep_on_loopback() -> None:
    """Put the loopback profile into this process's environment; call before its first node."""
    os.environ.update(settings(os.environ))


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to ``environment``: middleware and loopback profile. A profile that is set there stays, and so does the wish for the network."""
    found = {"RMW_IMPLEMENTATION": environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")}
    if environment.get(NETWORK_VARIABLE) != "1":
        new, old = environment.get(PROFILE_VARIABLE, ""), environment.get(EARLIER_VARIABLE, "")
        found[PROFILE_VARIABLE] = new or old or profile()
        if environment.get("ROS_DISTRO") in _EARLIER or not _on_fast_dds_3():
            found[EARLIER_VARIABLE] = old or new or profile()
    return found


def _on_fast_dds_3() -> bool:
    """Whether the rclpy that Python would import is known to stand on Fast DDS 3. A doubt costs a complaint there; on Fast DDS 2 it would cost the loopback."""
    try:
        return int(importlib.metadata.version("rclpy").split(".")[0]) >= _RCLPY_OF_FAST_DDS_3
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


def chosen_domain(asked: int | None, environment: Mapping[str, str]) -> int:
    """The ROS domain id that is ``asked`` for; else the one that ``environment`` has, in which the cell's emergency stop is published; else a free one.

    Raises:
        InputError: it is no id.
        RefusedError: every domain is taken.
    """
    given = str(asked) if asked is not None else environment.get(DOMAIN_VARIABLE, "")
    if not given:
        return free_domain()
    if not (given.isdecimal() and int(given) in _DOMAIN_IDS):
        what = f"ROS domain id {given!r} is not a number from {_DOMAIN_IDS[0]} to {_DOMAIN_IDS[-1]}."
        raise InputError(what, remedy=f"set {DOMAIN_VARIABLE} or --domain to one, or leave them out.")
    return int(given)


def free_domain(seed: int | None = None) -> int:
    """A ROS domain id whose first unicast ports nobody on this machine holds.

    Raises:
        RefusedError: every domain is taken.
    """
    ids = list(_DOMAIN_RANGE)
    random.Random(seed).shuffle(ids)
    for domain in ids:
        if all(_port_free(_PORT_BASE + _PORTS_PER_DOMAIN * domain + _UNICAST_OFFSET + _PORTS_PER_PARTICIPANT * k) for k in range(_PARTICIPANTS)):
            return domain
    raise RefusedError("every ROS domain id from 1 to 100 is in use on this machine.", remedy="stop the ROS processes that are no longer needed.")


def _port_free(port: int) -> bool:
    """Whether UDP ``port`` on loopback can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
