"""Worker processes that run one job after another; one that dies loses its job and nothing else.

Workers are spawned, not forked: libraries that keep threads do not survive a fork. Each has a pipe to the process that made it, and ends when that does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from dextrack.errors import DexTrackError, RefusedError

Tell = Callable[[int, float, float], None]
"""Called by a job's function as work goes on, with (attempt, fraction done, error in m)."""
DONE, REFUSED, FAILED, KILLED = "done", "refused", "failed", "killed"

_START_FAILURES = 5
"""Workers in a row that may die before they are ready; then something is wrong with all of them."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_QUIET = 0.2
"""Least seconds between two reports of progress."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One call, made in a worker: ``function(*arguments, tell)``; all of it must survive pickling."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Began:
    """A worker has taken a job."""

    worker: int
    job: Job
    process: int
    """The worker's process id."""


@dataclasses.dataclass(frozen=True)
class Told:
    """A job has made progress."""

    worker: int
    job: Job
    attempt: int
    done: float
    error: float


@dataclasses.dataclass(frozen=True)
class Ended:
    """A job has ended."""

    worker: int
    job: Job
    state: str
    """``done``, ``refused`` (one of DexTrack's own errors), ``failed`` (any other), or ``killed`` with its worker."""
    result: Any = None
    why: str = ""
    error: str = ""
    """Class of the error of what was refused."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    """Largest resident memory of the worker until then, MB."""
    attempt: int = 1
    again: bool = False
    """Whether it is tried once more: its worker was killed, for the first time."""


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Nothing happened for a while."""


Event = Began | Told | Ended | Waiting


class _Worker:
    """One process and the job that it has."""

    def __init__(self, index: int, threads: int) -> None:
        self.index = index
        self.job: Job | None = None
        self.ready, self.dead, self._began = False, False, 0.0
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name=f"worker {index}", daemon=True)
        with _starting(threads):
            self._process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def take(self, job: Job) -> Began:
        """Send it ``job``; that it is dead already shows as an ended pipe later."""
        self.job, self._began = job, time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(job)
        return Began(self.index, job, self._process.pid or 0)

    def hear(self) -> Event | None:
        """Read one message. A worker whose pipe has ended is ``dead`` from then on, and its job has ended as ``killed``."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.end()
            self.dead = True
            why, seconds = _death(self._exit_code), time.monotonic() - self._began
            return Ended(self.index, self.job, KILLED, why=why, seconds=seconds) if self.job else None
        if message[0] == "ready":
            self.ready = True
        if self.job is None:
            return None
        if message[0] == "told":
            return Told(self.index, self.job, *message[1:])
        event = Ended(self.index, self.job, *message[1:])
        self.job = None
        return event

    def end(self) -> None:
        """Kill the process: it owns nothing that needs care."""
        self._process.kill()
        self._process.join()
        self._exit_code = self._process.exitcode
        self._process.close()
        self.connection.close()


def run(jobs: Sequence[Job], count: int, threads: int = 1) -> Generator[Event, None, None]:
    """Run ``jobs`` in their order on ``count`` worker processes of ``threads`` threads each; close the iterator to end them all.

    A job whose worker dies is tried once more, next of all, by a new worker.

    Raises:
        RefusedError: workers die before they take any job.
    """
    queue, workers, deaths = deque(jobs), dict[int, _Worker](), dict[str, int]()
    failures = 0
    try:
        while queue or workers:
            for index in range(count):
                if index not in workers and len(queue) > sum(w.job is None for w in workers.values()):
                    workers[index] = _Worker(index, threads)
            for worker in [w for w in workers.values() if w.ready and w.job is None]:
                if queue:
                    yield worker.take(queue.popleft())
                else:
                    workers.pop(worker.index).end()
            readable = multiprocessing.connection.wait([w.connection for w in workers.values()], 0.5)
            if not readable:
                yield Waiting()
            for worker in [w for w in workers.values() if w.connection in readable]:
                event = worker.hear()
                if worker.dead:
                    del workers[worker.index]
                    failures = 0 if worker.ready else failures + 1
                if failures >= _START_FAILURES:
                    raise RefusedError("mining: worker processes end before they begin.", remedy="run `dextrack mine` with one reference to see why.")
                if isinstance(event, Ended):
                    attempt = deaths.get(event.job.name, 0) + 1
                    again = event.state == KILLED and attempt == 1
                    if again:
                        deaths[event.job.name] = 1
                        queue.appendleft(event.job)
                    event = dataclasses.replace(event, attempt=attempt, again=again)
                if event is not None:
                    yield event
    finally:
        for worker in workers.values():
            worker.end()


def _death(exit_code: int | None) -> str:
    """What an exit code says, in words."""
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = str(-exit_code)
        return f"the worker was ended by {name}" + (" (out of memory, perhaps)" if name == "SIGKILL" else "")
    return f"the worker ended with exit code {exit_code}"


@contextlib.contextmanager
def _starting(threads: int) -> Iterator[None]:
    """What a worker inherits: the number of threads that libraries read when they are imported, and deafness to Ctrl-C, which is this process's affair."""
    before = {k: os.environ.get(k) for k in _THREADS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        yield
    finally:
        for k, value in before.items():
            if value is None:
                del os.environ[k]
            else:
                os.environ[k] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(connection: Connection) -> None:
    """A worker's life: jobs from ``connection`` until it ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        connection.send(("ready",))
        while True:
            job = connection.recv()
            connection.send(_work(job, connection))


def _end_with_parent() -> None:
    """End this process when the one that made it has ended, however that was."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(job: Job, connection: Connection) -> tuple[Any, ...]:
    """Run ``job``; the message that says what came of it: ("ended", state, result, why, error, wall seconds, processor seconds, peak MB)."""
    said = [-_QUIET]

    def tell(attempt: int, done: float, error: float) -> None:
        if time.monotonic() - said[0] >= _QUIET:
            said[0] = time.monotonic()
            connection.send(("told", attempt, float(done), float(error)))

    wall, cpu = time.monotonic(), time.process_time()
    state, result, why, kind = DONE, None, "", ""
    try:
        result = job.function(*job.arguments, tell)
    except DexTrackError as error:
        state, why, kind = REFUSED, str(error), type(error).__name__
    except Exception as error:  # whatever it was, the other jobs go on
        frame = traceback.extract_tb(error.__traceback__)[-1]
        state, why = FAILED, f"{type(error).__name__}: {error} ({os.path.basename(frame.filename)}:{frame.lineno}, in {frame.name})"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts kB
    return "ended", state, result, why, kind, time.monotonic() - wall, time.process_time() - cpu, peak
