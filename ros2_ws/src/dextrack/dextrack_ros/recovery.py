"""Recovery: out of a fault on a person's word, first the devices and then the supervisor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from dextrack_deploy import graph

_RECOVERIES = ("arm/recover", "hand/recover")
_HEALED_S = 3.0 * graph.HEARTBEAT_PERIOD
"""After a recovery the supervisor has heard of it within this."""


class Recovery:
    """Asks both drivers to clear their errors, and knows when the supervisor may be asked for the reset."""

    def __init__(self, services: Mapping[str, Any], ask: Callable[[str, Callable[[str], None]], None]) -> None:
        """``services`` are the graph's clients by name; ``ask`` calls one of them and then a function with its name, whatever the answer was."""
        self._services, self._ask = services, ask
        self._reset_at = math.inf

    def begin(self) -> None:
        """Ask the drivers that there are. The reset is due when all have answered and the supervisor has heard of it."""
        waiting = [s for s in _RECOVERIES if self._services[s].service_is_ready()]

        def answered(service: str) -> None:
            waiting.remove(service)
            if not waiting:
                self._reset_at = time.monotonic() + _HEALED_S

        for service in tuple(waiting):
            self._ask(service, answered)
        if not waiting:
            self._reset_at = time.monotonic()

    def reset_due(self) -> bool:
        """Whether it is time for the reset; true once."""
        due = time.monotonic() >= self._reset_at
        if due:
            self._reset_at = math.inf
        return due
