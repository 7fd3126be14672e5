"""A CPython 3.8 with what an Isaac Gym server needs, for tests of both sides of the link. Kept in the user's cache, because its torch is large."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docker" / "isaacgym" / "requirements.txt"
TORCH = "torch==1.12.1"
"""The last that brings its libraries with it; the newest for 3.8 wants gigabytes of CUDA beside it."""
STAND_IN = ROOT / "tests" / "sim" / "isaacgym_stand_in"


def interpreter() -> Path | None:
    """A CPython 3.8 of this machine: on the path, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (shutil.which("python3.8"), *sorted(pyenv.glob("3.8.*/bin/python"))):
        if found and subprocess.run([found, "-c", "import sys, venv; assert sys.version_info[:2] == (3, 8)"], capture_output=True).returncode == 0:
            return Path(found)
    return None


@functools.lru_cache(maxsize=1)
def environment() -> Path:
    """Its interpreter in an environment with the image's requirements; made once, skipped where there is no CPython 3.8."""
    base = interpreter()
    if base is None:
        pytest.skip("there is no CPython 3.8 on this machine")
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + TORCH.encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dextrack" / f"python38-{digest}"
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "-r", REQUIREMENTS, TORCH], check=True)
        ready.touch()
    return folder / "bin" / "python"


def variables() -> dict[str, str]:
    """Environment variables of a server in it: our sources, and the stand-in of Isaac Gym."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "assets", STAND_IN)))}
