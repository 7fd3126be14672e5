"""Word: what a person says before a real robot begins to move."""

from __future__ import annotations

import math
from collections.abc import Callable

from dextrack_deploy.graph import PROCEED
from rclpy.node import Node
from std_srvs.srv import Trigger

Spin = Callable[[Callable[[], bool], float], bool]
"""(condition, seconds) -> whether it came true: lets the graph go on meanwhile."""


class Word:
    """Waits for a key, or for a call of the service ``PROCEED`` where there is no terminal."""

    def __init__(self, node: Node, say: Callable[[str], None]) -> None:
        """Offer the service on ``node``; ``say`` tells a person what is waited with."""
        self._say = say
        self._waiting, self._given = "", False
        node.create_service(Trigger, PROCEED, self._serve)

    def give(self) -> bool:
        """Say it; whether anything waited. A word that nothing waits for is none for what comes later."""
        self._given = bool(self._waiting)
        return self._given

    def wait(self, what: str, spin_until: Spin, over: Callable[[], bool]) -> bool:
        """Wait until the word to begin ``what`` is given, or waiting is ``over``; whether it was given."""
        self._waiting, self._given = what, False
        self._say(f"{what}? It begins with g, or a call of /{PROCEED}; q or Ctrl-C: leave the cell as it is. Keep clear of the robot")
        try:
            spin_until(lambda: self._given or over(), math.inf)
        finally:
            self._waiting = ""
        return self._given

    def _serve(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        what = self._waiting
        response.success = self.give()
        response.message = f"{what} begins" if what else "nothing is waited with"
        return response
