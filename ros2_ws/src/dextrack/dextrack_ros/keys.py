"""Keys: what an operator presses in the terminal while a trial runs."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty

_MEANINGS = {"g": "proceed", "p": "pause", "r": "resume", "h": "hold", "e": "estop", "t": "retreat", "c": "recover", "q": "quit"}


def attended() -> bool:
    """Whether there is a person to ask or to press keys: a job in the background must not touch the terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


class Keys:
    """Reads single keys where a person sits in front of a terminal; elsewhere (a pipe, a launch file, a job) it reads nothing."""

    HELP = "keys: g begin what is asked about, p pause, r resume, h hold, e emergency stop; Ctrl-C ends the trial"

    def __init__(self) -> None:
        """Let the terminal pass keys on at once. Ctrl-C stays what it is."""
        self.enabled = attended()
        """Whether there is a person to press keys."""
        self._file = sys.stdin.fileno() if self.enabled else None
        self._before = None
        if self._file is not None:
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)

    def pressed(self) -> list[str]:
        """What was asked for since the last call, in order, for ``Operator.press``; keys without a meaning are passed over. Never waits."""
        if not self.enabled or self._file is None or not select.select([self._file], [], [], 0.0)[0]:
            return []
        keys = os.read(self._file, 64).decode("ascii", "replace").lower()
        return [_MEANINGS[key] for key in keys if key in _MEANINGS]

    def close(self) -> None:
        """Give the terminal back as it was; closing twice is allowed."""
        if self._before is not None and self._file is not None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
            self._before = None
            self.enabled = False
