"""Python and its packages: the versions that are tested together, and the libraries of the cell's drivers."""

from __future__ import annotations

import re
from pathlib import Path

import dextrack
from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, note, ok, problem, warning
from dextrack_deploy.doctor.system import System

OLDEST, NEWEST = (3, 10), (3, 12)
"""Versions of Python that DexTrack is for: those of ROS 2 Humble, Jazzy and Kilted."""
LIBRARIES = {"leap": ("dynamixel_sdk", "dynamixel-sdk"), "franka": ("franky", "franky-control")}
"""Driver -> module that it imports, and the distribution that brings it."""
_SHOWN = 5
_PIN = re.compile(r'^([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*python_version\s*(>=|<)\s*"(\d+)\.(\d+)"\s*)?$')
_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def check(system: System, case: Case, constraints: Path | None = None) -> list[Finding]:
    """Python, missing packages, versions, libraries of drivers. ``constraints``: the file of pins; by default the checkout's."""
    file = Path(dextrack.__file__).parents[1] / "constraints.txt" if constraints is None else constraints
    return [_python(system), _missing(system), _versions(system, file), *_libraries(system, case)]


def _python(system: System) -> Finding:
    """Whether Python is one of those that DexTrack is for."""
    told = ".".join(map(str, system.python))
    if not OLDEST <= system.python <= NEWEST:
        return problem("Python", f"{told}; DexTrack is for 3.10 to 3.12.", "`make clean setup PYTHON=/usr/bin/python3.11`.")
    return ok("Python", f"{told}.")


def _missing(system: System) -> Finding:
    """Whether what the core and a cell need is installed; the extras of development and training are not looked for."""
    absent = []
    for line in system.requirements():
        name, extra = _NAME.match(line), _EXTRA.search(line)
        if name and (extra is None or extra.group(1) == "robot") and system.version(name.group()) is None and _applies(line, system):
            absent.append(name.group())
    if absent:
        return problem("packages", f"not installed: {', '.join(sorted(absent))}.", "run `make setup`.")
    return ok("packages", "everything that a cell needs is installed.")


def _applies(line: str, system: System) -> bool:
    """Whether a requirement is one for this Python."""
    marker = re.search(r"python_version\s*(>=|<)\s*['\"](\d+)\.(\d+)", line)
    return marker is None or (system.python >= (int(marker[2]), int(marker[3]))) == (marker[1] == ">=")


def _versions(system: System, file: Path) -> Finding:
    """Whether what is installed has the versions that are tested together."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return note("package versions", "not compared: constraints.txt is only in a checkout.")
    pins = {m[1]: m[2] for line in lines if (m := _PIN.match(line.strip())) and _applies(line, system)}
    found = {name: system.version(name) for name in pins}
    # A local part, as +cpu, is a build of the same version.
    other = [f"{name} {v} instead of {pins[name]}" for name, v in found.items() if v is not None and v.split("+")[0] != pins[name].split("+")[0]]
    present = sum(1 for v in found.values() if v is not None)
    if not other:
        return ok("package versions", f"{present} packages have the versions that are tested together.")
    listed = ", ".join(other[:_SHOWN]) + (f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else "")
    return warning("package versions", f"{len(other)} of {present} packages have other versions: {listed}.", "run `make clean setup`.")


def _libraries(system: System, case: Case) -> list[Finding]:
    """Libraries of the cell's drivers; those of the twin come with DexTrack."""
    findings = []
    for driver in dict.fromkeys((case.hand, case.arm)):
        if driver not in LIBRARIES:
            continue
        module, distribution = LIBRARIES[driver]
        if system.module_folder(module) is None:
            what = f"Python finds no {module}, which the driver {driver} needs."
            findings.append(problem("driver library", what, f"`pip install -c constraints.txt {distribution}` into the environment of DexTrack."))
        else:
            findings.append(ok("driver library", f"{distribution} {system.version(distribution) or 'of unknown version'} for the driver {driver}."))
    return findings
