"""The hand_driver node: reads the hand's joints and gives its motors targets, through a guard."""

from __future__ import annotations

import collections
import sys
import time

import numpy as np
from dextrack_deploy import health
from dextrack_deploy.cell import load_cell
from dextrack_deploy.continuity import Continuity
from dextrack_deploy.drivers.guard import DeadlineGuard, GuardState, JointLimits
from dextrack_deploy.drivers.protocols import HandDriver, OverloadError
from dextrack_deploy.drivers.registry import open_hand
from dextrack_deploy.graph import FOLLOWED, MOTION
from dextrack_deploy.hand_command import ahead
from dextrack_deploy.slow_speed import FINGER_VELOCITY, GAP_S
from dextrack_deploy.status import Reaction, State, Status
from sensor_msgs.msg import JointState

from dextrack.hands import load_hand
from dextrack.hands.spec import HandSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_ros import messages
from dextrack_ros.node import ADDRESS, CellNode, run

ENGAGING_VELOCITY = 2.0
"""Speed of a finger joint while it catches up with its first target, rad/s."""
_POWER = {Reaction.HOLD: "full", Reaction.SOFTEN: "soft", Reaction.DROP_TORQUE: "off"}
"""What a reaction makes of the hand. STOP_ARM is about the arm: a hand that was softened before it stays soft."""
_POWERING, _READING = "powering the hand", "reading the hand"


class HandDriverNode(CellNode):
    """Follows the shadow simulator in RUN and the controller's slow motions in APPROACH and RETREAT; holds in every other state."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("hand_driver", (ADDRESS,))
        self._hand: HandSpec | None = None
        self._driver: HandDriver | None = None
        self._guard: DeadlineGuard | None = None
        self._power = self._wanted = "full"
        self._empower = self.guarded(_POWERING, lambda _: self._give_power())
        self._lag = 0.0
        self._stamps: collections.deque[int] = collections.deque(maxlen=61)
        self.hear(FOLLOWED, lambda m: self._command(m, State.RUN))
        self.hear(MOTION, lambda m: self._command(m, State.APPROACH, State.RETREAT))
        self.offer("hand/recover", self._recover)

    def configure(self) -> None:
        """Connect to the hand."""
        cell = load_cell(self.value("cell"))
        self._hand = load_hand(cell.hand.model)
        self._continuity = Continuity(self._hand.finger_joints, self._hand.velocity, CONTROL_PERIOD)
        self._slow = Continuity(self._hand.finger_joints, np.full(len(self._hand.finger_joints), FINGER_VELOCITY), CONTROL_PERIOD, GAP_S)
        # Without torque: that comes with the operator's word, which is to activate.
        self._driver = open_hand(cell.drivers.hand, self.value("address"), cell.hand.zeros, engage=False)
        self._lag = cell.hand.lag_s

    def activate(self) -> None:
        """Begin to read; nothing is sent before the first target."""
        assert self._driver is not None
        self._power = self._wanted = "full"
        # To become active is the operator's word: motors that were left alone for a while hold where they are. A dry run leaves them as they are:
        # limp ones limp, and what is held in hand.
        if not self.value("dry_run"):
            self._driver.set_power(self._power)
        self._engage()
        self.every(CONTROL_PERIOD, self._tick, _READING)

    def cleanup(self) -> None:
        """Disconnect; the motors keep their last target."""
        if self._driver is not None:
            self._driver.close()
        self._driver = self._guard = None

    def on_status(self, status: Status) -> None:
        """Hold where the cell is not to move, as hard as the supervisor says."""
        if self._driver is None or self._guard is None or self.value("dry_run"):
            return
        # Before anything that may fail: a hot motor does not wait for a target.
        if status.reaction in _POWER:
            self._wanted = _POWER[status.reaction]
            self._empower(None)
        if not status.may_move:
            self._guard.hold()
            self._continuity.begin()
            self._slow.begin()

    def _give_power(self) -> None:
        """Give the hand the power that is wanted. One that was not taken is not known: whatever is wanted next is told to the motors."""
        assert self._driver is not None
        if self._power == self._wanted:
            return
        self._power = ""
        self._driver.set_power(self._wanted)
        self._power = self._wanted
        if self._power == "full":
            # The fingers may have been moved while they were weak: targets begin where they are now.
            self._engage()

    def _recover(self) -> tuple[bool, str]:
        """On the operator's word: restart motors with an error. What the supervisor took from the hand it gives back, with its reset."""
        if self._driver is None or not self.active or self.status().may_move or self.value("dry_run"):
            return False, "recover is not possible while the cell moves, in a dry run, or where the driver is not active"
        self._driver.recover(self._wanted)
        self._power = self._wanted
        self._engage()
        # Of a motion that has ended: no other message would mend them.
        for what in (_POWERING, f"hearing {FOLLOWED}", f"hearing {MOTION}"):
            self.mend(what)
        return True, f"the hand has {self._power} power where it is; the supervisor's reset comes next"

    def _engage(self) -> None:
        """Make a guard that starts from the measured position."""
        assert self._driver is not None and self._hand is not None
        hand = self._hand
        lower, upper, velocity = (np.array(v) for v in (hand.lower, hand.upper, hand.velocity))
        limits = JointLimits(hand.finger_joints, lower, upper, velocity, ENGAGING_VELOCITY)
        self._guard = DeadlineGuard(self._driver, limits, self._driver.read().position, period_s=CONTROL_PERIOD)

    def _command(self, message: JointState, *states: State) -> None:
        """Follow a target in one of ``states``."""
        if self._guard is None or self._hand is None or self.status().state not in states or self.value("dry_run"):
            return
        stamp = messages.from_time(message.header.stamp)
        targets = messages.positions(message, self._hand.finger_joints)
        if State.RUN in states:
            self._continuity.check(targets, stamp)
        else:
            self._slow.check(targets, time.monotonic_ns())
        velocity = messages.velocities(message, self._hand.finger_joints)
        if State.RUN in states and velocity is not None:
            targets = ahead(targets, velocity, self._lag)
        self._guard.command(targets, stamp)
        if State.RUN in states:
            self.note("hand_command", stamp)

    def _tick(self) -> None:
        assert self._driver is not None and self._guard is not None and self._hand is not None
        if self._wanted != "full":
            # Until it is so. A hand that did not get its strength back is not given it later, when nobody expects that.
            self._empower(None)
        if not self.status().may_move and self._guard.report().state in (GuardState.ENGAGING, GuardState.TRACKING):
            self._guard.hold()
        report = self._guard.tick()
        try:
            r = self._driver.read()
        except OverloadError as error:
            # Beside the error, which alone would stop the arm and leave the other motors at what they are doing.
            self.health(report.state.value, **health.of_overload(str(error)))
            raise
        self._stamps.append(r.stamp)
        rate = 1e9 * (len(self._stamps) - 1) / max(self._stamps[-1] - self._stamps[0], 1)
        done = {"rate_hz": round(rate, 1), "clamped": list(report.clamped), "slowed": list(report.slowed), "refused": report.refused, "holds": report.holds}
        self.health(report.state.value, **done, **health.of_hand(r))
        self.publish("hand/joint_states", messages.joint_state(r.stamp, self._hand.finger_joints, r.position, r.velocity, r.current))


def main() -> int:
    """Run the node."""
    return run(HandDriverNode)


if __name__ == "__main__":
    sys.exit(main())
