"""The operator of a cell of the fault matrix: takes a prepared trial into RUN, and then stays there and asks for nothing more.

    python fault_operator.py FOLDER_OF_A_PREPARED_TRIAL

A person at a terminal would react to a fault; what the cell does by itself shows only where nobody does. Each status that it hears is a line of JSON
on its standard output (``at``, ns, and the fields of the status), and so is an ``error``. The end of its standard input ends it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import rclpy
from dextrack_deploy.trial import TrialFolder
from dextrack_ros import dds
from dextrack_ros.operator import Operator
from dextrack_ros.preparation import load_prepared
from rclpy.signals import SignalHandlerOptions

from dextrack.errors import DexTrackError

FOREVER_S = 1e9


def say(**fields: Any) -> None:
    """Print a line of JSON."""
    print(json.dumps({"at": time.time_ns(), **fields}), flush=True)


def main() -> int:
    """Conduct the trial that the first argument names; the others are ROS's."""
    trial = load_prepared(TrialFolder(Path(sys.argv[1])))
    dds.keep_on_loopback()
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    heard: list[Any] = [None]

    def obey() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=obey, daemon=True).start()

    def look() -> None:
        if operator.status is not None and operator.status != heard[0]:
            heard[0] = operator.status
            say(**{**dataclasses.asdict(operator.status), "state": operator.status.state.value, "reaction": operator.status.reaction.name})

    operator = Operator(trial.nodes, lambda line: print(line, file=sys.stderr, flush=True), look)
    try:
        operator.bring_up()
        operator.wait_until_ready()
        outcome = operator.run_trial(FOREVER_S)
        if outcome.ended == "refused":
            say(error=outcome.reason)
    except DexTrackError as error:
        # A supervisor that fell silent, for one. Whoever asked nothing before asks nothing now.
        say(error=str(error))
    operator.lifecycle.spin_until(lambda: False, FOREVER_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
