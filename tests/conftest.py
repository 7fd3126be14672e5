"""What every test runs under: one thread per library, drawing without a display, ROS 2 on loopback only and in a domain of its own."""

from __future__ import annotations

import ctypes.util
import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK_PROFILE = ROOT / "ros2_ws" / "src" / "dextrack" / "dextrack_ros" / "loopback.xml"

# Set before any test imports numpy, torch or mujoco: they read these once.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
if ctypes.util.find_library("EGL"):
    os.environ.setdefault("MUJOCO_GL", "egl")
if LOOPBACK_PROFILE.is_file():
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(LOOPBACK_PROFILE))
# Two test runs on one machine must not hear each other; ids up to 101 keep clear of the ephemeral ports.
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that: those that tests interrupt would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user data folder, so that a test neither sees nor changes the user's."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DEXTRACK_DATA", str(folder))
    return folder
