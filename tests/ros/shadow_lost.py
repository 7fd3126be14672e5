"""A trial whose shadow simulator is served from another process, which is killed in the middle of the run and started again.

``python shadow_lost.py --demonstration FILE --object FILE --out FOLDER --server PYTHON BACKEND`` conducts it as an operator would, who retreats from the
hold, finds the approach refused while there is no server, starts it again and runs again. Prints what happened as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dextrack_deploy.status import State
from dextrack_deploy.trial import TrialFolder
from dextrack_ros import dds
from dextrack_ros.preparation import TrialRequest, prepare
from dextrack_ros.processes import Processes

from dextrack.errors import RefusedError


class Server:
    """``dextrack.sim.remote.serve``, at an endpoint that stays the same."""

    def __init__(self, python: str, backend: str, environment: dict[str, str]) -> None:
        """Start it at a free port."""
        self._command, self._environment = [python, "-m", "dextrack.sim.remote.serve", "--backend", backend], environment
        self.endpoint = "tcp://127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [*self._command, "--bind", self.endpoint]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment)
        assert self.process.stdout is not None
        self.endpoint = json.loads(self.process.stdout.readline())["endpoint"]

    def kill(self) -> None:
        """As a crash would end it."""
        self.process.kill()
        self.process.wait()


def conduct(demonstration: Path, thing: Path, out: Path, server: Server, after: float) -> dict[str, Any]:
    """The trial, whose server is killed ``after`` s of its run; what happened."""
    import rclpy
    from dextrack_ros.operator import Operator
    from rclpy.signals import SignalHandlerOptions

    told: dict[str, Any] = {"states": [], "endpoint": server.endpoint}
    began = time.monotonic()
    out.mkdir(parents=True)
    with TrialFolder(out).locked() as folder:
        request = TrialRequest(demonstration, object=str(thing), backend="remote", backend_address=server.endpoint)
        prepared = prepare(request, folder)
        dds.keep_on_loopback()
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        with Processes(out / "log", dict(os.environ)) as processes:
            for name in prepared.nodes:
                processes.start(name, f"dextrack_ros.{name}", ["--ros-args", "--params-file", str(prepared.parameters)])
            operator = Operator(prepared.nodes, lambda line: told["states"].append((round(time.monotonic() - began, 2), line)))
            operator.bring_up()
            operator.wait_until_ready()
            operator.request("approach")
            assert operator.reach(60.0, State.READY)
            operator.request("run")
            assert operator.reach(10.0, State.RUN)
            operator.lifecycle.spin_until(lambda: False, after)
            killed = time.monotonic()
            server.kill()
            assert operator.reach(5.0, State.HOLD), told
            told["seconds_to_hold"] = round(time.monotonic() - killed, 3)
            told["hold"] = operator.status.reason if operator.status else ""
            operator.lifecycle.spin_until(lambda: False, 2.0)
            operator.retreat()
            try:
                operator.request("approach")
                told["refused"] = ""
            except RefusedError as error:
                told["refused"] = error.what
            server.start()
            operator.wait_until_ready()
            outcome = operator.run_trial(60.0)
            told["again"] = {"ended": outcome.ended, "reason": outcome.reason, "complete": outcome.complete}
            operator.retreat()
            operator.shut_down()
            operator.close()
        rclpy.shutdown()
    return told


def main() -> int:
    """Conduct it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--demonstration", "--object", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--server", nargs=2, default=(sys.executable, "mujoco"), metavar=("PYTHON", "BACKEND"))
    parser.add_argument("--server-path", default=os.environ.get("PYTHONPATH", ""), help="PYTHONPATH of the server")
    parser.add_argument("--after", type=float, default=2.0, help="seconds of the run before the server is killed")
    given = parser.parse_args()
    server = Server(*given.server, environment={**os.environ, "PYTHONPATH": given.server_path})
    try:
        print(json.dumps(conduct(given.demonstration, given.object, given.out, server, given.after), indent=1))
    finally:
        server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
