"""The conformance suite: what any physics engine behind our protocol must do, each case against a closed form or against itself.

It needs numpy and the backend alone, so that it also runs where an engine keeps its own Python.
"""

from dextrack.sim.conformance.case import Maker, Outcome
from dextrack.sim.conformance.suite import CASES, Result, run

__all__ = ["CASES", "Maker", "Outcome", "Result", "run"]
