"""ROS 2: installed, with the middleware that the loopback profile is for, and staying on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, note, ok, problem, warning
from dextrack_deploy.doctor.system import System

MIDDLEWARE = "rmw_fastrtps_cpp"
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
"""Where Fast DDS 3 (Kilted and later) looks for its profile."""
OLD_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Where Fast DDS 2 (Humble, Jazzy) looks."""
OLD_DISTRIBUTIONS = ("humble", "iron", "jazzy")
"""Those with Fast DDS 2."""
NETWORK = "DEXTRACK_DDS_NETWORK"
"""Set to 1 by an operator who wants DDS on the network."""
HIGHEST_DOMAIN, COMFORTABLE_DOMAIN = 232, 101
"""Ids above the first have no ports; above the second they collide with ports that Linux gives out (OMG DDSI-RTPS 2.3, section 9.6.1)."""


def check(system: System, case: Case) -> list[Finding]:
    """Installation, middleware, domain, reach, leftovers."""
    return [*_installation(system), _middleware(system), _domain(system), _discovery(system), _profile(system, case), _leftovers(system)]


def _installation(system: System) -> list[Finding]:
    """Whether rclpy starts, and our package is there."""
    setup = "run `make setup` (CPython 3.11), or source a ROS 2 that is made for this Python: `source /opt/ros/DISTRIBUTION/setup.bash`."
    folder = system.module_folder("rclpy")
    if folder is None:
        return [problem("ROS 2", "Python finds no rclpy: there is no trial without it, in the twin neither.", setup)]
    ran = system.run((sys.executable, "-c", "import rclpy"), 3.0)
    if ran is None:
        found = warning("ROS 2", "rclpy did not load within 3 s.", "run this again when the machine is less busy.")
    elif ran.code:
        last = (ran.errors.strip().splitlines() or ["no reason given"])[-1]
        found = problem("ROS 2", f"rclpy at {folder} does not load ({last}).", setup)
    else:
        distribution = system.environment.get("ROS_DISTRO")
        wheel = system.version("ros-rclpy")
        found = ok("ROS 2", f"{distribution} is sourced." if distribution else f"rclpy {wheel} from the package index." if wheel else f"rclpy in {folder}.")
    if system.module_folder("dextrack_ros") is not None:
        return [found, ok("ROS package", "dextrack is installed.")]
    return [found, problem("ROS package", "Python finds no dextrack_ros.", "run `make setup`, or build ros2_ws with colcon and source it.")]


def _middleware(system: System) -> Finding:
    """Which middleware rclpy takes."""
    chosen = system.environment.get("RMW_IMPLEMENTATION")
    if chosen in (None, "", MIDDLEWARE):
        return ok("ROS middleware", f"{MIDDLEWARE}{'' if chosen else ', which DexTrack chooses where nothing else is set'}.")
    what = f"RMW_IMPLEMENTATION is {chosen}: the loopback profile is one of Fast DDS, so {chosen} speaks to the network."
    return warning("ROS middleware", what, "`unset RMW_IMPLEMENTATION`.")


def _domain(system: System) -> Finding:
    """ROS_DOMAIN_ID, which `ros2 launch` uses; `dextrack track` takes a free one by itself."""
    text = system.environment.get("ROS_DOMAIN_ID", "")
    if not text:
        return ok("ROS domain", "not set: `dextrack track` takes a free one, `ros2 launch` takes 0.")
    if not text.isdigit() or int(text) > HIGHEST_DOMAIN:
        return problem("ROS domain", f"ROS_DOMAIN_ID is {text!r}, and has to be 0 to {HIGHEST_DOMAIN}.", "`export ROS_DOMAIN_ID=7`, a number of your own.")
    if int(text) > COMFORTABLE_DOMAIN:
        return warning("ROS domain", f"{text}: its ports may be taken by other programs.", f"take one from 0 to {COMFORTABLE_DOMAIN}.")
    return ok("ROS domain", f"{text}.")


def _discovery(system: System) -> Finding:
    """How far nodes look for each other."""
    reach, only = system.environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", ""), system.environment.get("ROS_LOCALHOST_ONLY", "")
    if reach == "OFF":
        return problem("ROS discovery", "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: nodes do not find each other.", "`unset ROS_AUTOMATIC_DISCOVERY_RANGE`.")
    if reach not in ("", "LOCALHOST", "SUBNET", "SYSTEM_DEFAULT"):
        return warning("ROS discovery", f"ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}, which ROS 2 does not know.", "`unset ROS_AUTOMATIC_DISCOVERY_RANGE`.")
    peers = system.environment.get("ROS_STATIC_PEERS", "")
    if peers:
        return warning("ROS discovery", f"ROS_STATIC_PEERS names other machines: {peers}.", "`unset ROS_STATIC_PEERS`, unless they belong to the cell.")
    if only == "1" and not reach:
        return note("ROS discovery", "ROS_LOCALHOST_ONLY is set; Kilted does not read it any more.", "use ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST beside it.")
    return ok("ROS discovery", f"range {reach or 'as the middleware has it'}; the profile decides what leaves this machine.")


def _profile(system: System, case: Case) -> Finding:
    """Whether DDS stays on this machine."""
    if system.environment.get(NETWORK) == "1":
        return note("DDS profile", f"{NETWORK} is 1: DDS is on the network, as you chose.", f"`unset {NETWORK}` keeps it on this machine.")
    folder = system.module_folder("dextrack_ros")
    ours = None if folder is None else folder / "loopback.xml"
    old = system.environment.get("ROS_DISTRO") in OLD_DISTRIBUTIONS
    # Each version reads one of the two; DexTrack gives it the other where only that is set.
    names = (OLD_PROFILE, PROFILE) if old else (PROFILE, OLD_PROFILE)
    name = next((n for n in names if system.environment.get(n)), names[0])
    chosen = system.environment.get(name, "")
    if not chosen:
        return ok("DDS profile", "not set: DexTrack keeps DDS on the loopback interface.")
    content = _bytes(system.at(chosen) if chosen.startswith("/") else Path(chosen))
    if content is None:
        return problem("DDS profile", f"{name} is {chosen}, which cannot be read: DDS is on the network.", f"`unset {name}`, or correct it.")
    if ours is not None and content == _bytes(ours):
        return ok("DDS profile", "DexTrack's own: DDS stays on the loopback interface.")
    return doubtful(
        case.is_hardware, "DDS profile", f"{name} is your own, {chosen}: whether DDS leaves this machine is up to it.", f"`unset {name}` for DexTrack's."
    )


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _leftovers(system: System) -> Finding:
    """What killed ROS processes left in shared memory; the loopback profile does not use it, other ROS programs do."""
    found = [p for pattern in ("fastrtps_*", "fastdds_*", "sem.fastrtps_*", "sem.fastdds_*") for p in system.matches(f"/dev/shm/{pattern}")]
    if not found:
        return ok("ROS leftovers", "none in /dev/shm.")
    remedy = "end every ROS program, then `rm -f /dev/shm/*fastrtps_* /dev/shm/*fastdds_*`; they are those of running programs, or of killed ones."
    return note("ROS leftovers", f"{len(found)} files of Fast DDS are in /dev/shm.", remedy)
