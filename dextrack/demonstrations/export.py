"""Export demonstrations to the formats of others. A format is one module with a ``write``, and one line in ``FORMATS``.

An export is a folder that appears whole or not at all: it is written beside its place and moved there. Every export has an ``export.json``: what it
was made from and by, and for each demonstration its digest, whether its verdict passed, and the terms of the recording that it derives from.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, RefusedError
from dextrack.files import digest_arrays, write_json

FORMATS: dict[str, str] = {
    "lerobot": "dextrack.demonstrations.export_lerobot",
    "dextrack": "dextrack.demonstrations.export_release",
}
"""Name -> module, imported when it is used: LeRobotDataset v3.0; the files of the DexTrack authors' release."""

MANIFEST = "export.json"
KIND = "dextrack export"


class Format(Protocol):
    """A module that writes a format."""

    def write(self, demonstrations: Iterator[tuple[str, Demonstration]], folder: Path) -> dict[str, dict[str, Any]]:
        """Write ``demonstrations``, pairs of (name in the store, demonstration) and at least one, into the empty ``folder``.

        Returns:
            For each name what ``export.json`` shall say of it: where it lies, and what the format could not hold.

        Raises:
            InputError: a demonstration cannot be said in this format.
        """


def export(path: Path, to: str, out: Path, names: Sequence[str] = (), passed_only: bool = False, force: bool = False, hand: str = "") -> dict[str, Any]:
    """Export demonstrations of the store at ``path`` as the folder ``out``.

    Args:
        path: the store.
        to: a key of ``FORMATS``.
        out: a folder that is not there or empty, unless ``force``.
        names: which demonstrations, as ``<reference>@<hand>`` or ``<reference>``; none: all.
        passed_only: leave out those whose verdict has not passed.
        force: replace ``out``, where it is an earlier export.
        hand: only those of this hand; empty: of every hand.

    Returns:
        What ``export.json`` says.

    Raises:
        InputError: no such format, store or demonstration, nothing is left to export, or ``out`` cannot be written.
        RefusedError: ``out`` has something in it.
    """
    if to not in FORMATS:
        raise InputError(f"format {to!r} is not known.", remedy=f"choose one of: {', '.join(FORMATS)}.")
    chosen = _choose(Path(path), names, passed_only, hand)
    module: Format = importlib.import_module(FORMATS[to])
    manifest: dict[str, Any] = {"kind": KIND, "format": to, "dextrack": __version__, "store": Path(path).name, "demonstrations": {}}
    seen: dict[str, dict[str, Any]] = {}

    def load() -> Iterator[tuple[str, Demonstration]]:
        for name in chosen:
            demonstration = store.load(Path(path), name)
            licence = demonstration.reference.provenance.get("licence", "")
            seen[name] = {"digest": digest(demonstration), "passed": demonstration.verdict.get("passed") is True, "licence": licence}
            yield name, demonstration

    with _appearing(Path(out), force) as folder:
        details = module.write(load(), folder)
        manifest["demonstrations"] = {name: {**entry, **details.get(name, {})} for name, entry in seen.items()}
        write_json(folder / MANIFEST, manifest)
    return manifest


def digest(demonstration: Demonstration) -> str:
    """SHA-256 over the reference's digest and the demonstration's arrays."""
    d = demonstration
    return digest_arrays(
        {
            "reference": bytearray.fromhex(d.reference.digest),
            **{k: getattr(d, k) for k in ("targets", "hand", "hand_velocity", "object_position_w", "object_quaternion_w")},
        }
    )


def _choose(path: Path, names: Sequence[str], passed_only: bool, hand: str) -> list[str]:
    """Full names of the demonstrations to export, sorted."""
    known = store.names(path)
    if not known:
        raise InputError(f"{path}: it holds no demonstrations.", remedy="mine one first: `dextrack mine`.")
    chosen = set(known) if not names else set()
    for name in names:
        fitting = [k for k in known if name in (k, k.rsplit("@", 1)[0])]
        if not fitting:
            raise InputError(f"{path}: it holds no demonstration {name!r}.", remedy=f"choose from: {', '.join(known)}.")
        chosen |= set(fitting)
    chosen = {name for name in chosen if hand in ("", name.rpartition("@")[2])}
    if not chosen:
        raise InputError(f"{path}: it has none of these demonstrations for hand {hand}.", remedy="choose another hand, or none.")
    left = [name for name in sorted(chosen) if not passed_only or store.load(path, name).verdict.get("passed") is True]
    if not left:
        raise InputError(f"{path}: of {len(chosen)} demonstrations none has a verdict that passed.", remedy="mine again, or leave out --passed-only.")
    return left


@contextlib.contextmanager
def _appearing(out: Path, force: bool) -> Iterator[Path]:
    """Yield a new folder beside ``out``; move it there when the block ends well, delete it when it does not."""
    out = out.expanduser().resolve()
    temporary: Path | None = None
    try:
        _require_free(out, force)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        yield temporary
        _move(temporary, out)
    except OSError as error:
        remedy = "free space on that disk and run the same command again." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give another --out."
        raise InputError(f"{out}: it cannot be written ({error.strerror or error}).", remedy=remedy) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _require_free(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise RefusedError(f"{out}: it is there already and not an empty folder.", remedy="give another --out, or --force to replace an earlier export.")
    # --force on a home folder must not empty it.
    if not (out / MANIFEST).is_file():
        raise RefusedError(f"{out}: it is no export, so --force does not replace it.", remedy="give another --out, or delete it yourself.")


def _move(folder: Path, out: Path) -> None:
    """Put ``folder`` where ``out`` is, which goes."""
    # mkdtemp makes the folder private; an output is as readable as any the user makes.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(folder, 0o777 & ~mask)
    if not out.exists():
        os.rename(folder, out)
        return
    old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        os.rename(out, old)
        try:
            os.rename(folder, out)
        except OSError:
            os.rename(old, out)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
