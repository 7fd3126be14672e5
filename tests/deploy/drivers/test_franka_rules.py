"""What the arm's driver does without a robot: its rules, the payload, errors, collision thresholds."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import mujoco
import numpy as np
import pytest
from dextrack_deploy.arm.model import cell_spec
from dextrack_deploy.arm.spec import load_arm
from dextrack_deploy.cell import load_cell
from dextrack_deploy.drivers import franka, franka_errors
from dextrack_deploy.drivers.franka import CollisionThresholds, FrankaArm
from dextrack_deploy.drivers.franka_payload import Payload, payload_of
from dextrack_deploy.drivers.franka_sensors import SensorWatch
from dextrack_deploy.drivers.franka_stream import FIRST_REACH, TargetStream, make_limiter
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack.errors import DriverError, InputError, RefusedError

CELL = load_cell("twin")
HOME = np.array(CELL.arm.home)
ARM = load_arm("fr3")


def test_the_stream_keeps_the_limits_and_gets_there() -> None:
    limiter = make_limiter(CELL, franka.PERIOD_S)
    targets = TargetStream(limiter)
    targets.put(HOME, 0.0, HOME)
    rng = np.random.default_rng(0)
    q, v = [HOME], [np.zeros(7)]
    for n in range(2400):
        now = n * franka.PERIOD_S
        if n % 4 == 0:
            targets.put(HOME + (0.8 * rng.standard_normal(7) if n < 1200 else 0.0), now, HOME)
        out = targets.step(now)
        q.append(out[0])
        v.append(out[1])
    velocity, acceleration = np.diff(q, axis=0) / franka.PERIOD_S, np.diff(v, axis=0) / franka.PERIOD_S
    np.testing.assert_allclose(velocity, v[1:], atol=1e-9)
    assert (np.abs(velocity) <= np.minimum(CELL.arm.velocity_fraction * ARM.velocity, ARM.velocity - 0.3) + 1e-9).all()
    assert (np.abs(acceleration) <= 0.6 * ARM.acceleration + 1e-6).all()
    # Torque may change by 1 N m in 1 ms; the arm's greatest inertia is about 3 kg m2.
    assert np.abs(np.diff(acceleration, axis=0)).max() <= 2 * 0.6 * ARM.acceleration[0] / 4 + 1e-6
    below, above = ARM.velocity_bounds(np.array(q)[1:])
    assert (velocity >= below + 0.02).all() and (velocity <= above - 0.02).all()
    assert (np.array(q) >= ARM.lower + CELL.arm.limit_margin - 1e-9).all() and (np.array(q) <= ARM.upper - CELL.arm.limit_margin + 1e-9).all()
    np.testing.assert_allclose(q[-1], HOME, atol=1e-6)


def test_the_stream_brakes_at_the_deadline_and_begins_where_it_stands() -> None:
    targets = TargetStream(make_limiter(CELL, franka.PERIOD_S))
    assert not targets.wanted
    now = 0.0
    for n in range(240):
        now = n * franka.PERIOD_S
        if n % 4 == 0 and n < 120:
            targets.put(HOME + 1.0 * now, now, HOME)
        q, v = targets.step(now)
        if n < 120 + 0.1 / franka.PERIOD_S - 4:
            assert not targets.at_rest
    assert targets.at_rest and targets.wanted and not v.any()
    # Half a second of motion at 1 rad/s, at most a period more, and the way to brake at 6 rad/s2.
    assert HOME[0] + 0.4 < q[0] < HOME[0] + 120 * franka.PERIOD_S + 1.0 / (2 * 6.0)
    targets.forget()
    assert not targets.wanted
    targets.put(HOME, now, HOME)
    np.testing.assert_allclose(targets.step(now)[0], HOME, atol=1e-9)


def test_a_panda_keeps_its_own_limits() -> None:
    panda = make_limiter(load_cell("twin_panda"), franka.PERIOD_S)
    assert panda.velocity[4] == pytest.approx(2.61 - 0.3) and panda.acceleration[1] == pytest.approx(0.6 * 7.5)
    assert panda.upper[5] == pytest.approx(3.7525 - 0.05) and panda.lower[5] == pytest.approx(-0.0175 + 0.05)
    assert (panda.braking > 0.0).all() and (panda.braking <= panda.acceleration).all()


@pytest.mark.parametrize(("cell", "urdf"), [("twin", None), ("twin_panda", '<robot name="fr3v2_1">'), ("twin", '<robot name="fp3">')])
def test_another_arm_than_the_cell_s_is_refused(cell: str, urdf: str | None) -> None:
    class Robot:
        if urdf is not None:
            model_urdf = urdf

    driver = object.__new__(franka.FrankaArm)
    driver.address, driver._cell = "172.16.0.2", load_cell(cell)
    with pytest.raises(DriverError, match=f"it says that it is .*, not {driver._cell.arm.model}") as caught:
        driver._introduce(Robot())
    assert "arm.model" in caught.value.remedy


def test_the_payload_weighs_and_balances_as_the_model_does() -> None:
    payload = payload_of(CELL)
    model = cell_spec(CELL).compile()
    data = mujoco.MjData(model)
    bare = mujoco.MjModel.from_xml_path(str(ARM.mjcf))
    assert payload.mass == pytest.approx(model.body_mass.sum() - bare.body_mass.sum())
    # Gravity's torque on the wrist, by MuJoCo with the whole hand, and by hand from the lumped body.
    data.joint("fr3_joint6").qpos[0] = 2.0
    data.joint("fr3_joint4").qpos[0] = -2.0
    loaded = torque(model, data)
    spec = mujoco.MjSpec.from_file(str(ARM.mjcf))
    i = payload.inertia_f
    spec.body(ARM.flange).add_body(
        mass=payload.mass, ipos=payload.center_f, fullinertia=[i[0, 0], i[1, 1], i[2, 2], i[0, 1], i[0, 2], i[1, 2]], explicitinertial=True
    )
    lumped = spec.compile()
    other = mujoco.MjData(lumped)
    other.joint("fr3_joint6").qpos[0] = 2.0
    other.joint("fr3_joint4").qpos[0] = -2.0
    # The fingers stand at 0 here and at rest there: a centimetre or two of 0.5 kg.
    np.testing.assert_allclose(torque(lumped, other), loaded, atol=0.15)
    for mass, center, inertia in ((0.0, np.zeros(3), np.eye(3)), (1.0, np.full(3, np.nan), np.eye(3)), (1.0, np.zeros(3), np.diag([1.0, 1.0, 3.0]))):
        with pytest.raises(InputError, match="payload"):
            Payload(mass, center, inertia)


def torque(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """What gravity asks of the arm's joints, (7,) N m."""
    mujoco.mj_forward(model, data)
    return np.array([data.qfrc_bias[model.joint(name).dofadr[0]] for name in ARM.joint_names])


def test_collision_thresholds() -> None:
    arguments = CollisionThresholds().arguments()
    assert [len(a) for a in arguments] == [7] * 4 + [6] * 4
    for lower, upper in zip(arguments[::2], arguments[1::2], strict=True):
        assert (np.array(lower) < np.array(upper)).all()
    assert arguments[7][:3] == [30.0] * 3
    with pytest.raises(InputError, match="collision thresholds"):
        CollisionThresholds(stop=3.0)


def test_errors_are_named_with_a_remedy() -> None:
    said = 'libfranka: Move command aborted: motion aborted by reflex! ["joint_reflex", "power_limit_violation"]\ncontrol_command_success_rate: 1'
    error = franka_errors.surfaced("172.16.0.2", RuntimeError(said))
    assert "stopped with joint_reflex, power_limit_violation" in error.what and "touched" in error.remedy and "velocity_fraction" in error.remedy
    panda = franka_errors.surfaced("172.16.0.2", type("IncompatibleVersionException", (Exception,), {})("libfranka: Incompatible library version."))
    assert "another version" in panda.what and "libfranka 0.9" in panda.remedy


def test_without_a_real_time_kernel_the_driver_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "realtime"
    assert not franka.realtime_kernel(flag)
    flag.write_text("1\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert franka.realtime_kernel(flag)
    monkeypatch.setattr(franka, "realtime_kernel", lambda: False)
    with caplog.at_level(logging.WARNING), pytest.raises(DriverError, match="the connection failed"):
        FrankaArm("robot.invalid", CELL)
    assert "PREEMPT_RT" in caplog.text


def test_a_first_target_begins_where_the_arm_is() -> None:
    targets = TargetStream(make_limiter(CELL, franka.PERIOD_S))
    with pytest.raises(RefusedError, match="0.11 rad from the arm"):
        targets.put(HOME + FIRST_REACH + 0.01, 0.0, HOME)
    assert not targets.wanted
    targets.put(HOME + 0.5 * FIRST_REACH, 0.0, HOME)
    for bad in (HOME * np.nan, HOME[:6]):
        with pytest.raises(RefusedError, match="not 7 finite numbers"):
            targets.put(bad, 0.0, HOME)
    # The target before is followed on.
    for n in range(24):
        q, _ = targets.step(n * franka.PERIOD_S)
    assert (q > HOME + 0.01).all()


@settings(deadline=None)
@given(
    start=st.lists(st.floats(-2.0, 2.0), min_size=7, max_size=7),
    speed=st.lists(st.floats(-2.6, 2.6), min_size=7, max_size=7),
    pull=st.lists(st.floats(-10.0, 10.0), min_size=7, max_size=7),
    later_ms=st.integers(1, 50),
    joint=st.integers(0, 6),
    jump=st.floats(0.05, 3.0),
)
def test_a_sensor_is_believed_while_it_obeys_its_velocity(start, speed, pull, later_ms, joint, jump) -> None:
    """Uniform acceleration in closed form; then the same with an error in one position."""
    q, v, a, t = np.array(start), np.array(speed), np.array(pull), 1e-3 * later_ms
    then, faster = q + v * t + 0.5 * a * t * t, v + a * t
    watch = SensorWatch()
    assert watch.jumped(1000, q, v) == [] and watch.jumped(1000 + later_ms, then, faster) == []
    watch = SensorWatch()
    watch.jumped(1000, q, v)
    then[joint] += jump
    assert watch.jumped(1000 + later_ms, then, faster) == [joint + 1]
    assert watch.jumped(2000 + later_ms, q, v) == [], "samples far apart say nothing about each other"
