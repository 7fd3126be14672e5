"""What every export has: a folder that appears whole or not at all, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import pytest

from dextrack.demonstrations import export_lerobot, store
from dextrack.demonstrations.export import FORMATS, digest, export
from dextrack.errors import InputError, RefusedError
from tests.demonstrations import made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of three demonstrations, one of which has not passed."""
    path = tmp_path / "d.h5"
    for i, name in enumerate(("a_lift", "b_lift", "c_lift")):
        store.save(path, made.demonstration(name, seed=i, passed=name != "b_lift"))
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("to", FORMATS)
def test_the_manifest_says_what_is_in_it(path: Path, tmp_path: Path, to: str) -> None:
    out = tmp_path / "deep" / "out"
    export(path, to, out)
    manifest = json.loads((out / "export.json").read_text())
    assert (manifest["kind"], manifest["format"], manifest["store"]) == ("dextrack export", to, "d.h5")
    entries = manifest["demonstrations"]
    assert {name: entry["passed"] for name, entry in entries.items()} == {"a_lift@leap_right": True, "b_lift@leap_right": False, "c_lift@leap_right": True}
    assert {entry["licence"] for entry in entries.values()} == {"none asked"}
    assert [entry["digest"] for entry in entries.values()] == [digest(store.load(path, name)) for name in entries]
    assert len({entry["digest"] for entry in entries.values()}) == 3
    assert os.listdir(out.parent) == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize(
    ("names", "passed_only", "expected"),
    [((), False, "abc"), ((), True, "ac"), (("b_lift",), False, "b"), (("c_lift@leap_right", "a_lift"), False, "ac"), (("a_lift", "b_lift"), True, "a")],
)
def test_names_and_verdicts_choose(path: Path, tmp_path: Path, names: tuple[str, ...], passed_only: bool, expected: str) -> None:
    manifest = export(path, "dextrack", tmp_path / "out", names, passed_only)
    assert list(manifest["demonstrations"]) == [f"{letter}_lift@leap_right" for letter in expected]


def test_what_cannot_be_exported_is_refused(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="'hdf9' is not known.*lerobot, dextrack"):
        export(path, "hdf9", out)
    with pytest.raises(InputError, match="no such file"):
        export(tmp_path / "none.h5", "lerobot", out)
    with pytest.raises(InputError, match="no demonstration 'd_lift'.*a_lift@leap_right"):
        export(path, "lerobot", out, ["d_lift"])
    with pytest.raises(InputError, match="none has a verdict that passed"):
        export(path, "lerobot", out, ["b_lift"], passed_only=True)
    with h5py.File(tmp_path / "empty.h5", "w") as f:
        f.attrs.update(kind=store.KIND, version=store.VERSION)
    with pytest.raises(InputError, match="holds no demonstrations"):
        export(tmp_path / "empty.h5", "lerobot", out)
    assert not out.exists()


def test_only_an_export_is_replaced_and_only_when_asked(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export(path, "lerobot", out)  # an empty folder may be there
    before = content(out)
    with pytest.raises(RefusedError, match="--force"):
        export(path, "dextrack", out)
    assert content(out) == before
    export(path, "dextrack", out, force=True)
    assert "meta/info.json" not in content(out) and json.loads((out / "export.json").read_text())["format"] == "dextrack"
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years")
    with pytest.raises(RefusedError, match="no export"):
        export(path, "lerobot", home, force=True)
    with pytest.raises(RefusedError, match="not an empty folder"):
        export(path, "lerobot", home / "thesis.txt")
    assert content(home) == {"thesis.txt": b"years"}
    assert sorted(os.listdir(tmp_path)) == ["d.h5", "home", "out"]


def test_a_link_to_a_folder_stays_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    export(path, "dextrack", tmp_path / "out")
    assert (tmp_path / "out").is_symlink() and (tmp_path / "elsewhere" / "export.json").is_file()


def test_a_failure_half_way_leaves_what_was_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    export(path, "lerobot", out)
    before = content(out)

    def full(demonstrations, folder: Path) -> dict:
        next(demonstrations)
        (folder / "half").write_text("written")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(export_lerobot, "write", full)
    with pytest.raises(InputError, match="No space left.*free space"):
        export(path, "lerobot", out, force=True)
    with pytest.raises(InputError, match="No space left"):
        export(path, "lerobot", tmp_path / "other")
    assert content(out) == before
    assert sorted(os.listdir(tmp_path)) == ["d.h5", "out"]


@pytest.mark.parametrize("to", FORMATS)
def test_a_system_that_refuses_large_files_leaves_nothing(path: Path, tmp_path: Path, to: str) -> None:
    """The limit on file sizes fails real writes, in arrow's and numpy's code too, as a full disk does."""
    code = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from dextrack.demonstrations.export import export
        from dextrack.errors import InputError
        import importlib, dextrack.demonstrations.export as e
        importlib.import_module(e.FORMATS[sys.argv[3]])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            export(Path(sys.argv[1]), sys.argv[3], Path(sys.argv[2]))
        except InputError as error:
            print(error)
    """)
    out = tmp_path / "there" / "out"
    run = subprocess.run([sys.executable, "-c", code, str(path), str(out), to], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "cannot be written" in run.stdout and run.returncode == 0, run.stdout + run.stderr
    assert os.listdir(out.parent) == []


def test_a_damaged_demonstration_stops_the_export(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "a") as f:
        f["c_lift@leap_right"]["targets"][3, 4] += 1e-9
    with pytest.raises(InputError, match="digest"):
        export(path, "dextrack", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["d.h5"]
