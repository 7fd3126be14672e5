"""The RL tracker on a hand-made lift, with networks and budgets too small to learn much: what is learnt is shown in the benchmark."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dextrack import rotations
from dextrack.cli import main
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.mining import rl_checkpoint, rl_tracker
from dextrack.mining.mine import demonstrate
from dextrack.mining.rl_baseline import rl_baseline, stretched
from dextrack.mining.rl_config import TASK, CurriculumConfig, PPOConfig, RLConfig
from dextrack.mining.rl_evaluation import _finite
from dextrack.mining.rl_tracker import track_by_rl
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from dextrack.tracking.config import TerminationConfig
from tests import synthetic

TINY = RLConfig(worlds=4, budget=48, evaluate_every=1, phase=1, ppo=PPOConfig(hidden=(16,), horizon=6, minibatches=2, epochs=2), threads=1)
FIRST, FRAMES = 40, 21


@pytest.fixture(scope="module")
def reference() -> Reference:
    whole = Reference.load(Path(__file__).parent / "box_lift.npz")
    at = slice(FIRST, FIRST + FRAMES)
    arrays = {k: getattr(whole, k)[at] for k in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")}
    return dataclasses.replace(whole, **arrays, provenance={})


@pytest.fixture(scope="module")
def found(reference: Reference) -> Demonstration:
    return track_by_rl(reference, synthetic.box(), None, TINY, seed=3)


@pytest.fixture(scope="module")
def expert(reference: Reference) -> Demonstration:
    """A demonstration of the reference by another tracker: the reference one step ahead, a little lower."""
    obj, hand = synthetic.box(), load_hand("leap_right")
    scene = build_scene(hand, reference.base_quaternion_w, obj)
    return demonstrate(scene, reference, obj, reference.hand[1:] - np.array([0, 0, 0.002] + [0] * 19), {"tracker": "made"}, 0.0, 1)


def test_without_training_the_targets_are_the_baseline(reference: Reference) -> None:
    untrained = track_by_rl(reference, synthetic.box(), None, dataclasses.replace(TINY, budget=0))
    lower, upper = load_hand("leap_right").limits()
    np.testing.assert_allclose(untrained.targets, np.clip(reference.hand[:-1], lower, upper), atol=1e-12)
    p = untrained.provenance
    assert p["zero"] == p["curve"][0] and p["stopped"] == "budget" and p["baseline"] == {"kind": "reference"}


def test_what_training_leaves_behind(found: Demonstration, reference: Reference) -> None:
    p = found.provenance
    assert [e["control_steps"] for e in p["curve"]] == [0, 24, 48] and p["control_steps"] == 48
    assert found.targets.shape == (reference.n_steps, 22) and p["tracker"] == "rl" and p["seed"] == 3
    assert p["closed_loop"]["replays"] == 8 and 0 <= p["closed_loop"]["survived"] <= 8
    assert set(found.verdict) >= {"lifted", "held", "clean", "robust"}
    json.dumps(p, allow_nan=False)


def test_the_open_loop_replay_goes_where_the_policy_went(found: Demonstration) -> None:
    """Closed loop in a batch, open loop in one MjData: targets, first pose and physics are the same."""
    closed = found.provenance["closed_loop"]["metrics"]
    assert closed["t_err_m"] == pytest.approx(found.metrics["t_err_m"], abs=1e-4)
    assert closed["e_finger_rad"] == pytest.approx(found.metrics["e_finger_rad"], abs=1e-4)


def test_the_same_seed_gives_the_same_targets_and_leaves_torch_alone(found: Demonstration, reference: Reference) -> None:
    torch.manual_seed(11)
    expected, threads = torch.rand(3, generator=torch.Generator().manual_seed(11)), torch.get_num_threads()
    again = track_by_rl(reference, synthetic.box(), None, TINY, seed=3)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads
    assert (again.targets == found.targets).all()


def test_a_demonstration_is_a_baseline_with_its_own_states(reference: Reference, expert: Demonstration) -> None:
    untrained = track_by_rl(reference, synthetic.box(), expert, dataclasses.replace(TINY, budget=0))
    np.testing.assert_allclose(untrained.targets, expert.targets, atol=1e-12)
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    plan = rl_baseline(reference, scene, expert, lead=1)
    assert plan.starts is expert and plan.lead == 0 and plan.origin["kind"] == "demonstration"


def test_a_parents_targets_are_stretched_and_its_wrist_turns_the_same_way(reference: Reference, expert: Demonstration) -> None:
    base = rotations.multiply(reference.base_quaternion_w, rotations.from_rotation_vector([0.2, -0.1, 0.3]))
    rows = stretched(expert.targets, reference.base_quaternion_w, 2 * len(expert.targets) - 1, base)
    theirs = rotations.multiply(reference.base_quaternion_w, rotations.from_hinges(expert.targets[:, 3:6]))
    ours = rotations.multiply(base, rotations.from_hinges(rows[::2, 3:6]))
    assert rotations.angle(theirs, ours).max() < 1e-6
    np.testing.assert_allclose(rows[::2, 6:], expert.targets[:, 6:], atol=1e-12)
    np.testing.assert_allclose(rows[1::2, :3], (expert.targets[:-1, :3] + expert.targets[1:, :3]) / 2, atol=1e-12)
    other = dataclasses.replace(reference, name="child", object_position_w=reference.object_position_w + [0.0, 0.0, 1e-4])
    child = track_by_rl(other, synthetic.box(), expert, dataclasses.replace(TINY, budget=0))
    assert child.provenance["baseline"]["kind"] == "parent" and child.provenance["baseline"]["name"] == reference.name


def test_the_object_lies_at_rest_until_the_reference_moves_it(reference: Reference) -> None:
    """A reference whose object hovers 1 mm over the table starts on the table; once lifted it is where the reference has it."""
    position = reference.object_position_w.copy()
    position[:, 2] = synthetic.SIZE[2] / 2 + 0.001
    position[10:, 2] += 0.05
    hovering = dataclasses.replace(reference, object_position_w=position)
    scene = build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())
    starts = rl_baseline(hovering, scene, None, 0).starts
    assert (np.abs(starts.object_position_w[:10, 2] - synthetic.SIZE[2] / 2) < 5e-4).all()
    assert (starts.object_position_w[10:] == position[10:]).all()


def test_training_goes_on_from_its_checkpoint(found: Demonstration, reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    half = track_by_rl(reference, synthetic.box(), None, dataclasses.replace(TINY, budget=24), 3, checkpoint=path)
    told: list[float] = []
    whole = track_by_rl(reference, synthetic.box(), None, TINY, 3, lambda done, error: told.append(done), path)
    assert told == [0.5, 1.0]
    assert [e["control_steps"] for e in whole.provenance["curve"]] == [0, 24, 48]
    # The first half is the same as in one go; the second begins its episodes anew.
    assert whole.provenance["curve"][:2] == half.provenance["curve"]
    assert [e["return_per_step"] for e in half.provenance["curve"]] == [e["return_per_step"] for e in found.provenance["curve"][:2]]
    done = track_by_rl(reference, synthetic.box(), None, TINY, 3, checkpoint=path)
    assert (done.targets == whole.targets).all() and done.provenance["curve"] == whole.provenance["curve"]


def test_checkpoints_of_other_tasks_and_damaged_ones_are_refused(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    track_by_rl(reference, synthetic.box(), None, dataclasses.replace(TINY, budget=0), 3, checkpoint=path)
    with pytest.raises(InputError, match="another task"):
        track_by_rl(reference, synthetic.box(), None, TINY, 4, checkpoint=path)
    tensors, header = rl_checkpoint.load(path)
    rl_checkpoint.save(path, {k: v for k, v in tensors.items() if not k.startswith("critic.")}, header)
    with pytest.raises(InputError, match="does not fit"):
        track_by_rl(reference, synthetic.box(), None, TINY, 3, checkpoint=path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="no readable checkpoint"):
        rl_checkpoint.load(path)


def test_training_stops_at_its_plateau(reference: Reference) -> None:
    """No return beats another by 100 per step, so the second evaluation without a better one ends it, of those after the curriculum's end."""
    for curriculum, first in ((CurriculumConfig(active=False), 2), (CurriculumConfig(steps=24 * 30), 32)):
        config = dataclasses.replace(TINY, budget=24 * 50, patience=2, improvement=100.0, curriculum=curriculum)
        p = track_by_rl(reference, synthetic.box(), None, config, 3).provenance
        assert p["stopped"] == "plateau" and 24 * first <= p["control_steps"] < 24 * (first + 15)


def test_a_world_that_diverges_in_training_is_written_down(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, training, left = rl_tracker._make_worlds, [True], [np.array([2])]

    def made(*arguments: Any) -> Any:
        worlds = make(*arguments)
        if training:  # those of the evaluation are made after them
            training.clear()
            monkeypatch.setattr(worlds, "bad_worlds", lambda: left.pop() if left else np.array([], dtype=np.intp))
        return worlds

    monkeypatch.setattr(rl_tracker, "_make_worlds", made)
    track_by_rl(reference, synthetic.box(), None, TINY, 3, dump=tmp_path)
    with np.load(tmp_path / "bad_world_0.npz", allow_pickle=False) as written:
        assert json.loads(written["header"].tobytes())["world"] == 2 and written["action"].shape == (22,)


def test_states_of_a_world_that_diverged_stay_at_the_last_finite_one() -> None:
    states = np.arange(12.0).reshape(2, 3, 2)
    states[1, 1:, 0] = np.nan
    held = _finite(states)
    assert (held[0] == states[0]).all() and (held[1] == states[1, 0]).all()


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RLConfig(worlds=0), "worlds"),
        (lambda: RLConfig(vary=1.0), "vary"),
        (lambda: RLConfig(ppo=PPOConfig(std=0.0)), "std"),
        (lambda: RLConfig(ppo=PPOConfig(hidden=())), "hidden"),
        (lambda: RLConfig(worlds=1, ppo=PPOConfig(horizon=2, minibatches=3)), "minibatches"),
        (lambda: RLConfig(task=dataclasses.replace(TASK, termination=TerminationConfig(horizon=9))), "horizon"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(make: Callable[[], object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        make()


def test_other_objects_hands_and_seeds_are_refused(reference: Reference, expert: Demonstration) -> None:
    named = dataclasses.replace(reference, provenance={"object": "0" * 64})
    with pytest.raises(InputError, match="digest"):
        track_by_rl(named, synthetic.box(), None, TINY)
    with pytest.raises(InputError, match="seed"):
        track_by_rl(reference, synthetic.box(), None, TINY, seed=-1)
    slower = dataclasses.replace(expert, reference=dataclasses.replace(reference, period=1 / 30))
    with pytest.raises(InputError, match="control period"):
        track_by_rl(reference, synthetic.box(), slower, TINY)


def test_the_command_trains_once_keeps_the_result_and_names_its_baseline(
    reference: Reference, expert: Demonstration, tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "references" / "box_lift.npz", tmp_path / "rl.h5"
    path.parent.mkdir()
    reference.save(path)
    (tmp_path / "objects").mkdir()
    synthetic.box().save(tmp_path / "objects" / "box.npz")
    store.save(tmp_path / "mined.h5", expert)
    command = ["mine", str(path), "--tracker", "rl", "--out", str(out), "--rl.worlds", "4", "--rl.budget", "24", "--rl.ppo.horizon", "6", "--rl.threads", "1"]
    command += ["--baseline", str(tmp_path / "mined.h5"), "--json", str(tmp_path / "r.json")]
    assert main(command) == 0
    assert "trained" in capsys.readouterr().out
    kept = store.load(out, store.name_of(expert))
    assert kept.provenance["baseline"]["tracker"] == "made"
    assert json.loads((tmp_path / "r.json").read_text())["cost"]["control_steps"] == 24
    assert not list(tmp_path.glob("*.safetensors"))
    assert main(command) == 0
    assert "already there" in capsys.readouterr().out
    assert main([*command[:-4], "--parent", "nobody@leap_right"]) == 2
    assert "in no store" in capsys.readouterr().err
