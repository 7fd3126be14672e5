"""Rollouts of both engines that offer them: the same motion, states that are put back, and no way through the host.

What runs MuJoCo Warp is slow: it compiles its kernels for a minute the first time. It runs on Warp's CPU device, and on a GPU where there is one.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.sim import make_rollouts, rollout_device, rollout_names
from dextrack.sim.arrays import DeviceArrays, HostArrays
from dextrack.sim.scene import build_scene
from tests import synthetic
from tests.devices import DEVICES, rounding

HAND = load_hand("leap_right")
WORLDS, HORIZON = 2, 6
SCALES = (np.array([1.0, 0.8]), np.array([1.0, 1.5]), np.array([1.0, 0.6]))
"""Friction, mass and gains of the two worlds."""


@pytest.fixture(scope="module")
def scene():
    return build_scene(HAND, [1.0, 0.0, 0.0, 0.0], synthetic.box())


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def warp(scene, device: str):
    pytest.importorskip("mujoco_warp")
    made = make_rollouts("mujoco_warp", scene, device=device)
    yield made
    made.close()


def begin(worlds) -> None:
    """Both hands low over the table beside the box, which stands on it."""
    worlds.vary(*SCALES)
    hand = np.concatenate([[-0.2, 0.0, 0.25, 0.0, 0.0, 0.0], HAND.rest])
    worlds.reset(np.tile(hand, (WORLDS, 1)), np.tile([0.0, 0.0, synthetic.SIZE[2] / 2], (WORLDS, 1)), np.tile([1.0, 0.0, 0.0, 0.0], (WORLDS, 1)))


def sequences(horizon: int = HORIZON) -> np.ndarray:
    """Targets (W, H, 22): the fingers close, the same in both worlds."""
    hand = np.concatenate([[-0.2, 0.0, 0.25, 0.0, 0.0, 0.0], HAND.rest])
    out = np.tile(hand, (WORLDS, horizon, 1))
    out[..., 6:] += 0.4 * (np.arange(1, horizon + 1) / horizon)[None, :, None]
    out[..., 0] += 0.01 * (np.arange(1, horizon + 1) / horizon)[None, :]
    return np.clip(out, *HAND.limits())


class HostTraffic(TorchDispatchMode):
    """Counts casts and moves of tensors, and what waits for their values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket._qualified_op_name.split("::")[1] in ("_to_copy", "_local_scalar_dense", "nonzero")
        return func(*args, **(kwargs or {}))


def test_who_offers_rollouts_and_on_which_devices() -> None:
    assert rollout_names() == ("mujoco", "mujoco_warp")
    assert rollout_device("mujoco") == rollout_device("mujoco", "cpu") == "cpu"
    with pytest.raises(InputError, match="remote.*no rollouts"):
        rollout_device("remote")
    with pytest.raises(InputError, match="CPU alone") as told:
        rollout_device("mujoco", "cuda:0")
    assert "mujoco_warp" in told.value.remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("device", "why"), [("cuda:0", "not there"), ("cuda", "cuda:0 is not there"), ("gpu", "is no device"), ("cuda:x", "is no device")])
def test_a_device_that_is_not_there_is_refused_with_cause_and_remedy(device: str, why: str) -> None:
    pytest.importorskip("mujoco_warp")
    with pytest.raises(InputError, match=why) as told:
        rollout_device("mujoco_warp", device)
    assert "cpu" in told.value.remedy


def test_arrays_of_a_device_are_what_the_host_has() -> None:
    host, device = HostArrays(), DeviceArrays("cpu")
    values = np.array([[1.0, 2.5], [-3.0, 0.125]])
    assert (device.host(device.array(values)) == values).all() and (host.host(host.array(values)) == values).all()
    copy = device.array(source := device.array(values))
    copy[:] = 0.0
    assert (device.host(source) == values).all()
    once, again, other = (device.normal(seed)((400, 50)) for seed in (1, 1, 2))
    assert (once == again).all() and not (once == other).all()
    assert abs(float(once.mean())) < 0.03 and abs(float(once.std()) - 1.0) < 0.03


def goes_the_same_way_again(rollouts, apart: float) -> None:
    worlds = rollouts.worlds(WORLDS)
    begin(worlds)
    targets = rollouts.arrays.array(sequences())
    worlds.run(targets)
    state = worlds.state()
    once = worlds.run(targets)
    assert not bool((worlds.state() == state).all())
    worlds.set_state(state)
    again = worlds.run(targets)
    # Sensors have forces, which are larger than metres and radians.
    for a, b, within in zip(once, again, (apart, 200 * apart), strict=True):
        np.testing.assert_allclose(rollouts.arrays.host(a), rollouts.arrays.host(b), rtol=0.0, atol=within)
    assert bool((worlds.qpos() == again[0][:, -1]).all())


def test_from_a_state_that_is_put_back_the_same_follows(scene) -> None:
    goes_the_same_way_again(make_rollouts("mujoco", scene, 1), 0.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_state_that_is_put_back_the_same_follows_on_warp(warp, device: str) -> None:
    goes_the_same_way_again(warp, rounding(device))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_warp_rolls_out_what_mujoco_does(scene, warp) -> None:
    """Configurations and sensors after every step, in a world of its own friction, mass and gains beside the nominal one."""
    reached = []
    for rollouts in (make_rollouts("mujoco", scene, 1), warp):
        worlds = rollouts.worlds(WORLDS)
        begin(worlds)
        reached.append([rollouts.arrays.host(a) for a in worlds.run(rollouts.arrays.array(sequences()))])
    assert reached[0][0].shape == (WORLDS, HORIZON, scene.model.nq) and reached[0][1].shape == (WORLDS, HORIZON, scene.model.nsensordata)
    np.testing.assert_allclose(reached[1][0], reached[0][0], atol=2e-4)
    tips = slice(0, 3 * len(HAND.fingertips))
    np.testing.assert_allclose(reached[1][1][..., tips], reached[0][1][..., tips], atol=2e-4)
    np.testing.assert_allclose(reached[1][1][..., tips.stop :], reached[0][1][..., tips.stop :], atol=0.2)
    fingers = scene.hand_qpos[6:]
    assert np.abs(reached[1][0][0, :, fingers] - reached[1][0][1, :, fingers]).max() > 0.005, "fingers with weaker gains lag behind"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worlds_that_are_not_asked_for_wait_where_nothing_touches(scene, warp, device: str) -> None:
    """And those that are asked for go where they went beside the others."""
    worlds = warp.worlds(WORLDS)
    begin(worlds)
    before, targets = worlds.state(), warp.arrays.array(sequences())
    both, _ = worlds.run(targets)
    worlds.set_state(before)
    alone, _ = worlds.run(targets[1:], np.array([1]))
    torch.testing.assert_close(alone[0], both[1], atol=rounding(device), rtol=0.0)
    waits = warp.arrays.host(worlds.qpos())[0]
    assert waits[scene.hand_qpos[2]] == 1.0 and waits[scene.object_qpos] == 1.0
    worlds.set_state(before)
    again, _ = worlds.run(targets)
    torch.testing.assert_close(again, both, atol=rounding(device), rtol=0.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_horizon_is_looked_at_once_from_the_host(warp, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is, one read of the counts of contacts, and no tensor is cast, moved or read beside."""
    worlds = warp.worlds(WORLDS)
    begin(worlds)
    targets = warp.arrays.array(sequences())
    called: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(torch.Tensor, name)

        def call(*args: object, **kwargs: object) -> object:
            called[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, call)

    for name in ("cpu", "cuda", "numpy", "tolist", "item", "__float__", "__bool__", "__array__"):
        counted(name)
    with HostTraffic() as traffic:
        worlds.run(targets)
    # The one read is a copy where the counts are a GPU's.
    assert called == {"tolist": 1} and traffic.count <= (device != "cpu")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worlds_that_run_out_of_room_get_more_and_go_the_same_way(scene, warp, device: str) -> None:
    from dextrack.sim.warp_rollouts import Room, WarpWorlds

    worlds = warp.worlds(WORLDS)
    begin(worlds)
    targets = warp.arrays.array(sequences(2))
    enough, _ = worlds.run(targets)
    narrow = WarpWorlds(scene, WORLDS, device, Room(1, worlds.room.constraints))
    begin(narrow)
    grown, _ = narrow.run(targets)
    assert narrow.room.contacts > 1
    torch.testing.assert_close(grown, enough, atol=max(1e-5, rounding(device)), rtol=0.0)
    narrow.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_only_the_last_four_sets_of_worlds_are_kept(scene, warp) -> None:
    """As many as tuning goes to and fro between."""
    four = {n: warp.worlds(n) for n in (WORLDS, 1, 3, 4)}
    for n, kept in four.items():
        assert warp.worlds(n) is kept
    warp.worlds(5)
    with pytest.raises(AttributeError):
        four[WORLDS].state()
    assert warp.worlds(WORLDS) is not four[WORLDS]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_set_of_worlds_has_the_room_that_another_grew_to(scene, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warp_capacity = pytest.importorskip("dextrack.sim.warp_capacity")
    monkeypatch.setattr(warp_capacity, "probe", lambda scene, device: (1, 256))
    narrow = make_rollouts("mujoco_warp", scene, device=device)
    grown = narrow.worlds(WORLDS)
    begin(grown)
    grown.run(narrow.arrays.array(sequences(2)))
    assert grown.room.contacts > 1 and narrow.worlds(1).room == grown.room
    narrow.close()
