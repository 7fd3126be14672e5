"""Serve a physics backend to another process or another Python: ``python -m dextrack.sim.remote.serve --backend isaacgym``.

Prints one line of JSON with the endpoint, then serves until SIGINT or SIGTERM. It is a module of the chain that runs on Python 3.8, where the other
verbs do not; elsewhere ``dextrack sim serve`` is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Dict, List, Optional

from dextrack.errors import DexTrackError, InputError
from dextrack.sim.backend import backend_names
from dextrack.sim.options import option
from dextrack.sim.remote.server import SimServer

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that end it."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser("dextrack sim serve", description="Serve a physics backend to another process: the backend `remote` there uses it.")
    served = [name for name in backend_names() if name != "remote"]
    made.add_argument("--backend", required=True, choices=served, help="the engine behind it")
    made.add_argument("--bind", default="tcp://127.0.0.1:0", help="where to listen; port 0 takes a free one and prints it (default: %(default)s)")
    made.add_argument("--keys", type=Path, help="folder of `dextrack sim keys`: needed where other machines can reach the endpoint")
    made.add_argument(
        "--option", type=option, action="append", default=[], metavar="NAME=VALUE", help="for the engine, for example device=cuda:0; may be repeated"
    )
    return made


def serve(arguments: List[str]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        InputError, RefusedError: as ``SimServer``.
    """
    given = parser().parse_args(arguments)
    options: Dict[str, object] = dict(given.option)
    for taken in ("physics", "n_worlds", "table"):
        if taken in options:
            raise InputError("--option %s: the client says that." % taken, remedy="leave it out.")
    stopped: List[int] = []

    def stop(number: int, frame: Optional[FrameType]) -> None:
        stopped.append(number)

    for number in ENDING:
        signal.signal(number, stop)
    # Blocked by the process that started itself again as this one.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    server = SimServer(given.backend, given.bind, given.keys, **options)
    try:
        print(json.dumps({"endpoint": server.endpoint, "pid": os.getpid(), "backend": given.backend}), flush=True)
        server.run(lambda: bool(stopped))
    finally:
        server.close()
    if not server.again:
        return
    # From here a signal waits for the handlers of the next process: it would kill that one before it has any.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    if not stopped:
        # The same process to whoever started it, at the same endpoint.
        command = [sys.executable, "-m", "dextrack.sim.remote.serve", "--backend", given.backend, "--bind", server.endpoint]
        command += [] if given.keys is None else ["--keys", str(given.keys)]
        for pair in given.option:
            command += ["--option", "%s=%r" % pair]
        os.execv(sys.executable, command)


def main(arguments: Optional[List[str]] = None) -> int:
    """Run it; the exit code."""
    try:
        serve(sys.argv[1:] if arguments is None else arguments)
    except DexTrackError as error:
        print("error: %s\nremedy: %s" % (error.what, error.remedy), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
