"""The shadow_sim node: each target moves the shadow simulator one period; its state is what the cell follows."""

from __future__ import annotations

import sys

from dextrack_deploy.cell import load_cell
from dextrack_deploy.placed import placed_reference
from dextrack_deploy.shadow import ShadowSimulator
from dextrack_deploy.status import State
from sensor_msgs.msg import JointState

from dextrack.hands import load_hand
from dextrack_ros import messages
from dextrack_ros.node import CellNode, run


class ShadowSimNode(CellNode):
    """Begins each run from the measured hand state."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("shadow_sim")
        self._simulator: ShadowSimulator | None = None
        self._measured: JointState | None = None
        self._running = False
        # Needed at the first target of a run only.
        self.hear("state/hand", self._hear_state, fetched=True)
        self.hear("target", self._hear_target)

    def configure(self) -> None:
        """Build the simulator on the placed reference's base frame."""
        hand = load_hand(load_cell(self.value("cell")).hand.model)
        self._simulator = ShadowSimulator(hand, placed_reference(self.value("placed")).base_quaternion_w)

    def deactivate(self) -> None:
        """Forget what was measured."""
        self._measured = None
        self._running = False

    def cleanup(self) -> None:
        """Drop the simulator."""
        self._simulator = None

    def _hear_state(self, message: JointState) -> None:
        self._measured = message

    def _hear_target(self, message: JointState) -> None:
        self.fetch()
        simulator = self._simulator
        if self.status().state is not State.RUN or simulator is None or self._measured is None:
            self._running = False
            return
        if not self._running:
            simulator.reset(messages.positions(self._measured, simulator.joint_names))
            self._running = True
        theta, velocity = simulator.step(messages.positions(message, simulator.joint_names))
        stamp = messages.from_time(message.header.stamp)
        # Noted before it leaves: whoever waits for it may run first.
        self.note("shadow", stamp)
        self.publish("shadow/joint_states", messages.joint_state(stamp, simulator.joint_names, theta, velocity))


def main() -> int:
    """Run the node."""
    return run(ShadowSimNode)


if __name__ == "__main__":
    sys.exit(main())
