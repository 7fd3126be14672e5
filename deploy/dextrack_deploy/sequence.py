"""Sequence: the ticks of a trial. Each state that moves has its own count of ticks, from 0; every other state has none."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.references.reference import CONTROL_PERIOD
from dextrack_deploy.approach import Motion
from dextrack_deploy.loop_timing import LoopTimer
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.status import State

Floats = NDArray[np.float64]

Measured = Callable[[], tuple[Floats, Floats]]
"""-> the newest (arm (7,), fingers (16,)), rad. It is called in the planner's thread."""


PACE_S = 0.3
"""A run comes to a standstill, and back to its own speed, within this time, s: the hand with the object must not jerk."""


class Planner(Protocol):
    """What plans the motions before and after a run: ``SlowMotions``."""

    def approach(self, arm: ArrayLike, fingers: ArrayLike) -> Motion:
        """Plan to where the trial begins."""
        ...

    def retreat(self, arm: ArrayLike, fingers: ArrayLike) -> Motion:
        """Plan home."""
        ...


class Sequence:
    """Follows the states of the cell, and knows which target of which state is due."""

    def __init__(self, replay: ReplayController, planner: Planner) -> None:
        """Run ``replay`` between motions that ``planner`` plans."""
        self._replay, self._planner = replay, planner
        # Beside the loop: planning takes many control periods, and the heartbeat must go on.
        self._thread = ThreadPoolExecutor(1, "planner")
        self._planned: Future[Motion] | None = None
        self.state = State.UNCONFIGURED
        """The state that was entered last."""
        self.phase = 0.0
        """How many targets of the state were given; a run that plays slowly gives some in between."""
        self._pace: float | None = None
        self.timer = LoopTimer(CONTROL_PERIOD)
        """Timing of the loop in this state."""
        self.last_run: dict[str, Any] = {}
        """Timing of the loop in the last RUN; empty before it ended."""

    def close(self) -> None:
        """End the planner's thread; what it plans now is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def enter(self, state: State, measured: Measured) -> None:
        """The cell is in ``state``. In the state in which it was already, nothing begins anew: a status may change its words or its reaction alone."""
        if state is self.state:
            return
        if self.state is State.RUN:
            self.last_run = {k: v for k, v in self.timer.report().items() if k != "histogram"}
        self.state, self.phase, self._pace, self._planned, self.timer = state, 0.0, None, None, LoopTimer(CONTROL_PERIOD)
        if state in (State.APPROACH, State.RETREAT):
            plan = self._planner.approach if state is State.APPROACH else self._planner.retreat
            # What goes wrong while measuring is, like a refused plan, for the loop to say: again and again, until the state ends.
            self._planned = self._thread.submit(lambda: plan(*measured()))

    def run_target(self) -> Floats | None:
        """The target (22,) of this tick of RUN; None in other states."""
        return self._replay.target(self.phase) if self.state is State.RUN else None

    def motion_target(self) -> Floats | None:
        """Arm and finger targets (23,) of this tick of APPROACH or RETREAT; None in other states and before they are planned.

        Raises:
            RefusedError: there is no plan.
        """
        if self._planned is None or not self._planned.done():
            return None
        return np.concatenate(self._planned.result().target(self.tick))

    def advance(self, pace: float = 1.0) -> bool:
        """Count a tick, and return whether it was the last one: its target is given again until the state ends.

        A run moves on by ``pace`` (0: it pauses; 1: its own speed), to which it comes within ``PACE_S``; a run begins at its pace. Other motions
        are slow already, and take no notice.
        """
        ticks = self.ticks
        if self.phase >= ticks:
            return False
        step = 1.0
        if self.state is State.RUN:
            most = CONTROL_PERIOD / PACE_S
            self._pace = pace if self._pace is None else self._pace + min(max(pace - self._pace, -most), most)
            step = self._pace
        self.phase = min(self.phase + step, float(ticks))
        return self.phase == ticks

    @property
    def tick(self) -> int:
        """Whole targets of the state that were given."""
        return int(self.phase)

    @property
    def ticks(self) -> int:
        """Ticks of what goes on now; 0 where nothing does, or it is not planned yet."""
        if self.state is State.RUN:
            return self._replay.n_ticks
        if self._planned is not None and self._planned.done() and self._planned.exception() is None:
            return self._planned.result().n_ticks
        return 0

    def progress(self) -> dict[str, Any]:
        """What ``controller/progress`` says."""
        ticks, timer = self.ticks, self.timer
        done = bool(ticks) and self.tick >= ticks
        return {
            "state": self.state.value,
            "tick": self.tick,
            "phase": round(self.phase, 3),
            "ticks": ticks,
            "done": done,
            "overruns": timer.overruns,
            "in_a_row": timer.in_a_row,
        }
