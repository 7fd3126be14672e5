"""Processes of a trial: started together, each in a session of its own; watched; and all of them gone at the end.

A node gets SIGINT first, which ends it in order; SIGTERM where it has not ended after ``_PATIENCE_S``, then SIGKILL. Signals go to process
groups that this module made, by id, never by name. A node whose launcher vanished ends by itself (``node.PARENT_VARIABLE``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from dextrack_ros.node import PARENT_VARIABLE

_PATIENCE_S = 4.0
"""Seconds that a process gets after each signal."""
_SHARED_MEMORY = Path("/dev/shm")
# The tracing library that rclpy links makes its wait page on the first run of a machine; Fast DDS's own files appear only without our profile.
_OURS_IN_SHARED_MEMORY = ("lttng-ust-wait-", "fastrtps_", "fastdds_", "sem.fastrtps_", "sem.fastdds_")


@dataclasses.dataclass
class NodeProcess:
    """A started process."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def last_words(self, lines: int = 5) -> str:
        """The last lines that it printed."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:])
        return ""


class Processes:
    """The processes of one trial; a context manager that leaves none behind."""

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        """Write each process's output into ``log_folder``; ``environment`` is what they run under."""
        self._log_folder = log_folder
        self._log_folder.mkdir(parents=True, exist_ok=True)
        self._environment = {**environment, PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._shared_before = shared_memory()
        self.running: dict[str, NodeProcess] = {}
        """Processes by name, until they were seen to end."""

    def __enter__(self) -> Processes:
        """Nothing runs yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything, whatever happened."""
        self.stop()

    def start(self, name: str, module: str, arguments: Sequence[str] = ()) -> NodeProcess:
        """Start ``python -m module arguments`` under ``name``."""
        log = self._log_folder / f"{name}.log"
        with open(log, "wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal reaches the launcher only, which then stops the nodes in order
            )
        self.running[name] = NodeProcess(name, popen, log)
        return self.running[name]

    def ended(self) -> list[tuple[NodeProcess, int]]:
        """Processes that ended since the last call, with their exit codes (negative: the signal that killed them)."""
        gone = [(p, code) for p in self.running.values() if (code := p.popen.poll()) is not None]
        for p, _ in gone:
            del self.running[p.name]
        return gone

    def stop(self) -> None:
        """End every process in order, and by force where that does not help; then remove the shared-memory files that they left."""
        started = list(self.running.values())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [p for p in started if p.popen.poll() is None]
            for p in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(p.popen.pid, number)
            _wait(alive, _PATIENCE_S)
        self.running.clear()
        remove_shared_memory(self._shared_before)


def _wait(processes: Sequence[NodeProcess], seconds: float) -> None:
    """Wait until every process has ended, at most ``seconds``."""
    deadline = time.monotonic() + seconds
    for p in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.popen.wait(max(deadline - time.monotonic(), 0.01))


def shared_memory() -> frozenset[str]:
    """Names of the shared-memory files that ROS's libraries make, as they are now."""
    with contextlib.suppress(OSError):
        return frozenset(n for n in os.listdir(_SHARED_MEMORY) if n.startswith(_OURS_IN_SHARED_MEMORY))
    return frozenset()


def remove_shared_memory(before: frozenset[str]) -> None:
    """Remove files that were not there ``before`` and that no process has mapped or open."""
    for name in shared_memory() - before:
        path = _SHARED_MEMORY / name
        if not _in_use(str(path)):
            with contextlib.suppress(OSError):
                path.unlink()


def _in_use(path: str) -> bool:
    """Whether a process of this machine, as far as we may look, maps ``path``."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/maps", encoding="utf-8", errors="replace") as maps:
                if any(line.rstrip().endswith(path) for line in maps):
                    return True
    return False
