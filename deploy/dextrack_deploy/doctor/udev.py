"""The udev rules that DexTrack ships, and the group that they give devices to."""

from __future__ import annotations

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, doubtful, ok
from dextrack_deploy.doctor.system import System

RULES = "99-dextrack.rules"
FOLDERS = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
GROUP = "dialout"
"""Debian's and Ubuntu's group of people who may use serial ports; the rules give the camera to it too, so that one group is enough."""
INSTALL = f"`sudo cp deploy/udev/{RULES} /etc/udev/rules.d/ && sudo udevadm control --reload-rules && sudo udevadm trigger`"


def installed(system: System) -> bool:
    """Whether udev has our rules."""
    return any(system.exists(f"{folder}/{RULES}") for folder in FOLDERS)


def check(system: System, case: Case) -> list[Finding]:
    """Whether the rules are installed."""
    if installed(system):
        return [ok("udev rules", f"{RULES} is installed.")]
    return [doubtful(case.needs_hand or case.needs_camera, "udev rules", f"{RULES} is not installed: devices keep the system's rights and delays.", INSTALL)]


def remedy_of_refusal(system: System) -> str:
    """What to do about a device that this user may not use."""
    gid, members = _group(system)
    if gid is None:
        return f"install the rules: {INSTALL}."
    if str(gid) in (system.field("/proc/self/status", "Groups") or "").split():
        return f"you are in the group {GROUP}, so the device is not given to it: install the rules, {INSTALL}, and plug it in again."
    if _user(system) in members:
        return f"log out and in again: you are in the group {GROUP}, but this session began before."
    return f"`sudo usermod -a -G {GROUP} {_user(system) or '$USER'}`, then log out and in again."


def _group(system: System) -> tuple[int | None, list[str]]:
    """Number and members of ``GROUP``."""
    for line in (system.text("/etc/group") or "").splitlines():
        name, _, gid, members = (line.split(":") + ["", "", "", ""])[:4]
        if name == GROUP and gid.isdigit():
            return int(gid), [m for m in members.split(",") if m]
    return None, []


def _user(system: System) -> str:
    """Name of the user that this process runs as; empty where /etc/passwd does not know."""
    uid = (system.field("/proc/self/status", "Uid") or "").split()
    for line in (system.text("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if uid and len(fields) > 2 and fields[2] == uid[0]:
            return fields[0]
    return ""
