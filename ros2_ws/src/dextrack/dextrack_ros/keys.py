"""Keys: what an operator presses in the terminal while a trial runs."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty

_MEANINGS = {"g": "proceed", "p": "pause", "r": "resume", "h": "hold", "e": "estop", "t": "retreat", "c": "recover", "q": "quit"}


class Keys:
    """Reads single keys where a person sits in front of a terminal; elsewhere (a pipe, a launch file, a job) it reads nothing."""

    HELP = "keys: g begin what is asked about, p pause, r resume, h hold, e emergency stop; Ctrl-C ends the trial"

    def __init__(self) -> None:
        """Let the terminal pass keys on at once. Ctrl-C stays what it is."""
        self._file = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self.enabled = self._file is not None and os.tcgetpgrp(self._file) == os.getpgrp()
        """Whether there is a person to press keys: a job in the background must not touch the terminal."""
        self._before = None
        if self.enabled:
            assert self._file is not None
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
