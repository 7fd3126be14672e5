"""Trying again: a task that does not come out firm is mined once more from another seed, and the better outcome is kept.

Which grasps are drawn and what a search samples hang on the seed, and what a grasp in contact does hangs on the smallest of differences: of the tasks that one
try leaves unsolved, another solves some. Outcomes are chosen by their nominal replay and by the worlds of polishing's surveys, never by those that judge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.settings import require
from dextrack.tracking.verdict import OK

SEEDS = 100_000
"""Seed of the next try, less that of the one before: beyond all that a try adds to its own."""
PARTS = ("lifted", "held", "clean")
"""What a nominal replay says of a verdict."""


@dataclasses.dataclass(frozen=True)
class AgainConfig:
    """When a task is mined again."""

    tries: int = 2
    """Tries at most; 1: never again."""
    enough: float = 0.85
    """Share of the worlds of polishing in which targets lift and hold from which they are left as they are, if their nominal replay has nothing against it."""
    budget: int = 850_000
    """No other try begins after this many simulated control steps: what costs much to fail at is left."""

    def __post_init__(self) -> None:
        """Refuse no try, and a share that is none."""
        require(self, "mining again", ("tries",), "give at least 1.", least=1)
        require(self, "mining again", ("budget",), "give a number of at least 0.")
        if not 0.0 <= self.enough <= 1.0:
            raise InputError(f"mining again: enough is {self.enough}.", remedy="give a share from 0 to 1, usually 0.85.")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is known of a try without asking the worlds that judge."""

    parts: int
    """Of its nominal replay: lifted, held and clean, and the paper's threshold of 20 degrees."""
    held: float
    """Share of the worlds of polishing in which it lifts and holds; where it was not polished, of those by which mining chooses among attempts."""

    @property
    def rank(self) -> tuple[int, float]:
        """Larger is better."""
        return self.parts, self.held

    def firm(self, config: AgainConfig) -> bool:
        """Whether nothing better is sought."""
        return self.parts == len(PARTS) + 1 and self.held >= config.enough


def outcome(demonstration: Demonstration) -> Outcome:
    """Of a demonstration that ``mine`` has made."""
    verdict, p = demonstration.verdict, demonstration.provenance
    met = sum(verdict[part]["state"] in OK for part in PARTS)
    chosen = p["selection"]
    held = p["polishing"]["held"] if "polishing" in p else chosen["survived"] / chosen["replays"]
    return Outcome(met + int(demonstration.metrics["success_20"]), float(held))


def best_of(attempt: Callable[[int], Demonstration], config: AgainConfig, seed: int, first: Demonstration | None = None) -> Demonstration:
    """The best of as many tries as it takes, with what all of them cost.

    Args:
        attempt: mines once, from the seed that it is given.
        config: when it is called again.
        seed: of the first try.
        first: what that has given already; None: nothing yet.

    Raises:
        SimulationError: of the last try, where no try could be replayed.
    """
    best, told, diverged = None, list[dict[str, Any]](), None
    cost = {"control_steps": 0, "physics_seconds": 0.0, "seconds": 0.0}
    for number in range(config.tries):
        try:
            found = first if number == 0 and first is not None else attempt(seed + number * SEEDS)
        except SimulationError as error:  # of this try: another may do
            told.append({"seed": seed + number * SEEDS, "diverged": str(error)})
            diverged = error
            continue
        now = outcome(found)
        told.append({"seed": seed + number * SEEDS, **dataclasses.asdict(now), **{field: found.provenance[field] for field in cost}})
        cost = {field: before + found.provenance[field] for field, before in cost.items()}
        if best is None or now.rank > best[0].rank:
            best = now, found, number
        if best[0].firm(config) or cost["control_steps"] >= config.budget:
            break
    if best is None:
        assert diverged is not None
        raise diverged
    _, chosen, number = best
    return dataclasses.replace(chosen, provenance={**chosen.provenance, **cost, "seed": seed, "tries": told, "try": number})
