"""Preflight: what must be right before a cell may move. Each check says what is wrong and what to do about it; no check moves anything."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec
from dextrack.objects.symmetry import Symmetry
from dextrack.references.reference import Reference
from dextrack_deploy.arm.spec import ArmSpec
from dextrack_deploy.placed import reference_of
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Measurements

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Check:
    """One check and its result."""

    name: str
    ok: bool
    what: str
    """What was found."""
    remedy: str = ""
    """What to do where it is not ok."""

    def __str__(self) -> str:
        """For a person: what, and the remedy where there is one."""
        return self.what if self.ok else f"{self.what} Remedy: {self.remedy}"


def refusals(checks: Sequence[Check]) -> list[str]:
    """Reasons against moving: what ``Supervisor.request`` takes."""
    return [str(c) for c in checks if not c.ok]


def check_sensors(stamps_ns: Mapping[str, int], now_ns: int, ages_s: Mapping[str, float]) -> list[Check]:
    """Whether the newest sample of every stream in ``ages_s`` is at most that old, s."""
    checks = []
    for name, limit in ages_s.items():
        if name not in stamps_ns:
            checks.append(Check(f"sensor {name}", False, f"{name} was never heard.", f"start its driver, and check its cable and its node's log ({name})."))
            continue
        age = (now_ns - stamps_ns[name]) * 1e-9
        checks.append(Check(f"sensor {name}", age <= limit, f"{name} is {age:.3f} s old (limit {limit:.3f} s).", f"restart the driver of {name}."))
    return checks


def check_clocks(stamps_ns: Mapping[str, int], now_ns: int, ahead_s: float = 0.05) -> list[Check]:
    """Whether no stream's stamp lies in the future: a stamp from another clock makes every age and latency wrong."""
    checks = []
    for name, stamp in stamps_ns.items():
        ahead = (stamp - now_ns) * 1e-9
        what = f"the clock that stamps {name} is {ahead:.3f} s ahead (limit {ahead_s:.3f} s)."
        checks.append(Check(f"clock {name}", ahead <= ahead_s, what, "synchronise the machines' clocks (chrony)."))
    return checks


def check_object(
    position_w: ArrayLike | None,
    quaternion_w: ArrayLike | None,
    expected_position_w: ArrayLike,
    expected_quaternion_w: ArrayLike,
    symmetry: Symmetry | None = None,
    position_m: float = 0.03,
    yaw_rad: float = 0.26,
    tilt_rad: float = 0.26,
) -> list[Check]:
    """Whether the object lies where the placed reference begins.

    Args:
        position_w: (3,) measured, m; None: not seen.
        quaternion_w: (4,) measured, wxyz.
        expected_position_w: (3,) first object position of the placed reference.
        expected_quaternion_w: (4,) first object rotation.
        symmetry: rotations after which the object looks the same: they do not count. None: it has none.
        position_m: largest distance.
        yaw_rad: largest turn about the vertical.
        tilt_rad: largest tilt away from the vertical.
    """
    if position_w is None or quaternion_w is None:
        return [Check("object", False, "the object is not seen.", "put it in the camera's view, and check object_pose.")]
    distance = float(np.linalg.norm(np.asarray(position_w, dtype=np.float64) - np.asarray(expected_position_w, dtype=np.float64)))
    expected = rotations.normalise(expected_quaternion_w)
    seen = (symmetry or Symmetry()).nearest(rotations.normalise(quaternion_w), expected)
    w, x, y, z = rotations.multiply(seen, rotations.conjugate(expected))
    # Swing-twist: the turn about the world's z, and what is left.
    yaw = float(2.0 * np.arctan2(abs(z), abs(w)))
    tilt = float(2.0 * np.arctan2(np.hypot(x, y), np.hypot(w, z)))
    place = "move it there, or do the trial again where it lies (dextrack track --again, with this trial's folder)."
    away = f"the object is {distance * 100:.1f} cm from where the trial begins (limit {position_m * 100:.1f} cm)."
    turned = f"the object is turned by {np.degrees(yaw):.0f} degrees (limit {np.degrees(yaw_rad):.0f})."
    tilted = f"the object is tilted by {np.degrees(tilt):.0f} degrees (limit {np.degrees(tilt_rad):.0f})."
    return [
        Check("object position", distance <= position_m, away, place),
        Check("object yaw", yaw <= yaw_rad, turned, place),
        Check("object tilt", tilt <= tilt_rad, tilted, "lay it as the reference has it at its start."),
    ]


def check_joints(device: str, names: Sequence[str], positions: ArrayLike | None, lower: ArrayLike, upper: ArrayLike, margin: float = 0.0) -> list[Check]:
    """Whether every joint of ``device`` is within its limits, which noise may exceed by ``margin`` rad."""
    if positions is None:
        return [Check(f"{device} joints", False, f"the {device}'s joints were never read.", f"start the driver of the {device}.")]
    q, low, high = (np.asarray(v, dtype=np.float64) for v in (positions, lower, upper))
    if q.shape != (len(names),) or not np.isfinite(q).all():
        return [Check(f"{device} joints", False, f"the {device}'s reading is not {len(names)} finite numbers.", f"check the driver of the {device}.")]
    bad = np.flatnonzero((q < low - margin) | (q > high + margin))
    what = "; ".join(f"{names[i]} at {q[i]:.3f} rad is outside {low[i]:.3f} .. {high[i]:.3f}" for i in bad.tolist())
    text = f"{device}: {what}." if len(bad) else f"the {device}'s joints are within their limits."
    return [Check(f"{device} joints", not len(bad), text, "move the joint back by hand with torque off, or calibrate its zero.")]


def check_start(
    joint_names: Sequence[str], theta: ArrayLike, start: ArrayLike, wrist_m: float = 0.02, wrist_rad: float = 0.1, finger_rad: float = 0.15
) -> list[Check]:
    """Whether the hand state (22,) is where the trial begins, before RUN."""
    error = np.abs(np.asarray(theta, dtype=np.float64) - np.asarray(start, dtype=np.float64))
    limit = np.array([wrist_m] * 3 + [wrist_rad] * 3 + [finger_rad] * (len(joint_names) - 6))
    # NaN is worse than any error.
    bad = np.flatnonzero(~(error <= limit))
    what = "; ".join(f"{joint_names[i]} is {error[i]:.3f} from the start (limit {limit[i]:.3f})" for i in bad.tolist())
    return [Check("start", not len(bad), f"{what}." if len(bad) else "the hand is where the trial begins.", "hold, retreat, and approach again.")]


def check_motors(
    names: Sequence[str], temperature_c: ArrayLike | None, voltage_v: ArrayLike | None, max_c: float = 60.0, volts: tuple[float, float] = (4.5, 6.0)
) -> list[Check]:
    """Whether the motors are cool and properly supplied; a reading of None is one that the device does not have: it passes, and says so."""
    if temperature_c is None:
        heat = Check("motor temperature", True, "motor temperature: not measured.")
    else:
        t = np.asarray(temperature_c, dtype=np.float64)
        hot = int(np.argmax(t))
        heat = Check("motor temperature", bool(t[hot] <= max_c), f"motor {names[hot]} has {t[hot]:.0f} C (limit {max_c:.0f} C).", "let it cool.")
    if voltage_v is None:
        return [heat, Check("motor voltage", True, "motor voltage: not measured.")]
    v = np.asarray(voltage_v, dtype=np.float64)
    worst = int(np.argmax(np.maximum(volts[0] - v, v - volts[1])))
    good = bool(volts[0] <= v[worst] <= volts[1])
    supplied = f"motor {names[worst]} has {v[worst]:.2f} V (limits {volts[0]:.1f} .. {volts[1]:.1f} V)."
    return [heat, Check("motor voltage", good, supplied, "check the power supply and its cable.")]


@dataclasses.dataclass(frozen=True)
class TrialPreflight:
    """Every check of one trial, in the order in which a person would make them. Ages are those of the watches: what may not begin would not go on."""

    arm: ArmSpec
    hand: HandSpec
    placed: Reference | Demonstration
    """What was placed: the object lies where this begins, which for a demonstration is where its object came to rest."""
    limits: WatchLimits
    folder: Path | None = None
    """The trial folder; None: nothing is written."""
    symmetry: Symmetry | None = None
    """Of the object; None: it has none, or is not known."""

    def checks(self, m: Measurements, now: float, running: bool = False) -> list[Check]:
        """What ``m`` shows at ``now`` (s); ``running``: before RUN, where the hand must be at the start, and not before APPROACH."""
        arm, hand, placed = self.arm, self.hand, self.placed
        stamps, now_ns = {name: round(stamp * 1e9) for name, stamp in m.stamps.items()}, round(now * 1e9)
        checks = check_sensors(stamps, now_ns, self.limits.sensor_ages) + check_clocks(stamps, now_ns)
        checks += check_joints("arm", arm.joint_names, m.arm_q, arm.lower, arm.upper)
        checks += check_joints("hand", hand.finger_joints, m.fingers, hand.lower, hand.upper, margin=self.limits.joint_margin)
        checks += check_motors(hand.finger_joints, m.temperature, m.voltage)
        checks += check_object(m.object_position_w, m.object_quaternion_w, placed.object_position_w[0], placed.object_quaternion_w[0], self.symmetry)
        uncertain = self.limits.uncertain(m.object_deviation)
        checks.append(Check("object certainty", not uncertain, f"{uncertain or 'the object is seen well'}.", "look at what the camera sees of it."))
        if self.folder is not None:
            checks += check_disk(self.folder)
        if running:
            start = reference_of(placed).hand[0]
            never = Check("start", False, "the hand's state was never heard.", "check the node velocity.")
            checks += [never] if m.theta is None else check_start(hand.joint_names, m.theta, start)
        return checks


def free_mb(folder: Path) -> float:
    """Free disk space at ``folder``, which must exist, MB.

    Raises:
        InputError: there is no such folder.
    """
    try:
        return shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        raise InputError(f"{folder}: its free space cannot be read ({error.strerror}).", remedy="make the folder.") from None


def check_disk(folder: Path, needed_mb: float = 200.0) -> list[Check]:
    """Whether the trial log has room at ``folder``."""
    free = free_mb(folder)
    return [Check("disk", free >= needed_mb, f"{free:.0f} MB are free at {folder} (needed {needed_mb:.0f} MB).", "free disk space, or choose another folder.")]
