"""What a Franka's errors mean to an operator: the reflex by name, and what to do before it is recovered."""

from __future__ import annotations

import re
from typing import Any

from dextrack.errors import DriverError

_TOUCHED = "look what arm or hand touched and free it; where nothing was, check the payload's mass and place"
_SLOWER = "lower the cell's velocity_fraction or acceleration_fraction"
_AWAY = "bring the arm away from there in Desk, by hand"
REMEDIES = {
    "communication_constraints_violation": "this computer answered too late: a real-time kernel, a cable straight to the robot, and nothing else that computes",
    "joint_reflex": _TOUCHED,
    "cartesian_reflex": _TOUCHED,
    "self_collision_avoidance_violation": _AWAY,
    "joint_position_limits_violation": _AWAY,
    "joint_velocity_violation": _SLOWER,
    "cartesian_velocity_violation": _SLOWER,
    "power_limit_violation": _SLOWER,
    "tau_j_range_violation": "lower the stiffness of the arm's controller",
    "controller_torque_discontinuity": "lower the stiffness of the arm's controller",
    "instability_detected": "lower the stiffness of the arm's controller, and check the payload",
}
"""What to do about an error of libfranka, by its name in ``franka::Errors``."""

_BY_TYPE = {
    "IncompatibleVersionException": (
        "it speaks another version of the protocol",
        "for an FR3, update its system image; for a Panda, install franky built for libfranka 0.9 (franky's documentation says how).",
    ),
    "RealtimeException": ("the kernel is not real-time", "boot a real-time kernel, and allow real-time priorities (rtprio) to this user."),
    "NetworkException": ("the connection failed", "check address, cable and power, and that Desk shows the joints unlocked and FCI activated."),
}


def names_in(errors: Any) -> list[str]:
    """Names of the errors that are set in a ``franky.Errors``, or that a message of libfranka lists in brackets."""
    listed = re.search(r"\[(.*?)\]", str(errors))
    return re.findall(r'"([a-z0-9_]+)"', listed.group(1)) if listed else []


def reflex(address: str, names: list[str]) -> DriverError:
    """The robot stopped with the errors ``names``."""
    remedies = list(dict.fromkeys(REMEDIES.get(name, "see the error's name in Franka's documentation") for name in names))
    return DriverError("arm at %s: it stopped with %s." % (address, ", ".join(names)), remedy="; ".join(remedies) + "; then recover.")


def user_stop(address: str) -> DriverError:
    """The user stop is pressed."""
    return DriverError("arm at %s: the user stop is pressed." % address, remedy="release it when the cell is clear; then recover.")


def guided(address: str) -> DriverError:
    """Somebody guides the arm by hand."""
    return DriverError("arm at %s: it is being guided by hand." % address, remedy="let it go; then recover.")


def jumped(address: str, joints: list[int]) -> DriverError:
    """Positions of ``joints`` (1 to 7) changed by more than their velocities explain."""
    which = ", ".join(map(str, joints))
    return DriverError(
        "arm at %s: the position of joint %s jumped: control was ended." % (address, which), remedy="look for the cause in Desk's log; then recover."
    )


def surfaced(address: str, error: Exception) -> DriverError:
    """What franky raised, as a DriverError with cause and remedy."""
    if isinstance(error, DriverError):
        return error
    text = " ".join(str(error).removeprefix("libfranka: ").split())
    names = names_in(error)
    if names:
        return reflex(address, names)
    if "safety function" in text:
        return user_stop(address)
    # Poco's own exceptions come through franky without a type.
    kind = "NetworkException" if text == "Net Exception" else type(error).__name__
    cause, remedy = _BY_TYPE.get(kind, ("it refused", "see what it says in Desk; then recover."))
    return DriverError("arm at %s: %s (%s)." % (address, cause, text.rstrip(".")), remedy=remedy)
