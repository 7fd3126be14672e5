"""Why a tracking result failed: one cause per result, read off a measured replay by rules that are given here in words.

First, what failed, and at which frame: the first frame that ``lifted`` misses; else the first lifted frame more than 5 cm off, for ``held``; else the first
frame more than 20 degrees off, where the mean is; else the deepest penetration, for ``clean``; else the same for the first perturbed replay that fails.
Then, why; the first rule that holds gives the cause. A grip is two parts of the hand that press on the object from opposite sides, 0.1 N each at least; a
grip lasts when no break in it is longer than 0.1 s. "Before" means before the frame of failure.

unreachable
    Retargeting or placement refused the task; or the fingers never gripped, and in the reference itself a pad stays more than 1 cm from its
    contact point: the hand cannot get there.
late lift
    Only ``lifted`` failed, and the object was up in 80 % of the lifted frames: it follows, later than the 0.1 s that the verdict allows, or sets down earlier.
table contact
    From half a second before the object should move, the hand pressed on the table with 5 N or more for 0.1 s; and no grip lasted 0.1 s, or none raised the
    object by 1 cm, or the same targets lift and hold when the hand passes through the table.
never reached
    No grip lasted 0.1 s before.
torque limit
    The object was gripped and got away; in the 0.2 s before, most joints of the gripping fingers gave all their torque; and the same targets lift and hold
    at the torque that the motors' maker publishes, or at twice what the fingers have where that is more.
ejected
    The grip was lost while the object left the wrist at 0.5 m/s or more beyond what the reference does.
pinch slipped
    The object was gripped, and then its place in the hand moved by 2 cm or more from where the grip had it; or the grip was lost, more slowly than that;
    or it never raised the object by 1 cm.
carried astray
    It was gripped to the frame of failure and did not slip, so the hand itself was in the wrong place.
rotated away
    Lifted and held, but more than 20 degrees off in the mean.
penetrating
    Lifted and held, but the hand is deeper in the object than ``clean`` allows.
not robust
    Lifted, held and clean, but too many perturbed replays fail; the cause of each is found by the same rules, and the most common one is named.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.mining.replays import perturbations
from dextrack.mining.signals import Flags, Signals, measure_signals
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.physics import Physics
from dextrack.sim.scene import build_scene
from dextrack.tracking.metrics import SUCCESS_20
from dextrack.tracking.verdict import CLEAN_P95, EDGE, HELD_ERROR, OBJECT_LIFT, REFERENCE_LIFT, Verdict, hull_vertices, judge, looked_at

UNREACHABLE, LATE, TABLE, NEVER, TORQUE, EJECTED = "unreachable", "late lift", "table contact", "never reached", "torque limit", "ejected"
SLIPPED, ASTRAY, ROTATED, PENETRATING, FRAGILE = "pinch slipped", "carried astray", "rotated away", "penetrating", "not robust"
CAUSES = (UNREACHABLE, NEVER, TABLE, TORQUE, EJECTED, SLIPPED, ASTRAY, LATE, ROTATED, PENETRATING, FRAGILE)

SHORT = 0.1
"""A grip, or a break in one, that is shorter does not count, s."""
UNREACHED_GAP = 0.01
"""Gap between pad and contact point in the reference from which the point is out of reach, m."""
LATE_FRACTION = 0.8
TABLE_FORCE = 5.0
"""N."""
SATURATED = 0.98
"""Share of the torque limit from which a joint gives all it has."""
STRONGER = 2.0
"""Least multiple of the torque limit at which is looked whether more torque would have done: some hands are given all that their maker publishes."""
BEFORE_LOSS = 0.2
"""Time before a loss in which torque is looked at, s."""
EJECTION = 0.5
"""m/s."""
SLIP = 0.02
"""m."""
RAISED = 0.01
"""Height from which a grip has carried the object, m."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a tracking result failed."""

    cause: str
    """Out of ``CAUSES``."""
    part: str
    """What failed: ``lifted``, ``held``, ``rotation``, ``clean``, ``robust``, or ``refused``."""
    frame: int
    """First frame of the failure, of the nominal replay; of the perturbed one for ``not robust``."""
    why: str
    """The finding in words, with its numbers."""
    evidence: dict[str, float]
    """What the rules looked at, SI units."""
    member: int | None = None
    """Index of the perturbed replay that ``frame`` belongs to; None for the nominal one."""
    perturbed: str = ""
    """For ``not robust``: the most common cause among the perturbed replays that fail."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Scrutiny:
    """What the rules know of one failed replay."""

    signals: Signals
    frame: int
    """First frame of the failure."""
    onset: int
    """First frame in which the reference moves the object."""
    reference_gap: float
    """Largest mean gap between a pad and its contact point in the reference, m."""
    late: bool
    """Whether nothing but the time of lift-off or set-down speaks against it."""
    stronger: Callable[[], bool]
    """Whether the same targets lift and hold at the published torque limit, and at least at ``STRONGER`` times the fingers' own."""
    through_table: Callable[[], bool]
    """Whether they do when the hand passes through the table."""


def refused(why: str) -> Failure:
    """The failure of a task that was never mined."""
    return Failure(UNREACHABLE, "refused", 0, why, {})


def explain(demonstration: Demonstration, obj: ObjectSpec) -> Failure | None:
    """Find the cause of failure of a stored result, by replays in its scene; None when its verdict passed and it is within 20 degrees.

    Raises:
        SimulationError: a replay left the range of finite numbers.
    """
    if demonstration.verdict["passed"] and demonstration.metrics["success_20"]:
        return None
    reference, trial = demonstration.reference, _Trial(demonstration, obj)
    signals = trial.measure()
    broken = first_failure(trial.judge(signals), signals)
    if broken is not None and broken[0] in ("lifted", "held"):
        return _cause(trial.scrutiny(signals, *broken), broken[0])
    if broken is not None and broken[0] == "rotation":
        n, mean = broken[1], float(np.rad2deg(signals.rotation_error.mean()))
        return Failure(ROTATED, "rotation", n, f"{mean:.0f} degrees off in the mean, past 20 from frame {n} on", _evidence(signals, n))
    if broken is not None:
        n, depth = broken[1], 1e3 * signals.penetration
        why = f"{depth.max():.1f} mm inside the object at frame {n}, 95th percentile {np.percentile(depth, 95):.1f} mm"
        return Failure(PENETRATING, "clean", n, why, _evidence(signals, n))
    return _fragile(trial, reference)


def seen(demonstration: Demonstration, obj: ObjectSpec, failure: Failure) -> Signals:
    """The measured replay that ``failure`` was found in."""
    trial = _Trial(demonstration, obj)
    return trial.measure() if failure.member is None else trial.measure(member=perturbations()[failure.member])


def first_failure(verdict: Verdict, signals: Signals) -> tuple[str, int] | None:
    """(what failed, first frame of the failure) of a replay; None when it lifts, holds, stays within 20 degrees and is clean."""
    asked = signals.reference_height >= REFERENCE_LIFT
    if not verdict.lifted.ok:
        missed = looked_at(signals.reference_height, round(EDGE / signals.period)) & (signals.height < OBJECT_LIFT)
        return "lifted", int(np.argmax(missed))
    if not verdict.held.ok:
        off = (signals.position_error > HELD_ERROR) & (asked if asked.any() else True)
        return "held", int(np.argmax(off))
    if signals.rotation_error.mean() >= SUCCESS_20.r_err_rad:
        return "rotation", int(np.argmax(signals.rotation_error >= SUCCESS_20.r_err_rad))
    if not verdict.clean.ok:
        deep = np.percentile(signals.penetration, 95) > CLEAN_P95
        return "clean", int(np.argmax(signals.penetration)) if deep else 0
    return None


def _physics(demonstration: Demonstration) -> Physics:
    """The nominal world that the result was found in."""
    return Physics(**demonstration.provenance.get("config", {}).get("physics", {}))


class _Trial:
    """Replays of one result's targets in worlds of our choice."""

    def __init__(self, demonstration: Demonstration, obj: ObjectSpec) -> None:
        self.reference, self.targets, self._object, self._physics = demonstration.reference, demonstration.targets, obj, _physics(demonstration)
        self.hull = hull_vertices(obj.vertices)
        self._hand = demonstration.hand_spec
        self._scene = build_scene(self._hand, self.reference.base_quaternion_w, obj, self._physics)

    def measure(self, **world: Any) -> Signals:
        return measure_signals(self._scene, self.reference, self.hull, self.targets, **world)

    def judge(self, signals: Signals) -> Verdict:
        return judge(self.reference, self.hull, signals.object_position_w, signals.object_quaternion_w, signals.penetration)

    def stronger(self, **world: Any) -> bool:
        scale = max(STRONGER, max(self._hand.effort_max) / max(self._hand.effort))
        physics = dataclasses.replace(self._physics, effort_scale=self._physics.effort_scale * scale)
        scene = build_scene(self._hand, self.reference.base_quaternion_w, self._object, physics)
        return self.judge(measure_signals(scene, self.reference, self.hull, self.targets, **world)).lifts_and_holds

    def scrutiny(self, signals: Signals, part: str, frame: int, **world: Any) -> Scrutiny:
        plan, n = self.reference.diagnosis, self.reference.n_steps
        gaps = plan.get("contact_gap_m", {})
        asked = signals.reference_height >= REFERENCE_LIFT
        up = (signals.height >= OBJECT_LIFT)[asked].mean() if asked.any() else 0.0
        verdict = self.judge(signals)
        return Scrutiny(
            signals=signals,
            frame=frame,
            onset=min(int(plan.get("onset", 0)), n),
            reference_gap=max(gaps.values(), default=0.0),
            late=part == "lifted" and verdict.held.ok and bool(up >= LATE_FRACTION) and _kept(signals, asked),
            stronger=lambda: self.stronger(**world),
            through_table=lambda: self.judge(self.measure(**world, through_table=True)).lifts_and_holds,
        )


def _kept(signals: Signals, asked: Flags) -> bool:
    """Whether an object that was up once stayed in its place in the hand wherever it should be up (N + 1,): what was dropped was not late."""
    up = np.flatnonzero(asked & (signals.height >= OBJECT_LIFT))
    down = np.flatnonzero(asked & (signals.height < OBJECT_LIFT))
    if not len(up):
        return False
    moved = np.linalg.norm(signals.slip[down[down > up[0]]] - signals.slip[up[0]], axis=1)
    return bool((moved < SLIP).all())


def _fragile(trial: _Trial, reference: Reference) -> Failure:
    """The failure of a result that only perturbed replays speak against."""
    found: list[Failure] = []
    members = perturbations()
    for i, member in enumerate(members):
        signals = trial.measure(member=member)
        broken = first_failure(trial.judge(signals), signals)
        if broken is not None and broken[0] in ("lifted", "held"):
            found.append(dataclasses.replace(_cause(trial.scrutiny(signals, *broken, member=member), broken[0]), member=i))
    if not found:
        return Failure(FRAGILE, "robust", reference.n_steps, "the stored verdict fails, the replays now pass: the physics has changed", {})
    common = Counter(f.cause for f in found).most_common(1)[0][0]
    shown = next(f for f in found if f.cause == common)
    why = f"{len(found)} of {len(members)} perturbed replays fail, most often: {common} ({shown.why})"
    evidence = {**shown.evidence, "replays_failed": float(len(found))}
    return dataclasses.replace(shown, cause=FRAGILE, part="robust", why=why, evidence=evidence, perturbed=common)


def _cause(s: Scrutiny, part: str) -> Failure:
    """Apply the rules in their order."""
    for rule in (unreachable, late_lift, table_contact, never_reached, torque_limit, ejected, pinch_slipped):
        found = rule(s)
        if found is not None:
            return dataclasses.replace(found, part=part)
    error = 100 * float(s.signals.position_error[s.frame])
    return dataclasses.replace(_failure(s, ASTRAY, f"still gripped, and {error:.0f} cm from its place, at frame {s.frame}"), part=part)


def unreachable(s: Scrutiny) -> Failure | None:
    """No grip, and the reference itself does not reach a contact point."""
    if _grip_interval(s) is not None or s.reference_gap <= UNREACHED_GAP:
        return None
    return _failure(s, UNREACHABLE, f"no grip; in the reference itself a pad stays {1e3 * s.reference_gap:.0f} mm from its contact point")


def late_lift(s: Scrutiny) -> Failure | None:
    """Only the time of lift-off or set-down is wrong."""
    g, n = s.signals, s.frame
    return (
        _failure(s, LATE, f"up, but {100 * g.height[n]:.1f} cm high at frame {n} where the reference is {100 * g.reference_height[n]:.1f} cm")
        if s.late
        else None
    )


def table_contact(s: Scrutiny) -> Failure | None:
    """The hand pressed on the table, and did not grip, or would have held without the table."""
    force = s.signals.hand_table
    begin = max(0, s.onset - _frames(s.signals, 0.5))
    pressed = (force >= TABLE_FORCE)[begin : s.frame + 1]
    if pressed.sum() < _frames(s.signals, SHORT):
        return None
    worst = f"the hand pressed on the table with up to {force[begin : s.frame + 1].max():.0f} N"
    if _grip_interval(s) is None:
        return _failure(s, TABLE, worst + ", and no grip came about")
    if not _raised(s):
        return _failure(s, TABLE, worst + ", and no grip raised the object")
    return _failure(s, TABLE, worst + "; through the table the same targets lift and hold") if s.through_table() else None


def never_reached(s: Scrutiny) -> Failure | None:
    """No grip lasted."""
    if _grip_interval(s) is not None:
        return None
    touched = [s.signals.segments[i] for i in np.flatnonzero(np.any(s.signals.pressing[: s.frame + 1], axis=0))]
    how = f"pressed by {', '.join(touched)}, but not from opposite sides" if len(touched) > 1 else f"touched by {touched[0] if touched else 'nothing'}"
    return _failure(s, NEVER, f"no grip of {SHORT:g} s before frame {s.frame}; {how}")


def torque_limit(s: Scrutiny) -> Failure | None:
    """The gripping fingers gave all their torque, and more would have done."""
    interval = _grip_interval(s)
    if interval is None or saturated_share(s.signals, interval[1]) < 0.5 or not s.stronger():
        return None
    return _failure(s, TORQUE, f"most joints of the gripping fingers at their limit before frame {interval[1]}; more torque would hold")


def ejected(s: Scrutiny) -> Failure | None:
    """The grip was lost at speed."""
    interval = _grip_interval(s)
    if interval is None or interval[1] + _frames(s.signals, SHORT) >= s.frame:
        return None
    speed = _speed_at(s.signals, interval[1])
    return _failure(s, EJECTED, f"left the hand at {speed:.1f} m/s, frame {interval[1]}") if speed >= EJECTION else None


def pinch_slipped(s: Scrutiny) -> Failure | None:
    """The object moved in the grip, or out of it."""
    interval = _grip_interval(s)
    if interval is None:
        return None
    first, last = interval
    moved = np.linalg.norm(s.signals.slip[first : s.frame + 1] - s.signals.slip[first], axis=1)
    most, lost = float(moved.max()), last + _frames(s.signals, SHORT) < s.frame
    if most < SLIP and not lost and _raised(s):
        return None
    n = first + int(np.argmax(moved >= SLIP))
    told = f"slipped {100 * most:.1f} cm in the hand" + (f", 2 cm at frame {n}" if most >= SLIP else "")
    told += f", grip lost at frame {last}" if lost else ""
    return _failure(s, SLIPPED, told + ("" if _raised(s) else ", and never left the table"))


def _raised(s: Scrutiny) -> bool:
    """Whether the object was raised before the failure."""
    return bool((s.signals.height[: s.frame + 1] >= RAISED).any())


def saturated_share(signals: Signals, frame: int) -> float:
    """Share of joints at their torque limit in the 0.2 s before ``frame``, over the fingers that press then."""
    window = slice(max(0, frame - _frames(signals, BEFORE_LOSS)), frame + 1)
    pressing = np.any(signals.pressing[window, :-1], axis=0)
    joints = [j for j, segment in enumerate(signals.joint_segments) if segment < len(pressing) and pressing[segment]]
    return float((signals.effort[window][:, joints] >= SATURATED).mean()) if joints else 0.0


def _grip_interval(s: Scrutiny) -> tuple[int, int] | None:
    """First and last frame of the last grip that lasted, up to the failure; None where there was none."""
    return last_run(s.signals.grip[: s.frame + 1], _frames(s.signals, SHORT))


def last_run(flags: Flags, short: int) -> tuple[int, int] | None:
    """First and last index of the last run of ``flags`` (n,) of at least ``short``, breaks of up to ``short`` bridged; None without."""
    on = np.flatnonzero(flags)
    if not len(on):
        return None
    runs = np.split(on, np.flatnonzero(np.diff(on) > short + 1) + 1)
    lasting = [r for r in runs if r[-1] - r[0] + 1 >= short]
    return (int(lasting[-1][0]), int(lasting[-1][-1])) if lasting else None


def _speed_at(signals: Signals, frame: int) -> float:
    """Largest speed of the object in the wrist's frame from the last grip on, for 0.05 s: before gravity alone could make it that fast."""
    return float(signals.leaving[frame : frame + _frames(signals, 0.05) + 1].max())


def _frames(signals: Signals, seconds: float) -> int:
    return max(1, math.ceil(seconds / signals.period - 1e-9))


def _failure(s: Scrutiny, cause: str, why: str) -> Failure:
    return Failure(cause, "", s.frame, why, _evidence(s.signals, s.frame, _grip_interval(s)))


def _evidence(signals: Signals, frame: int, grip: tuple[int, int] | None = None) -> dict[str, float]:
    """The numbers at and before the frame of failure."""
    past = slice(0, frame + 1)
    out = {
        "time_s": frame * signals.period,
        "height_m": float(signals.height[frame]),
        "reference_height_m": float(signals.reference_height[frame]),
        "position_error_m": float(signals.position_error[frame]),
        "rotation_error_rad": float(signals.rotation_error[frame]),
        "hand_force_max_n": float(np.linalg.norm(signals.force_w[past], axis=-1).sum(axis=1).max()),
        "table_force_max_n": float(signals.hand_table[past].max()),
        "penetration_max_m": float(signals.penetration.max()),
        "grip_s": float(signals.grip[past].sum() * signals.period),
    }
    if grip is not None:
        first, last = grip
        out |= {
            "grip_first_s": first * signals.period,
            "grip_last_s": last * signals.period,
            "slip_m": float(np.linalg.norm(signals.slip[first : frame + 1] - signals.slip[first], axis=1).max()),
            "leaving_m_s": _speed_at(signals, last),
            "saturated": saturated_share(signals, last),
        }
    return out
