"""The environment of the libfranka-protocol simulator: made on demand, beside ours, with exact versions.

franka-sim needs numpy 1.26 and MuJoCo 3.2, and ours needs newer ones. It is installed without the packages that it would use to download
models: the peer gives it ours.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from dextrack.errors import DriverError
from dextrack.files import user_data

PACKAGES = ("franka-sim==1.1.7", "mujoco==3.2.7", "numpy==1.26.4")
"""What the simulator imports, and nothing else of what franka-sim asks for."""
NO_DRAWING = {"MUJOCO_GL": "disable"}
"""Environment variables that the simulator runs with."""
FOLDER = ".venv-franka-sim"
VARIABLE = "DEXTRACK_FRANKA_SIM"
"""Environment variable: where the environment is, or is to be."""


def folder() -> Path:
    """Where the environment belongs: where ``DEXTRACK_FRANKA_SIM`` says, else beside the virtual environment that runs us, else among the data."""
    override = os.environ.get(VARIABLE)
    if override:
        return Path(override)
    beside = Path(sys.prefix).parent if sys.prefix != sys.base_prefix else user_data()
    return beside / FOLDER


def interpreter() -> Path:
    """The environment's interpreter; the environment is made first where it is not there, or of other versions.

    Raises:
        DriverError: it cannot be made, with what pip said.
    """
    home = folder()
    python, stamp, wanted = home / "bin" / "python", home / ".installed", "\n".join(PACKAGES) + "\n"
    home.mkdir(parents=True, exist_ok=True)
    # Two peers that start together must not both install.
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
            print("making %s for the Franka's simulator (a minute, once)" % home, file=sys.stderr, flush=True)
            if not python.exists():
                _run([sys.executable, "-m", "venv", str(home)])
            (home / ".gitignore").write_text("*\n")
            _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", *PACKAGES])
            _run([str(python), "-I", "-c", "import franka_sim.franka_sim_server, franka_sim.mujoco_franka_sim"])
            stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **NO_DRAWING})
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-800:]
        raise DriverError(
            "Franka's simulator: its environment cannot be made: %s" % said,
            remedy="make the package index reachable for pip and repeat: python -m dextrack_deploy.twin.franka_peer --setup.",
        )
