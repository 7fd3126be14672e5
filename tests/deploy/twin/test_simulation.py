from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from dextrack_deploy.cell import load_cell
from dextrack_deploy.twin.mismatch import Mismatch
from dextrack_deploy.twin.simulation import Twin

from dextrack.errors import InputError, RefusedError
from dextrack.hands import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.rotations import angle, conjugate, multiply, rotate, to_rotation_vector

TICK = 8
"""Physics steps per control period."""
MakeTwin = Callable[..., Twin]


def fingers(twin: Twin) -> np.ndarray:
    return twin.data.qpos[twin.scene.finger_qpos].copy()


def arm(twin: Twin) -> np.ndarray:
    return twin.data.qpos[twin.scene.arm_qpos].copy()


def exercise(twin: Twin) -> list[np.ndarray]:
    seen = []
    for n in range(30):
        twin.write_hand(np.asarray(twin.hand.rest) + 0.3 * np.sin(0.2 * n))
        twin.write_arm(np.asarray(twin.cell.arm.home) + 0.05 * np.sin(0.1 * n))
        twin.step(TICK)
        camera = twin.read_camera()
        seen += [twin.read_hand().position, twin.read_arm().position, np.zeros(3) if camera is None else camera.position_w, twin.truth().qpos]
    return seen


def test_same_seed_and_commands_give_the_same_readings(make_twin: MakeTwin) -> None:
    first, second, other = exercise(make_twin(seed=1)), exercise(make_twin(seed=1)), exercise(make_twin(seed=2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    # The seed is the sensors': the world does not feel it.
    assert all(np.array_equal(a, b) for a, b in zip(first[3::4], other[3::4], strict=True))


def test_a_panda_carries_the_hand_after_its_targets(hand: HandSpec, box: ObjectSpec) -> None:
    twin = Twin(load_cell("twin_panda"), hand, box, Mismatch.none())
    home = np.asarray(twin.cell.arm.home)
    goal = home + [0.1, -0.1, 0.1, 0.1, -0.1, 0.1, -0.1]
    for n in range(90):
        twin.write_arm(home + (goal - home) * min(1.0, n / 60))
        twin.step(TICK)
    assert twin.read_arm().position == pytest.approx(goal, abs=0.01)
    assert list(twin.scene.arm.joint_names) == [f"panda_joint{i}" for i in range(1, 8)]


def test_reading_does_not_change_what_is_read_later(make_twin: MakeTwin) -> None:
    silent, curious = make_twin(), make_twin()
    silent.step(100)
    for _ in range(100):
        curious.step()
        curious.read_hand(), curious.read_arm(), curious.read_camera(), curious.truth()
    np.testing.assert_array_equal(silent.read_hand().position, curious.read_hand().position)
    np.testing.assert_array_equal(silent.read_camera().position_w, curious.read_camera().position_w)  # type: ignore[union-attr]


def test_a_reset_begins_again(make_twin: MakeTwin) -> None:
    twin = make_twin()
    first = exercise(twin)
    twin.set_hand_power("soft")
    twin.reset()
    assert twin.time_s == 0.0
    assert all(np.array_equal(a, b) for a, b in zip(first, exercise(twin), strict=True))


@pytest.mark.parametrize(("latency_s", "expected_s"), [(0.0, 0.0), (0.030, 0.030), (0.060, 0.060)])
def test_a_finger_begins_to_move_a_latency_after_its_command(make_twin: MakeTwin, latency_s: float, expected_s: float) -> None:
    twin = make_twin(dataclasses.replace(Mismatch(), latency_s=latency_s))
    twin.step(100)
    before = fingers(twin)
    twin.write_hand(before + 0.2)
    count = 0
    while np.abs(fingers(twin) - before).max() < 1e-4:
        twin.step()
        count += 1
    assert count * twin.timestep_s == pytest.approx(expected_s, abs=0.005)


def test_the_arm_follows_a_stream_a_latency_later_within_five_milliradians(make_twin: MakeTwin) -> None:
    twin = make_twin()
    home = np.asarray(twin.cell.arm.home)
    times, asked, got = [], [], []
    for n in range(180):
        q = home + 0.2 * (1.0 - np.cos(2.0 * np.pi * 0.5 * n / 60.0)) * np.array([1, 0.5, -1, 0.5, 1, 1, -1])
        times.append(twin.time_s)
        asked.append(q)
        twin.write_arm(q)
        for _ in range(TICK):
            twin.step()
            got.append((twin.time_s, arm(twin)))
    t = np.array([g[0] for g in got])
    reached = np.array([g[1] for g in got])
    errors = []
    for latency in np.arange(0.0, 0.060, 0.002):
        wanted = np.stack([np.interp(t - latency, times, np.array(asked)[:, j]) for j in range(7)], axis=1)
        errors.append(np.abs(wanted - reached)[t > 0.2].max())
    assert 0.026 <= 0.002 * int(np.argmin(errors)) <= 0.034
    assert min(errors) < 0.005
    assert twin.arm_peak_speed < 1.0


def test_the_arm_carries_itself_and_the_hand(make_twin: MakeTwin) -> None:
    twin = make_twin()
    twin.step(480)
    np.testing.assert_allclose(arm(twin), twin.cell.arm.home, atol=1e-3)
    # Franka's drives report torques without gravity's; what is left is the error of the load's model in another finger posture.
    assert np.abs(twin.data.actuator_force[twin.scene.arm_actuators]).max() < 0.05


def test_finger_motors_carry_their_links_unless_told_otherwise(make_twin: MakeTwin) -> None:
    real, ideal = make_twin(), make_twin(dataclasses.replace(Mismatch(), finger_gravity=False))
    for twin in (real, ideal):
        twin.step(480)
    assert np.abs(real.data.actuator_force[real.scene.finger_actuators]).max() > 0.01
    assert np.abs(ideal.data.actuator_force[ideal.scene.finger_actuators]).max() < 1e-6


def test_a_finger_never_gives_more_than_its_motor(make_twin: MakeTwin) -> None:
    twin = make_twin()
    twin.write_hand(np.asarray(twin.hand.upper))
    peak = 0.0
    for _ in range(240):
        twin.step()
        peak = max(peak, float(np.abs(twin.data.actuator_force[twin.scene.finger_actuators]).max()))
    assert peak == pytest.approx(0.26)


def test_encoders_are_quantised_and_as_noisy_as_they_say(make_twin: MakeTwin) -> None:
    twin = make_twin()
    twin.step(240)
    hand, arm_errors = [], []
    for _ in range(400):
        twin.step()
        reading = twin.read_hand().position
        counts = reading / (2.0 * np.pi / 4096)
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
        hand.append(reading - fingers(twin))
        arm_errors.append(twin.read_arm().position - arm(twin))
    # Uniform quantisation adds its own variance: 0.002^2 + (2 pi / 4096)^2 / 12.
    assert np.std(hand) == pytest.approx(np.hypot(0.002, 2.0 * np.pi / 4096 / np.sqrt(12.0)), rel=0.05)
    assert np.std(arm_errors) == pytest.approx(1e-4, rel=0.05)
    assert abs(np.mean(hand)) < 1e-4


def test_camera_noise_rate_and_latency(make_twin: MakeTwin) -> None:
    twin = make_twin()
    position, quaternion = twin.truth().object_position_w, twin.truth().object_quaternion_w
    seen = {}
    for _ in range(10 * 480):
        twin.step()
        sample = twin.read_camera()
        if sample is not None and sample.number not in seen:
            # It can be read at the first step after its latency.
            assert 0.030 - 1e-6 <= twin.time_s - sample.time_s < 0.030 + 2 * twin.timestep_s
            seen[sample.number] = sample
    assert sorted(seen) == list(range(len(seen)))
    assert len(seen) == pytest.approx(300, abs=2)
    times = np.array([seen[n].time_s for n in sorted(seen)])
    np.testing.assert_allclose(np.diff(times), 1.0 / 30.0, atol=1e-9)
    offsets = np.array([s.position_w - position for s in seen.values()])
    turns = np.array([to_rotation_vector(multiply(s.quaternion_w, conjugate(quaternion))) for s in seen.values()])
    assert offsets.std() == pytest.approx(0.005, rel=0.1)
    assert np.degrees(turns.std()) == pytest.approx(3.0, rel=0.1)
    # Each sample is noisy anew: neighbours are as far apart as strangers.
    assert np.corrcoef(offsets[:-1, 0], offsets[1:, 0])[0, 1] == pytest.approx(0.0, abs=0.2)


def test_zero_mismatch_reads_the_truth(make_twin: MakeTwin) -> None:
    twin = make_twin(Mismatch.none())
    twin.step(100)
    np.testing.assert_array_equal(twin.read_hand().position, fingers(twin))
    np.testing.assert_array_equal(twin.read_arm().position, arm(twin))
    sample = twin.read_camera()
    assert sample is not None
    np.testing.assert_allclose(sample.position_w, twin.truth().object_position_w, atol=1e-4)
    assert angle(sample.quaternion_w, twin.truth().object_quaternion_w) < 1e-3


@pytest.mark.parametrize("quaternion", [(1.0, 0.0, 0.0, 0.0), (0.92388, 0.38268, 0.0, 0.0), (0.7071, 0.0, 0.7071, 0.0)])
def test_the_object_lies_still_on_the_table(make_twin: MakeTwin, quaternion: tuple[float, ...]) -> None:
    twin = make_twin(object_position_w=(0.1, -0.2, 0.7), object_quaternion_w=quaternion)
    assert twin.settled.still
    start = twin.truth()
    twin.step(480)
    end = twin.truth()
    assert np.linalg.norm(end.object_position_w - start.object_position_w) < 1e-3
    np.testing.assert_allclose(end.object_position_w[:2], [0.1, -0.2], atol=0.03)
    corners = 0.5 * np.array([[x, y, z] for x in (-0.06, 0.06) for y in (-0.05, 0.05) for z in (-0.04, 0.04)])
    lowest = (rotate(end.object_quaternion_w, corners) + end.object_position_w)[:, 2].min()
    assert lowest == pytest.approx(0.0, abs=1e-3)
    assert end.table_contacts > 0 and end.hand_contacts == 0
    # Standing on an edge is not lying: the report says how far it turned.
    assert (twin.settled.turned_rad > 0.3) == (quaternion[1] != 0.0)


def test_an_object_inside_the_hand_is_refused_and_nothing_changes(make_twin: MakeTwin, low: np.ndarray) -> None:
    twin = make_twin(object_position_w=(0.4, 0.4, 0.0))
    twin.reset(arm_q=low)
    pad = twin.data.geom("middle_pad").xpos.copy()
    # Under the pad, a box of 4 cm would reach into it.
    assert 0.0 < pad[2] - 0.0105 < 0.04
    before = twin.truth()
    with pytest.raises(RefusedError, match="fingertip_2 and object"):
        twin.reset(object_position_w=pad, arm_q=low)
    np.testing.assert_array_equal(twin.truth().qpos, before.qpos)
    twin.reset()
    np.testing.assert_allclose(twin.truth().object_position_w[:2], [0.4, 0.4], atol=1e-3)


def test_a_hand_inside_the_table_is_refused(make_twin: MakeTwin, palm_down: Callable[[float], np.ndarray]) -> None:
    twin = make_twin(object_position_w=(0.4, 0.4, 0.0))
    with pytest.raises(RefusedError, match="table and fingertip"):
        twin.reset(arm_q=palm_down(0.10))


@pytest.mark.parametrize("bad", [np.full(16, np.nan), np.full(16, np.inf), np.zeros(15), np.zeros((1, 16)), "fast"])
def test_bad_hand_commands_are_refused_and_change_nothing(make_twin: MakeTwin, bad: object) -> None:
    twin = make_twin()
    before = fingers(twin)
    with pytest.raises((InputError, ValueError)):
        twin.write_hand(bad)  # type: ignore[arg-type]
    twin.step(60)
    np.testing.assert_allclose(fingers(twin), before, atol=2e-3)


def test_bad_arm_commands_are_refused(make_twin: MakeTwin) -> None:
    twin = make_twin()
    with pytest.raises(InputError, match="finite"):
        twin.write_arm(np.full(7, np.nan))
    beyond = np.asarray(twin.cell.arm.home).copy()
    beyond[3] = 0.5
    with pytest.raises(InputError, match="fr3_joint4"):
        twin.write_arm(beyond)


def test_hand_commands_are_clamped_to_the_joints(make_twin: MakeTwin) -> None:
    twin = make_twin()
    twin.write_hand(np.full(16, 50.0))
    twin.step(240)
    np.testing.assert_allclose(twin.data.ctrl[twin.scene.finger_actuators], twin.hand.upper)


def test_the_arm_stops_where_it_is_and_can_go_on(make_twin: MakeTwin) -> None:
    twin = make_twin()
    home = np.asarray(twin.cell.arm.home)
    for n in range(30):
        twin.write_arm(home + 0.01 * n * np.array([1.0, 0, 0, 0, 0, 0, 0]))
        twin.step(TICK)
    twin.stop_arm()
    twin.step(48)
    stopped = arm(twin)
    assert 0.25 < stopped[0] - home[0] < 0.29
    twin.step(240)
    np.testing.assert_allclose(arm(twin), stopped, atol=2e-3)
    assert twin.arm_peak_speed == pytest.approx(0.6 / 2.62, rel=1e-6)
    twin.write_arm(stopped)
    twin.step(48)


def test_powers_of_the_hand(make_twin: MakeTwin) -> None:
    twin = make_twin()
    twin.set_hand_power("off")
    twin.write_hand(np.asarray(twin.hand.upper))
    twin.step(48)
    assert np.abs(twin.data.actuator_force[twin.scene.finger_actuators]).max() == 0.0
    twin.set_hand_power("soft")
    twin.step(48)
    soft = np.abs(twin.data.actuator_force[twin.scene.finger_actuators]).max()
    twin.reset()
    twin.write_hand(np.asarray(twin.hand.upper))
    twin.step(48)
    assert 0.0 < soft < 0.5 * np.abs(twin.data.actuator_force[twin.scene.finger_actuators]).max()
    with pytest.raises(InputError, match="full"):
        twin.set_hand_power("turbo")


def test_a_time_step_that_does_not_divide_the_control_period_is_refused(make_twin: MakeTwin) -> None:
    with pytest.raises(InputError, match="time step"):
        make_twin(timestep_s=0.003)
