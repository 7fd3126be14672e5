"""The velocity node: hand state and velocities from what the cell measures."""

from __future__ import annotations

import sys

import numpy as np
from dextrack_deploy.arm.kinematics import ArmKinematics
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.hand_state import HandStateEstimator
from dextrack_deploy.placed import placed_reference
from dextrack_deploy.velocities import PoseDifference
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState

from dextrack.hands import load_hand
from dextrack_ros import messages
from dextrack_ros.node import CellNode, run


class VelocityNode(CellNode):
    """Publishes a hand state for every sample of the hand, and a twist for every pose of the object."""

    def __init__(self) -> None:
        """Join the graph."""
        super().__init__("velocity")
        self._estimator: HandStateEstimator | None = None
        self._object = PoseDifference()
        self._arm_joints: tuple[str, ...] = ()
        self._finger_joints: tuple[str, ...] = ()
        self.hear("hand/joint_states", self._hear_hand)
        # Nothing is published for a sample of the arm: it waits for the hand's.
        self.hear("arm/joint_states", self._hear_arm, fetched=True)
        self.hear("object_pose", self._hear_object)

    def configure(self) -> None:
        """Build the kinematics of the cell."""
        cell = load_cell(self.value("cell"))
        reference = placed_reference(self.value("placed"))
        self._arm_joints = load_arm(cell.arm.model).joint_names
        self._finger_joints = load_hand(cell.hand.model).finger_joints
        gap = self.value("max_gap_s")
        kinematics = ArmKinematics(cell)
        # The first call imports half of scipy: now, and not between two samples.
        kinematics.palm_pose(np.array(cell.arm.home))
        self._estimator = HandStateEstimator(reference.base_quaternion_w, kinematics.palm_pose, self._finger_joints, reference.hand[0], max_gap_s=gap)
        self._object = PoseDifference(max_gap_s=gap)

    def cleanup(self) -> None:
        """Forget every sample."""
        self._estimator = None

    def _hear_arm(self, message: JointState) -> None:
        assert self._estimator is not None
        self._estimator.update_arm(messages.from_time(message.header.stamp), messages.positions(message, self._arm_joints))

    def _hear_hand(self, message: JointState) -> None:
        assert self._estimator is not None
        self.fetch()
        stamp = messages.from_time(message.header.stamp)
        self._estimator.update_fingers(stamp, messages.positions(message, self._finger_joints))
        state = self._estimator.state(stamp)
        if state is not None:
            self.publish("state/hand", messages.joint_state(state.stamp_ns, self._estimator.joint_names, state.theta, state.velocity))
            self.health("", velocities_valid=state.valid, **self._estimator.counts)

    def _hear_object(self, message: PoseWithCovarianceStamped) -> None:
        seen = messages.from_object_pose(message)
        linear, angular = self._object.update(seen.stamp, seen.position_w, seen.quaternion_w)
        self.publish("state/object_twist", messages.twist(seen.stamp, linear, angular))


def main() -> int:
    """Run the node."""
    return run(VelocityNode)


if __name__ == "__main__":
    sys.exit(main())
