"""Motors: what `dextrack calibrate motors` measured of a hand's motors, as validated data, and how a HandSpec takes it over.

The file is JSON: ``hand``, ``digest`` of the hand's model and figures, ``joints`` (name -> the fields of MotorValues, and what the fit says of
itself), and ``provenance``. A reader needs ``hand`` and ``joints`` alone; a cell compares the ``digest`` where there is one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec

_REMEDY = "measure the hand again (`dextrack calibrate motors`), or correct the field."


@dataclasses.dataclass(frozen=True)
class MotorValues:
    """A joint as a MuJoCo position actuator behind a delay: torque = clip(kp (target - q) - kv dq, -effort, effort).

    Raises:
        InputError: a value that no motor of a hand has.
    """

    kp: float
    """Position gain, N m/rad."""
    kv: float
    """Damping, N m s/rad."""
    effort: float
    """Greatest torque, N m, at the current limit that cells run."""
    delay: float
    """Time from a target's arrival at the motor until it acts, s."""
    friction: float = 0.0
    """Dry friction of the joint, N m."""

    def __post_init__(self) -> None:
        """Refuse what is not finite or out of range."""
        ranges = {"kp": (1e-2, 1e3), "kv": (1e-4, 1e2), "effort": (1e-3, 1e2), "delay": (0.0, 1.0), "friction": (0.0, 1e1)}
        for field, (low, high) in ranges.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"motors: {field} is {value!r}.", remedy=f"give a number from {low:g} to {high:g}, in SI units.")


@dataclasses.dataclass(frozen=True)
class FingerMotors:
    """What a HandSpec takes over from measured motors, and what a demonstration that was mined with them keeps of them."""

    kp: float
    """Position gain of every finger joint, N m/rad."""
    kv: float
    """Damping of every finger joint, N m s/rad."""
    effort: tuple[float, ...]
    """Greatest torque of each finger joint, in the hand's order, N m."""

    def on(self, hand: HandSpec) -> HandSpec:
        """``hand`` with these motors: what ``build_scene``, the shadow simulator and mining then simulate.

        Not for the driver: it would take the measured stiffness for the one that is wanted.
        """
        return dataclasses.replace(hand, finger_kp=self.kp, finger_kv=self.kv, effort=self.effort)


@dataclasses.dataclass(frozen=True)
class Motors:
    """The motors of a hand, or of some of its joints."""

    hand: str
    """Name of the hand."""
    joints: Mapping[str, MotorValues]
    """Joint name -> what drives it; joints left out were not measured."""
    digest: str = ""
    """``hand_digest`` of the hand whose masses, inertias and limits the fit took as given; empty: not known."""

    @property
    def lag_s(self) -> float:
        """Time by which these motors trail a moving target, s: the median over the joints of kv / kp + delay. ``hand.lag_s`` of a cell wants it."""
        return statistics.median(m.kv / m.kp + m.delay for m in self.joints.values())

    def fingers(self, hand: HandSpec) -> FingerMotors:
        """What ``hand`` takes over of these motors.

        It has one kp and one kv for all fingers, which become the medians; efforts are each joint's own, and the hand's where they were not measured. The
        delay has no place in it.

        Raises:
            InputError: these are the motors of another hand.
        """
        require_joints(self, hand)
        effort = tuple(self.joints[name].effort if name in self.joints else e for name, e in zip(hand.finger_joints, hand.effort))
        kp, kv = (statistics.median(getattr(m, field) for m in self.joints.values()) for field in ("kp", "kv"))
        return FingerMotors(kp, kv, effort)


def require_joints(motors: Motors, hand: HandSpec) -> None:
    """Raise InputError unless ``motors`` are motors of ``hand``."""
    strange = sorted(set(motors.joints) - set(hand.finger_joints))
    if motors.hand != hand.name or strange:
        what = f"joint {strange[0]} is unknown to {hand.name}" if strange else f"they are {motors.hand}'s, not {hand.name}'s"
        raise InputError(f"motors: {what}.", remedy="measure this hand, or give its own file.")


def require_same_model(motors: Motors, hand: HandSpec, where: str) -> None:
    """Raise InputError, which begins with ``where``, unless ``motors`` were measured with this model of ``hand``; where that is not known they pass."""
    require_joints(motors, hand)
    if motors.digest and motors.digest != hand_digest(hand):
        what = f"{where}: it was measured with another model of {hand.name} than this version has."
        raise InputError(what, remedy="measure the hand again (`dextrack calibrate motors`).")


def load_motors(path: Path) -> Motors:
    """Read what `dextrack calibrate motors` wrote.

    Raises:
        InputError: there is no such file, it is not JSON, or a field is missing or implausible.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        names = [f.name for f in dataclasses.fields(MotorValues)]
        joints = {str(joint): MotorValues(**{n: values[n] for n in names if n in values}) for joint, values in given["joints"].items()}
        hand, digest = str(given["hand"]), str(given.get("digest", ""))
    except InputError as error:
        raise InputError(f"{path}: {error.what}", remedy=error.remedy) from None
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror or error}).", remedy="check the path.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: these are no measured motors ({error}).", remedy=_REMEDY) from None
    if not joints:
        raise InputError(f"{path}: field joints is empty.", remedy=_REMEDY)
    return Motors(hand, joints, digest)


def hand_digest(hand: HandSpec) -> str:
    """SHA-256 over the model's bytes and every figure of ``hand``: masses, inertias and limits that a fit takes as given."""
    figures = {f.name: getattr(hand, f.name) for f in dataclasses.fields(hand) if f.name != "mjcf"}
    text = json.dumps(figures, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(hand.mjcf.read_bytes() + text.encode("utf-8")).hexdigest()
