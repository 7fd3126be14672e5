"""Fetch a wheel from the package index with pip, verify it, and unpack a part of it. Nothing of it is installed or imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from dextrack.errors import InputError
from dextrack.files import digest

OFFLINE = "on a machine that has a network run `{command}`, copy the file here, and give it with `--wheel FILE`."


def fetch(requirement: str, sha256: str, folder: Path) -> Path:
    """Download the wheel of ``requirement`` (``name==version``) into ``folder``, or take the one that is there already.

    Returns:
        Path of the wheel; its SHA-256 is ``sha256``.

    Raises:
        InputError: pip is missing, the download failed, or what came is not the expected file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.whl"):
        if digest(path) == sha256:
            return path
        path.unlink()  # left by an interrupted download
    arguments = ["download", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", requirement]
    by_hand = OFFLINE.format(command=f"pip download --no-deps {requirement}")
    if importlib.util.find_spec("pip") is None:
        raise InputError("this Python has no pip, which fetches the data.", remedy=f"run `{sys.executable} -m ensurepip`, or {by_hand}")
    # pip's own temporary files go where the next run clears them, should this one be killed.
    environment = {**os.environ, "TMPDIR": str(folder)}
    result = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--dest", str(folder)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        lines = [line for line in (result.stderr + result.stdout).splitlines() if "ERROR" in line] or (result.stderr or result.stdout).splitlines()[-1:]
        cause = "; ".join(lines[-2:]) or "no message"
        raise InputError(f"pip could not download {requirement} ({cause}).", remedy=f"check the network and proxy; or {by_hand}")
    verify(wheels[0], sha256)
    return wheels[0]


def verify(path: Path, sha256: str) -> None:
    """Compare a file with its expected digest.

    Raises:
        InputError: the file is missing or differs.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.", remedy="check the path given with --wheel.")
    found = digest(path)
    if found != sha256:
        raise InputError(
            f"{path}: its SHA-256 is {found}, not {sha256}, so it is refused.",
            remedy="download it again; if that does not help, report it: the index may serve another file.",
        )


def unpack(path: Path, prefixes: tuple[str, ...], folder: Path) -> None:
    """Unpack the members of wheel ``path`` whose names begin with one of ``prefixes`` into the empty ``folder``.

    Raises:
        InputError: the wheel is damaged, or a member's name leads out of ``folder``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as z:
            names = [n for n in z.namelist() if n.startswith(prefixes)]
            for name in names:
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise InputError(f"{path}: member {name} leads out of the archive.", remedy="do not use this file.")
            z.extractall(folder, names)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: this is not a readable wheel ({error}).", remedy="download it again.") from None
