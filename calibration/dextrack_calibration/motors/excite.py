"""Making the steps of a plan on the hand, and taking its samples.

A sample's time is its stamp, the end of the instruction on the wire, where the read took no longer than reads do. What it took longer a program waited
for the processor, before the motors took the sample or after: such a sample is put into the middle of that time, with that as its uncertainty, and a
step whose target may have been sent late is made again. What the adapter's latency timer adds comes behind the sample, and is no uncertainty.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import RefusedError
from dextrack_calibration.motors.bench import Bench
from dextrack_calibration.motors.plan import Move, Plan

Floats = NDArray[np.float64]

HOLD_S = 0.4
"""Samples are taken for this long after a step, s: eight times kv / kp of a LEAP's finger."""
SETTLE_S = 0.3
"""Rest before a step, s."""
ONSET_S = 0.006
"""A step of which it is not known within this when it was sent, s, is made again."""
GAP_S = 0.08
"""So is one with a longer pause between two samples."""
ATTEMPTS = 8
"""A step is made this often at most."""
MOVED = 0.3
"""A joint that comes less than this part of its way is blocked, or its motor does not drive it."""


@dataclasses.dataclass(frozen=True)
class Response:
    """A step and what the joint did."""

    move: Move
    time: Floats
    """(n,) s since the target was sent: when the motors took each sample."""
    position: Floats
    """(n,) rad."""
    spread: Floats
    """(n,) standard deviation of ``time``, s."""
    rest: float
    """Where the joint was before, rad."""
    onset: float
    """Within which it is known when the target was sent, s."""
    attempts: int = 1
    """How often the step was made until nothing kept the program from sampling it."""

    @property
    def timely(self) -> bool:
        """Whether nothing kept the program from sampling it."""
        return self.onset <= ONSET_S and float(np.diff(self.time).max(initial=self.time[0])) <= GAP_S


def excite(bench: Bench, plan: Plan) -> list[Response]:
    """Make the steps of ``plan`` and return the responses.

    Raises:
        RefusedError: the joint does not follow, with the figures, and nothing more is tried then; or the machine is too busy.
        DriverError: a motor is silent or has an error.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    pose, out = plan.pose.copy(), []
    for move in plan.moves:
        for attempt in range(1, ATTEMPTS + 1):
            pose[plan.index] = move.start
            bench.go(pose)
            response = dataclasses.replace(_step(bench, plan, pose, move), attempts=attempt)
            if response.timely:
                break
        else:
            what = f"joint {plan.joint}: {ATTEMPTS} times in a row this machine was too busy to sample a step."
            raise RefusedError(what, remedy="end what else it computes; `dextrack doctor` says more of it.")
        _require_motion(plan.joint, response)
        out.append(response)
    return out


def _step(bench: Bench, plan: Plan, pose: Floats, move: Move) -> Response:
    before = _sample(bench, plan.index, SETTLE_S)
    pose[plan.index] = move.target
    sent = time.time_ns()
    bench.write(pose)
    wrote = time.time_ns()
    if plan.joint in bench.clamped:
        what = f"joint {plan.joint}: the driver cut a step of {move.target - move.start:.2f} rad short."
        raise RefusedError(what, remedy="compare the hand's limits and speeds in its HandSpec with the plan's steps.")
    after = _sample(bench, plan.index, HOLD_S)
    took = after[:, 2] - after[:, 0]
    # The best of both stretches is what a read takes when nobody is in its way; the adapter's timer adds up to its period behind the sample.
    best = min(took.min(), (before[:, 2] - before[:, 0]).min()) + round(1e9 * bench.latency_s)
    late = np.maximum(took - best, 0)
    # The motors got the target within the time of its write, and what the first read after it was late.
    onset = wrote - sent + late[0]
    at = 1e-9 * (after[:, 0] + late / 2 - sent - onset / 2)
    rest = float(np.mean(_radians(before)[-10:]))
    return Response(move, at, _radians(after), 1e-9 * late / np.sqrt(12.0), rest, 1e-9 * float(onset))


def _sample(bench: Bench, index: int, seconds: float) -> NDArray[np.int64]:
    """Read for ``seconds``: rows of (stamp ns, position nrad, end of the read ns); nanoseconds since the epoch do not fit into a float."""
    rows: list[tuple[int, int, int]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or not rows:
        reading = bench.read()
        rows.append((reading.stamp, round(1e9 * reading.position[index]), time.time_ns()))
    return np.array(rows, dtype=np.int64)


def _radians(rows: NDArray[np.int64]) -> Floats:
    return 1e-9 * rows[:, 1].astype(np.float64)


def _require_motion(joint: str, response: Response) -> None:
    way = response.move.target - response.move.start
    moved = float((response.position[-5:].mean() - response.rest) / way)
    if moved < MOVED:
        what = f"joint {joint} went {moved:.0%} of a step of {way:+.2f} rad: it is blocked, or its motor does not drive it."
        raise RefusedError(what, remedy="free the finger, check the horn's screws and the motor's cable, and measure again.")
