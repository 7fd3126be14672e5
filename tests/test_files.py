"""Files appear whole or not at all, and nothing a stranger wrote is unpickled."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, replacing, require_writable, usable_name, write_arrays, write_json


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)), st.dictionaries(st.text(min_size=1), st.integers()))
def test_arrays_and_header_round_trip(tmp_path_factory, a: np.ndarray, header: dict) -> None:
    path = tmp_path_factory.mktemp("f") / "a.npz"
    write_arrays(path, header, {"a": a})
    again, values = read_arrays(path)
    assert again == header and (values["a"] == a).all() and digest_arrays(values) == digest_arrays({"a": a})


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nan_is_refused_in_json(tmp_path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


class _Bomb:
    def __reduce__(self) -> tuple:
        return (open, ("/nonexistent/dextrack-was-unpickled", "w"))


def _npz_of_objects() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.array([_Bomb()], dtype=object))
    return out.getvalue()


def _plain_npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


def _encrypted_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("a.npy", _plain_npy())
    data = bytearray(out.getvalue())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 not really", pickle.dumps({"a": _Bomb()}), _npz_of_objects(), _plain_npy(), _encrypted_zip()],
    ids=["empty", "broken zip", "pickle", "npz of objects", "npy", "encrypted"],
)
def test_what_is_no_npz_of_plain_arrays_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_arrays(path)


def test_truncation_anywhere_is_refused(tmp_path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"kind": "x"}, {"a": np.arange(2000.0)})
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_arrays(path)


def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.json", tmp_path / "folder"):
        for write in (require_writable, lambda p: write_json(p, {})):
            with pytest.raises(InputError, match="cannot be written"):
                write(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"] and (tmp_path / "file").read_text() == "kept"


def test_a_full_disk_says_so_and_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError, match="No space") as caught, replacing(path), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert "free space" in caught.value.remedy
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_single_array_is_refused_in_words(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        read_arrays(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "a\nb", "a\0b", "x" * 101, 5, None])
def test_names_that_no_file_should_have(name) -> None:
    assert not usable_name(name) and usable_name("mug_lift 2 é")
