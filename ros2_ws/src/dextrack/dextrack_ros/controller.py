"""The controller node: the targets of a trial at the control rate, and the slow motions before and after it."""

from __future__ import annotations

import functools
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from dextrack_deploy import graph
from dextrack_deploy.approach import Motion
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.loop_timing import LoopTimer
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.slow_motions import SlowMotions
from dextrack_deploy.status import State, Status
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages
from dextrack_ros.node import CellNode, run
from dextrack_ros.placed import load_arm_path, load_placed

_EARLIEST_S, _LATEST_S = 0.5 * CONTROL_PERIOD, 1.25 * CONTROL_PERIOD
"""A tick begins no sooner after the one before, and no later where the clock has to begin it."""


class ControllerNode(CellNode):
    """Each state that moves begins its own count of ticks; every other state ends it."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("controller")
        self._replay: ReplayController | None = None
        self._motions: SlowMotions | None = None
        self._planner = ThreadPoolExecutor(1, "planner")
        self._planned: Future[Motion] | None = None
        self._state = State.UNCONFIGURED
        self._tick = 0
        self._timer = LoopTimer(CONTROL_PERIOD)
        self._timing: dict[str, Any] = {}
        self._newest: dict[str, JointState | PoseStamped] = {}
        self._looped = 0.0
        for topic in ("arm/joint_states", "hand/joint_states", "object_pose"):
            self.hear(topic, functools.partial(self._newest.__setitem__, topic))
        self.hear("state/hand", self._hear_state)

    def configure(self) -> None:
        """Read the placed file and find the arm's posture where it begins."""
        cell = load_cell(self.value("cell"))
        self._arm_joints = load_arm(cell.arm.model).joint_names
        self._finger_joints = load_hand(cell.hand.model).finger_joints
        self._replay = ReplayController(load_placed(self.value("placed")))
        obj = ObjectSpec.load(Path(self.value("object"))) if self.value("object") else None
        path = load_arm_path(self.value("placed"))
        self._motions = SlowMotions(cell, self._replay.reference, obj, None if path is None else path[0])

    def activate(self) -> None:
        """Begin the control loop."""
        self._newest.clear()
        self._begin(State.IDLE)
        self.every(CONTROL_PERIOD, self._keep_time, "control loop")
        self.every(graph.HEARTBEAT_PERIOD, self._tell, "progress")

    def cleanup(self) -> None:
        """Forget the trial."""
        self._motions = self._replay = self._planned = None

    def on_status(self, status: Status) -> None:
        """Begin what the new state asks for."""
        if self.active:
            if self._state is State.RUN:
                self._timing = {k: v for k, v in self._timer.report().items() if k != "histogram"}
            self._begin(status.state)

    def _begin(self, state: State) -> None:
        self._state = state
        self._tick = 0
        self._planned = None
        self._timer = LoopTimer(CONTROL_PERIOD)
        if state in (State.APPROACH, State.RETREAT):
            arm, fingers = self._joints("arm/joint_states", self._arm_joints), self._joints("hand/joint_states", self._finger_joints)
            assert self._motions is not None
            # Beside the loop: planning takes many control periods, and the heartbeat must go on.
            plan = self._motions.approach if state is State.APPROACH else self._motions.retreat
            self._planned = self._planner.submit(plan, arm, fingers)

    def _joints(self, topic: str, names: tuple[str, ...]) -> np.ndarray:
        message = self._newest[topic]
        assert isinstance(message, JointState)
        return messages.positions(message, names)

    def _hear_state(self, message: JointState) -> None:
        """A hand state begins a tick: a target then carries a sample that is as fresh as it can be."""
        self._newest["state/hand"] = message
        if time.monotonic() - self._looped > _EARLIEST_S:
            self._loop()

    def _keep_time(self) -> None:
        """Where no hand state came in time, the clock begins the tick."""
        if time.monotonic() - self._looped > _LATEST_S:
            self._loop()

    def _loop(self) -> None:
        self._looped = time.monotonic()
        if self.status().state is not self._state:
            # The supervisor fell silent: nothing more is asked for until it speaks again.
            return
        self._timer.begin(time.monotonic_ns())
        if self._state is State.RUN:
            self._publish_target()
        elif self._planned is not None and self._planned.done():
            self._publish_motion(self._planned.result())
        self._timer.end(time.monotonic_ns())

    def _publish_target(self) -> None:
        replay, state = self._replay, self._newest.get("state/hand")
        if replay is None or state is None:
            return
        stamp = messages.from_time(state.header.stamp)
        # Noted before it leaves: whoever waits for it may run first.
        self.note("target", stamp)
        self.publish("target", messages.joint_state(stamp, replay.joint_names, replay.target(self._tick)))
        seen = self._newest.get("object_pose")
        if seen is not None:
            self.note("camera", stamp, messages.from_time(seen.header.stamp))
        self._advance(replay.n_ticks)

    def _publish_motion(self, motion: Motion) -> None:
        assert self._motions is not None
        arm, fingers = motion.target(self._tick)
        stamp = messages.from_time(self._newest["hand/joint_states"].header.stamp)
        self.publish("motion/joint_targets", messages.joint_state(stamp, self._motions.names, np.concatenate([arm, fingers])))
        self._advance(motion.n_ticks)

    def _advance(self, ticks: int) -> None:
        """Count a tick; the last target is given again until the supervisor ends the state."""
        if self._tick < ticks:
            self._tick += 1
            if self._tick == ticks:
                self._tell()

    def _ticks(self) -> int:
        """Ticks of what goes on now; 0 where nothing does, or it is not planned yet."""
        if self._state is State.RUN and self._replay is not None:
            return self._replay.n_ticks
        if self._planned is not None and self._planned.done() and self._planned.exception() is None:
            return self._planned.result().n_ticks
        return 0

    def _tell(self) -> None:
        ticks = self._ticks()
        done = bool(ticks) and self._tick >= ticks
        timer = self._timer
        values = {"state": self._state.value, "tick": self._tick, "ticks": ticks, "done": done, "overruns": timer.overruns, "in_a_row": timer.in_a_row}
        self.publish("controller/progress", messages.status("controller", messages.OK, "", values))
        self.health("", overruns=timer.overruns, skipped=timer.skipped, last_run=self._timing)


def main() -> int:
    """Run the node."""
    return run(ControllerNode)


if __name__ == "__main__":
    sys.exit(main())
