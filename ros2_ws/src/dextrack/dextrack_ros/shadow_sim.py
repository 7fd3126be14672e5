"""The shadow_sim node: each target moves the shadow simulator one period; its state is what the cell follows.

A remote backend that was lost stops the stream, and so the run. While the cell stands the node looks for it again, in a thread of its own, and
reports the error until it is there: the next run is then the operator's to begin.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor

from dextrack_deploy.placed import hand_of, load_placed, reference_of
from dextrack_deploy.shadow import Engine, ShadowSimulator
from dextrack_deploy.status import State, Status
from sensor_msgs.msg import JointState

from dextrack.errors import DriverError, RefusedError
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages
from dextrack_ros.node import CellNode, run

_SEARCH_S = 0.5
"""Seconds between two looks for a backend that was lost."""
_SIMULATOR = "simulating"
_HEARING = "hearing target"


class ShadowSimNode(CellNode):
    """Begins each run from the measured hand state."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("shadow_sim")
        self._simulator: ShadowSimulator | None = None
        self._measured: JointState | None = None
        self._steps = 0
        """Steps of this run; 0: the next target begins one."""
        self._steps_between = 0
        """Steps between two resynchronisations; 0: there are none."""
        self._finder = ThreadPoolExecutor(max_workers=1)
        self._search: Future[None] | None = None
        # Needed at the first target of a run, and where the simulator is put to the measured hand.
        self.hear("state/hand", self._hear_state, fetched=True)
        self.hear("target", self._hear_target)

    def configure(self) -> None:
        """Build the simulator on the placed reference's base frame."""
        placed = load_placed(self.value("placed"))
        engine = Engine(*(self.value(name) for name in ("backend", "address", "keys", "deadline_s")))
        self._simulator = ShadowSimulator(hand_of(placed), reference_of(placed).base_quaternion_w, engine=engine)
        if engine.backend != "remote":  # whose server warms it, and whose steps have a deadline
            self._simulator.require_fast()
        rate = self.value("resynchronise_hz")
        self._steps_between = round(1.0 / (rate * CONTROL_PERIOD)) if rate else 0

    def activate(self) -> None:
        """Look for the backend where it is lost."""
        self.every(_SEARCH_S, self._look_for_backend, "looking for the backend")

    def deactivate(self) -> None:
        """Forget what was measured."""
        self._measured = None
        self._steps = 0

    def cleanup(self) -> None:
        """Drop the simulator."""
        if self._search is not None:
            self._search.exception()
            self._search = None
        if self._simulator is not None:
            self._simulator.close()
        self._simulator = None

    def on_status(self, status: Status) -> None:
        """Outside RUN no run goes on: targets may end with it, and the next one begins from the measured hand."""
        if status.state is not State.RUN:
            self._steps = 0
        if status.state is State.IDLE:
            # The operator took the cell home: what went wrong in that run, no target would mend.
            self.mend(_HEARING)

    def _hear_state(self, message: JointState) -> None:
        self._measured = message

    def _hear_target(self, message: JointState) -> None:
        self.fetch()
        simulator = self._simulator
        # What was lost is looked for while the cell stands; a run does not begin with it.
        if self.status().state is not State.RUN or simulator is None or simulator.lost or self._measured is None or self._search is not None:
            self._steps = 0
            return
        try:
            if not self._steps:
                simulator.reset(messages.positions(self._measured, simulator.joint_names))
            elif self._steps_between and self._steps % self._steps_between == 0:
                simulator.resynchronise(messages.positions(self._measured, simulator.joint_names))
            self._steps += 1
            theta, velocity = simulator.step(messages.positions(message, simulator.joint_names))
        except (DriverError, RefusedError) as error:
            # It stays reported until the backend is found: an error of hearing would end with the next target, one that came late for the run.
            self.fail(_SIMULATOR, str(error))
            return
        stamp = messages.from_time(message.header.stamp)
        # Noted before it leaves: whoever waits for it may run first.
        self.note("shadow", stamp)
        self.publish("shadow/joint_states", messages.joint_state(stamp, simulator.joint_names, theta, velocity))

    def _look_for_backend(self) -> None:
        """Where the backend is lost and the cell stands: connect again, without keeping the heartbeat waiting."""
        simulator = self._simulator
        if self._search is not None:
            if not self._search.done():
                return
            self._search, error = None, self._search.exception()
            if error is None:
                self.mend(_SIMULATOR)
            else:
                self.fail(_SIMULATOR, str(error))
        elif simulator is not None and simulator.lost and not self.status().may_move:
            self.fetch()
            if self._measured is not None:
                self._search = self._finder.submit(simulator.reset, messages.positions(self._measured, simulator.joint_names))


def main() -> int:
    """Run the node."""
    return run(ShadowSimNode)


if __name__ == "__main__":
    sys.exit(main())
