"""The demonstration store: one HDF5 file of many demonstrations, one group each.

Layout: the root has the attributes ``kind`` and ``version``. A group is named ``<reference>@<hand>`` and has the attributes ``reference`` and
``header`` (JSON texts) and ``digest`` (SHA-256 over those texts and all arrays), and one dataset per array.

Rules that keep it whole:

- A file in place is never changed. A save copies it to a temporary file beside it, adds the group there, and moves the copy into place: whoever is
  killed at any moment leaves the old file or the new one, never half of one, and readers need no lock. The kernel makes the copy: a save takes as
  much memory as its demonstration, and a fraction of a second with 190 others in the store.
- Writers take turns through a lock on ``.<name>.lock``, which the kernel releases when its holder dies.
- A group whose content does not match its digest is refused, and so are links and storage that lead out of the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.demonstrations.overlay import Overlay
from dextrack.errors import DexTrackError, InputError, RefusedError
from dextrack.files import digest_arrays, replacing, require_writable
from dextrack.references.reference import Reference

KIND = "dextrack demonstrations"
VERSION = 1
_DEMONSTRATION = ("targets", "hand", "hand_velocity", "object_position_w", "object_quaternion_w")
_REFERENCE = ("base_quaternion_w", "hand", "object_position_w", "object_quaternion_w", "keypoints_w")
_REFERENCE_HEADER = ("name", "hand_name", "object_name", "joint_names", "period", "time_scale", "diagnosis", "provenance")
_LARGEST = 50_000_000
"""Values in one dataset beyond which a file is refused unread: no demonstration has as many, and a small file can claim any number."""


def name_of(demonstration: Demonstration) -> str:
    """The name of a demonstration's group: ``<reference>@<hand>``.

    Raises:
        InputError: the reference's or hand's name is empty or holds a ``/``, ``@`` or a control character.
    """
    parts = (demonstration.reference.name, demonstration.reference.hand_name)
    for part in parts:
        if not part.strip(".") or any(c in "/@" or not c.isprintable() for c in part):
            remedy = "rename the reference: no '/', '@' or control characters."
            raise InputError(f"demonstration: {part!r} cannot be part of a name in the store.", remedy=remedy)
    return "@".join(parts)


def names(path: Path) -> tuple[str, ...]:
    """Names of the demonstrations in the store at ``path``, sorted.

    Raises:
        InputError: there is no such file, or it is no demonstration store.
    """
    with _reading(path) as f:
        return tuple(sorted(f))


def load(path: Path, name: str) -> Demonstration:
    """Read the demonstration ``name`` from the store at ``path``, and verify its digest.

    Raises:
        InputError: there is no such file or demonstration, or its content is damaged.
    """
    with _reading(path) as f:
        if name not in f:
            known = ", ".join(sorted(f)) or "none"
            raise InputError(f"{path}: it holds no demonstration {name!r}.", remedy=f"choose one of: {known}.")
        group = _own(f, name, h5py.Group, path)
        texts = {k: str(group.attrs[k]) for k in ("reference", "header")}
        stored = {k: _array(group, k, path) for k in _stored_names()}
        if _digest(texts, stored) != str(group.attrs["digest"]):
            raise InputError(f"{path}: demonstration {name} does not match its digest; it was altered or damaged.", remedy="mine the reference again.")
        reference_header, header = json.loads(texts["reference"]), json.loads(texts["header"])
        reference_header["joint_names"] = tuple(reference_header["joint_names"])
        reference = Reference(**{k: reference_header[k] for k in _REFERENCE_HEADER}, **{k: stored["reference_" + k] for k in _REFERENCE})
        return Demonstration(reference=reference, **{k: stored[k] for k in _DEMONSTRATION}, **{k: header[k] for k in ("metrics", "verdict", "provenance")})


def save(path: Path, demonstration: Demonstration, replace: bool = False, wait: float = 60.0) -> str:
    """Add a demonstration to the store at ``path`` (made where there is none) and return its name.

    Args:
        path: the HDF5 file.
        demonstration: what to keep.
        replace: whether one of the same name gives way.
        wait: seconds to wait while another process writes to the store.

    Raises:
        RefusedError: the store holds that name already, or stays busy for ``wait`` seconds.
        InputError: the file at ``path`` is no demonstration store or cannot be written, or metrics, verdict or provenance are not JSON.
    """
    path = Path(path)
    require_writable(path)
    name = name_of(demonstration)
    texts, arrays = _texts(demonstration), _arrays(demonstration)
    with _locked(path, wait):
        _sweep(path)
        if path.exists() and name in names(path) and not replace:
            raise RefusedError(f"{path}: it holds a demonstration {name} already.", remedy="save to another file, or ask for it to be replaced.")
        with contextlib.closing(Overlay(path)) as image:
            with h5py.File(image, "a" if path.exists() else "w", libver="v110") as f:
                f.attrs.update(kind=KIND, version=VERSION)
                if name in f:
                    del f[name]
                _write(f.create_group(name), texts, arrays)
            with replacing(path) as temporary:
                image.copy_to(temporary)
    return name


def tidy(path: Path, wait: float = 60.0) -> None:
    """Remove what writers that were killed left beside the store at ``path``; ``save`` does so too.

    Raises:
        RefusedError: the store stays busy for ``wait`` seconds.
    """
    with _locked(Path(path), wait):
        _sweep(Path(path))


def require_storable(demonstration: Demonstration) -> None:
    """See that ``save`` would take ``demonstration``, before a process sends it to another that saves it.

    Raises:
        InputError: its name cannot be one in the store, or metrics, verdict or provenance are not JSON.
    """
    name_of(demonstration)
    _texts(demonstration)


def _stored_names() -> tuple[str, ...]:
    return _DEMONSTRATION + tuple("reference_" + k for k in _REFERENCE)


def _arrays(d: Demonstration) -> dict[str, Any]:
    own = {k: getattr(d, k) for k in _DEMONSTRATION}
    return {**own, **{"reference_" + k: getattr(d.reference, k) for k in _REFERENCE}}


def _texts(d: Demonstration) -> dict[str, str]:
    header = {k: getattr(d, k) for k in ("metrics", "verdict", "provenance")}
    try:
        texts = {"reference": {k: getattr(d.reference, k) for k in _REFERENCE_HEADER}, "header": header}
        return {k: json.dumps(v, allow_nan=False, sort_keys=True) for k, v in texts.items()}
    except (TypeError, ValueError) as error:
        what = f"demonstration of {d.reference.name}: its metrics, verdict or provenance are not JSON ({error})."
        raise InputError(what, remedy="give plain finite values.") from None


def _digest(texts: dict[str, str], arrays: dict[str, Any]) -> str:
    return digest_arrays({**arrays, **{"text_" + k: np.frombuffer(v.encode(), dtype=np.uint8) for k, v in texts.items()}})


def _write(group: h5py.Group, texts: dict[str, str], arrays: dict[str, Any]) -> None:
    for name, a in arrays.items():
        group.create_dataset(name, data=np.asarray(a, dtype=np.float64), compression="gzip", shuffle=True)
    group.attrs.update(**texts, digest=_digest(texts, {k: np.asarray(a, dtype=np.float64) for k, a in arrays.items()}))


def _own(group: h5py.Group, name: str, kind: type, path: Path) -> Any:
    """The member ``name``, where it is of ``kind`` and lies in this very file."""
    link = group.get(name, getlink=True)
    member = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, kind):
        raise InputError(f"{path}: {name} is not a plain {kind.__name__.lower()} of this file.", remedy="give a store that `dextrack mine` wrote.")
    return member


def _array(group: h5py.Group, name: str, path: Path) -> Any:
    data = _own(group, name, h5py.Dataset, path)
    if data.external or data.is_virtual or data.dtype != np.float64 or data.size > _LARGEST:
        raise InputError(f"{path}: {group.name}/{name} is not a plain array of numbers in this file.", remedy="give a store that `dextrack mine` wrote.")
    return data[()]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.", remedy="check the path; `dextrack mine` writes demonstrations.")
    try:
        with h5py.File(path, "r", locking=False) as f:
            if f.attrs.get("kind") != KIND:
                raise InputError(f"{path}: this is not a demonstration store.", remedy="give a file that `dextrack mine` wrote.")
            if int(f.attrs.get("version", 0)) != VERSION:
                raise InputError(f"{path}: its format is version {f.attrs.get('version')}, not {VERSION}.", remedy="read it with the DexTrack that wrote it.")
            yield f
    except DexTrackError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: the file is damaged or no HDF5 file ({error}).", remedy="restore it from a copy, or mine again.") from None


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _sweep(path: Path) -> None:
    """Delete the temporary files of writers that were killed: only the holder of the lock makes any, and that is now us."""
    for stale in path.parent.glob(f".{path.name}.*"):
        if stale != _lock_file(path):
            stale.unlink()


@contextlib.contextmanager
def _locked(path: Path, wait: float) -> Iterator[None]:
    lock = _lock_file(path)
    deadline = time.monotonic() + wait
    while (handle := _take(lock)) is None:
        if time.monotonic() > deadline:
            raise RefusedError(f"{path}: another process has been writing to it for {wait:g} s.", remedy="wait for it to finish, or stop it.")
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _take(lock: Path) -> int | None:
    """Take the lock, and return its open handle; None while another holds it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder removes the file, and a lock on a removed file keeps nobody out.
        if os.stat(lock).st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None
