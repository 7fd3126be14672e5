"""The observation: its slices hold what they are called, for the robot as for a thousand worlds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.tracking import observation
from dextrack.tracking.config import ObservationConfig

JOINTS = tuple(f"j{i}" for i in range(22))
TIPS = ("thumb", "index", "middle", "ring")


def sensed(w: int, seed: int = 0, feature: int = 256) -> observation.Sensed:
    rng = np.random.default_rng(seed)

    def state() -> torch.Tensor:
        return torch.as_tensor(np.concatenate([rng.normal(size=(w, 25)), rotations.normalise(rng.normal(size=(w, 4)))], axis=1))

    def random(*shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(size=shape))

    return observation.Sensed(state(), random(w, 28), state(), random(w, 22), random(w, 22), random(w, 4, 3), random(w, feature))


@pytest.mark.parametrize("config", [ObservationConfig(), ObservationConfig(object_feature=0, repeat_goal=False)])
def test_slices_are_gapless_and_hold_what_they_are_called(config):
    layout, s = observation.make_layout(config, JOINTS, TIPS), sensed(6, feature=config.object_feature)
    o = observation.observe(config, s)
    assert o.shape == (6, layout.size)
    stops = [0] + [p.stop for p in layout.slices.values()]
    assert [p.start for p in layout.slices.values()] == stops[:-1]
    part = {name: o[:, columns].numpy() for name, columns in layout.slices.items()}
    state, goal = s.state.numpy(), s.goal.numpy()
    expected = {
        "hand": state[:, :22], "object_position_w": state[:, 22:25], "goal_hand": goal[:, :22], "goal_object_position_w": goal[:, 22:25],
        "hand_velocity": s.velocity[:, :22], "object_linear_velocity_w": s.velocity[:, 22:25], "object_angular_velocity_w": s.velocity[:, 25:],
        "baseline": s.baseline, "target": s.target, "object_feature": s.feature, "fingertips_w": s.tips_w.reshape(6, 12),
        "difference_hand": goal[:, :22] - state[:, :22], "difference_position_w": goal[:, 22:25] - state[:, 22:25],
    }  # fmt: skip
    for name, value in expected.items():
        if name in part:
            np.testing.assert_allclose(part[name], value, atol=1e-12, err_msg=name)
    for name, q in (("object_quaternion_w", state[:, 25:]), ("goal_object_quaternion_w", goal[:, 25:])):
        assert (part[name][:, 0] >= 0).all() and rotations.angle(part[name], q).max() < 1e-7
    # The rotation vector leads from the state to the goal about world axes.
    reached = rotations.multiply(rotations.from_rotation_vector(part["difference_rotation_w"]), state[:, 25:])
    assert rotations.angle(reached, goal[:, 25:]).max() < 1e-7
    assert ("aux_goal" in part) == config.repeat_goal
    if config.repeat_goal:
        np.testing.assert_array_equal(
            part["aux_goal"], np.concatenate([part[k] for k in ("goal_hand", "goal_object_position_w", "goal_object_quaternion_w")], axis=1)
        )


def test_eq_8_has_455_numbers_for_a_leap_hand():
    """22 + 7 state, 22 + 6 velocity, 29 goal, 22 baseline, 22 target, 256 feature, 29 goal again, 12 fingertips, 22 + 6 difference."""
    assert observation.make_layout(ObservationConfig(), JOINTS, TIPS).size == 29 + 28 + 29 + 22 + 22 + 256 + 29 + 12 + 28


def test_the_layout_is_json_with_its_name_lists():
    d = json.loads(json.dumps(observation.make_layout(ObservationConfig(), JOINTS, TIPS).as_dict()))
    assert d["slices"]["hand"] == [0, 22] and d["joint_names"] == list(JOINTS) and d["fingertips"] == list(TIPS) and d["size"] == 455


def test_a_quaternions_sign_does_not_show():
    config, s = ObservationConfig(), sensed(8)
    flipped = observation.Sensed(
        torch.cat([s.state[:, :25], -s.state[:, 25:]], 1),
        s.velocity,
        torch.cat([s.goal[:, :25], -s.goal[:, 25:]], 1),
        s.baseline,
        s.target,
        s.tips_w,
        s.feature,
    )
    torch.testing.assert_close(observation.observe(config, flipped), observation.observe(config, s))


def test_one_world_sees_what_it_sees_among_many():
    """The robot's observation is the training's."""
    config, s = ObservationConfig(), sensed(5)
    together = observation.observe(config, s, out=torch.empty(5, 455, dtype=torch.float64))
    alone = observation.Sensed(*(getattr(s, f)[2:3] for f in ("state", "velocity", "goal", "baseline", "target", "tips_w", "feature")))
    torch.testing.assert_close(observation.observe(config, alone), together[2:3])


def test_velocity_is_that_of_a_screw_motion():
    """A body that turns at a constant rate about a world axis, beyond half a turn of accumulated angle."""
    rate, linear, period = np.array([1.0, -2.0, 3.0]), np.array([0.3, 0.1, -0.2]), 1 / 60
    start = Rotation.from_rotvec([0.2, 0.4, -0.1])

    def state(t: float) -> torch.Tensor:
        q = (Rotation.from_rotvec(rate * t) * start).as_quat(scalar_first=True)
        return torch.as_tensor(np.concatenate([np.full(22, 0.5 * t), linear * t, q]))[None]

    for t in (0.0, 0.4, 0.8, 1.7):
        v = observation.velocity_between(state(t), state(t + period), period)[0].numpy()
        np.testing.assert_allclose(v, np.concatenate([np.full(22, 0.5), linear, rate]), atol=1e-9)
