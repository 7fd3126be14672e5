"""Scheduling of the threads that libfranka runs in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

PRIORITY = 10
"""Round-robin priority that the loops ask for: above the node's. Without the right to it (``ulimit -r``) they run as everything else does."""


@contextlib.contextmanager
def own_scheduling() -> Iterator[None]:
    """Let the calling thread leave as it came.

    libfranka puts it above everything else (SCHED_FIFO, 99) where it may, and whatever it starts later, processes too, would be there for good.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)


def ask_for_priority() -> None:
    """Let the calling thread run above the nodes, where that is granted."""
    # On Linux, 0 is the calling thread.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
