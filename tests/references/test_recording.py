from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dextrack.errors import InputError
from dextrack.files import usable_name
from dextrack.references.recording import Recording

FIELDS = ("time", "keypoints_w", "object_position_w", "object_quaternion_w")


def hand() -> np.ndarray:
    """Keypoints (21, 3) of an open right hand, wrist at the origin, fingers along x, m."""
    fingers = [[0.08 + 0.025 * j, 0.05 - 0.025 * i, 0.0] for i in range(5) for j in range(4)]
    return np.array([[0.0, 0.0, 0.0], *fingers]) + [0.0, 0.0, 0.1]


def make(n: int = 20, **changes: Any) -> Recording:
    t = np.arange(n) / 50.0
    rise = np.stack([0 * t, 0 * t, 0.1 * t], axis=1)
    values: dict[str, Any] = {
        "name": "cube_lift",
        "object_name": "cube",
        "side": "right",
        "time": t,
        "keypoints_w": hand() + rise[:, None],
        "object_position_w": rise + [0.08, 0.0, 0.05],
        "object_quaternion_w": np.tile([1.0, 0, 0, 0], (n, 1)),
    }
    return Recording(**{**values, **changes})


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    made = make(flags=("fast", "table"), licence="none", dataset="mine", provenance={"file": "a", "shift_z_m": 0.1})
    made.save(tmp_path / "x.npz")
    again = Recording.load(tmp_path / "x.npz")
    assert again.digest == made.digest and again.origin == tmp_path / "x.npz"
    for field in ("name", "object_name", "side", "flags", "licence", "dataset", "provenance"):
        assert getattr(again, field) == getattr(made, field)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(again, field), getattr(made, field))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=arrays(np.float64, 9, elements=st.floats(1e-3, 0.2)),
    turns=arrays(np.float64, (10, 4), elements=st.floats(-1, 1)).filter(lambda q: (np.linalg.norm(q, axis=1) > 0.1).all()),
    flags=st.lists(st.text()),
    name=st.text(min_size=1, max_size=20).filter(usable_name),
)
def test_any_recording_comes_back_with_its_digest(tmp_path: Path, steps: np.ndarray, turns: np.ndarray, flags: list[str], name: str) -> None:
    q = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    made = make(10, time=np.concatenate([[0.0], np.cumsum(steps)]), object_quaternion_w=q, flags=tuple(flags), name=name)
    made.save(tmp_path / "x.npz")
    again = Recording.load(tmp_path / "x.npz")
    again.save(tmp_path / "y.npz")
    assert made.digest == again.digest == Recording.load(tmp_path / "y.npz").digest
    assert again.flags == tuple(flags) and again.name == name


def save_plain(path: Path, recording: Recording, **changes: Any) -> Path:
    """Write a recording as a stranger would, with ``numpy.savez``."""
    np.savez(path, **{**{f: getattr(recording, f) for f in FIELDS}, **changes})
    return path


def test_a_file_without_a_header_is_named_after_itself(tmp_path: Path) -> None:
    again = Recording.load(save_plain(tmp_path / "teapot_pour2.npz", make()))
    assert (again.name, again.object_name, again.side, again.flags) == ("teapot_pour2", "teapot", "right", ())


def test_the_documented_example_works(tmp_path: Path) -> None:
    header = {"name": "mug_lift", "object": "mug", "side": "right"}
    path = save_plain(tmp_path / "a.npz", make(), header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    again = Recording.load(path)
    assert (again.name, again.object_name) == ("mug_lift", "mug")


def test_single_precision_is_accepted_and_made_unit(tmp_path: Path) -> None:
    q = np.tile(np.array([0.5, 0.5, 0.5, 0.5001], dtype=np.float32), (20, 1))
    again = Recording.load(save_plain(tmp_path / "a_b.npz", make(), object_quaternion_w=q, keypoints_w=make().keypoints_w.astype(np.float32)))
    np.testing.assert_allclose(np.linalg.norm(again.object_quaternion_w, axis=1), 1.0, atol=1e-12)


def with_nan(field: str, frame: int) -> dict[str, np.ndarray]:
    a = getattr(make(), field).copy()
    a[frame] = np.nan
    return {field: a}


M = make()
BAD: list[tuple[dict[str, Any], str]] = [
    (with_nan("keypoints_w", 7), "keypoints_w is not finite at frame 7"),
    (with_nan("object_position_w", 3), "object_position_w is not finite at frame 3"),
    (with_nan("time", 2), "time is not finite"),
    ({"object_position_w": np.where(np.arange(60).reshape(20, 3) == 5, np.inf, M.object_position_w)}, "not finite"),
    ({"keypoints_w": M.keypoints_w * 1000, "object_position_w": M.object_position_w * 1000}, "not millimetres"),
    ({"keypoints_w": M.keypoints_w * 1000}, "not millimetres"),
    ({"object_position_w": M.object_position_w * 1000}, "metres"),
    ({"object_position_w": M.object_position_w + [2.0, 0, 0]}, "same world frame"),
    ({"time": M.time * 1000}, "seconds"),
    ({"time": np.arange(20.0)}, "seconds"),
    ({"time": M.time[::-1]}, "does not increase"),
    ({"time": np.zeros(20)}, "does not increase"),
    ({"time": 3.0}, "at least 5 frames"),
    ({"time": np.zeros((20, 1))}, "shape"),
    ({"keypoints_w": M.keypoints_w[:, :20]}, r"shape \(20, 20, 3\)"),
    ({"keypoints_w": M.keypoints_w[:-1]}, "shape"),
    ({"object_quaternion_w": M.object_quaternion_w[:, :3]}, "shape"),
    ({"object_quaternion_w": np.zeros((20, 4))}, "unit length"),
    ({"object_quaternion_w": 2 * M.object_quaternion_w}, "unit length"),
    ({"keypoints_w": np.full((20, 21, 3), "x")}, "not numeric"),
    ({f: getattr(M, f)[:4] for f in FIELDS}, "at least 5 frames"),
    ({"header": np.frombuffer(b'{"side": "both"}', dtype=np.uint8)}, "side"),
    ({"header": np.frombuffer(b'{"flags": 5}', dtype=np.uint8)}, "flags"),
    ({"header": np.frombuffer(b'{"provenance": "me"}', dtype=np.uint8)}, "provenance"),
    ({"header": np.frombuffer(b'{"object": "../../etc/passwd"}', dtype=np.uint8)}, "file name"),
    ({"header": np.frombuffer(b'{"kind": "object"}', dtype=np.uint8)}, "not a recording"),
    ({"header": np.frombuffer(b"[1]", dtype=np.uint8)}, "header"),
    ({"header": np.frombuffer(b"\xff\xfe", dtype=np.uint8)}, "header"),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[f"{'+'.join(c)}: {w}" for c, w in BAD])
def test_bad_input_is_refused_with_its_cause(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        Recording.load(save_plain(tmp_path / "cube_lift.npz", M, **changes))
    assert refused.value.remedy


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{f: getattr(M, f) for f in FIELDS if f != field})
    with pytest.raises(InputError, match=f"field {field} is missing"):
        Recording.load(path)


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_pretends_to_be_data_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    plain, inside, as_npy = tmp_path / "plain.npz", tmp_path / "inside.npz", tmp_path / "as.npy"
    plain.write_bytes(pickle.dumps(Bomb(trap)))
    np.savez(inside, **{f: getattr(M, f) for f in FIELDS if f != "time"}, time=np.array([Bomb(trap)] * 20, dtype=object))
    np.save(as_npy, np.array([Bomb(trap)], dtype=object), allow_pickle=True)
    for path in (plain, inside, as_npy):
        with pytest.raises(InputError, match="not a readable"):
            Recording.load(path)
    assert not trap.exists()
    np.load(as_npy, allow_pickle=True)
    assert trap.exists(), "the trap works: whoever allows pickles runs it"


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cube_lift.npz"
    M.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            Recording.load(path)


def test_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(InputError, match="no such file"):
            Recording.load(path)


def test_a_change_of_any_array_changes_the_digest() -> None:
    digests = {M.digest}
    for field in ("keypoints_w", "object_position_w"):
        digests.add(dataclasses.replace(M, **{field: getattr(M, field) + 1e-12}).digest)
    assert len(digests) == 3
    assert dataclasses.replace(M, flags=("x",)).digest == M.digest, "the digest is that of the motion"


def test_a_leap_in_the_stamps_is_refused() -> None:
    time = np.arange(20) / 50.0
    time[12:] += 1e7
    with pytest.raises(InputError, match="leaps .* after frame 11"):
        make(time=time)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    r = make()
    np.savez(tmp_path / "cube_lift.npz", **{**{k: getattr(r, k) for k in FIELDS}, "time": r.time + 1j})
    with pytest.raises(InputError, match="not numeric"):
        Recording.load(tmp_path / "cube_lift.npz")


@pytest.mark.parametrize("name", ["a\nb", "x" * 200])
def test_a_name_that_no_file_should_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="file name"):
        make(name=name)
