"""Watches: what is measured while the cell runs; ``faults`` says what a violation leads to. No clocks: time is an argument, s."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dextrack.rotations import angle, from_hinges
from dextrack_deploy.faults import ERROR_OF, GOES_HOME, Fault, Reason
from dextrack_deploy.graph import CAMERA_PERIOD, ENABLE, ESTOP, FOLLOWED, MOTION
from dextrack_deploy.status import State
from dextrack_deploy.watch_limits import WatchLimits

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Measurements:
    """The newest of everything, as the supervisor's node knows it. None: never heard."""

    stamps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Topic: stamp of its newest sample, s."""
    heard: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Node: when its heartbeat was heard, s."""
    errors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Node: the error that it reports on ``/diagnostics``."""
    theta: Floats | None = None
    """(22,) measured hand state."""
    theta_dot: Floats | None = None
    shadow: Floats | None = None
    """(22,) state of the shadow simulator: what the hand follows in RUN."""
    arm_q: Floats | None = None
    arm_dq: Floats | None = None
    arm_target: Floats | None = None
    """(7,) newest joint target of the arm in APPROACH and RETREAT."""
    finger_target: Floats | None = None
    """(16,) those of the fingers."""
    fingers: Floats | None = None
    """(16,) finger joints as read, which need no arm."""
    object_position_w: Floats | None = None
    object_quaternion_w: Floats | None = None
    object_deviation: tuple[float, float] = (0.0, 0.0)
    """How sure the estimator is of it, m and rad (``ObjectPose.deviation``)."""
    current: Floats | None = None
    """(16,) motor currents, A."""
    temperature: Floats | None = None
    """(16,) motor temperatures, degrees Celsius; None also where the hand does not measure them."""
    voltage: Floats | None = None
    """(16,) supply voltages at the motors, V; likewise."""
    overload: str = ""
    """What the hand says of motors that ended their own torque because of heat or load; empty: there are none."""
    estop: bool | None = None
    """Whether the emergency stop is pressed."""
    overruns: int = 0
    """Overruns of the control loop in a row."""
    ticks: int = 0
    """Targets that the control loop has given in this motion: 0 while it is planned."""
    disk_free_mb: float | None = None


_NUMBERS = (
    *("theta", "theta_dot", "fingers", "shadow", "arm_q", "arm_dq", "arm_target", "finger_target"),
    *("object_position_w", "current", "temperature", "voltage"),
)
"""What has to be finite."""
Watch = Callable[["Watcher", Measurements, float, State], Iterator[Reason]]


class Watcher:
    """Holds what watches must remember: since when a violation lasts, and where the object was."""

    def __init__(self, limits: WatchLimits, joint_names: tuple[str, ...], arm_joint_names: tuple[str, ...]) -> None:
        """``joint_names`` (22) and ``arm_joint_names`` (7) name the joints in reasons."""
        self.limits = limits
        self.joint_names = joint_names
        self.arm_joint_names = arm_joint_names
        self._since: dict[str, float] = {}
        self._object: tuple[float, Floats] | None = None
        self._earlier: dict[str, Floats | None] = {}
        self._unchanged: dict[str, tuple[Floats, Floats]] = {}

    def begin(self, m: Measurements) -> None:
        """A motion begins: commands in ``m`` are of an earlier one, and say nothing about how this one is tracked."""
        self._earlier = {"shadow": m.shadow, "arm_target": m.arm_target, "finger_target": m.finger_target}
        self._unchanged.clear()
        for prefix in ("tracking", "followed", "frozen"):
            self.forget(prefix)

    def new(self, m: Measurements, command: str) -> Floats | None:
        """The field ``command`` of ``m``, where it has changed since the motion began."""
        value: Floats | None = getattr(m, command)
        old = self._earlier.get(command)
        if value is None or (old is not None and np.array_equal(value, old)):
            return None
        self._earlier.pop(command, None)
        return value

    def reasons(self, m: Measurements, now: float, state: State) -> list[Reason]:
        """The faults that are present at ``now`` (s) and watched in ``state``."""
        found = [r for watch in WATCHES for r in watch(self, m, now, state)]
        if m.object_position_w is not None and "object_pose" in m.stamps:
            self._object = (m.stamps["object_pose"], np.array(m.object_position_w))
        return [r for r in found if state in r.response.states]

    def lasts(self, key: str, violated: bool, now: float, for_s: float) -> bool:
        """Whether ``violated`` has been true at every call with ``key`` for at least ``for_s`` seconds."""
        if not violated:
            self._since.pop(key, None)
            return False
        return now - self._since.setdefault(key, now) >= for_s

    def forget(self, prefix: str) -> None:
        """Drop what ``lasts`` remembers under keys that begin with ``prefix``."""
        self._since = {k: v for k, v in self._since.items() if not k.startswith(prefix)}

    def moved_unseen(self, name: str, reading: Floats, followed: Floats) -> float:
        """How far what is ``followed`` has moved while the ``reading`` called ``name`` stayed the same to the last bit."""
        before = self._unchanged.get(name)
        if before is None or not np.array_equal(before[0], reading):
            self._unchanged[name] = before = (np.array(reading), np.array(followed))
        return float(np.abs(followed - before[1]).max())

    def jump(self, m: Measurements) -> tuple[float, float]:
        """Distance of the object's newest pose from the one before it, m, and how long that took, s; zeros where the stamp is not new."""
        if self._object is None or m.object_position_w is None or m.stamps.get("object_pose", -np.inf) <= self._object[0]:
            return 0.0, 0.0
        return float(np.linalg.norm(m.object_position_w - self._object[1])), m.stamps["object_pose"] - self._object[0]


def _sensors(w: Watcher, m: Measurements, now: float, _: State) -> Iterator[Reason]:
    for name, limit in w.limits.streams.items():
        if name not in m.stamps:
            yield Reason(Fault.STALE_SENSOR, f"{name} was never heard")
        elif now - m.stamps[name] > limit:
            yield Reason(Fault.STALE_SENSOR, f"{name} is {now - m.stamps[name]:.2f} s old (limit {limit:.2f} s)")
        elif m.stamps[name] - now > w.limits.ahead_s:
            yield Reason(Fault.STALE_SENSOR, f"{name} is stamped {m.stamps[name] - now:.2f} s ahead of this clock (limit {w.limits.ahead_s:.2f} s)")


def _frozen(w: Watcher, m: Measurements, now: float, state: State) -> Iterator[Reason]:
    """Readings that come, with stamps that are new, and are always the same one: no joint that is driven elsewhere reads so, not even one that is blocked."""
    limits, pairs = w.limits, []
    if state is State.RUN:
        shadow = w.new(m, "shadow")
        wrist, fingers = (None, None) if shadow is None else (shadow[:3], shadow[6:])
        pairs = [("fingers", m.fingers, fingers, limits.unseen_rad, "rad"), ("arm_q", m.arm_q, wrist, limits.unseen_m, "m")]
    elif state in (State.APPROACH, State.RETREAT):
        pairs = [(n, getattr(m, n), w.new(m, f), limits.unseen_rad, "rad") for n, f in (("fingers", "finger_target"), ("arm_q", "arm_target"))]
    for name, reading, followed, limit, unit in pairs:
        key = f"frozen {name} {unit}"
        moved = 0.0 if reading is None or followed is None else w.moved_unseen(key, reading, followed)
        if w.lasts(key, moved > limit, now, limits.unseen_for_s):
            what = f"{name} reads the same to the last bit while what it follows moved by {moved:.3f} {unit} (limit {limit:.3f} {unit})"
            yield Reason(Fault.STALE_SENSOR, what)


def _followed(w: Watcher, m: Measurements, now: float, state: State) -> Iterator[Reason]:
    """What the cell follows: a stream that ends or repeats itself makes the cell stand, and would move it unasked when it comes back."""
    age, for_s = w.limits.followed_s
    # A slow motion that is still planned gives nothing to follow.
    for name, due in ((FOLLOWED, state is State.RUN), (MOTION, state in (State.APPROACH, State.RETREAT) and m.ticks > 0)):
        stamp = m.stamps.get(name)
        if w.lasts(f"followed {name}", due and (stamp is None or now - stamp > age), now, for_s):
            what = "was never heard" if stamp is None else f"carries a sample {now - stamp:.2f} s old (limit {age:.2f} s)"
            yield Reason(Fault.STALE_COMMAND, f"{name} {what}")


def _nodes(w: Watcher, m: Measurements, now: float, state: State) -> Iterator[Reason]:
    needed = [n for n in w.limits.nodes if state is not State.RETREAT or n in GOES_HOME]
    for name in needed:
        if name not in m.heard:
            yield Reason(Fault.DEAD_NODE, f"{name} was never heard")
        elif now - m.heard[name] > w.limits.heartbeat_s:
            yield Reason(Fault.DEAD_NODE, f"{name} was last heard {now - m.heard[name]:.2f} s ago (limit {w.limits.heartbeat_s:.2f} s)")
    for name, error in m.errors.items():
        if error and (state is not State.RETREAT or name in GOES_HOME):
            yield Reason(ERROR_OF.get(name, Fault.NODE), f"{name} reports: {error}")


def _finite(_: Watcher, m: Measurements, __: float, ___: State) -> Iterator[Reason]:
    for name in _NUMBERS:
        value = getattr(m, name)
        if value is not None and not np.isfinite(value).all():
            yield Reason(Fault.NOT_FINITE, f"{name} holds a value that is not finite")


def _loop(w: Watcher, m: Measurements, _: float, __: State) -> Iterator[Reason]:
    if m.overruns >= w.limits.overruns:
        yield Reason(Fault.OVERRUN, f"the control loop overran {m.overruns} times in a row")
    if m.disk_free_mb is not None and m.disk_free_mb < w.limits.disk_free_mb:
        yield Reason(Fault.TRIAL_LOG, f"{m.disk_free_mb:.0f} MB are free on its disk (limit {w.limits.disk_free_mb:.0f} MB)")


def _tracking(w: Watcher, m: Measurements, now: float, state: State) -> Iterator[Reason]:
    limits = w.limits
    errors: list[tuple[str, float, float, str]] = []
    shadow, arm_target = w.new(m, "shadow"), w.new(m, "arm_target")
    if state is State.RUN and m.theta is not None and shadow is not None:
        errors.append(("palm", float(np.linalg.norm(m.theta[:3] - shadow[:3])), limits.tracking_position_m, "m"))
        errors.append(("palm", float(angle(from_hinges(m.theta[3:6]), from_hinges(shadow[3:6]))), limits.tracking_rotation_rad, "rad"))
        finger = int(np.argmax(np.abs(m.theta[6:] - shadow[6:])))
        errors.append((f"finger joint {w.joint_names[6 + finger]}", float(np.abs(m.theta[6:] - shadow[6:])[finger]), limits.tracking_finger_rad, "rad"))
    if state in (State.APPROACH, State.RETREAT) and m.arm_q is not None and arm_target is not None:
        joint = int(np.argmax(np.abs(m.arm_q - arm_target)))
        errors.append((f"arm joint {w.arm_joint_names[joint]}", float(np.abs(m.arm_q - arm_target)[joint]), limits.tracking_arm_rad, "rad"))
    if not errors:
        w.forget("tracking")
    for name, value, limit, unit in errors:
        if w.lasts(f"tracking {name.split()[0]} {unit}", value > limit, now, limits.tracking_for_s):
            yield Reason(Fault.TRACKING, f"{name} is {value:.3f} {unit} from its target for {limits.tracking_for_s:.1f} s (limit {limit:.3f} {unit})")


def _outside(names: tuple[str, ...], value: Floats | None, lower: Floats, upper: Floats, margin: float) -> Iterator[str]:
    if value is None:
        return
    for i in np.flatnonzero((value < lower - margin) | (value > upper + margin)):
        yield f"{names[i]} at {value[i]:.3f} is outside {lower[i]:.3f} .. {upper[i]:.3f}"


def _limits(w: Watcher, m: Measurements, now: float, _: State) -> Iterator[Reason]:
    limits = w.limits
    for what in _outside(w.arm_joint_names, m.arm_q, limits.arm_lower, limits.arm_upper, 0.0):
        yield Reason(Fault.JOINT_LIMIT, what)
    for what in _outside(w.joint_names, m.theta, limits.hand_lower, limits.hand_upper, limits.joint_margin):
        yield Reason(Fault.JOINT_LIMIT, what)
    for what in _outside(w.joint_names, w.new(m, "shadow"), limits.hand_lower, limits.hand_upper, limits.joint_margin):
        yield Reason(Fault.JOINT_LIMIT, f"the shadow simulator's {what}")
    for names, rate, limit in ((w.arm_joint_names, m.arm_dq, limits.arm_velocity), (w.joint_names, m.theta_dot, limits.hand_velocity)):
        bound = limits.velocity_factor * limit
        fast = [] if rate is None else list(_outside(names, rate, -bound, bound, 0.0))
        if w.lasts(f"velocity {names[0]}", bool(fast), now, limits.velocity_for_s):
            yield Reason(Fault.VELOCITY, fast[0])
    if m.theta is not None:
        for what in _outside(w.joint_names, m.theta[:3], limits.workspace_lower_w, limits.workspace_upper_w, 0.0):
            yield Reason(Fault.WORKSPACE, f"the palm's {what} m")


def _motors(w: Watcher, m: Measurements, now: float, _: State) -> Iterator[Reason]:
    limits = w.limits
    if m.current is not None:
        for i, (current, limit) in enumerate(zip(np.abs(m.current), np.broadcast_to(limits.current_a, m.current.shape), strict=True)):
            if w.lasts(f"current {i}", bool(current > limit), now, limits.current_for_s):
                yield Reason(Fault.CURRENT, f"motor {w.joint_names[6 + i]} draws {current:.2f} A for {limits.current_for_s:.0f} s (limit {limit:.2f} A)")
    if m.overload:
        yield Reason(Fault.OVERLOAD, m.overload)
    if m.voltage is not None:
        least, most = limits.voltage_v
        worst = int(np.argmax(np.maximum(least - m.voltage, m.voltage - most)))
        if w.lasts("voltage", not least <= m.voltage[worst] <= most, now, limits.voltage_for_s):
            yield Reason(Fault.VOLTAGE, f"motor {w.joint_names[6 + worst]} has {m.voltage[worst]:.1f} V (limits {least:.1f} .. {most:.1f} V)")
    if m.temperature is not None and m.temperature.max() > limits.temperature_c:
        hottest = int(np.argmax(m.temperature))
        yield Reason(Fault.TEMPERATURE, f"motor {w.joint_names[6 + hottest]} has {m.temperature[hottest]:.0f} C (limit {limits.temperature_c:.0f} C)")


def _object(w: Watcher, m: Measurements, now: float, _: State) -> Iterator[Reason]:
    if "object_pose" not in m.stamps:
        yield Reason(Fault.OBJECT_LOST, "no pose of the object was ever heard")
        return
    age = now - m.stamps["object_pose"]
    if age > w.limits.object_age_s:
        yield Reason(Fault.OBJECT_LOST, f"the object's newest pose is {age:.2f} s old (limit {w.limits.object_age_s:.2f} s)")
    if -age > w.limits.ahead_s:
        yield Reason(Fault.OBJECT_LOST, f"the object's newest pose is stamped {-age:.2f} s ahead of this clock (limit {w.limits.ahead_s:.2f} s)")
    if uncertain := w.limits.uncertain(m.object_deviation):
        yield Reason(Fault.OBJECT_LOST, uncertain)
    jump, seconds = w.jump(m)
    limit = w.limits.object_jump_m + w.limits.object_speed_mps * max(seconds - CAMERA_PERIOD, 0.0)
    if jump > limit:
        yield Reason(Fault.OBJECT_JUMP, f"the object moved {jump:.3f} m between two poses {1e3 * seconds:.0f} ms apart (limit {limit:.3f} m)")


def _people(w: Watcher, m: Measurements, now: float, _: State) -> Iterator[Reason]:
    limits = w.limits
    heard = m.stamps.get(ENABLE)
    if heard is None:
        yield Reason(Fault.OPERATOR, "the operator was never heard")
    elif now - heard > limits.operator_s:
        yield Reason(Fault.OPERATOR, f"the operator was last heard {now - heard:.2f} s ago (limit {limits.operator_s:.2f} s)")
    if m.estop:
        yield Reason(Fault.ESTOP, "it is pressed")
    elif limits.estop and ESTOP not in m.stamps:
        yield Reason(Fault.ESTOP, " ".join(filter(None, ("this cell has one, and it was never heard", limits.estop_where))))
    elif limits.estop and now - m.stamps[ESTOP] > limits.estop_s:
        yield Reason(Fault.ESTOP, f"it was last heard {now - m.stamps[ESTOP]:.2f} s ago (limit {limits.estop_s:.2f} s)")


WATCHES: tuple[Watch, ...] = (_sensors, _frozen, _followed, _nodes, _people, _finite, _loop, _tracking, _limits, _motors, _object)
"""Every watch; each yields the reasons that it finds, in any state."""
