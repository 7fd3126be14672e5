"""The arm_driver node: reads the arm's joints, turns wrist poses into joint targets, and gives them to the arm through a guard."""

from __future__ import annotations

import sys
import time

import numpy as np
from dextrack_deploy.arm.spec import ArmSpec, load_arm
from dextrack_deploy.arm.wrist_to_arm import WristToArm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.continuity import Continuity
from dextrack_deploy.drivers.guard import DeadlineGuard, GuardState, JointLimits
from dextrack_deploy.drivers.protocols import ArmDriver
from dextrack_deploy.drivers.registry import open_arm
from dextrack_deploy.graph import FOLLOWED, MOTION
from dextrack_deploy.placed import load_arm_path, placed_reference
from dextrack_deploy.slow_speed import GAP_S, SPEED
from dextrack_deploy.status import Reaction, State, Status
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from dextrack import rotations
from dextrack.hands.spec import WRIST_JOINTS
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages
from dextrack_ros.node import ADDRESS, CellNode, run

WRIST_SPEED = (2.0, 2.0, 2.0, 8.0, 8.0, 8.0)
"""m/s and rad/s: above what an FR3's flange does, 1.7 m/s."""
ENGAGING_VELOCITY = 0.5
"""Speed of a joint while it catches up with its first target, rad/s."""
_STOPS = (Reaction.STOP_ARM, Reaction.DROP_TORQUE)
_STOPPING = "stopping the arm"


class ArmDriverNode(CellNode):
    """Follows the shadow simulator's wrist in RUN and the controller's slow motions in APPROACH and RETREAT.

    In every other state the arm brakes within its acceleration limits and then stands. Where the supervisor asks for the arm's own stop, nothing more is
    sent until a motion begins, which then begins where the arm came to rest.
    """

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("arm_driver", (ADDRESS,))
        self._arm: ArmSpec | None = None
        self._driver: ArmDriver | None = None
        self._guard: DeadlineGuard | None = None
        self._wrist: WristToArm | None = None
        self._base = np.array([1.0, 0.0, 0.0, 0.0])
        self._path: NDArray[np.float64] | None = None
        self._running = False
        self._stopped = self._must_stop = False
        self._stop = self.guarded(_STOPPING, lambda _: self._stop_arm())
        self._continuity = Continuity(WRIST_JOINTS, WRIST_SPEED, CONTROL_PERIOD)
        self._followed = 0
        self._stamp = self._sampled = 0
        self.hear(FOLLOWED, self._follow)
        self.hear(MOTION, self._move)
        self.offer("arm/recover", self._recover)

    def configure(self) -> None:
        """Connect to the arm and build its inverse kinematics."""
        cell = load_cell(self.value("cell"))
        self._arm = load_arm(cell.arm.model)
        self._slow = Continuity(self._arm.joint_names, SPEED * self._arm.velocity, CONTROL_PERIOD, GAP_S)
        self._base = placed_reference(self.value("placed")).base_quaternion_w
        self._path = load_arm_path(self.value("placed"))
        self._wrist = WristToArm(cell)
        # The first call prepares the solver: now, and not between two targets.
        self._wrist.hold()
        self._driver = open_arm(cell.drivers.arm, self.value("address"), cell)

    def activate(self) -> None:
        """Begin to read; nothing is sent before the first target."""
        self._engage()
        self.every(CONTROL_PERIOD, self._tick, "reading the arm")
        if self.value("state_hz") > 0.0:
            self.every(1.0 / self.value("state_hz"), self._sample, "sampling the arm")

    def _engage(self) -> None:
        """Make a guard that starts from the measured position."""
        assert self._driver is not None and self._arm is not None
        arm = self._arm
        limits = JointLimits(arm.joint_names, arm.lower, arm.upper, arm.velocity, ENGAGING_VELOCITY)
        self._guard = DeadlineGuard(self._driver, limits, self._driver.read().q, period_s=CONTROL_PERIOD)
        self._stopped = self._must_stop = False

    def deactivate(self) -> None:
        """Forget the motion that was followed."""
        self._running = False

    def cleanup(self) -> None:
        """Disconnect; the arm stops where it is."""
        if self._driver is not None:
            self._driver.close()
        self._driver = self._guard = self._wrist = None

    def on_status(self, status: Status) -> None:
        """Stop the arm by its own stop where the supervisor says so."""
        if status.state not in (State.APPROACH, State.RETREAT):
            self._slow.begin()
        if self._driver is not None and not self.value("dry_run") and not status.may_move and status.reaction in _STOPS and not self._stopped:
            self._running = False
            # The guard is silent from now on: its last target would call an arm that stopped beyond it back.
            self._stopped = self._must_stop = True
            self._stop(None)

    def _stop_arm(self) -> None:
        assert self._driver is not None
        self._driver.stop()
        self._must_stop = False

    def _recover(self) -> tuple[bool, str]:
        """On the operator's word: clear the arm's error, and begin where it is."""
        if self._driver is None or not self.active or self.status().may_move or self.value("dry_run"):
            return False, "recover is not possible while the cell moves, in a dry run, or where the driver is not active"
        self._driver.recover()
        self._running = False
        self._engage()
        # Of a motion that has ended: no other message would mend them.
        for what in (_STOPPING, f"hearing {FOLLOWED}", f"hearing {MOTION}"):
            self.mend(what)
        return True, "the arm's error is cleared; the supervisor's reset comes next"

    def _follow(self, message: JointState) -> None:
        """In RUN: the wrist of the shadow simulator, through inverse kinematics."""
        if self._wrist is None or self._guard is None or self._stopped or self.status().state is not State.RUN or self.value("dry_run"):
            return
        if not self._running:
            # From the last target and not from the measured position, so that commands are continuous.
            self._wrist.reset(self._guard.safe_target)
            self._running, self._followed = True, 0
            self._continuity.begin()
        # The path that placement found keeps the elbow where it kept it; without one, the arm stays near home.
        posture = None if self._path is None else self._path[min(self._followed, len(self._path) - 1)]
        self._followed += 1
        wrist = messages.positions(message, WRIST_JOINTS)
        self._continuity.check(wrist, messages.from_time(message.header.stamp))
        quaternion = rotations.multiply(self._base, rotations.from_hinges(wrist[3:]))
        command = self._wrist.command(wrist[:3], quaternion, posture)
        self._stamp = messages.from_time(message.header.stamp)
        self._guard.command(command.q, self._stamp)
        self.note("arm_command", self._stamp)

    def _move(self, message: JointState) -> None:
        """In APPROACH and RETREAT: joint targets as they come."""
        if self._guard is None or self._arm is None or self.status().state not in (State.APPROACH, State.RETREAT) or self.value("dry_run"):
            return
        self._running = False
        targets = messages.positions(message, self._arm.joint_names)
        self._slow.check(targets, time.monotonic_ns())
        if self._stopped:
            self._engage()
        self._guard.command(targets, messages.from_time(message.header.stamp))

    def _tick(self) -> None:
        assert self._driver is not None and self._guard is not None and self._arm is not None and self._wrist is not None
        if self._must_stop:
            self._stop(None)
        if not self._stopped and not self.status().may_move:
            self._brake()
        report = self._guard.report() if self._stopped else self._guard.tick()
        doing = "stopped" if self._stopped else report.state.value
        self.health(doing, clamped=list(report.clamped), slowed=list(report.slowed), refused=report.refused, holds=report.holds)
        r = self._driver.read()
        self.publish("arm/joint_states", messages.joint_state(r.stamp, self._arm.joint_names, r.q, r.dq))

    def _sample(self) -> None:
        """For the record alone: the control loop has no use for more than one sample a tick."""
        assert self._driver is not None and self._arm is not None
        r = self._driver.read()
        if r.stamp != self._sampled:
            self._sampled = r.stamp
            self.publish("arm/samples", messages.joint_state(r.stamp, self._arm.joint_names, r.q, r.dq, r.effort))

    def _brake(self) -> None:
        """A moving arm is stopped within its acceleration limits: an instant stop would be a jump."""
        assert self._guard is not None and self._wrist is not None
        if self._running:
            command = self._wrist.hold()
            self._guard.command(command.q, self._stamp)
            self._running = bool(np.abs(command.velocity).max() > 1e-6)
        elif self._guard.report().state in (GuardState.ENGAGING, GuardState.TRACKING):
            self._guard.hold()


def main() -> int:
    """Run the node."""
    return run(ArmDriverNode)


if __name__ == "__main__":
    sys.exit(main())
