"""System: the machine as the doctor sees it, so that a test can show it another one.

Paths are those of Linux (``/sys/kernel/realtime``) and are looked up under ``root``. Reading never raises: what is not there, or may not be
read, is None or empty. Commands and connections are bounded in time.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    """Exit code."""
    output: str
    """Standard output."""
    errors: str = ""
    """Standard error."""


def run(command: Sequence[str], timeout_s: float) -> Ran | None:
    """Run ``command`` without input, in plain English; None where there is no such program or it took longer than ``timeout_s``."""
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Ran(done.returncode, done.stdout, done.stderr)


def connect(address: str, port: int, timeout_s: float) -> float:
    """Seconds that a TCP connection to ``address`` takes; it is closed at once.

    Raises:
        OSError: it was refused, or there was no answer within ``timeout_s``.
    """
    began = time.perf_counter()
    with socket.create_connection((address, port), timeout=timeout_s):
        return time.perf_counter() - began


def resolve(host: str) -> str | None:
    """IPv4 address of ``host``; None where there is none."""
    try:
        return str(socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return None


def readable_and_writable(path: Path) -> bool:
    """Whether this process may read and write ``path``; asks the kernel, so access lists count."""
    return os.access(path, os.R_OK | os.W_OK)


def free_bytes(folder: Path) -> int:
    """Space that this user may still fill at ``folder``, bytes."""
    return shutil.disk_usage(folder).free


def version(distribution: str) -> str | None:
    """Installed version of a Python package; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements() -> Sequence[str]:
    """What DexTrack's package says it needs, as written there."""
    try:
        return importlib.metadata.requires("dextrack-core") or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def module_folder(module: str) -> Path | None:
    """Folder of a top-level module that could be imported, without importing it; None where there is none."""
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


@dataclasses.dataclass(frozen=True)
class System:
    """A machine. The default is the one that this runs on."""

    root: Path = Path("/")
    """Where its file system begins."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ))
    """Environment variables."""
    python: tuple[int, int] = (sys.version_info[0], sys.version_info[1])
    """Version of the interpreter."""
    run: Callable[[Sequence[str], float], Ran | None] = run
    connect: Callable[[str, int, float], float] = connect
    resolve: Callable[[str], str | None] = resolve
    usable: Callable[[Path], bool] = readable_and_writable
    free_bytes: Callable[[Path], int] = free_bytes
    version: Callable[[str], str | None] = version
    requirements: Callable[[], Sequence[str]] = requirements
    module_folder: Callable[[str], Path | None] = module_folder

    def at(self, path: str) -> Path:
        """Where ``path`` of the machine lies."""
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str | None:
        """Content of a small file, stripped; None where it cannot be read."""
        try:
            return self.at(path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Content of a file that holds one whole number; None where it does not."""
        try:
            return int(self.text(path) or "")
        except ValueError:
            return None

    def exists(self, path: str) -> bool:
        """Whether there is such a file, folder or device."""
        try:
            return self.at(path).exists()
        except OSError:
            return False

    def matches(self, pattern: str) -> list[str]:
        """Paths of the machine that match a glob pattern, sorted."""
        try:
            return sorted("/" + str(p.relative_to(self.root)) for p in self.root.glob(pattern.lstrip("/")))
        except OSError:
            return []

    def real(self, path: str) -> str:
        """``path`` with every link followed."""
        try:
            return "/" + str(self.at(path).resolve().relative_to(self.root.resolve()))
        except (OSError, RuntimeError, ValueError):
            return path

    def field(self, path: str, name: str) -> str | None:
        """Value of the line ``name: value`` of a file as /proc/self/status; None where there is none."""
        for line in (self.text(path) or "").splitlines():
            key, colon, value = line.partition(":")
            if colon and key.strip() == name:
                return value.strip()
        return None

    def may(self, capability: int) -> bool:
        """Whether this process has a capability of Linux, by its number in capability.h."""
        try:
            return bool(int(self.field("/proc/self/status", "CapEff") or "0", 16) >> capability & 1)
        except ValueError:
            return False
