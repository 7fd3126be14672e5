"""What the arm will be asked to follow: the wrist of the shadow simulator, driven by the task's targets, exactly as in the control loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError, SimulationError
from dextrack.references.reference import Reference
from dextrack_deploy.placed import hand_of
from dextrack_deploy.placement.transform import wrist_path
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.shadow import ShadowSimulator

Floats = NDArray[np.float64]


class Followed:
    """States of the shadow simulator when ``task`` is replayed from rest.

    They differ from the task's own states by centimetres where the fingers press: targets lie beyond what the object lets the hand reach.
    """

    def __init__(self, task: Reference | Demonstration) -> None:
        """Simulate ``task``, with the targets of a demonstration or the states of a reference.

        Raises:
            RefusedError: the simulation left the range of finite numbers.
        """
        controller = ReplayController(task)
        self.reference = reference = controller.reference
        simulator = ShadowSimulator(hand_of(task), reference.base_quaternion_w, reference.period)
        simulator.reset(controller.start_state)
        try:
            states = [controller.start_state, *(simulator.step(controller.target(n))[0] for n in range(controller.n_ticks))]
        except SimulationError:
            what = f"{reference.name}: its targets throw the shadow simulator out of the range of finite numbers."
            raise RefusedError(what, remedy="mine it again: its wrist turns through gimbal lock, or its targets jump.") from None
        self.hand: Floats = np.array(states)
        """(N + 1, 22): theta."""
        self.position_w, self.quaternion_w = wrist_path(reference, self.hand)
