"""Retargeting: the hand grasps where the recording's did, within limits, without touching what it must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from dextrack.errors import InputError, RefusedError
from dextrack.hands import load_hand
from dextrack.references.contacts import ContactConfig
from dextrack.references.diagnosis import _warnings
from dextrack.references.reference import Reference
from dextrack.references.resample import resample
from dextrack.references.retarget import RetargetConfig, regrasp, retarget
from dextrack.sim.scene import build_scene
from tests import synthetic

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return retarget(synthetic.recording(), synthetic.box(), load_hand("leap_right"))


def gaps(reference: Reference, n: int) -> Floats:
    """Distance between surface and pad at step ``n``, (F,), m, by the engine's own kinematics and the box, not the voxel grid that retargeting uses."""
    hand = load_hand(reference.hand_name)
    scene = build_scene(hand, reference.base_quaternion_w, synthetic.box())
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(reference.hand[n], reference.object_position_w[n], reference.object_quaternion_w[n])
    mujoco.mj_kinematics(scene.model, data)
    fingers = reference.diagnosis["fingers"]
    radii = {f.finger: f.radius for f in hand.fingertips}
    local = np.array([data.site(finger + "_tip").xpos for finger in fingers]) - reference.object_position_w[n]
    outside = np.linalg.norm(np.maximum(np.abs(local) - np.array(synthetic.SIZE) / 2, 0.0), axis=1)
    return np.abs(outside - [radii[finger] for finger in fingers])


def test_fingertips_touch_the_box_while_it_is_held(reference: Reference) -> None:
    assert gaps(reference, reference.diagnosis["onset"] + 10).max() < 0.003


def test_thumb_opposes_fingers(reference: Reference) -> None:
    assert "thumb" in reference.diagnosis["fingers"] and len(reference.diagnosis["fingers"]) >= 3
    assert reference.diagnosis["opposition"] > 0.9


def test_first_frame_is_clear_and_limits_hold(reference: Reference) -> None:
    hand = load_hand(reference.hand_name)
    scene = build_scene(hand, reference.base_quaternion_w, synthetic.box())
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.qpos(reference.hand[0], reference.object_position_w[0], reference.object_quaternion_w[0])
    mujoco.mj_forward(scene.model, data)
    touching = [c for c in range(data.ncon) if scene.model.body("object").id in scene.model.geom_bodyid[data.contact[c].geom]]
    others = {int(b) for c in touching for b in scene.model.geom_bodyid[data.contact[c].geom]} - {scene.model.body("object").id}
    assert others <= {0}, "only the table touches the object in the first frame"
    lower, upper = hand.limits()
    assert (reference.hand >= lower - 1e-9).all() and (reference.hand <= upper + 1e-9).all()
    assert np.abs(reference.hand[:, 4]).max() < np.radians(60.0)


def test_resampling_follows_the_stamps() -> None:
    """Uneven stamps and another rate give the same motion: compared with the closed form of the synthetic lift."""
    full = synthetic.recording(200.0)
    keep = np.sort(np.random.default_rng(0).choice(len(full.time), 300, replace=False))
    keep[0], keep[-1] = 0, len(full.time) - 1
    fields = ("time", "keypoints_w", "object_position_w", "object_quaternion_w")
    uneven = dataclasses.replace(full, **{k: getattr(full, k)[np.unique(keep)] for k in fields})
    motion = resample(uneven, 1 / 60, 0.0)
    at = np.arange(len(motion.object_position_w)) / 60
    u = np.clip((at - 1.2) / 0.8, 0.0, 1.0)
    assert np.abs(motion.object_position_w[:, 2] - (0.04 + 0.1 * u * u * (3 - 2 * u))).max() < 0.003
    assert motion.time_scale == 1.0


def test_fast_motion_is_slowed_and_the_factor_recorded() -> None:
    motion = resample(synthetic.recording(), 1 / 60, 0.05)
    # The lift's peak speed is 1.5 * 0.1 m / 0.8 s; the approach's 1.5 * 0.08 / 0.6.
    assert motion.time_scale == pytest.approx(1.5 * 0.08 / 0.6 / 0.05, rel=0.1)
    speed = np.linalg.norm(np.diff(motion.object_position_w, axis=0), axis=1).max() * 60
    assert speed < 0.055


def test_reference_round_trips_and_carries_digests(reference: Reference, tmp_path) -> None:
    path = tmp_path / "box_lift.npz"
    reference.save(path)
    again = Reference.load(path)
    assert again.digest == reference.digest and again.diagnosis == reference.diagnosis
    assert again.provenance["recording"] == synthetic.recording().digest


def test_hopeless_input_is_refused_with_its_reason() -> None:
    hand, obj, good = load_hand("leap_right"), synthetic.box(), synthetic.recording()
    with pytest.raises(RefusedError, match="left hand"):
        retarget(dataclasses.replace(good, side="left"), obj, hand)
    still = dataclasses.replace(good, object_position_w=np.tile(good.object_position_w[:1], (len(good.time), 1)))
    with pytest.raises(RefusedError, match="never moves"):
        retarget(still, obj, hand)
    far = dataclasses.replace(good, keypoints_w=good.keypoints_w + np.array([0.3, 0.0, 0.0]))
    with pytest.raises(RefusedError, match="within reach"):
        retarget(far, obj, hand)


def test_a_jump_is_refused_instead_of_slowed_down_without_end() -> None:
    good = synthetic.recording()
    keypoints = good.keypoints_w.copy()
    keypoints[20:24] += 8.0
    with pytest.raises(RefusedError, match="times slower"):
        resample(dataclasses.replace(good, keypoints_w=keypoints), 1 / 60, 0.5, 2.0)


@pytest.mark.parametrize(
    "field", [{"speed_limit": float("nan")}, {"speed_limit": -1.0}, {"acceleration_limit": float("inf")}, {"iterations": -1}, {"solver": "newton"}]
)
def test_settings_that_make_no_sense_are_refused_by_name(field: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        RetargetConfig(**field)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed"):
        retarget(synthetic.recording(), synthetic.box(), load_hand("leap_right"), seed=-1)


def test_an_object_too_small_for_a_spacing_has_no_such_grasp(reference: Reference) -> None:
    """Nothing on the box is half a metre apart: no grasp, and no error."""
    assert regrasp(reference, synthetic.box(), ContactConfig(spacing=0.5)) is None
    early = regrasp(reference, synthetic.box(), ContactConfig(), last=30)  # it ends before the hand is there
    assert early is not None and early.n_steps == 30


def test_a_quick_look_at_a_grasp_is_near_what_all_frames_give(reference: Reference) -> None:
    """Frames between those that were solved for are interpolated: millimetres, and no farther from the contacts than a pad is soft."""
    n = reference.n_steps - 1
    quick, whole = (regrasp(reference, synthetic.box(), ContactConfig(), last=last) for last in (n, None))
    assert quick is not None and whole is not None
    off = np.abs(quick.hand - whole.hand[: n + 1])
    assert np.median(off[:, :3]) < 0.002 and np.median(off[:, 6:]) < 0.02
    for later in (10, 40):
        quick_gaps, whole_gaps = (gaps(guide, guide.diagnosis["onset"] + later) for guide in (quick, whole))
        assert whole_gaps.max() < 0.004 and (quick_gaps < whole_gaps + 0.002).all()


def test_a_motion_waits_for_motors_that_are_too_slow(reference: Reference) -> None:
    fast = reference.diagnosis["finger_speed_share"]
    assert 0.0 < fast < 1.0 and reference.diagnosis["finger_slowdown"] == 1.0
    hand = load_hand("leap_right")
    found = retarget(synthetic.recording(), synthetic.box(), dataclasses.replace(hand, velocity=tuple(v * fast / 2.0 for v in hand.velocity)))
    told = found.diagnosis
    assert told["finger_slowdown"] == pytest.approx(2.0) and 0.9 < told["finger_speed_share"] < 1.0 + 1e-9
    assert not any("motor" in w for w in told["warnings"])
    # It is longer by no more than it must be, and hand and object are together where they were.
    assert reference.n_steps < found.n_steps < 1.5 * reference.n_steps
    assert found.object_position_w[-1] == pytest.approx(reference.object_position_w[-1], abs=1e-3)
    assert told["penetration_max_m"] == pytest.approx(reference.diagnosis["penetration_max_m"], abs=5e-4)
    for finger, gap in told["contact_gap_m"].items():
        assert gap == pytest.approx(reference.diagnosis["contact_gap_m"][finger], abs=1e-3)


def test_a_grasp_whose_fingers_are_too_fast_is_told(reference: Reference) -> None:
    """Other grasps keep the motion that they are tried out for, so they cannot wait."""
    assert any("2.5 times its motor's speed" in w for w in _warnings({**reference.diagnosis, "finger_speed_share": 2.5}))
