"""Real-time scheduling for processes of the control loop, while they are active and where the operating system grants it.

A loop of 60 Hz that shares its cores with a compiler misses deadlines; one in a real-time class does not. The lowest priority of the round-robin
class is asked for: above every ordinary process, below whatever else is real-time. Linux keeps a share of each core for the others.
"""

from __future__ import annotations

import contextlib
import os

_PRIORITY = 1


def begin(pid: int) -> bool:
    """Move every thread of process ``pid`` into the round-robin class; False where that is not granted (see ``ulimit -r``)."""
    return _schedule(pid, os.SCHED_RR, _PRIORITY)


def end(pid: int) -> bool:
    """Move every thread of process ``pid`` back among ordinary processes."""
    return _schedule(pid, os.SCHED_OTHER, 0)


def _schedule(pid: int, policy: int, priority: int) -> bool:
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            # A thread may end while we look; the others still count.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), policy, os.sched_param(priority))
    except OSError:
        return False
    return True
