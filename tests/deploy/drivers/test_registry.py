from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers import registry

from dextrack.errors import DriverError, InputError


@pytest.mark.parametrize("opener", [registry.open_hand, registry.open_arm, registry.open_object_pose_source])
def test_an_unknown_driver_is_refused_with_the_known_ones(opener: Callable[[str, str], object]) -> None:
    with pytest.raises(InputError, match="'abacus' is not known.*choose one of: .*twin"):
        opener("abacus", "/dev/null")


def test_the_shipped_cell_s_drivers_exist() -> None:
    drivers = load_cell("twin").drivers
    assert drivers.arm in registry.ARM_DRIVERS
    assert drivers.hand in registry.HAND_DRIVERS
    assert drivers.object_pose in registry.OBJECT_POSE_SOURCES


def test_an_address_that_is_none_is_a_driver_error() -> None:
    with pytest.raises(DriverError, match="no endpoint"):
        registry.open_hand("twin", "/dev/ttyUSB0")


@pytest.mark.parametrize("table", [registry.HAND_DRIVERS, registry.ARM_DRIVERS, registry.OBJECT_POSE_SOURCES])
def test_every_driver_that_is_offered_is_there(table: dict[str, str]) -> None:
    for place in table.values():
        module, name = place.split(":")
        driver = getattr(importlib.import_module(module), name)
        assert callable(driver.read) and callable(driver.close)


def test_reading_a_cell_loads_no_device_s_libraries() -> None:
    code = "import sys; from dextrack_deploy.cell import load_cell; load_cell('twin'); print(sorted({'zmq', 'msgpack', 'mujoco'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
