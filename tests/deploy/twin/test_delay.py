from __future__ import annotations

import numpy as np
from dextrack_deploy.twin.delay import DelayLine, Interpolator


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_a_command_is_in_effect_exactly_its_delay_later() -> None:
    line = DelayLine(3, one(0.0))
    line.put(10, one(1.0))
    assert [line.at(step)[0] for step in range(10, 16)] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


def test_commands_keep_their_spacing_and_the_newest_due_one_wins() -> None:
    line = DelayLine(2, one(0.0))
    line.put(0, one(1.0))
    line.put(1, one(2.0))
    line.put(1, one(3.0))
    assert [line.at(step)[0] for step in range(5)] == [0.0, 0.0, 1.0, 3.0, 3.0]


def test_a_caller_that_reuses_its_array_does_not_change_the_past() -> None:
    line = DelayLine(1, one(0.0))
    command = one(1.0)
    line.put(0, command)
    command[0] = 9.0
    assert line.at(1)[0] == 1.0


def test_interpolation_ends_when_the_latency_ends() -> None:
    # Latency 6 steps, period 4: rest for 2 steps, then a line over 4 that has reached the target after step 5.
    arm = Interpolator(latency_steps=6, period_steps=4, step_s=0.01, initial=one(0.0))
    arm.put(0, one(8.0))
    path = [(float(p[0]), float(v[0])) for p, v in (arm.at(step) for step in range(8))]
    assert path == [(0, 0), (0, 0), (2, 200), (4, 200), (6, 200), (8, 200), (8, 0), (8, 0)]
    assert arm.peak_velocity[0] == 200.0


def test_a_steady_stream_is_a_straight_line() -> None:
    arm = Interpolator(latency_steps=4, period_steps=4, step_s=0.01, initial=one(0.0))
    positions = []
    for step in range(40):
        if step % 4 == 0:
            arm.put(step, one(step + 4.0))
        positions.append(arm.at(step)[0][0])
    np.testing.assert_allclose(np.diff(positions), 1.0)


def test_stop_ends_the_motion_where_it_is_and_forgets_what_was_coming() -> None:
    arm = Interpolator(latency_steps=4, period_steps=4, step_s=0.01, initial=one(0.0))
    arm.put(0, one(4.0))
    arm.at(0)
    arm.put(1, one(100.0))
    arm.stop()
    assert [arm.at(step)[0][0] for step in range(1, 10)] == [1.0] * 9
    arm.put(10, one(2.0))
    assert [arm.at(step)[0][0] for step in range(10, 15)] == [1.25, 1.5, 1.75, 2.0, 2.0]
