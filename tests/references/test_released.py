"""Files of the authors' release: the wrist's coordinates, and reading without running what a file says."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.references import released

KEYS = released.REFERENCE_KEYS


def content() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"robot_delta_states_weights_np": (9, 22), "object_transl": (9, 3), "object_rot_quat": (9, 4)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.mark.parametrize("name", released.HANDS)
def test_the_release_has_every_joint_once(name: str) -> None:
    hand = released.released_hand(name)
    assert sorted(hand.tree) == sorted(hand.isaac) == sorted(load_hand(name).finger_joints)
    with pytest.raises(InputError, match="no such hand"):
        released.released_hand("leap_left")


@pytest.mark.parametrize("name", released.HANDS)
def test_the_wrist_goes_there_and_back_through_the_singular_pose(name: str) -> None:
    """A turn by 1.6 full circles about an oblique axis: the middle hinge passes +-90 deg, where Euler angles usually jump."""
    hand = released.HANDS[name]
    turn = np.linspace(0.0, 3.2 * np.pi, 400)
    world = Rotation.from_rotvec(turn[:, None] * np.array([0.05, 0.99, 0.1]) / np.linalg.norm([0.05, 0.99, 0.1]))
    base = Rotation.from_rotvec([0.3, -0.2, 0.5])
    theta = np.hstack([np.random.default_rng(1).uniform(-0.5, 0.5, (400, 3)), (base.inv() * world).as_euler("XYZ")])
    wrist = released.wrist_to_release(hand, theta, base.as_quat(scalar_first=True))
    # The release's own chain: a fixed root, then translations and hinges.
    root = Rotation.from_euler("XYZ", hand.root_hinges)
    assert np.abs(root.apply(wrist[:, :3]) + np.asarray(hand.root_position_w) - theta[:, :3]).max() < 1e-12
    assert ((root * Rotation.from_euler("XYZ", wrist[:, 3:])).inv() * world).magnitude().max() < 1e-6
    steps = np.abs(np.diff(wrist[:, 3:], axis=0))
    assert steps.max() < 1.0, "the angles jump by a half turn or more"
    near = released.wrist_to_release(hand, theta, base.as_quat(scalar_first=True), near=wrist[:, 3:] + 0.05)
    assert np.abs(near - wrist).max() < 1e-9


def test_numpy_reads_what_is_encoded_and_so_do_we(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(released.encode(content()))
    theirs = np.load(path, allow_pickle=True).item()
    ours = released.read(path, KEYS)
    for key, values in content().items():
        assert np.array_equal(theirs[key], values) and np.array_equal(ours[key], values)
    np.save(path, content(), allow_pickle=True)  # by today's numpy, which names numpy._core
    assert np.array_equal(released.read(path, KEYS)["object_transl"], content()["object_transl"])


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_that_names_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path, mark = tmp_path / "a.npy", tmp_path / "ran"
    np.save(path, {**content(), "passive_meshes": Payload(mark)}, allow_pickle=True)
    with pytest.raises(InputError, match="mkdir"):
        released.read(path, KEYS)
    assert not mark.exists()
    np.load(path, allow_pickle=True)
    assert mark.exists(), "the payload would have run"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: {**c, "object_transl": None}, "object_transl"),
        (lambda c: {**c, "object_rot_quat": np.full((9, 4), np.nan, np.float32)}, "object_rot_quat"),
        (lambda c: {**c, "object_rot_quat": np.array([[1, "a"]], dtype=object)}, "object_rot_quat"),
        (lambda c: {k: v for k, v in c.items() if k != "object_transl"}, "'object_transl' is missing"),
        (lambda c: [1, 2], "list, not a dict"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path: Path, spoil, says: str) -> None:
    boxed = np.empty((), dtype=object)
    boxed[()] = spoil(content())
    np.save(tmp_path / "a.npy", boxed, allow_pickle=True)
    with pytest.raises(InputError, match=says):
        released.read(tmp_path / "a.npy", KEYS)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    whole = released.encode(content())
    path = tmp_path / "a.npy"
    for bad in (b"", b"text", whole[:50], whole[:-20], whole[:200] + b"\xff" * 9 + whole[209:], whole[:128] + pickle.dumps(7)):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="a.npy"):
            released.read(path, KEYS)
    np.save(path, np.zeros(3))
    with pytest.raises(InputError, match="not a dict"):
        released.read(path, KEYS)
    with pytest.raises(InputError, match="no such file"):
        released.read(tmp_path / "none.npy", KEYS)
