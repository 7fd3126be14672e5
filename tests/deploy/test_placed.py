"""The placed files of a trial: one reader for the nodes and for the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy.placed import arm_path_file, load_arm_path, load_placed, placed_reference

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.references.reference import Reference

NAMES = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))


def demonstration(name: str = "ref") -> Demonstration:
    unit = np.tile([1.0, 0, 0, 0], (4, 1))
    reference = Reference(name, "leap_right", "box", NAMES, unit[0], np.zeros((4, 22)), np.zeros((4, 3)), unit, np.zeros((4, 21, 3)))
    return Demonstration(reference, np.ones((3, 22)), reference.hand, reference.hand, reference.object_position_w, unit, {}, {}, {})


def test_a_reference_and_a_demonstration_are_read(tmp_path: Path) -> None:
    made = demonstration()
    made.reference.save(tmp_path / "placed.npz")
    store.save(tmp_path / "placed.h5", made)
    reference, read = load_placed(str(tmp_path / "placed.npz")), load_placed(str(tmp_path / "placed.h5"))
    assert isinstance(reference, Reference) and isinstance(read, Demonstration)
    np.testing.assert_array_equal(read.targets, made.targets)
    assert placed_reference(str(tmp_path / "placed.h5")).digest == placed_reference(str(tmp_path / "placed.npz")).digest == made.reference.digest


def test_no_path_and_two_demonstrations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="placed is empty"):
        load_placed("")
    for name in ("one", "two"):
        store.save(tmp_path / "placed.h5", demonstration(name))
    with pytest.raises(InputError, match="2 demonstrations, not one"):
        load_placed(str(tmp_path / "placed.h5"))


def test_the_arm_s_path_lies_beside_and_may_be_missing_but_not_damaged(tmp_path: Path) -> None:
    placed = tmp_path / "placed.npz"
    assert load_arm_path(str(placed)) is None
    joints = np.arange(28.0).reshape(4, 7)
    np.save(arm_path_file(placed), joints)
    np.testing.assert_array_equal(load_arm_path(str(placed)), joints)
    for bad in (joints[:, :6], joints * np.nan):
        np.save(arm_path_file(placed), bad)
        with pytest.raises(InputError, match="finite array"):
            load_arm_path(str(placed))
    arm_path_file(placed).write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="not an array"):
        load_arm_path(str(placed))
