"""The state of a cell as its nodes hear it: states, reactions, and the text on ``supervisor/state``."""

from __future__ import annotations

import dataclasses
import enum
import json

from dextrack.errors import InputError


class State(enum.Enum):
    """States of the cell. The rules of moving between them are in ``supervisor``."""

    UNCONFIGURED = "UNCONFIGURED"
    IDLE = "IDLE"
    APPROACH = "APPROACH"
    READY = "READY"
    RUN = "RUN"
    HOLD = "HOLD"
    RETREAT = "RETREAT"
    FAULT = "FAULT"


MOVING = frozenset({State.APPROACH, State.RUN, State.RETREAT})
"""The only states in which a driver may change what it commands."""


BEGINS = {State.APPROACH: State.IDLE, State.RUN: State.READY, State.RETREAT: State.HOLD}
"""State that moves -> the only state that it begins from."""


class Reaction(enum.IntEnum):
    """What the drivers do when the cell stops; the larger one wins."""

    HOLD = 0
    """Hold at the last safe target."""
    SOFTEN = 1
    """Hold, and lower the gains and the current limit of the hand."""
    STOP_ARM = 2
    """Hold the hand, and end the arm's motion through its own stop."""
    DROP_TORQUE = 3
    """Switch the hand's motors off (overheating, overload), and stop the arm."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What the supervisor tells everybody."""

    state: State
    reaction: Reaction = Reaction.HOLD
    """What holds mean; counts in HOLD and FAULT."""
    reason: str = ""
    """Why the cell is in this state, for a person to read."""
    pace: float = 1.0
    """How fast a run plays, as a part of its own speed: 0 is a pause, less than 1 slow motion. Counts in RUN."""

    @property
    def may_move(self) -> bool:
        """Whether a driver may follow new targets."""
        return self.state in MOVING

    def encode(self) -> str:
        """The text on ``supervisor/state``: a JSON object."""
        return json.dumps({"state": self.state.value, "reaction": self.reaction.name, "reason": self.reason, "pace": self.pace})

    @staticmethod
    def decode(text: str) -> Status:
        """Read what ``encode`` wrote.

        Raises:
            InputError: the text is no status. A node that gets one holds.
        """
        try:
            value = json.loads(text)
            pace = float(value.get("pace", 1.0))  # logs of earlier versions have none
            if not 0.0 <= pace <= 1.0:
                raise ValueError(f"pace {pace} is not between 0 and 1")
            return Status(State(value["state"]), Reaction[value["reaction"]], str(value["reason"]), pace)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"supervisor/state: {text[:80]!r} is not a status ({error}).", remedy="start every node from the same version.") from None
