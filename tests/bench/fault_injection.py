"""What a cell of the fault matrix is: a source, a fault, and the injection that makes it.

An injection begins a fault in a running cell and gives back what ends it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable

from dextrack_deploy.status import State
from fault_trial import Begin, CellFailed, End, RunningCell


@dataclasses.dataclass(frozen=True)
class Injection:
    """How a fault is made."""

    by: str
    """For the table."""
    begin: Begin
    topics: tuple[str, ...] = ()
    """What goes through the relay."""
    on_small_disk: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell, or one of its variants."""

    source: str
    fault: str
    variant: str
    injection: Injection
    may_go_on: str = ""
    """Why the run need not stop; empty: it must."""
    wired: str = ""
    """The device behind its own wire, ``arm`` or ``hand``; none in the plain twin."""
    limp: tuple[int, ...] = ()
    """Motors of the hand whose torque the fault itself takes away: what they are told then is where they are, and no command."""
    state: State = State.RUN
    """In which the fault begins: RUN, or the slow motion before it."""

    @property
    def name(self) -> str:
        """Source, fault and variant."""
        return ":".join(filter(None, (self.source, self.fault, self.variant)))


def repeated(work: Callable[[RunningCell, threading.Event], None], by: str, on_small_disk: bool = False) -> Injection:
    """``work`` goes on in a thread until its event; what it raises is raised at the end."""

    def begin(cell: RunningCell) -> End:
        ended = threading.Event()
        failed: list[Exception] = []

        def go_on() -> None:
            try:
                work(cell, ended)
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=go_on)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join()
            if failed:
                raise CellFailed(f"the fault could not be kept up: {failed[0]}") from failed[0]

        return end

    return Injection(by, begin, on_small_disk=on_small_disk)


def stop_process(pid: Callable[[RunningCell], int], of: str) -> Injection:
    """The process with ``pid`` is stopped, and goes on afterwards."""

    def begin(cell: RunningCell) -> End:
        number = pid(cell)
        os.kill(number, signal.SIGSTOP)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGCONT)

        return end

    return Injection(f"SIGSTOP of {of}, then SIGCONT", begin)


def kill_process(pid: Callable[[RunningCell], int], of: str) -> Injection:
    """The process with ``pid`` gets SIGKILL."""

    def begin(cell: RunningCell) -> End:
        os.kill(pid(cell), signal.SIGKILL)
        return lambda: None

    return Injection(f"SIGKILL of {of}", begin)
