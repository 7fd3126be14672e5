"""Sampling on a device's arrays: the same cost and the same update as on the host's, and a choice of engine that leaves digests alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dextrack.cli import mine as mine_verb
from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.mining.again import AgainConfig
from dextrack.mining.audition import AuditionConfig
from dextrack.mining.baseline import make_baseline
from dextrack.mining.campaign import inputs
from dextrack.mining.cost import CostConfig, TrackingCost
from dextrack.mining.engine import MUJOCO, Engine
from dextrack.mining.ensemble import MEMBERS, NOMINAL, Ensemble
from dextrack.mining.mine import MineConfig, mine
from dextrack.mining.sampling import SamplingConfig, SamplingTracker
from dextrack.mining.tuning import TuningConfig
from dextrack.objects import signed_distance
from dextrack.references.reference import Reference
from dextrack.sim.arrays import DeviceArrays, HostArrays
from dextrack.sim.mujoco_rollouts import MujocoWorlds
from dextrack.sim.scene import Scene, build_scene
from tests import synthetic
from tests.devices import DEVICES

REFERENCE = Path(__file__).parent / "box_lift.npz"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(REFERENCE)


@pytest.fixture(scope="module")
def scene(reference: Reference) -> Scene:
    return build_scene(load_hand("leap_right"), reference.base_quaternion_w, synthetic.box())


class Lent:
    """MuJoCo's worlds, as an engine that takes and gives tensors has them."""

    def __init__(self, scene: Scene, n_worlds: int) -> None:
        self._worlds, self.n_worlds = MujocoWorlds(scene, n_worlds, 1), n_worlds
        self.vary, self.reset = self._worlds.vary, self._worlds.reset

    def state(self) -> torch.Tensor:
        return torch.from_numpy(self._worlds.state())

    def set_state(self, state: torch.Tensor) -> None:
        self._worlds.set_state(state.numpy())

    def qpos(self) -> torch.Tensor:
        return torch.from_numpy(self._worlds.qpos())

    def run(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        qpos, sensors = self._worlds.run(targets.double().numpy())
        return torch.from_numpy(qpos.astype(np.float32)), torch.from_numpy(sensors.astype(np.float32))


class SameNumbers(DeviceArrays):
    """A device that draws the numbers that the host draws."""

    def normal(self, seed: int):  # type: ignore[no-untyped-def]
        draw = HostArrays().normal(seed)
        return lambda shape: self.array(draw(shape))


class LentRollouts:
    def __init__(self, scene: Scene) -> None:
        self.arrays, self._scene = SameNumbers("cpu"), scene

    def worlds(self, n_worlds: int) -> Lent:
        return Lent(self._scene, n_worlds)

    def close(self) -> None:
        """Nothing to free."""


def test_the_cost_of_states_is_the_same_on_a_device(reference: Reference, scene: Scene) -> None:
    """While the hand approaches, and where it holds the box; a rollout that is not finite costs most."""
    baseline, distance = make_baseline(reference, scene, 2.0), signed_distance(synthetic.box())
    ensemble = Ensemble(scene, reference, MEMBERS[:2], 3, 1)
    for first in (0, 72):
        steps = slice(first, first + 20)
        targets = np.clip(baseline.targets[None, steps] + np.linspace(0.0, 0.06, 3)[:, None, None], *scene.hand.limits())
        qpos, sensors = ensemble.rollout(targets)
        qpos[1, 2, 5] = np.nan
        costs = []
        for arrays in (HostArrays(), *map(DeviceArrays, DEVICES)):
            cost = TrackingCost(scene, reference, baseline, distance, CostConfig(), arrays)
            each = cost(arrays.array(qpos), arrays.array(sensors), first)
            costs.append((arrays.host(each), arrays.host(cost.over_members(each))))
            assert costs[-1][0][1, 2] == 1e6
        assert np.isfinite(costs[0][0]).all() and np.ptp(costs[0][0][0]) > 0.01
        for on_device in costs[1:]:
            for host, device in zip(costs[0], on_device, strict=True):
                np.testing.assert_allclose(device, host, rtol=1e-3, atol=2e-3)


def test_a_stage_moves_the_knots_alike_on_host_and_device(reference: Reference, scene: Scene) -> None:
    """With the same numbers drawn and the same physics, tensors in single precision lead where arrays in double precision do."""
    config = SamplingConfig(samples=6, iterations=2, horizon=18, members=(NOMINAL, MEMBERS[1]), good=1e-6, synergies=2)
    baseline, distance = make_baseline(reference, scene, 2.0), signed_distance(synthetic.box())
    poor = dataclasses.replace(baseline, targets=baseline.targets + np.array([0.02, -0.02] + [0.0] * 20))
    trackers = [SamplingTracker(reference, scene, poor, distance, config, 7, 1, r) for r in (None, LentRollouts(scene))]
    for tracker in trackers:
        tracker._improve(0, 18, 2 * config.samples)  # more than run at once
    host, device = (tracker.knots for tracker in trackers)
    assert isinstance(device.wrist, torch.Tensor) and device.wrist.dtype == torch.float32
    assert np.abs(host.wrist).max() > 1e-3
    np.testing.assert_allclose(device.wrist.numpy(), host.wrist, atol=1e-4)
    np.testing.assert_allclose(device.fingers.numpy(), host.fingers, atol=2e-3)
    assert trackers[0].ensemble.steps == trackers[1].ensemble.steps == 18 * 2 * (1 + 2 * 12 + 1)


def test_rollouts_of_one_sequence_are_those_of_many(reference: Reference, scene: Scene) -> None:
    """One sequence runs in the members themselves, which are then as they were."""
    ensemble = Ensemble(scene, reference, MEMBERS[:2], 3, 1)
    ensemble.advance(reference.hand[1:7])
    state, targets = ensemble.state(), np.repeat(reference.hand[None, 7:13], 3, axis=0)
    many, one = ensemble.rollout(targets)[0], ensemble.rollout(targets[:1])[0]
    assert one.shape[1] == 1 and (many[:, :1] == one).all() and (ensemble.state() == state).all()


def test_the_engine_changes_digests_only_where_it_is_not_mujoco() -> None:
    """The digest of MuJoCo's is made of what it was made of before there was a choice: stores and ledgers from then are still known."""
    once = AgainConfig(tries=1)
    config, digest = MineConfig(threads=1, again=once), "0" * 64
    known = {field: value for field, value in dataclasses.asdict(config).items() if field != "again"}
    before = hashlib.sha256(json.dumps([digest, known, 0], sort_keys=True).encode()).hexdigest()
    assert inputs(digest, config, 0) == inputs(digest, MineConfig(threads=2, again=once), 0, Engine("mujoco", "cpu")) == before
    warp = inputs(digest, config, 0, Engine("mujoco_warp", "cuda:0"))
    assert warp == inputs(digest, config, 0, Engine("mujoco_warp", "cuda:1")) != before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("options", "why", "remedy"),
    [
        (["--backend", "mujoco_warp", "--device", "cuda:0"], "cuda:0 is not there", "cpu"),
        (["--device", "cuda:0"], "CPU alone", "mujoco_warp"),
        (["--backend", "mujoco_warp", "--device", "gpu"], "no device", "cuda:0"),
    ],
)
def test_mine_refuses_a_device_before_it_does_anything(options: list[str], why: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as told:
        mine_verb.main([str(REFERENCE), "--out", str(tmp_path / "d.h5"), *options])
    assert remedy in told.value.remedy and not (tmp_path / "d.h5").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("device", DEVICES)
def test_a_task_is_mined_on_warp(reference: Reference, device: str) -> None:
    """From auditions through a search to the verdict."""
    pytest.importorskip("mujoco_warp")
    obj = dataclasses.replace(synthetic.box(), friction=1.5)
    short = {k: getattr(reference, k)[:19] for k in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")}
    plan = {**reference.diagnosis, "onset": 6, "release": 18}
    task = dataclasses.replace(reference, **short, diagnosis=plan, provenance={**reference.provenance, "object": obj.digest})
    sampling = SamplingConfig(samples=2, iterations=1, horizon=12, good=1e-6)
    config = MineConfig(sampling=sampling, audition=AuditionConfig(grasps=1, squeezes=(0.0,), away=1e-6), tuning=TuningConfig(budget=0), grasps=1, threads=1)
    found = mine(task, obj, config, 0, engine=Engine("mujoco_warp", device))
    assert found.provenance["backend"] == "mujoco_warp"
    assert [a["by"] for a in found.provenance["attempts"]] == ["search"]
    assert np.isfinite(found.targets).all() and found.targets.shape == (18, 22)
    assert found.metrics["t_err_m"] < 0.02, "the box stays where it is, and the hand near it"
    assert MUJOCO.backend == "mujoco"
