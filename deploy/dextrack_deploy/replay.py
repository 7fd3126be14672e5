"""ReplayController: a demonstration's targets, tick by tick; the controller that needs no policy."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.references.reference import CONTROL_PERIOD, Reference

Floats = NDArray[np.float64]


@runtime_checkable
class HasTargets(Protocol):
    """A placed reference with targets of its own: a Demonstration, or what placement made of one."""

    @property
    def reference(self) -> Reference:
        """The placed reference."""

    @property
    def targets(self) -> Floats:
        """(N, 22): target of tick n, columns as ``reference.joint_names``."""


class ReplayController:
    """Targets of a trial. With targets of an expert these are replayed; without, the reference's own next states are the targets.

    A controller holds no state: ``target(tick)`` is the same whenever it is asked for.
    """

    def __init__(self, placed: Reference | HasTargets) -> None:
        """Replay ``placed``.

        Raises:
            InputError: the period is not the control period, or targets do not fit the reference or are not finite.
        """
        self.reference = placed if isinstance(placed, Reference) else placed.reference
        if abs(self.reference.period - CONTROL_PERIOD) > 1e-6:
            what = f"reference {self.reference.name}: its period is {self.reference.period:.5f} s, the cell's {CONTROL_PERIOD:.5f} s."
            raise InputError(what, remedy="place it again.")
        # Without an expert, tick n aims at the state that the reference has one period later (paper, Sec. 3.2: the baseline is the reference).
        targets = self.reference.hand[1:] if isinstance(placed, Reference) else np.asarray(placed.targets, dtype=np.float64)
        shape = self.reference.hand[1:].shape
        if targets.shape != shape or not np.isfinite(targets).all():
            raise InputError(f"targets of {self.reference.name}: not a finite array of shape {shape}.", remedy="mine the reference again.")
        self._targets = targets.copy()
        self._targets.setflags(write=False)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the columns of a target."""
        return self.reference.joint_names

    @property
    def start_state(self) -> Floats:
        """(22,): theta where the trial must begin."""
        return self.reference.hand[0].copy()

    @property
    def n_ticks(self) -> int:
        """Ticks of the trial; the target of the last one is held from then on."""
        return len(self._targets)

    def target(self, tick: float) -> Floats:
        """The target (22,) of ``tick`` >= 0, in between where a slowed run is between two; after the end, the last one.

        Raises:
            InputError: ``tick`` is negative.
        """
        if tick < 0:
            raise InputError(f"replay: tick {tick} is negative.", remedy="count ticks from 0 when the run begins.")
        whole = min(int(tick), self.n_ticks - 1)
        between = min(tick, self.n_ticks - 1) - whole
        here: Floats = self._targets[whole].copy()
        # A run at its own speed gets the very numbers that were mined.
        return here if between == 0.0 else here + between * (self._targets[whole + 1] - here)

    def progress(self, tick: int) -> float:
        """Part of the trial that is done when ``tick`` ticks have been given, 0 .. 1."""
        return min(max(tick, 0) / self.n_ticks, 1.0)

    def finished(self, tick: int) -> bool:
        """Whether every target was given after ``tick`` ticks."""
        return tick >= self.n_ticks
