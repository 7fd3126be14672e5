"""A hand is a folder: what ``hand.json`` must hold, and what is said when it does not."""

from __future__ import annotations

import json
import shutil

import pytest
from dextrack_assets import path

from dextrack.errors import InputError
from dextrack.hands import HANDS, hand_names, load_hand
from dextrack.hands.description import read_folder


@pytest.fixture
def folder(tmp_path):
    """A copy of the right LEAP's folder under another name, as somebody who adds a hand would begin."""
    new = tmp_path / "mine_right"
    shutil.copytree(path("models", "leap_right"), new)
    (new / "leap_right.xml").rename(new / "mine_right.xml")
    return new


def edit(folder, **changes):
    file = folder / "hand.json"
    given = {k: v for k, v in {**json.loads(file.read_text()), **changes}.items() if v is not None}
    file.write_text(json.dumps(given))


def test_every_shipped_folder_is_a_registered_hand() -> None:
    folders = {p.parent.name for p in path("models").glob("*/hand.json")}
    assert folders == set(HANDS) <= set(hand_names())
    for name in HANDS:
        hand = load_hand(name)
        assert (hand.name, hand.mjcf) == (name, path("models", name, name + ".xml"))
        assert (hand.mjcf.parent / "LICENSE").is_file()


def test_a_copied_folder_is_a_hand(folder) -> None:
    hand, leap = read_folder(folder), load_hand("leap_right")
    assert hand.name == "mine_right" and hand.mjcf == folder / "mine_right.xml"
    assert (hand.lower, hand.upper, hand.keypoints, hand.mass) == (leap.lower, leap.upper, leap.keypoints, leap.mass)


def test_one_number_or_one_per_joint(folder) -> None:
    edit(folder, effort=[0.1] * 15 + [0.2])
    assert read_folder(folder).effort == (0.1,) * 15 + (0.2,)
    edit(folder, effort=[0.1] * 15)
    with pytest.raises(InputError, match="field effort has 15 values for 16 joints"):
        read_folder(folder)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"side": None}, "field side is missing"),
        ({"speed": 3}, "field speed is unknown"),
        ({"palm_body": "palm"}, "palm"),
        ({"finger_joints": ["0", "99"]}, "99"),
        ({"rest": [9.0] * 16}, "rest pose leaves the joint limits"),
        ({"keypoints": {"wrist": ["palm_lower", [0, 0], 1]}}, "unpack"),
        ({"finger_kp": "stiff"}, "stiff"),
    ],
)
def test_a_wrong_field_is_named(folder, changes, named) -> None:
    edit(folder, **changes)
    with pytest.raises(InputError, match=named):
        read_folder(folder)


def test_a_file_that_is_no_json_is_named(folder) -> None:
    (folder / "hand.json").write_text("{")
    with pytest.raises(InputError, match=r"hand\.json cannot be read"):
        read_folder(folder)


def test_a_mirror_image_must_exchange_names_one_for_one(folder, tmp_path) -> None:
    left = tmp_path / "mine_left"
    left.mkdir()
    image = {"mirror_of": "mine_right", "exchanged": {"0": "4"}, "reversed_joints": [], "sources": []}
    (left / "hand.json").write_text(json.dumps(image))
    with pytest.raises(InputError, match="exchanged names"):
        read_folder(left)
    (left / "hand.json").write_text(json.dumps({**image, "exchanged": {}}))
    assert read_folder(left).side == "left"
