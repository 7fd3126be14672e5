"""What of a cell is hardware, and where its file says that it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.cell.config import Drivers
from dextrack_deploy.doctor import Case, Level, examine


def case_of(tmp_path: Path, drivers: Drivers, **named: str) -> Case:
    return Case.of(dataclasses.replace(load_cell("twin"), drivers=drivers), tmp_path, tmp_path, **named)


def test_bus_peers_are_no_hardware(bare, tmp_path: Path) -> None:
    case = Case.of(load_cell("twin_wire"), tmp_path, tmp_path)
    assert not case.is_hardware and case.port is None and case.host is None
    problems = {f.name for f in examine(bare, case) if f.level is Level.PROBLEM}
    assert problems <= {"ROS 2", "ROS package", "packages", "driver library"}
    # A device that the operator names is looked for all the same.
    assert Case.of(load_cell("twin_wire"), tmp_path, tmp_path, port="/dev/ttyUSB0").needs_hand


def test_the_cell_s_own_addresses_are_examined(tmp_path: Path) -> None:
    drivers = Drivers("franka", "leap", "twin", arm_address="172.16.0.2", hand_address="/dev/ttyUSB3@57600")
    case = case_of(tmp_path, drivers)
    assert (case.host, case.port, case.needs_arm, case.needs_hand, case.needs_camera) == ("172.16.0.2", "/dev/ttyUSB3@57600", True, True, False)
    case = case_of(tmp_path, drivers, port="/dev/ttyUSB0", host="172.16.0.9")
    assert (case.host, case.port) == ("172.16.0.9", "/dev/ttyUSB0")


@pytest.mark.parametrize("address", ["auto", "auto@57600"])
def test_a_hand_anywhere_is_looked_for_at_every_adapter(address: str, tmp_path: Path) -> None:
    case = case_of(tmp_path, Drivers("twin", "leap", "twin", hand_address=address))
    assert case.port is None and case.needs_hand and not case.needs_arm
