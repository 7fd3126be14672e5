from __future__ import annotations

import numpy as np
import pytest
from dextrack_deploy.drivers.guard import DeadlineGuard, GuardState, JointLimits

from dextrack.errors import DriverError, InputError, RefusedError

PERIOD = 1.0 / 60.0
LIMITS = JointLimits(("a", "b"), np.array([-1.0, -2.0]), np.array([1.0, 2.0]), np.array([3.0, 6.0]), engaging_velocity=0.6)


class Bench:
    """A guard on a device that remembers what it was sent, and a clock that stands until it is moved."""

    def __init__(self, measured: tuple[float, float] = (0.0, 0.0)) -> None:
        self.now = 50.0
        self.sent: list[np.ndarray] = []
        self.stamps: list[int] = []
        self.broken = False
        self.guard = DeadlineGuard(self, LIMITS, measured, period_s=PERIOD, clock=lambda: self.now)

    def write(self, target: np.ndarray, stamp: int) -> None:
        if self.broken:
            raise DriverError("bench: unplugged.", remedy="plug it in.")
        self.sent.append(target.copy())
        self.stamps.append(stamp)

    def stream(self, target: tuple[float, float], ticks: int) -> None:
        for _ in range(ticks):
            self.now += PERIOD
            self.guard.command(target, 7)
            self.guard.tick()


def test_nothing_is_sent_before_the_first_command() -> None:
    bench = Bench()
    for _ in range(20):
        bench.now += PERIOD
        assert bench.guard.tick().state is GuardState.IDLE
    bench.guard.hold()
    assert bench.sent == [] and bench.guard.report().command_age_s is None


def test_the_first_command_is_approached_slowly_from_where_the_joints_are() -> None:
    bench = Bench(measured=(0.5, -0.5))
    bench.guard.command((-0.5, -0.5), 7)
    # 0.6 rad/s for one period, however long the guard had waited.
    np.testing.assert_allclose(bench.sent[-1], [0.49, -0.5])
    assert bench.guard.report().state is GuardState.ENGAGING
    assert bench.guard.report().slowed == ("a",)
    bench.stream((-0.5, -0.5), 98)
    assert bench.guard.report().state is GuardState.ENGAGING
    bench.stream((-0.5, -0.5), 2)
    assert bench.guard.report().state is GuardState.TRACKING
    np.testing.assert_allclose(bench.sent[-1], [-0.5, -0.5])
    assert set(bench.stamps) == {7}


def test_once_tracking_steps_are_cut_to_the_velocity_limit() -> None:
    bench = Bench()
    bench.stream((0.0, 0.0), 2)
    bench.stream((1.0, 2.0), 1)
    np.testing.assert_allclose(bench.sent[-1], [3.0 * PERIOD, 6.0 * PERIOD])
    # A gap gives an allowance of two periods and no more.
    bench.now += 0.09
    bench.guard.command((1.0, 2.0), 7)
    np.testing.assert_allclose(bench.sent[-1], [9.0 * PERIOD, 18.0 * PERIOD])


def test_no_stream_of_commands_makes_a_joint_faster_than_its_limit() -> None:
    bench = Bench()
    bench.stream((0.0, 0.0), 2)
    random = np.random.default_rng(0)
    last, at = bench.sent[-1], bench.now
    for _ in range(500):
        bench.now += random.uniform(0.001, 0.03)
        bench.guard.command(random.uniform(-9, 9, 2), 7)
        assert (np.abs(bench.sent[-1] - last) <= LIMITS.velocity * (bench.now - at) + 1e-12).all()
        assert (np.abs(bench.sent[-1]) <= LIMITS.upper).all()
        last, at = bench.sent[-1], bench.now


def test_commands_beyond_the_limits_are_clamped_and_named() -> None:
    bench = Bench()
    bench.stream((0.5, 99.0), 600)
    np.testing.assert_allclose(bench.sent[-1], [0.5, 2.0])
    assert bench.guard.report().clamped == ("b",)


@pytest.mark.parametrize("bad", [(np.nan, 0.0), (0.0, np.inf), (0.0,), (0.0, 0.0, 0.0), ((0.0, 0.0),)])
def test_what_is_not_a_command_is_refused_and_nothing_is_sent(bad: tuple) -> None:
    bench = Bench()
    bench.stream((0.1, 0.1), 30)
    count, safe = len(bench.sent), bench.guard.safe_target
    with pytest.raises(RefusedError):
        bench.guard.command(bad, 7)
    assert len(bench.sent) == count
    np.testing.assert_array_equal(bench.guard.safe_target, safe)
    assert bench.guard.report().refused == 1


def test_refused_commands_do_not_keep_the_deadline_away() -> None:
    bench = Bench()
    bench.stream((0.1, 0.1), 30)
    for _ in range(8):
        bench.now += PERIOD
        with pytest.raises(RefusedError):
            bench.guard.command((np.nan, 0.0), 7)
        bench.guard.tick()
    assert bench.guard.report().state is GuardState.HOLDING


def test_when_commands_stop_it_holds_the_last_safe_target_after_the_deadline() -> None:
    bench = Bench()
    bench.stream((0.0, 0.0), 2)
    bench.stream((1.0, 2.0), 5)
    reached = bench.sent[-1]
    assert reached[0] < 1.0
    bench.now += 0.099
    assert bench.guard.tick().state is GuardState.TRACKING
    bench.now += 0.002
    report = bench.guard.tick()
    assert report.state is GuardState.HOLDING and report.holds == 1
    assert report.command_age_s == pytest.approx(0.101)
    count = len(bench.sent)
    for _ in range(60):
        bench.now += PERIOD
        bench.guard.tick()
    # It repeats what it had sent, and never goes on to a goal that it had not reached.
    assert len(bench.sent) == count + 60
    np.testing.assert_array_equal(bench.sent[-60:], np.tile(reached, (60, 1)))
    assert bench.guard.report().holds == 1


def test_after_a_hold_it_engages_slowly_from_the_held_target() -> None:
    bench = Bench()
    bench.stream((0.1, 0.1), 60)
    bench.guard.hold()
    bench.now += 30.0
    bench.guard.tick()
    bench.guard.command((-1.0, 0.1), 7)
    np.testing.assert_allclose(bench.sent[-1], [0.09, 0.1])
    assert bench.guard.report().state is GuardState.ENGAGING


def test_a_hold_on_request_is_immediate() -> None:
    bench = Bench()
    bench.stream((0.0, 0.0), 2)
    bench.stream((1.0, 1.0), 3)
    reached = bench.sent[-1]
    bench.guard.hold()
    assert bench.guard.report().state is GuardState.HOLDING
    np.testing.assert_array_equal(bench.sent[-1], reached)


def test_a_device_that_fails_is_not_taken_to_have_moved() -> None:
    bench = Bench()
    bench.stream((0.0, 0.0), 2)
    bench.broken = True
    bench.now += PERIOD
    with pytest.raises(DriverError, match="unplugged"):
        bench.guard.command((1.0, 1.0), 7)
    np.testing.assert_array_equal(bench.guard.safe_target, [0.0, 0.0])


def test_the_measured_position_must_be_one() -> None:
    with pytest.raises(RefusedError, match="measured"):
        Bench(measured=(np.nan, 0.0))


@pytest.mark.parametrize(
    "change",
    [
        {"lower": np.array([np.nan, 0.0])},
        {"upper": np.array([1.0])},
        {"lower": np.array([1.0, 0.0])},
        {"velocity": np.array([0.0, 1.0])},
        {"engaging_velocity": 0.0},
    ],
)
def test_limits_that_limit_nothing_are_refused(change: dict) -> None:
    values = {"names": ("a", "b"), "lower": LIMITS.lower, "upper": LIMITS.upper, "velocity": LIMITS.velocity, "engaging_velocity": 0.6}
    with pytest.raises(InputError, match="joint limits"):
        JointLimits(**{**values, **change})
