"""Cell configurations: what ships loads, and what is wrong is refused with the field's name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from dextrack_assets import path
from dextrack_deploy.arm.collision import CellCollisions
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import cell_names, load_cell
from dextrack_deploy.cell.config import ARMS

from dextrack.errors import InputError
from dextrack.hands import load_hand, urdf_export
from dextrack.hands.motors import hand_digest, load_motors


@pytest.fixture
def content():
    return yaml.safe_load(path("cells", "twin.yaml").read_text(encoding="utf-8"))


def write(tmp_path, content):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", cell_names())
def test_every_shipped_cell_waits_inside_its_limits_and_touches_nothing(name):
    cell = load_cell(name)
    arm = load_arm(cell.arm.model)
    home = np.array(cell.arm.home)
    assert (home > arm.lower + cell.arm.limit_margin).all() and (home < arm.upper - cell.arm.limit_margin).all()
    assert CellCollisions(cell)(home, np.zeros(16)) is None


def test_the_twin_stands_where_the_design_says():
    cell = load_cell("twin")
    assert cell.name == "twin" and cell.arm.base_position_w == (-0.55, 0.0, 0.0)
    assert (cell.drivers.arm, cell.drivers.hand, cell.drivers.object_pose) == ("twin", "twin", "twin")


def test_the_cell_behind_wires_is_the_twin_but_for_its_drivers():
    wire, twin = load_cell("twin_wire"), load_cell("twin")
    # The driver of a real arm gives less than its published limits: plans keep to what it gives.
    assert wire.arm.velocity_fraction <= 0.85 and wire.arm.acceleration_fraction <= 0.6
    slower = dataclasses.replace(twin.arm, velocity_fraction=wire.arm.velocity_fraction, acceleration_fraction=wire.arm.acceleration_fraction)
    assert dataclasses.replace(wire, name="twin", drivers=twin.drivers, arm=slower) == dataclasses.replace(twin, arm=slower)
    assert (wire.drivers.arm, wire.drivers.hand, wire.drivers.arm_address, wire.drivers.hand_address) == ("franka", "leap", "peer", "peer")
    assert wire.drivers.twin


def test_the_panda_s_cell_is_the_twin_but_for_its_arm():
    panda, twin = load_cell("twin_panda"), load_cell("twin")
    assert dataclasses.replace(panda, name="twin", arm=dataclasses.replace(panda.arm, model="fr3")) == twin
    assert panda.arm.model == "panda"


def test_the_core_exports_every_arm_that_a_cell_can_have():
    assert urdf_export.ARMS == ARMS


def test_a_file_of_the_users_is_read_as_the_shipped_one(tmp_path, content):
    assert load_cell(write(tmp_path, content)) == load_cell("twin")


def test_defaults_are_used_where_a_field_is_left_out(tmp_path, content):
    del content["arm"]["velocity_fraction"]
    assert load_cell(write(tmp_path, content)).arm.velocity_fraction == 0.7


@pytest.mark.parametrize(
    "where, value, named",
    [
        (("arm", "home"), [0.0] * 6, "arm.home"),
        (("arm", "home"), [0.0] * 6 + [float("nan")], "arm.home"),
        (("arm", "home"), "zero", "arm.home"),
        (("arm", "home"), [0.0] * 6 + ["1"], "arm.home"),
        (("arm", "home"), [0.0] * 6 + [True], "arm.home"),
        (("arm", "base_quaternion_w"), [0.0, 0.0, 0.0, 0.0], "arm.base_quaternion_w"),
        (("arm", "velocity_fraction"), 1.5, "arm.velocity_fraction"),
        (("arm", "acceleration_fraction"), 0.0, "arm.acceleration_fraction"),
        (("arm", "limit_margin"), 0.0, "arm.limit_margin"),
        (("arm", "model"), "ur5", "arm.model"),
        (("arm", "colour"), "red", "arm.colour"),
        (("hand", "position_f"), [0.0, 0.0, 123.0], "hand.position_f"),
        (("hand", "model"), "allegro_right", "hand.model"),
        (("hand", "plate_mass"), -1.0, "hand.plate_mass"),
        (("workspace", "lower_w"), [1.0, 1.0, 1.0], "workspace"),
        (("table", "upper"), [-9.0, -9.0], "table"),
        (("drivers", "arm"), "panda", "drivers.arm"),
        (("drivers", "arm"), "franka", "drivers.arm_address"),
        (("drivers", "hand"), "leap", "drivers.hand_address"),
        (("drivers", "hand_address"), "/dev/ttyUSB0", "drivers.hand_address"),
        (("drivers",), {"arm": "franka", "hand": "leap", "object_pose": "twin", "arm_address": "", "hand_address": "auto"}, "drivers.arm_address"),
        (("safety",), {"estop": "yes"}, "safety.estop"),
        (("drivers", "object_pose"), "realsense", "drivers.object_pose"),
        (("drivers",), ["twin"], "drivers"),
        (("name",), "", "name"),
        (("name",), 3, "name"),
    ],
)
def test_a_wrong_field_is_refused_by_name(tmp_path, content, where, value, named):
    part = content
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    with pytest.raises(InputError, match=named.replace(".", r"\.")) as caught:
        load_cell(write(tmp_path, content))
    assert "mine.yaml" in str(caught.value) and "Remedy" in str(caught.value)


@pytest.mark.parametrize("missing", [("arm",), ("hand", "quaternion_f"), ("drivers", "object_pose")])
def test_a_missing_field_is_refused_by_name(tmp_path, content, missing):
    part = content
    for key in missing[:-1]:
        part = part[key]
    del part[missing[-1]]
    with pytest.raises(InputError, match=missing[-1]):
        load_cell(write(tmp_path, content))


@pytest.mark.parametrize("text", ["name: [", "- 1\n- 2\n", "", "!!python/object/apply:os.system ['true']\n", "\x00\x01"])
def test_what_is_no_cell_is_refused(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="mine.yaml"):
        load_cell(file)


def test_an_unknown_cell_names_the_known_ones():
    with pytest.raises(InputError, match="twin"):
        load_cell("kitchen")


@pytest.mark.parametrize(
    ("zeros", "reason"),
    [
        ({"16": 0.01}, "joint 16, which leap_right has not"),
        ({"3": 0.4}, "hand.zeros.3 is 0.4"),
        ({"3": "much"}, "zeros.3 holds 'much'"),
        ([0.1], "no mapping"),
    ],
)
def test_zeros_that_no_hand_has_are_refused(zeros, reason, content, tmp_path):
    content["hand"]["zeros"] = zeros
    with pytest.raises(InputError, match=reason):
        load_cell(write(tmp_path, content))


def test_zeros_are_those_of_the_file(content, tmp_path):
    # A YAML key that is written without quotes is a number.
    content["hand"]["zeros"] = {3: 0.035, "15": -0.1}
    assert load_cell(write(tmp_path, content)).hand.zeros == {"3": 0.035, "15": -0.1}
    assert load_cell("twin").hand.zeros == {}


def test_motors_that_were_measured_with_another_model_of_the_hand_are_refused(content, tmp_path):
    hand = load_hand("leap_right")
    measured = {"hand": hand.name, "digest": hand_digest(hand), "joints": {"1": {"kp": 5.0, "kv": 0.2, "effort": 0.26, "delay": 0.01}}}
    content["hand"].pop("lag_s")
    content["hand"]["motors"] = "motors.json"
    for digest, accepted in ((hand_digest(hand), True), ("", True), ("0" * 64, False)):
        (tmp_path / "motors.json").write_text(json.dumps({**measured, "digest": digest}))
        if accepted:
            assert load_cell(write(tmp_path, content)).hand.lag_s == pytest.approx(0.05)
        else:
            with pytest.raises(InputError, match="another model of leap_right.*measure the hand again"):
                load_cell(write(tmp_path, content))


def test_the_file_of_the_motors_is_found_from_any_folder(content, tmp_path, monkeypatch):
    """It lies beside the cell's; whoever reads the cell may have another working folder later."""
    content["hand"].pop("lag_s")
    content["hand"]["motors"] = "motors.json"
    measured = {"hand": "leap_right", "joints": {"1": {"kp": 3.0, "kv": 0.2, "effort": 0.2, "delay": 0.01}}}
    (tmp_path / "motors.json").write_text(json.dumps(measured))
    monkeypatch.chdir(tmp_path)
    cell = load_cell(write(Path(), content))
    monkeypatch.chdir("/")
    assert load_motors(Path(cell.hand.motors)).joints["1"].kp == 3.0
