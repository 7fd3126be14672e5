"""Python, packages and their versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from dextrack_deploy.doctor import Level, System, packages

PINS = """# comment
numpy==2.3.0 ; python_version >= "3.11"
numpy==2.2.6 ; python_version < "3.11"
torch==2.13.0
ruff==0.17.6   # not installed here
"""


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text(PINS)
    return path


def test_all_is_well(machine, lab, pins, named) -> None:
    machine.versions |= {"numpy": "2.3.0", "torch": "2.13.0+cpu"}
    findings = packages.check(machine.system, lab, pins)
    assert {f.level for f in findings} == {Level.OK}
    assert named(findings, "package versions").what.startswith("2 packages")
    assert [f.what for f in findings if f.name == "driver library"] == [
        "dynamixel-sdk 4.1.0 for the driver leap.",
        "franky-control 2.0.0 for the driver franka.",
    ]


@pytest.mark.parametrize("version, level", [((3, 9), Level.PROBLEM), ((3, 10), Level.OK), ((3, 12), Level.OK), ((3, 13), Level.PROBLEM)])
def test_python(machine, twin, pins, named, version, level) -> None:
    machine.fields["python"] = version
    assert named(packages.check(machine.system, twin, pins), "Python").level is level


def test_other_versions(machine, twin, pins, named) -> None:
    machine.versions |= {"numpy": "2.2.6", "torch": "2.12.0+cpu"}
    finding = named(packages.check(machine.system, twin, pins), "package versions")
    assert finding.level is Level.WARNING and "numpy 2.2.6 instead of 2.3.0, torch 2.12.0+cpu instead of 2.13.0" in finding.what
    machine.fields["python"] = (3, 10)  # for which the other line of numpy holds
    assert "numpy" not in named(packages.check(machine.system, twin, pins), "package versions").what


def test_without_a_checkout(machine, twin, tmp_path, named) -> None:
    assert named(packages.check(machine.system, twin, tmp_path / "gone.txt"), "package versions").level is Level.NOTE


def test_missing_packages(machine, twin, pins, named) -> None:
    core = ["numpy", "scipy>=1", "mujoco-core==4.0.0; python_version >= '3.11'", "old; python_version < '3.11'"]
    machine.requirements = [*core, "mink; extra == 'robot'", "ray; extra == 'cluster'"]
    machine.versions |= {"numpy": "2.3.0"}
    finding = named(packages.check(machine.system, twin, pins), "packages")
    assert finding.level is Level.PROBLEM and finding.what == "not installed: mink, mujoco-core, scipy."


def test_a_driver_without_its_library(machine, lab, twin, pins) -> None:
    del machine.modules["franky"]
    finding = packages.check(machine.system, lab, pins)[-1]
    assert finding.level is Level.PROBLEM and "franky" in finding.what and "franky-control" in finding.remedy
    assert "driver library" not in [f.name for f in packages.check(machine.system, twin, pins)]


def test_the_pins_of_the_checkout_are_read(root, twin, named) -> None:
    assert sum(1 for line in (root / "constraints.txt").read_text().splitlines() if packages._PIN.match(line)) > 100
    assert named(packages.check(System(), twin), "packages").level is Level.OK
