"""The supervisor: the one place that decides whether a cell may move.

Rules
1. The robot moves in APPROACH, RUN and RETREAT and in no other state. Each of them begins only on the operator's request.
2. From UNCONFIGURED a cell becomes IDLE when every node is configured. From IDLE the operator asks for APPROACH; when the cell has arrived it is
   READY, and stands still. From READY the operator asks for RUN. A run ends in HOLD: because it finished, because the operator asked, or
   because a watch said so. From HOLD the operator asks for RETREAT, which ends in IDLE.
3. The operator's HOLD is never refused in a configured state. In a state that moves, and in READY, it leads to HOLD; elsewhere the cell is still already.
4. A request to move is refused while a reason against it is known: a watch that applies in the state asked for, or a check that the caller makes
   before it asks (``preflight``). Having observed nothing, or nothing lately, is a reason.
5. A fault leads where ``faults.RESPONSES`` says: from a state that moves to HOLD, or from any configured state to FAULT. The strongest reaction wins,
   and a stopped cell may be told a stronger one, never a weaker one.
6. Nothing leaves HOLD or FAULT without the operator's request. FAULT is left through RESET, which is refused while the cause lasts and leads to
   HOLD, not to IDLE: after a fault the arm may be anywhere. Shutting down leaves the reaction as it is: a hand that lost its torque stays without.
7. A supervisor that could not watch for a while holds: a motion that nobody watched is not continued.
8. A run may be paused and go on, and play slower than its reference, never faster. A paused run is a run: it is watched as one, the same loop holds
   what is in the hand, and it goes on at the operator's request only.
9. The operator's ESTOP is never refused in a configured state: it leads to FAULT and stops the arm by its own stop. So do a pressed emergency stop
   and, in a cell that has one, an emergency stop that is silent.
10. A cell moves only while its operator is heard: an operator who fell silent is an operator who cannot stop it.
11. Whoever holds a reference to this object decides nothing: it passes on requests and measurements, and publishes ``status``.

There are no clocks in here: ``now`` is an argument, in seconds, of the clock that stamps the samples.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from dextrack.errors import InputError
from dextrack_deploy.faults import Reason
from dextrack_deploy.graph import HEARTBEAT_DEADLINE
from dextrack_deploy.status import MOVING, Reaction, State, Status
from dextrack_deploy.watches import Measurements, Watcher


class Event(enum.Enum):
    """What can be requested."""

    CONFIGURE = "configure"
    """Every node is configured and active (bring-up)."""
    APPROACH = "approach"
    """The operator: go to where the trial begins."""
    ARRIVED = "arrived"
    """The motion of APPROACH has ended at its goal."""
    RUN = "run"
    """The operator: run the trial."""
    FINISHED = "finished"
    """The controller has given its last target."""
    PAUSE = "pause"
    """The operator: let the run stand still where it is."""
    RESUME = "resume"
    """The operator: let a paused run go on."""
    HOLD = "hold"
    """The operator: stop."""
    ESTOP = "estop"
    """The operator: emergency stop."""
    RETREAT = "retreat"
    """The operator: go home."""
    HOME = "home"
    """The motion of RETREAT has ended at its goal."""
    RESET = "reset"
    """The operator: the fault's cause is gone."""
    CLEANUP = "cleanup"
    """Shutting down."""


OPERATOR = frozenset(
    {Event.CONFIGURE, Event.APPROACH, Event.RUN, Event.PAUSE, Event.RESUME, Event.HOLD, Event.ESTOP, Event.RETREAT, Event.RESET, Event.CLEANUP}
)
"""Events that a person asks for; the others report that a motion has ended, and never begin one."""

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UNCONFIGURED, Event.CONFIGURE): State.IDLE,
    (State.IDLE, Event.APPROACH): State.APPROACH,
    (State.IDLE, Event.HOLD): State.IDLE,
    (State.IDLE, Event.CLEANUP): State.UNCONFIGURED,
    (State.APPROACH, Event.ARRIVED): State.READY,
    (State.APPROACH, Event.HOLD): State.HOLD,
    (State.READY, Event.RUN): State.RUN,
    (State.READY, Event.HOLD): State.HOLD,
    (State.RUN, Event.FINISHED): State.HOLD,
    (State.RUN, Event.PAUSE): State.RUN,
    (State.RUN, Event.RESUME): State.RUN,
    (State.RUN, Event.HOLD): State.HOLD,
    (State.HOLD, Event.RETREAT): State.RETREAT,
    (State.HOLD, Event.HOLD): State.HOLD,
    (State.HOLD, Event.CLEANUP): State.UNCONFIGURED,
    (State.RETREAT, Event.HOME): State.IDLE,
    (State.RETREAT, Event.HOLD): State.HOLD,
    (State.FAULT, Event.RESET): State.HOLD,
    (State.FAULT, Event.HOLD): State.FAULT,
    (State.FAULT, Event.CLEANUP): State.UNCONFIGURED,
    **{(state, Event.ESTOP): State.FAULT for state in State if state is not State.UNCONFIGURED},
}
"""Every accepted (state, event) and the state that it leads to; all others are refused."""


@dataclasses.dataclass(frozen=True)
class Decision:
    """The answer to a request."""

    accepted: bool
    state: State
    """State after the request."""
    reason: str
    """Why it was refused, or what it led to."""


@dataclasses.dataclass(frozen=True)
class Transition:
    """A change of state, for the trial's events."""

    now: float
    before: State
    after: State
    reason: str


class Supervisor:
    """The state machine of a cell."""

    def __init__(self, watcher: Watcher, stale_s: float = HEARTBEAT_DEADLINE, speed: float = 1.0) -> None:
        """Start UNCONFIGURED. Measurements older than ``stale_s`` do not allow a request to move; runs play at the part ``speed`` of their own speed.

        Raises:
            InputError: ``speed`` is not above 0 and at most 1.
        """
        if not 0.0 < speed <= 1.0:
            raise InputError(f"supervisor: speed is {speed}.", remedy="give a part of the run's own speed, above 0 and at most 1.")
        self._speed = speed
        self._watcher = watcher
        self._stale_s = stale_s
        self._status = Status(State.UNCONFIGURED, reason="not configured yet")
        self._observed: tuple[Measurements, float] | None = None
        self.transitions: list[Transition] = []
        """Every change of state so far."""

    @property
    def state(self) -> State:
        """The state of the cell."""
        return self._status.state

    @property
    def status(self) -> Status:
        """What to publish: state, reaction and reason."""
        return self._status

    def request(self, event: Event, now: float, refusals: Sequence[str] = ()) -> Decision:
        """Ask for ``event`` at ``now`` (s). ``refusals`` are the caller's own reasons against it (preflight); they count for requests to move and RESET."""
        before = self.state
        after = TRANSITIONS.get((before, event))
        if after is None:
            return Decision(False, before, f"{event.value} is not possible in {before.value}; {_possible(before)}")
        if event in (Event.PAUSE, Event.RESUME):
            return self._play(event, now, refusals)
        if after is before:
            return self._stay(event, now)
        # Only what begins a motion, or leaves FAULT, is checked: ends of motions and stops are always accepted.
        if after in MOVING or event is Event.RESET:
            against = list(refusals) + self._against(before if event is Event.RESET else after, now)
            if against:
                return Decision(False, before, f"{event.value} is refused: " + "; ".join(against))
        self._enter(after, self._reaction(event), _explain(event), now)
        return Decision(True, after, self._status.reason)

    def _reaction(self, event: Event) -> Reaction:
        """What the drivers do after ``event``. A stop is never weaker than the one before; nor does shutting down give a hand back what it was told to lose."""
        if event is Event.ESTOP:
            return max(Reaction.STOP_ARM, self._status.reaction)
        return self._status.reaction if event is Event.CLEANUP else Reaction.HOLD

    def _stay(self, event: Event, now: float) -> Decision:
        """Accept an ``event`` that leaves the state as it is: a stop of what is still already."""
        if event is Event.ESTOP and self._status.reaction < Reaction.STOP_ARM:
            self._stop(State.FAULT, Reaction.STOP_ARM, _explain(event), now)
        return Decision(True, self.state, f"already still in {self.state.value}")

    def _play(self, event: Event, now: float, refusals: Sequence[str]) -> Decision:
        """Pause the run or let it go on."""
        against = [] if event is Event.PAUSE else list(refusals) + self._against(State.RUN, now)
        if against:
            return Decision(False, self.state, f"{event.value} is refused: " + "; ".join(against))
        self._status = dataclasses.replace(self._status, pace=0.0 if event is Event.PAUSE else self._speed, reason=_explain(event))
        self.transitions.append(Transition(now, self.state, self.state, self._status.reason))
        return Decision(True, self.state, self._status.reason)

    def observe(self, measurements: Measurements, now: float) -> list[Reason]:
        """Judge ``measurements`` at ``now`` (s), and stop the cell where they say so.

        Returns:
            The faults that are present and watched in the state in which the cell was. Rule 7 is not among them: it shows in ``status``.
        """
        before = self.state
        blind = 0.0 if self._observed is None else now - self._observed[1]
        self._observed = (measurements, now)
        if before in MOVING and blind > self._stale_s:
            self._stop(State.HOLD, Reaction.HOLD, f"the supervisor did not watch for {blind:.2f} s", now)
        reasons = self._watcher.reasons(measurements, now, before)
        if not reasons:
            return []
        reaction = max(r.response.reaction for r in reasons)
        text = "; ".join(str(r) for r in reasons)
        if any(r.response.fatal for r in reasons):
            self._stop(State.FAULT, reaction, text, now)
        elif before in MOVING or before is State.HOLD:
            self._stop(State.HOLD, reaction, text, now)
        return reasons

    def _stop(self, state: State, reaction: Reaction, text: str, now: float) -> None:
        if self.state is not state:
            # A hold that becomes a fault keeps the stronger of the two reactions.
            self._enter(state, max(reaction, self._status.reaction), text, now)
        elif reaction > self._status.reaction:
            self._status = Status(state, reaction, text)
            self.transitions.append(Transition(now, state, state, text))

    def _against(self, state: State, now: float) -> list[str]:
        if self._observed is None:
            return ["nothing was measured yet"]
        measurements, then = self._observed
        if now - then > self._stale_s:
            return [f"the newest measurements are {now - then:.2f} s old"]
        # Ages are those at the observation: between two observations every sample grows older, and that is no fault of the sensor.
        return [str(r) for r in self._watcher.reasons(measurements, then, state) if state is not State.FAULT or r.response.fatal]

    def _enter(self, state: State, reaction: Reaction, reason: str, now: float) -> None:
        if state in MOVING and self._observed is not None:
            self._watcher.begin(self._observed[0])
        self.transitions.append(Transition(now, self.state, state, reason))
        self._status = Status(state, reaction, reason, self._speed if state is State.RUN else 1.0)


def _possible(state: State) -> str:
    events = [e.value for s, e in TRANSITIONS if s is state]
    return "possible: " + ", ".join(events)


def _explain(event: Event) -> str:
    return {
        Event.CONFIGURE: "configured",
        Event.APPROACH: "the operator asked to approach",
        Event.ARRIVED: "arrived where the trial begins",
        Event.RUN: "the operator asked to run",
        Event.FINISHED: "the trial finished",
        Event.PAUSE: "the operator asked to pause",
        Event.RESUME: "the operator asked to go on",
        Event.HOLD: "the operator asked to hold",
        Event.ESTOP: "the operator asked for an emergency stop",
        Event.RETREAT: "the operator asked to retreat",
        Event.HOME: "arrived at home",
        Event.RESET: "the operator acknowledged the fault",
        Event.CLEANUP: "shut down",
    }[event]
