"""Processes of a trial: started together, each in a session of its own; watched; and all of them gone at the end.

A node gets SIGINT first, which ends it in order; SIGTERM where it has not ended after ``_PATIENCE_S``, then SIGKILL. Signals go to process
groups that this module made and to what is left in them, by id, never by name. A node whose launcher vanished ends by itself.
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

import psutil

from dextrack_ros.interruption import uninterruptible

PARENT_VARIABLE = "DEXTRACK_PARENT"
"""Environment variable with the process id of the launcher: a node whose launcher is gone ends."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment under which numerical libraries use one thread."""
_PATIENCE_S = 4.0
"""Seconds that processes get after each signal."""
_POLL_S = 0.02
_SHARED_MEMORY = Path("/dev/shm")
# The tracing library that rclpy links makes its wait page on the first run of a machine; Fast DDS's own files appear only without our profile.
_OURS_IN_SHARED_MEMORY = ("lttng-ust-wait-", "fastrtps_", "fastdds_", "sem.fastrtps_", "sem.fastdds_")


@dataclasses.dataclass
class NodeProcess:
    """A started process."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def last_words(self, lines: int = 3) -> str:
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
        # ROS would log into the user's home; one thread per library, because every core is shared by the whole graph.
        fixed = {PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", "ROS_LOG_DIR": str(log_folder.resolve()), **ONE_THREAD}
        self._environment = {**environment, **fixed}
        self._shared_before = shared_memory()
        self._started: list[NodeProcess] = []
        self._seen_to_end: set[str] = set()

    def __enter__(self) -> Processes:
        """Nothing runs yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything, whatever happened."""
        with uninterruptible():
            self.stop()

    def start(self, name: str, module: str, arguments: Sequence[str] = ()) -> NodeProcess:
        """Start ``python -m module arguments`` under ``name``."""
        log = self._log_folder / f"{name}.log"
        # Between the start and its entry in the list, an interruption would lose the process.
        with open(log, "wb") as output, uninterruptible():
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal reaches the launcher only, which then stops the nodes in order
                preexec_fn=_heed_signals,
            )
            self._started.append(NodeProcess(name, popen, log))
        return self._started[-1]

    def process(self, name: str) -> NodeProcess:
        """The process that was started under ``name``. KeyError where there is none."""
        return {p.name: p for p in self._started}[name]

    def ended(self) -> list[tuple[NodeProcess, int]]:
        """Processes that ended since the last call, with their exit codes (negative: the signal that killed them)."""
        gone = [(p, code) for p in self._started if p.name not in self._seen_to_end and (code := p.popen.poll()) is not None]
        self._seen_to_end.update(p.name for p, _ in gone)
        return gone

    def stop(self) -> None:
        """End every process in order, and by force where that does not help; then remove the shared-memory files that they left."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = self._alive()
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            deadline = time.monotonic() + _PATIENCE_S
            while alive and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                alive = self._alive()
            if not alive:
                break
        remove_shared_memory(self._shared_before)

    def _alive(self) -> list[psutil.Process]:
        """Everything that still runs in the sessions of the started processes; what ended is reaped."""
        sessions = {p.popen.pid: p for p in self._started}
        for p in self._started:
            p.popen.poll()
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                session = os.getsid(process.pid)
                if session not in sessions or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                # A session id may be used again once its processes are gone: a member that is not the leader shows whose it is.
                if process.pid == session and sessions[session].popen.returncode is None or process.environ().get(PARENT_VARIABLE) == str(os.getpid()):
                    found.append(process)
        return found


def _heed_signals() -> None:
    """In the new process: signals that the launcher ignores at this moment would stay ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def shared_memory() -> frozenset[str]:
    """Names of the shared-memory files that ROS's libraries make, as they are now."""
    with contextlib.suppress(OSError):
        return frozenset(n for n in os.listdir(_SHARED_MEMORY) if n.startswith(_OURS_IN_SHARED_MEMORY))
    return frozenset()


def remove_shared_memory(before: frozenset[str]) -> None:
    """Remove files that were not there ``before`` and that no other process maps."""
    for name in shared_memory() - before:
        path = _SHARED_MEMORY / name
        if not _mapped_by_others(str(path)):
            with contextlib.suppress(OSError):
                path.unlink()


def _mapped_by_others(path: str) -> bool:
    """Whether another process of this machine, as far as we may look, maps ``path``."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/maps", encoding="utf-8", errors="replace") as maps:
                if any(line.rstrip().endswith(path) for line in maps):
                    return True
    return False
