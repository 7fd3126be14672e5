"""A reference's file: what was altered in it, or is not what it should be, is refused with its field."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.references.reference import Reference

JOINTS = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))


def make(**changes: Any) -> Reference:
    up = np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
    made = Reference("lift", "leap_right", "box", JOINTS, up[0], np.zeros((3, 22)), np.zeros((3, 3)), up, np.zeros((3, 21, 3)), diagnosis={"onset": 1})
    return dataclasses.replace(made, **changes)


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of the header of the file at ``path``, and nothing else."""
    with np.load(path) as z:
        arrays = dict(z)
    header = {**json.loads(arrays["header"].tobytes()), **changes}
    np.savez(path, **{**arrays, "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    make().save(tmp_path / "lift.npz")
    again = Reference.load(tmp_path / "lift.npz")
    assert again.digest == make().digest and again.joint_names == JOINTS and again.diagnosis == {"onset": 1}


@pytest.mark.parametrize("changes", [{"joint_names": JOINTS[::-1]}, {"diagnosis": {"onset": 2}}, {"hand_name": "leap_left"}, {"object_name": "cup"}])
def test_an_altered_header_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    make().save(tmp_path / "lift.npz")
    rewrite(tmp_path / "lift.npz", **changes)
    with pytest.raises(InputError, match="altered or damaged"):
        Reference.load(tmp_path / "lift.npz")


@pytest.mark.parametrize("changes", [{"name": 5}, {"joint_names": 5}, {"joint_names": ["a"] * 22}, {"period": "x"}])
def test_a_header_of_the_wrong_types_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    make().save(tmp_path / "lift.npz")
    rewrite(tmp_path / "lift.npz", **changes)
    with pytest.raises(InputError, match="joint_names|not a text|wrong type"):
        Reference.load(tmp_path / "lift.npz")
