"""Faults of a cell, and the table of what each leads to."""

from __future__ import annotations

import dataclasses
import enum

from dextrack_deploy.status import MOVING, Reaction, State


class Fault(enum.Enum):
    """What can go wrong while a cell is configured."""

    STALE_SENSOR = "stale sensor"
    STALE_COMMAND = "stale command"
    DEAD_NODE = "dead node"
    OVERRUN = "loop overrun"
    TRACKING = "tracking error"
    JOINT_LIMIT = "joint limit"
    VELOCITY = "velocity limit"
    WORKSPACE = "workspace"
    CURRENT = "motor current"
    TEMPERATURE = "motor temperature"
    OVERLOAD = "motor overload"
    VOLTAGE = "motor voltage"
    OBJECT_LOST = "object lost"
    OBJECT_JUMP = "object jump"
    TRIAL_LOG = "trial log"
    NOT_FINITE = "not finite"
    DRIVER = "driver error"
    NODE = "node error"
    OPERATOR = "operator silent"
    ESTOP = "emergency stop"


@dataclasses.dataclass(frozen=True)
class Response:
    """What a fault leads to."""

    reaction: Reaction
    fatal: bool
    """True: FAULT, from any configured state. False: HOLD, from a state that moves."""
    states: frozenset[State]
    """Where the fault is watched."""


_CONFIGURED = frozenset(State) - {State.UNCONFIGURED}

RESPONSES: dict[Fault, Response] = {
    Fault.STALE_SENSOR: Response(Reaction.HOLD, False, MOVING),
    Fault.STALE_COMMAND: Response(Reaction.HOLD, False, MOVING),
    Fault.DEAD_NODE: Response(Reaction.HOLD, False, MOVING),
    Fault.OVERRUN: Response(Reaction.HOLD, False, MOVING),
    Fault.TRACKING: Response(Reaction.HOLD, False, MOVING),
    Fault.WORKSPACE: Response(Reaction.HOLD, False, frozenset({State.RUN})),
    Fault.OBJECT_LOST: Response(Reaction.HOLD, False, frozenset({State.RUN})),
    Fault.OBJECT_JUMP: Response(Reaction.HOLD, False, frozenset({State.RUN})),
    Fault.TRIAL_LOG: Response(Reaction.HOLD, False, frozenset({State.RUN})),
    Fault.NODE: Response(Reaction.HOLD, False, MOVING),
    Fault.VOLTAGE: Response(Reaction.HOLD, False, MOVING),
    Fault.OPERATOR: Response(Reaction.HOLD, False, MOVING),
    Fault.JOINT_LIMIT: Response(Reaction.STOP_ARM, False, MOVING),
    Fault.VELOCITY: Response(Reaction.STOP_ARM, False, MOVING),
    Fault.CURRENT: Response(Reaction.SOFTEN, False, MOVING | {State.HOLD}),
    Fault.NOT_FINITE: Response(Reaction.STOP_ARM, True, _CONFIGURED),
    Fault.TEMPERATURE: Response(Reaction.DROP_TORQUE, True, _CONFIGURED),
    Fault.OVERLOAD: Response(Reaction.DROP_TORQUE, True, _CONFIGURED),
    Fault.DRIVER: Response(Reaction.STOP_ARM, True, _CONFIGURED),
    Fault.ESTOP: Response(Reaction.STOP_ARM, True, _CONFIGURED),
}
"""The table of DESIGN.md: for each fault, what happens and where it is watched. RETREAT does not need the object, the disk or the workspace of
the trial: a cell that lost its object can still go home."""

GOES_HOME = ("twin", "hand_driver", "arm_driver", "controller")
"""Nodes that a RETREAT needs; the death or error of another one does not keep a cell from going home."""
ERROR_OF = {"hand_driver": Fault.DRIVER, "arm_driver": Fault.DRIVER, "recorder": Fault.TRIAL_LOG, "object_pose": Fault.OBJECT_LOST}
"""What an error that a node reports counts as; of all others, ``Fault.NODE``."""


@dataclasses.dataclass(frozen=True)
class Reason:
    """A fault that is present, and what a person should know."""

    fault: Fault
    what: str

    def __str__(self) -> str:
        """Fault and detail."""
        return f"{self.fault.value}: {self.what}"

    @property
    def response(self) -> Response:
        """What the fault leads to."""
        return RESPONSES[self.fault]
