"""The controller node: the targets of a trial at the control rate, and the slow motions before and after it."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

import numpy as np
from dextrack_deploy import graph
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placed import load_arm_path, load_placed
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.sequence import Sequence
from dextrack_deploy.slow_motions import SlowMotions
from dextrack_deploy.status import State, Status
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState

from dextrack.errors import RefusedError
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages
from dextrack_ros.node import CellNode, run

_EARLIEST_S, _LATEST_S = 0.5 * CONTROL_PERIOD, 1.25 * CONTROL_PERIOD
"""A tick begins no sooner after the one before, and no later where the clock has to begin it."""
_FIRST_SAMPLES_S = 3.0
"""The first joint states may take this long after the node became active, s."""


class ControllerNode(CellNode):
    """Publishes; ``dextrack_deploy.sequence`` knows what is due."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("controller")
        self._sequence: Sequence | None = None
        self._run_names: tuple[str, ...] = ()
        self._motion_names: tuple[str, ...] = ()
        self._newest: dict[str, JointState | PoseWithCovarianceStamped] = {}
        self._looped = 0.0
        for topic in ("arm/joint_states", "hand/joint_states", "object_pose"):
            self.hear(topic, functools.partial(self._newest.__setitem__, topic), fetched=True)
        self.hear("state/hand", self._hear_state)

    def configure(self) -> None:
        """Read the placed file and find the arm's posture where it begins."""
        cell = load_cell(self.value("cell"))
        self._arm_joints = load_arm(cell.arm.model).joint_names
        self._finger_joints = load_hand(cell.hand.model).finger_joints
        placed = load_placed(self.value("placed"))
        replay = ReplayController(placed)
        obj = ObjectSpec.load(Path(self.value("object"))) if self.value("object") else None
        path = load_arm_path(self.value("placed"))
        motions = SlowMotions(cell, placed, obj, None if path is None else path[0])
        self._run_names, self._motion_names = replay.joint_names, motions.names
        self._sequence = Sequence(replay, motions)

    def activate(self) -> None:
        """Begin the control loop."""
        assert self._sequence is not None
        self._newest.clear()
        self._sequence.enter(State.IDLE, self._measured)
        self.every(CONTROL_PERIOD, self._keep_time, "control loop")
        self.every(graph.HEARTBEAT_PERIOD, self._tell, "progress")

    def cleanup(self) -> None:
        """Forget the trial."""
        if self._sequence is not None:
            self._sequence.close()
        self._sequence = None

    def on_status(self, status: Status) -> None:
        """Begin what a new state asks for."""
        self.fetch()
        if self.active and self._sequence is not None:
            self._sequence.enter(status.state, self._measured)

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """The newest arm and finger positions. Streams are found one after the other, so the planner's thread may wait for the first samples."""
        deadline = time.monotonic() + _FIRST_SAMPLES_S
        while not {"arm/joint_states", "hand/joint_states"} <= self._newest.keys():
            if time.monotonic() > deadline:
                raise RefusedError("controller: arm or hand have not said where they are.", remedy="check that both drivers are active.")
            time.sleep(CONTROL_PERIOD)
        arm, hand = self._newest["arm/joint_states"], self._newest["hand/joint_states"]
        assert isinstance(arm, JointState) and isinstance(hand, JointState)
        return messages.positions(arm, self._arm_joints), messages.positions(hand, self._finger_joints)

    def _hear_state(self, message: JointState) -> None:
        """A hand state begins a tick: a target then carries a sample that is as fresh as it can be."""
        self._newest["state/hand"] = message
        if time.monotonic() - self._looped > _EARLIEST_S:
            self._loop()

    def _keep_time(self) -> None:
        """Where no hand state came in time, the clock begins the tick."""
        # In every state: who plans, in a thread of its own, waits for the newest samples.
        self.fetch()
        if time.monotonic() - self._looped > _LATEST_S:
            self._loop()

    def _loop(self) -> None:
        self._looped = time.monotonic()
        sequence = self._sequence
        if sequence is None or self.status().state is not sequence.state:
            # The supervisor fell silent: nothing more is asked for until it speaks again.
            return
        sequence.timer.begin(time.monotonic_ns())
        self.fetch()
        if self._give(sequence) and sequence.advance(self.status().pace):
            self._tell()
        sequence.timer.end(time.monotonic_ns())

    def _give(self, sequence: Sequence) -> bool:
        """Publish the target that is due; False where none is."""
        target, motion = sequence.run_target(), sequence.motion_target()
        if target is not None and "state/hand" in self._newest:
            self._publish_target(target)
            return True
        if motion is not None:
            stamp = messages.from_time(self._newest["hand/joint_states"].header.stamp)
            self.publish("motion/joint_targets", messages.joint_state(stamp, self._motion_names, motion))
            return True
        return False

    def _publish_target(self, target: np.ndarray) -> None:
        stamp = messages.from_time(self._newest["state/hand"].header.stamp)
        # Noted before it leaves: whoever waits for it may run first.
        self.note("target", stamp)
        self.publish("target", messages.joint_state(stamp, self._run_names, target))
        seen = self._newest.get("object_pose")
        if seen is not None:
            self.note("camera", stamp, messages.from_time(seen.header.stamp))

    def _tell(self) -> None:
        assert self._sequence is not None
        self.publish("controller/progress", messages.status("controller", messages.OK, "", self._sequence.progress()))
        timer = self._sequence.timer
        self.health("", overruns=timer.overruns, skipped=timer.skipped, last_run=self._sequence.last_run)


def main() -> int:
    """Run the node."""
    return run(ControllerNode)


if __name__ == "__main__":
    sys.exit(main())
