"""When a cell of the fault matrix counts as safe. Judged from the twin's command trace and joints, and from the supervisor's statuses; from nothing that a
driver says of itself.

A joint *moves* while its commanded target changes by more than ``MOVED_RAD`` from one command to the next. The cell *stands* when no target has changed for
``STILL_S``. ``seconds_to_safe`` is the time from the fault to the last change of a target before the cell stands; 0 where none changed any more, and none
where the run went on. What a hand's bus peer tells the twin of motors without torque, or that stand still where they are because their bus watchdog
tripped, is no command. What an arm's bus peer tells it is the robot's own motion, and is judged as if it were commanded.

Rules
1. Stop, or have a reason not to. Either the cell stands when the fault has lasted for the time watched: in HOLD or FAULT, or, where the supervisor is
   silent or nothing reaches the drivers that they could follow, by the drivers' own hold. Or the run goes on, and the row says why this fault is none to
   stop for. A fault that takes away what a watch is there for (a sensor, the operator, a clock by which ages are judged) has no such reason, even if
   nothing bad follows in these seconds: the next fault would not be seen.
2. No jump. After the fault no target steps further than the guard's own rule allows: velocity limit times two control periods.
3. Nothing after HOLD. From ``BRAKING_S`` after the first HOLD or FAULT, until the end, no target changes.
4. Nothing by itself. What has stood for ``STILL_S`` because of the fault stays, also when the fault ends: only the operator lets it move again.
5. Not astray. Targets follow the path that was planned, at whatever time, within ``ASTRAY_RAD``. Where a fault leads them off it, the cell stands at most
   ``ASTRAY_S`` after the first target astray (the supervisor's 0.5 s for a tracking error, and the braking), and until it reacts none is further off
   than ``FAR_RAD``: what the supervisor allows a joint as its tracking error, and more than that is an arm that swings where nobody sent it.
   A slow motion is planned in the cell from where the joints are; its path is not known here, and rules 2, 3 and 4 have to do.
6. A stop is a stop. After the arm was told its own stop, nothing is written to it: a target would call it back from where it came to rest.
7. The joints obey. From ``SETTLING_S`` after the cell stands, the twin's own joints stay where they are, within ``AT_REST_RAD``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.placed import load_arm_path, load_placed
from dextrack_deploy.replay import ReplayController
from dextrack_deploy.status import Reaction, State, Status
from dextrack_deploy.twin.commands import Written
from fault_trial import Floats, Observation

from dextrack.hands import load_hand
from dextrack.references.reference import CONTROL_PERIOD

MOVED_RAD = 1e-4
"""A tenth of what a person would call moving: a guard that holds repeats its target to the last digit."""
STILL_S = 0.5
BRAKING_S = 0.5
ASTRAY_RAD = {"arm": 0.05, "hand": 0.20}
"""The fingers' targets lead and trail the plan: they are the shadow simulator's, extrapolated by the motors' lag."""
ASTRAY_S = 1.1
FAR_RAD = {"arm": 0.25, "hand": 1.0}
SETTLING_S = 0.5
AT_REST_RAD = {"arm": 0.01, "hand": 0.05}
"""Encoder noise, and fingers that creep into their target."""
ALONE_S = 0.2
"""A target that has not changed for so long before, and does not afterwards, is no motion's."""
WHERE_IT_IS_RAD = 0.01
"""A target this close to where its joint is moves nothing: four deviations of a finger encoder's noise, and a count of a motor."""
STEP_PERIODS = 2.002
"""Control periods that a guard's largest step may count, and the rounding of the trace."""
_STOPPED = (State.HOLD, State.FAULT)
_NS = 1e-9


@dataclasses.dataclass(frozen=True)
class Device:
    """What a device's commands are judged by."""

    names: tuple[str, ...]
    velocity: Floats
    """Limits, rad/s."""
    plan: Floats | None
    """(ticks, joints), rad: what the run was to command."""


def devices(cell: str, placed: str, state: State = State.RUN) -> dict[str, Device]:
    """Arm and hand of a cell, with the path of the placed demonstration or reference where ``state`` is that in which it is followed."""
    config, replay = load_cell(cell), ReplayController(load_placed(placed))
    arm, hand = load_arm(config.arm.model), load_hand(config.hand.model)
    targets = np.stack([replay.target(tick) for tick in range(replay.n_ticks)])
    fingers = targets[:, [replay.joint_names.index(n) for n in hand.finger_joints]]
    followed = state is State.RUN
    return {
        "arm": Device(arm.joint_names, arm.velocity, load_arm_path(placed) if followed else None),
        "hand": Device(hand.finger_joints, np.array(hand.velocity), fingers if followed else None),
    }


def judge(seen: Observation, known: dict[str, Device], may_go_on: str = "", limp: tuple[int, ...] = ()) -> dict[str, Any]:
    """The figures of a cell and whether it is safe.

    Args:
        seen: the cell.
        known: its devices.
        may_go_on: why the run need not stop for this fault.
        limp: motors of the hand whose torque the fault itself takes away.
    """
    written = {"arm": seen.commands.arm, "hand": _commanded(seen, limp)}
    moves = np.sort(np.concatenate([_moves(w) for w in written.values()]))
    stop = next(((at, s) for at, s in seen.statuses if at >= seen.injected_ns and s.state in _STOPPED), None)
    inside = moves[(moves > seen.injected_ns) & (moves <= seen.undone_ns)]
    stood_ns = int(inside[-1]) if len(inside) else seen.injected_ns
    stands = (seen.undone_ns - stood_ns) * _NS >= STILL_S
    in_time = stop is not None and stop[0] <= seen.undone_ns
    step, of, share = _largest_step(written, known, seen.injected_ns)
    astray = _astray(written, known, seen, min(stood_ns, stop[0]) if stop else stood_ns)
    late = [] if stop is None else moves[moves > stop[0] + BRAKING_S / _NS]
    resumed = _resumed(moves[moves > seen.injected_ns], seen)
    written_after = int((seen.commands.arm.at_ns > seen.commands.arm_stops_ns[0]).sum()) if seen.commands.arm_stops_ns else 0
    restless = _restless(seen, known, stood_ns, limp) if stands and not len(resumed) else {}
    problems = [
        *([] if stands or may_go_on else ["the run went on"]),
        *([] if share <= STEP_PERIODS else [f"{of} stepped {step:.4f} rad, {share:.1f} times its velocity limit x period"]),
        *([f"targets still changed {(late[-1] - stop[0]) * _NS:.2f} s after {stop[1].state.value}"] if stop and len(late) else []),
        *([f"{written_after} targets were written to the arm after its stop"] if written_after else []),
        *([f"it stood, and moved again {(resumed[0] - seen.injected_ns) * _NS:.2f} s after the fault began"] if len(resumed) else []),
        *_led_astray(astray, stood_ns, stands),
        *(f"the {name} moved by {moved:.3f} rad after it stood" for name, moved in restless.items() if moved > AT_REST_RAD[name]),
    ]
    strongest = max((s.reaction for at, s in seen.statuses if at >= seen.injected_ns and s.state in _STOPPED), default=Reaction.HOLD)
    return {
        "reaction": _reaction(stop if in_time else None, strongest, stands, may_go_on, seen),
        "state": stop[1].state.value if stop and in_time else State.RUN.value,
        "reaction_kind": strongest.name if stop else None,
        "seconds_to_reaction": round((stop[0] - seen.injected_ns) * _NS, 3) if stop else None,
        "seconds_to_safe": round((stood_ns - seen.injected_ns) * _NS, 3) if stands else None,
        "largest_step_after_rad": round(step, 5),
        "largest_step_of": of,
        "largest_step_share_of_limit": round(share, 3),
        "strayed_rad": {name: round(far, 4) for name, (far, _) in astray.items()},
        "at_rest_rad": {name: round(moved, 4) for name, moved in restless.items()},
        "safe": not problems,
        "problems": problems,
    }


def _reaction(stop: tuple[int, Status] | None, strongest: Reaction, stands: bool, may_go_on: str, seen: Observation) -> str:
    """What the cell heard while the fault lasted; and, where it heard nothing, what the supervisor decided all the same."""
    if stop is not None:
        return f"{stop[1].state.value} ({strongest.name}) after {(stop[0] - seen.injected_ns) * _NS:.2f} s: {stop[1].reason}"
    if not stands:
        return f"none needed: {may_go_on}" if may_go_on else "none"
    own = next(((at, *what) for at, *what in seen.transitions if at >= seen.injected_ns and what[0] in {s.value for s in _STOPPED}), None)
    if own is None:
        return "targets stand still without the supervisor; it did not react"
    return f"targets stand still without the supervisor; it went to {own[1]} after {(own[0] - seen.injected_ns) * _NS:.2f} s: {own[2]}"


def _commanded(seen: Observation, limp: tuple[int, ...]) -> Written:
    """The hand's targets, less what is none: where its motors are, told to the twin while they have no torque."""
    hand = seen.commands.hand
    values = hand.values.copy()
    after = np.flatnonzero(hand.at_ns > seen.injected_ns)
    if len(after) and after[0]:
        values[np.ix_(after, limp)] = values[after[0] - 1, limp]
    _leave_out_holds(hand.at_ns, values, seen)
    off = _powerless_ns(seen)
    kept = hand.at_ns < (off if off is not None else np.inf)
    return Written(hand.at_ns[kept], hand.stamp_ns[kept], values[kept])


def _leave_out_holds(at_ns: np.ndarray, values: Floats, seen: Observation) -> None:
    """Take the changes out of ``values`` by which a joint that stood is made to stand where it is, which is what a motor's watchdog does when it trips."""
    at, rows = seen.readings.at_ns, seen.readings.values
    for joint in range(values.shape[1] if len(at) else 0):
        changed = np.flatnonzero(np.abs(np.diff(values[:, joint])) > MOVED_RAD) + 1
        if len(changed) < 2:
            continue
        for n, last, following in zip(changed[1:], changed[:-1], [*changed[2:], len(at_ns) - 1], strict=True):
            stood = (at_ns[n] - at_ns[last]) * _NS > ALONE_S and (following == len(at_ns) - 1 or (at_ns[following] - at_ns[n]) * _NS > ALONE_S)
            # The median of what was read while it stood is without the encoder's noise.
            read = rows[(at > at_ns[last]) & (at <= at_ns[n]), joint - values.shape[1]]
            if stood and at_ns[n] > seen.injected_ns and len(read) and abs(values[n, joint] - np.median(read)) < WHERE_IT_IS_RAD:
                values[n:, joint] -= values[n, joint] - values[n - 1, joint]


def _powerless_ns(seen: Observation) -> int | None:
    """When the whole hand lost its torque, if it did and did not get it again."""
    told = [(at, power) for at, power in seen.commands.powers if at > seen.injected_ns]
    lost = [at for n, (at, power) in enumerate(told) if power == "off" and all(p == "off" for _, p in told[n:])]
    return lost[0] if lost else None


def _moves(written: Written) -> np.ndarray:
    """When a target differed from the one before."""
    if len(written.at_ns) < 2:
        return np.zeros(0, dtype=np.int64)
    return written.at_ns[1:][np.abs(np.diff(written.values, axis=0)).max(axis=1) > MOVED_RAD]


def _largest_step(written: dict[str, Written], known: dict[str, Device], since_ns: int) -> tuple[float, str, float]:
    """(rad, joint, the largest step as a part of the joint's velocity limit x period) of all steps since ``since_ns``."""
    found = [(0.0, "", 0.0)]
    share = 0.0
    for name, w in written.items():
        steps = np.abs(np.diff(w.values, axis=0))[w.at_ns[1:] > since_ns]
        if steps.size:
            share = max(share, float((steps / (known[name].velocity * CONTROL_PERIOD)).max()))
            joint = int(steps.max(axis=0).argmax())
            found.append((float(steps.max()), f"{name} joint {known[name].names[joint]}", 0.0))
    step, of, _ = max(found)
    return step, of, share


def _astray(written: dict[str, Written], known: dict[str, Device], seen: Observation, until_ns: int) -> dict[str, tuple[float, int | None]]:
    """Device: (greatest distance from the plan, rad, after the fault and until ``until_ns``; when it was first too great)."""
    found: dict[str, tuple[float, int | None]] = {}
    for name, w in written.items():
        plan, picked = known[name].plan, (w.at_ns > seen.injected_ns) & (w.at_ns <= until_ns)
        if plan is None or not picked.any():
            continue
        far = []
        for at, target in zip(w.at_ns[picked], w.values[picked], strict=True):
            # A stream that comes late, or a pause, puts a target on the path at an earlier time; nothing puts it on a later one.
            due = round((at - seen.begun_ns) * _NS / CONTROL_PERIOD) + 6
            far.append(np.abs(plan[: max(due, 1)] - target).max(axis=1).min())
        first = np.flatnonzero(np.array(far) > ASTRAY_RAD[name])
        found[name] = (float(max(far)), int(w.at_ns[picked][first[0]]) if len(first) else None)
    return found


def _led_astray(astray: dict[str, tuple[float, int | None]], stood_ns: int, stands: bool) -> list[str]:
    problems = []
    for name, (far, first) in astray.items():
        if first is not None and (far > FAR_RAD[name] or not stands or (stood_ns - first) * _NS > ASTRAY_S):
            until = f"for {(stood_ns - first) * _NS:.2f} s" if stands else "to the end"
            problems.append(f"the {name}'s targets were off their path by up to {far:.2f} rad, {until}")
    return problems


def _resumed(moves: np.ndarray, seen: Observation) -> Sequence[int]:
    """Moves after the cell had stood for ``STILL_S`` since the fault."""
    since = np.concatenate([[seen.injected_ns], moves])
    gaps = np.flatnonzero(np.diff(since) * _NS >= STILL_S)
    return list(moves[gaps[0] :]) if len(gaps) else []


def _restless(seen: Observation, known: dict[str, Device], stood_ns: int, limp: tuple[int, ...]) -> dict[str, float]:
    """Device: how far a joint of the twin with torque went from ``SETTLING_S`` after the cell stood; none where the twin is gone."""
    picked = seen.readings.at_ns > stood_ns + SETTLING_S / _NS
    if picked.sum() < 2:
        return {}
    span = np.ptp(seen.readings.values[picked], axis=0)
    arm = len(known["arm"].names)
    fingers = np.delete(span[arm:], limp) if _powerless_ns(seen) is None else np.zeros(0)
    return {"arm": float(span[:arm].max()), "hand": float(fingers.max(initial=0.0))}
