"""The store: what comes back, what survives a kill, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, RefusedError
from dextrack.references.reference import Reference


def make(name: str = "cube_lift", frames: int = 40, seed: int = 0, hand: str = "leap_right") -> Demonstration:
    rng = np.random.default_rng(seed)
    quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    joints = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))
    reference = Reference(
        name, hand, "cube", joints, quaternion[0], rng.normal(size=(frames, 22)), rng.normal(size=(frames, 3)), quaternion,
        rng.normal(size=(frames, 21, 3)), diagnosis={"keypoint_error_m": 0.01}, provenance={"recording": "abc"},
    )  # fmt: skip
    return Demonstration(
        reference, rng.normal(size=(frames - 1, 22)), rng.normal(size=(frames, 22)), rng.normal(size=(frames, 22)), rng.normal(size=(frames, 3)), quaternion,
        metrics={"t_err_m": 0.01, "success_20": True}, verdict={"passed": True}, provenance={"seed": seed, "nested": {"a": [1, 2]}},
    )  # fmt: skip


def assert_equal(a: Demonstration, b: Demonstration) -> None:
    assert a.reference.digest == b.reference.digest
    for field in dataclasses.fields(Demonstration):
        if field.name != "reference":
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, field.name
    for field in ("name", "hand_name", "object_name", "joint_names", "period", "time_scale", "diagnosis", "provenance"):
        assert getattr(a.reference, field) == getattr(b.reference, field)


def test_what_is_saved_comes_back(tmp_path):
    path = tmp_path / "demonstrations.h5"
    a, b = make("b_second"), make("a_first", seed=1, hand="leap_left")
    assert store.save(path, a) == "b_second@leap_right"
    assert store.save(path, b) == "a_first@leap_left"
    assert store.names(path) == ("a_first@leap_left", "b_second@leap_right")
    assert_equal(store.load(path, "b_second@leap_right"), a)
    assert_equal(store.load(path, "a_first@leap_left"), b)
    assert os.listdir(tmp_path) == ["demonstrations.h5"]


def test_a_name_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "d.h5"
    first, second = make(seed=1), make(seed=2, frames=50)
    name = store.save(path, first)
    with pytest.raises(RefusedError, match="already"):
        store.save(path, second)
    assert_equal(store.load(path, name), first)
    store.save(path, second, replace=True)
    assert_equal(store.load(path, name), second)


def test_long_provenance_fits(tmp_path):
    long = dataclasses.replace(make(), provenance={"log": "x" * 300_000})
    name = store.save(tmp_path / "d.h5", long)
    assert store.load(tmp_path / "d.h5", name).provenance == long.provenance


@pytest.mark.parametrize("name", ["a/b", "", ".", "a@b", "a\nb"])
def test_names_that_a_group_cannot_have_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="name"):
        store.save(tmp_path / "d.h5", make(name))
    assert not (tmp_path / "d.h5").exists()


def test_nan_in_metrics_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="JSON"):
        store.save(tmp_path / "d.h5", dataclasses.replace(make(), metrics={"t_err_m": float("nan")}))
    assert os.listdir(tmp_path) == []


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path):
    """Flip bytes all over a store: it loads as it was saved, or it is refused; nothing else is raised, nothing else comes back."""
    path, saved = tmp_path / "d.h5", make(frames=6)
    name = store.save(path, saved)
    whole = path.read_bytes()
    refused = 0
    for at in np.random.default_rng(0).integers(0, len(whole), 150):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            assert_equal(store.load(path, name), saved)
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("spoil", ["truncated", "empty", "text", "foreign", "missing"])
def test_a_file_that_is_no_store_is_refused(tmp_path, spoil):
    path = tmp_path / "d.h5"
    store.save(path, make())
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "text":
        path.write_text("not HDF5")
    elif spoil == "foreign":
        with h5py.File(path, "w") as f:
            f["x"] = 1.0
    else:
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(InputError, match="d.h5"):
        store.names(path)
    if before is not None:
        with pytest.raises(InputError):
            store.save(path, make("other"))
        assert path.read_bytes() == before


def test_an_altered_value_is_noticed(tmp_path):
    path = tmp_path / "d.h5"
    name = store.save(path, make())
    with h5py.File(path, "a") as f:
        f[name]["targets"][3, 4] += 1e-9
    with pytest.raises(InputError, match="digest"):
        store.load(path, name)
    with pytest.raises(InputError, match="no demonstration"):
        store.load(path, "other@leap_right")


@pytest.mark.parametrize("spoil", ["external link", "external storage", "virtual", "soft link", "objects"])
def test_a_store_that_leads_out_of_its_file_is_refused(tmp_path, spoil):
    path, secret = tmp_path / "d.h5", tmp_path / "secret.h5"
    name = store.save(path, make())
    with h5py.File(secret, "w") as f:
        f["targets"] = np.zeros((39, 22))
    with h5py.File(path, "a") as f:
        group = f[name]
        del group["targets"]
        if spoil == "external link":
            group["targets"] = h5py.ExternalLink(str(secret), "targets")
        elif spoil == "external storage":
            group.create_dataset("targets", (39, 22), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif spoil == "virtual":
            layout = h5py.VirtualLayout((39, 22), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "targets", (39, 22))
            group.create_virtual_dataset("targets", layout)
        elif spoil == "soft link":
            group["targets"] = h5py.SoftLink("/elsewhere")
        else:
            group.create_dataset("targets", (39, 22), dtype=h5py.string_dtype())
    with pytest.raises(InputError, match="plain"):
        store.load(path, name)


WRITER = textwrap.dedent("""
    import runpy, sys
    from pathlib import Path
    from dextrack.demonstrations import store
    make = runpy.run_path(sys.argv[4])["make"]
    path, label, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    for i in range(count):
        store.save(path, make("%s_%d" % (label, i), frames=300, seed=i))
        print(i, flush=True)
""")


def writer(path: Path, label: str, count: int) -> subprocess.Popen:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), label, str(count), __file__],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_reported(tmp_path):
    path = tmp_path / "d.h5"
    store.save(path, make("kept"))
    rng = np.random.default_rng(0)
    interrupted = 0
    for attempt in range(6):
        process = writer(path, f"w{attempt}", 1000)
        time.sleep(float(rng.uniform(0.05, 0.4)))
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        reported = process.stdout.read().split()
        process.wait()
        interrupted += len(os.listdir(tmp_path)) > 1
        found = store.names(path)
        assert "kept@leap_right" in found
        for i in reported:
            assert f"w{attempt}_{i}@leap_right" in found
        assert_equal(store.load(path, "kept@leap_right"), make("kept"))
        last = max(found, key=lambda n: int(n.split("@")[0].split("_")[-1]) if n[0] == "w" else -1)
        store.load(path, last)
    assert interrupted  # at least one kill fell into a write
    store.save(path, make("after"))
    assert os.listdir(tmp_path) == ["d.h5"]  # what the killed left behind is gone


def test_two_writers_take_turns(tmp_path):
    path = tmp_path / "d.h5"
    processes = [writer(path, label, 8) for label in ("a", "b")]
    assert [p.wait(60) for p in processes] == [0, 0]
    assert len(store.names(path)) == 16
    assert os.listdir(tmp_path) == ["d.h5"]


def test_a_busy_store_is_refused_after_the_wait(tmp_path):
    path = tmp_path / "d.h5"
    with store._locked(path, 1.0), pytest.raises(RefusedError, match="writing"):
        store.save(path, make(), wait=0.1)
    store.save(path, make(), wait=0.1)


def test_a_full_disk_loses_nothing_and_leaves_nothing(tmp_path):
    """HDF5 itself crashes the process when a write fails; the limit on file sizes fails a write as a full disk does."""
    path = tmp_path / "demonstrations.h5"
    store.save(path, make("first"))
    before = path.read_bytes()
    script = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import test_store
        from dextrack.errors import InputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)}, {len(before)}))
        try:
            test_store.store.save(Path({str(path)!r}), test_store.make("second", seed=1))
        except InputError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0 and "cannot be written" in result.stdout, result.stderr
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["demonstrations.h5"]
