"""Fitting a motor without a bus: the peer's physics answers at known times, and is not told to the fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from dextrack_calibration.motors import fit as fitting
from dextrack_calibration.motors.excite import Response
from dextrack_calibration.motors.fit import MotorFit, fit_joint
from dextrack_calibration.motors.plan import Plan, Planner
from dextrack_deploy.twin.dynamixel.modelled import FINGERS_UP, ModelledFingers

from dextrack.errors import InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.hands.motors import Motors, MotorValues

HAND = load_hand("leap_right")
COUNT = 2.0 * np.pi / 4096
TRUE = MotorValues(kp=6.2, kv=0.19, effort=0.21, delay=0.017)


def respond(plan: Plan, motor: MotorValues, rate_hz: float = 250.0, clock_s: float = 3e-4) -> list[Response]:
    """What a hand whose joint ``plan.joint`` has ``motor`` would show: whole counts, at stamps with an error of ``clock_s``."""
    fingers = ModelledFingers(HAND, Motors(HAND.name, {plan.joint: motor}))
    rng, now, out = np.random.default_rng(1), 0.0, []
    on, limit = np.ones(16, dtype=bool), np.full(16, 0.5)
    fingers.sense(now)

    def read() -> float:
        return float(np.rint(fingers.sense(now)[0][plan.index] / COUNT) * COUNT)

    for move in plan.moves:
        pose = plan.pose.copy()
        pose[plan.index] = move.start
        fingers.drive(pose, on, limit, now)
        for _ in range(4):
            now += 0.2
            rest = read()
        pose = pose.copy()
        pose[plan.index] = move.target
        fingers.drive(pose, on, limit, now)
        sent, time, position = now, np.sort(rng.uniform(0.001, 0.4, int(0.4 * rate_hz))), []
        for at in time:
            now = sent + at
            position.append(read())
        out.append(Response(move, time + clock_s * rng.normal(size=len(time)), np.array(position), np.zeros(len(time)), rest, 0.0))
    return out


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(HAND)


@pytest.mark.parametrize("joint", HAND.finger_joints)
def test_steps_stay_within_limits_and_keep_the_fingers_apart(planner: Planner, joint: str) -> None:
    plan = planner.plan(joint, 2)
    i = HAND.finger_joints.index(joint)
    assert plan.index == i
    angles = np.array([(m.start, m.target) for m in plan.moves])
    assert (angles > HAND.lower[i] + 0.05).all() and (angles < HAND.upper[i] - 0.05).all()
    sizes = np.abs(np.diff(angles, axis=1)[:, 0])
    assert sizes.min() < 0.06 and sizes.max() > 5.0 * HAND.effort[i] / HAND.finger_kp, "the small ones are linear, the large ones saturate"
    for angle in np.linspace(angles.min(), angles.max(), 9):
        pose = plan.pose.copy()
        pose[i] = angle
        planner._data.qpos[planner._qpos] = pose
        assert not planner._near(pose)


def test_a_plan_of_nothing_is_refused(planner: Planner) -> None:
    with pytest.raises(InputError, match="joint 'thumb' is unknown"):
        planner.plan("thumb", 3)
    with pytest.raises(InputError, match="repeats is 0"):
        planner.plan("1", 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("joint", ["1", "14"])
def test_it_finds_the_true_motor_and_knows_how_well(planner: Planner, joint: str) -> None:
    plan = planner.plan(joint, 2)
    found = fit_joint(HAND, plan, respond(plan, TRUE), FINGERS_UP)
    for name in ("kp", "kv", "effort", "delay"):
        off = getattr(found.motor, name) - getattr(TRUE, name)
        assert abs(off) < 0.05 * getattr(TRUE, name), name
        # The systematic part, a physics step and the wire, is no larger than a few standard errors and 0.5 ms.
        assert abs(off) < 5.0 * found.error[name] + (5e-4 if name == "delay" else 0.02 * getattr(TRUE, name)), name
    assert found.motor.friction < 0.003 and abs(found.load) < 0.003
    assert found.residual_rad < 0.005


def known(**change: float | dict[str, float]) -> MotorFit:
    """A fit with which nothing is wrong, but for ``change``."""
    error = {"kp": 0.1, "kv": 0.003, "effort": 0.004, "delay": 0.0003, "load": 0.001, "friction": 0.001}
    fit = MotorFit("5", TRUE, 0.0, error, 0.002, 0.01, 250.0, (), ())
    return dataclasses.replace(fit, **change)  # type: ignore[arg-type]


@pytest.fixture
def judge() -> Callable[..., None]:
    def call(fit: MotorFit) -> None:
        m = fit.motor
        fitting._require_known(fit, np.array([np.log(m.kp), np.log(m.kv), np.log(m.effort), m.delay, fit.load, m.friction]))

    return call


def test_what_is_not_known_is_refused_with_its_reason(judge: Callable[..., None]) -> None:
    judge(known())
    with pytest.raises(RefusedError, match=r"joint 5: measured and simulated steps differ by 9.0%"):
        judge(known(residual_part=0.09))
    with pytest.raises(RefusedError, match="joint 5: its effort is known to 24% only"):
        judge(known(error={**known().error, "effort": 0.05}))
    with pytest.raises(RefusedError, match="its delay is known to 8.0 ms only"):
        judge(known(error={**known().error, "delay": 0.008}))
    with pytest.raises(RefusedError, match="the search for kp ended at its bound, 200"):
        judge(known(motor=dataclasses.replace(TRUE, kp=200.0)))
