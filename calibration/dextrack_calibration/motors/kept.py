"""Kept: the steps that were measured so far, a file for each joint, so that a session that was stopped goes on where it was.

Nothing is kept that would not be measured again in the same way: another model of the hand, other steps, another source, or an evening that is over.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dextrack_deploy.drivers.leap_setup import LeapInfo

from dextrack.errors import InputError
from dextrack.files import read_arrays, write_arrays
from dextrack.hands.motors import hand_digest
from dextrack.hands.spec import HandSpec
from dextrack_calibration.motors.excite import Response
from dextrack_calibration.motors.plan import Plan

FRESH_S = 12 * 3600.0
"""Older files are not taken over, s: screws are tightened and motors exchanged."""
_SERIES = ("time", "position", "spread")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a joint did, and the bus that it was measured over."""

    info: LeapInfo
    responses: tuple[Response, ...]


class Kept:
    """The folder of a session."""

    def __init__(self, folder: Path, hand: HandSpec, source: str) -> None:
        """Use ``folder``, which need not exist yet.

        Args:
            folder: for this alone.
            hand: the hand that is measured.
            source: what is measured: files of another source are not taken over.
        """
        self.folder = Path(folder)
        self._same = {"hand": hand.name, "digest": hand_digest(hand), "source": source}

    def save(self, plan: Plan, measured: Measured) -> None:
        """Keep what the plan's joint did.

        Raises:
            InputError: it cannot be written.
        """
        responses = measured.responses
        header = {
            **self._same,
            **_asked(plan),
            "at": time.time(),
            "info": dataclasses.asdict(measured.info),
            "responses": [{"rest": r.rest, "onset": r.onset, "attempts": r.attempts} for r in responses],
        }
        arrays = {name: np.concatenate([getattr(r, name) for r in responses]) for name in _SERIES}
        write_arrays(self._path(plan.joint), header, {**arrays, "samples": [len(r.time) for r in responses]})

    def load(self, plan: Plan) -> Measured | None:
        """What the plan's joint did when these very steps were last made; None where that is not known, or not fresh."""
        try:
            header, arrays = read_arrays(self._path(plan.joint))
            wanted = {**self._same, **_asked(plan)}
            if {name: header.get(name) for name in wanted} != wanted or not 0.0 <= time.time() - header["at"] <= FRESH_S:
                return None
            info = LeapInfo(**{**header["info"], "firmware": tuple(header["info"]["firmware"])})
            return Measured(info, tuple(_responses(plan, header["responses"], arrays)))
        except (InputError, KeyError, TypeError, ValueError):
            return None  # torn or strange: the joint is measured again

    def forget(self, joints: Sequence[str]) -> None:
        """Delete the files of ``joints``, and the folder where it is empty then."""
        for joint in joints:
            self._path(joint).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, joint: str) -> Path:
        return self.folder / f"{joint}.npz"


def _asked(plan: Plan) -> dict[str, Any]:
    """What the plan asks for, as JSON gives it back: its angles, rounded to what no encoder tells apart."""
    return {"pose": np.round(plan.pose, 9).tolist(), "moves": [[round(m.start, 9), round(m.target, 9)] for m in plan.moves]}


def _responses(plan: Plan, scalars: list[dict[str, Any]], arrays: dict[str, Any]) -> Iterator[Response]:
    ends = np.cumsum(arrays["samples"])
    series = [np.split(np.asarray(arrays[name], dtype=np.float64), ends[:-1]) for name in _SERIES]
    if any(len(arrays[name]) != ends[-1] or not np.isfinite(arrays[name]).all() for name in _SERIES):
        raise ValueError("its series do not fit together")
    for move, given, at, position, spread in zip(plan.moves, scalars, *series, strict=True):
        yield Response(move, at, position, spread, float(given["rest"]), float(given["onset"]), int(given["attempts"]))
