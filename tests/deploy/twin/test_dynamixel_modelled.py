"""A hand on a bench as the motors of a bus peer: its motors are the ones of the file, behind their delay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dextrack_deploy.twin.dynamixel.__main__ import Options, serve
from dextrack_deploy.twin.dynamixel.modelled import ModelledFingers

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.hands.motors import Motors, MotorValues

HAND = load_hand("leap_right")
REST = np.array(HAND.rest)
ON, FULL_A = np.ones(16, dtype=bool), np.full(16, 0.5)
STEP = 0.4 * np.eye(16)[6]


def position(motor: MotorValues, seconds: float, limit: float = 0.5, torque: bool = True) -> float:
    """Where joint 6 is ``seconds`` after a step of 0.4 rad from rest, weightless."""
    fingers = ModelledFingers(HAND, Motors(HAND.name, {"6": motor}), gravity_h=(0.0, 0.0, 0.0))
    fingers.sense(10.0)
    fingers.drive(REST, ON, FULL_A, 10.0)
    fingers.drive(REST + STEP, ON & torque, np.full(16, limit), 11.0)
    for at in np.arange(11.0, 11.0 + seconds, 0.01):
        fingers.sense(at)
    return float(fingers.sense(11.0 + seconds)[0][6] - REST[6])


def test_a_joint_that_never_saturates_is_a_mass_with_spring_and_damper() -> None:
    # Inertia of joint 6 at rest: 1.03e-3 kg m^2, nearly all of it the motor's; overdamped.
    kp, kv, inertia, t = 5.0, 0.25, 1.03e-3, 0.03
    s = np.roots([inertia, kv, kp])
    expected = 0.4 * (1.0 + (s[1] * np.exp(s[0] * t) - s[0] * np.exp(s[1] * t)) / (s[0] - s[1]))
    assert position(MotorValues(kp, kv, 50.0, 0.0), t) == pytest.approx(expected, rel=0.03)


def test_the_delay_comes_first_and_changes_nothing_else() -> None:
    quick, late = MotorValues(5.0, 0.25, 0.26, 0.0), MotorValues(5.0, 0.25, 0.26, 0.02)
    assert abs(position(late, 0.0195)) < 1e-9
    assert position(late, 0.05) == pytest.approx(position(quick, 0.03), abs=0.002)


def test_effort_goes_with_the_current_limit() -> None:
    # Saturated from rest, the way is half the acceleration times the time squared.
    motor = MotorValues(50.0, 0.01, 0.2, 0.0)
    assert position(motor, 0.02) == pytest.approx(0.5 * 0.2 / 1.03e-3 * 0.02**2, rel=0.05)
    assert position(motor, 0.02, limit=0.25) == pytest.approx(0.5 * position(motor, 0.02), rel=0.05)


def test_without_torque_it_stays_nearly_where_it_is() -> None:
    assert abs(position(MotorValues(5.0, 0.25, 0.26, 0.0), 1.0, torque=False)) < 0.01


def test_a_file_of_motors_is_for_a_peer_alone() -> None:
    with pytest.raises(InputError, match="--motors-file is given with --twin"):
        serve(Options(twin="tcp://127.0.0.1:1", motors_file=Path("motors.json")))
