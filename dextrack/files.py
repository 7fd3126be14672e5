"""Files: digests, outputs that appear whole or not at all, and reading arrays that a stranger wrote."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np

from dextrack.errors import InputError


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def digest_arrays(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and values of arrays: equal content gives an equal digest, however it was packed."""
    h = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        h.update(("%s|%s|%s|" % (name, a.dtype.str, a.shape)).encode())
        h.update(a.tobytes())
    return h.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; move it into place when the block ends well, delete it when it does not.

    Raises:
        InputError: the folder cannot be made or written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    try:
        with _replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise _unwritable(path, error) from None


def require_writable(path: Path) -> None:
    """Make the folder of ``path`` and see that a file can be made there: called before work whose result goes to ``path``.

    Raises:
        InputError: it cannot be written, or ``path`` is a folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = _temporary(path)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    """The error of an output that the system refused; what was at ``path`` is untouched."""
    remedy = (
        "free space on that disk and run the same command again." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give another path, or make it writable."
    )
    return InputError("%s: it cannot be written (%s)." % (path, error.strerror or error), remedy=remedy)


def _temporary(path: Path) -> Tuple[int, str]:
    """An open new file beside ``path``: (handle, name)."""
    return tempfile.mkstemp(dir=str(path.parent), prefix="." + path.name + ".", suffix=path.suffix)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """What ``replacing`` does, with the system's own errors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = _temporary(path)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        # mkstemp makes the file private; an output is as readable as any file the user makes.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: JSON has none."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write an ``.npz`` of ``arrays`` and a JSON ``header`` (kept as the array ``header`` of UTF-8 bytes)."""
    text = json.dumps(dict(header), allow_nan=False).encode("utf-8")
    with replacing(Path(path)) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(f, allow_pickle=False, header=np.frombuffer(text, dtype=np.uint8), **{k: np.asarray(v) for k, v in arrays.items()})


def read_arrays(path: Path) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Read what ``write_arrays`` wrote, or any ``.npz`` of plain arrays (its header is then empty).

    Returns:
        (header, arrays): the JSON header as a dict, and a dict of arrays.

    Raises:
        InputError: the file is missing, truncated, not an ``.npz``, or holds pickled objects (which are never loaded).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("%s: there is no such file." % path, remedy="check the path; `dextrack data check` lists what is installed.")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it is a single array, .npy")
        with loaded as z:
            arrays = {k: z[k] for k in z.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            "%s: this is not a readable .npz of plain arrays (%s)." % (path, error),
            remedy="copy or make the file again; pickled objects are refused because loading one runs its author's code.",
        ) from None
    raw = arrays.pop("header", None)
    header: Dict[str, Any] = {}
    if raw is not None:
        try:
            header = json.loads(np.asarray(raw).astype(np.uint8).tobytes().decode("utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError("%s: field header is not UTF-8 JSON (%s)." % (path, error), remedy="make the file again.") from None
        if not isinstance(header, dict):
            raise InputError("%s: field header is not a JSON object." % path, remedy="make the file again.")
    return header, arrays


def usable_name(name: Any) -> bool:
    """Whether ``name`` is a text that can be part of a file's name: not hidden, one line, no path, at most 100 bytes."""
    return isinstance(name, str) and name.isprintable() and 0 < len(name.encode("utf-8", "replace")) <= 100 and name[0] != "." and not set("/\\") & set(name)


def user_data() -> Path:
    """The folder where data sets live: ``DEXTRACK_DATA``, or ``dextrack`` in the user's data folder."""
    override = os.environ.get("DEXTRACK_DATA")
    if override:
        return Path(override).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "dextrack"
