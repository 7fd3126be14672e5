"""The cases in their order, and running them on a backend."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from dextrack.errors import InputError
from dextrack.files import write_arrays
from dextrack.hands.spec import HandSpec
from dextrack.sim.conformance import hand_cases, object_cases, world_cases
from dextrack.sim.conformance.case import CannotRunError, Case, Maker, Outcome

CASES: Dict[str, Case] = {
    case.__name__: case
    for case in (
        world_cases.time_step,
        hand_cases.joint_order,
        hand_cases.limits,
        hand_cases.effort_clamp,
        hand_cases.gravity_compensation,
        hand_cases.pd_response,
        object_cases.free_fall,
        object_cases.object_frames,
        object_cases.friction_cone,
        object_cases.held_sphere,
        world_cases.reset_isolation,
        world_cases.determinism,
        world_cases.nan_containment,
    )
}
"""Every case by name, the simple ones first: where the time step is wrong, little else is right."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One case on one backend."""

    case: str
    ran: bool
    """False where the case has nothing to say about this hand; ``figure`` then tells why."""
    passed: bool
    figure: str
    """What was measured against what was expected."""
    seconds: float


def run(
    backend: str,
    hand: HandSpec,
    options: Optional[Dict[str, Any]] = None,
    cases: Optional[Sequence[str]] = None,
    dump: Optional[Path] = None,
    tell: Optional[Callable[[Result], None]] = None,
) -> Tuple[Result, ...]:
    """Run the conformance suite on a backend; a case that raises has failed, and the next goes on.

    Args:
        backend: its name in the registry.
        hand: the robot hand.
        options: what every backend that is made is given beside ``physics``, ``n_worlds`` and ``table``.
        cases: names out of ``CASES``; all of them when None.
        dump: folder for the last state of every case that fails: ``<backend>_<case>.npz``; None: not written.
        tell: called after each case.

    Raises:
        InputError: no such backend or case.
        ModuleNotFoundError: the backend's engine is not installed.
        DexTrackError: the backend cannot be made at all, and says why.
    """
    wanted = tuple(CASES) if cases is None else tuple(cases)
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        raise InputError("case %r is not known." % unknown[0], remedy="choose out of: %s." % ", ".join(CASES))
    make = Maker(backend, hand, options)
    make(table=False)
    make.close()
    results = []
    for name in wanted:
        results.append(_result(make, name, dump))
        if tell is not None:
            tell(results[-1])
    return tuple(results)


def _result(make: Maker, case: str, dump: Optional[Path]) -> Result:
    """Run one case, and close what it made."""
    began, ran = time.monotonic(), True
    try:
        outcome = CASES[case](make)
    except CannotRunError as error:
        ran, outcome = False, Outcome(False, str(error))
    except Exception as error:  # whatever an engine throws at us is a finding about it
        outcome = Outcome(False, "it raised %s: %s" % (type(error).__name__, error))
    if ran and not outcome.passed and dump is not None:
        outcome = Outcome(False, "%s; %s" % (outcome.figure, _dump(make, case, outcome.figure, Path(dump))))
    try:
        make.close()
    except Exception as error:
        outcome = Outcome(False, "%s; closing raised %s: %s" % (outcome.figure, type(error).__name__, error))
    return Result(case, ran, outcome.passed, outcome.figure, time.monotonic() - began)


def _dump(make: Maker, case: str, figure: str, folder: Path) -> str:
    """Write the state of the backend that the case has open, whatever numbers it holds; returns where, in words."""
    backend = make.made
    if backend is None:
        return "no state to dump"
    path = folder / ("%s_%s.npz" % (make.backend, case))
    try:
        state = {field.name: getattr(backend.state(), field.name) for field in dataclasses.fields(backend.state())}
        state["bad_worlds"] = np.asarray(backend.bad_worlds(), dtype=np.int64)
    except Exception as error:  # a broken engine may be unable to tell even this, which must not hide the finding
        return "its state cannot be read (%s)" % error
    header = {"kind": "conformance state", "backend": make.backend, "hand": make.hand.name, "case": case, "figure": figure}
    write_arrays(path, {**header, "joint_names": list(backend.joint_names)}, state)
    return "state in %s" % path
