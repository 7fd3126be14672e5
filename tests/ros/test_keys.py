"""Keys of the operator on a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time

PROGRAM = """
import time
from dextrack_ros.keys import Keys
keys = Keys()
print("enabled", keys.enabled, flush=True)
end = time.monotonic() + 20.0
asked = []
while keys.enabled and len(asked) < 7 and time.monotonic() < end:
    asked += keys.pressed()
    time.sleep(0.01)
keys.close()
keys.close()
print("asked", *asked, flush=True)
"""


def test_keys_ask_without_return_and_the_terminal_is_given_back() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM])
    before = termios.tcgetattr(terminal)
    said = b""
    try:
        deadline = time.monotonic() + 30.0
        while b"enabled True" not in said and time.monotonic() < deadline:
            said += os.read(terminal, 1000)
        for key in (b"p", b"xr\n", b"HE", b"tcq"):
            os.write(terminal, key)
            time.sleep(0.05)
        while b"asked" not in said and time.monotonic() < deadline:
            said += os.read(terminal, 1000)
        after = termios.tcgetattr(terminal)
    finally:
        os.waitpid(child, 0)
        os.close(terminal)
    assert b"asked pause resume hold estop retreat recover quit" in said
    assert after == before


def test_without_a_terminal_nothing_is_read() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], input="p", capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["enabled", "False", "asked"]
