"""The stand-in fails where Isaac Gym fails, or silently goes wrong. Run as ``isaacgym_cases`` are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

gymapi, gymtorch = pytest.importorskip("isaacgym.gymapi"), pytest.importorskip("isaacgym.gymtorch")

URDF = """<robot name="cart">
  <link name="base"/>
  <link name="car">
    <inertial><origin xyz="0 0 0" rpy="0 0 0"/><mass value="1"/><inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 0" rpy="0 0 0"/><geometry><box size="0.1 0.1 0.1"/></geometry></collision>
  </link>
  <joint name="rail" type="prismatic">
    <origin xyz="0 0 1" rpy="0 0 0"/><parent link="base"/><child link="car"/><axis xyz="1 0 0"/><limit lower="-5" upper="5" effort="100" velocity="9"/>
  </joint>
</robot>"""


@pytest.fixture
def rail(tmp_path):
    """(gym, sim) of two carts on rails, before prepare_sim; targets are followed."""
    (tmp_path / "cart.urdf").write_text(URDF)
    gym, params = gymapi.acquire_gym(), gymapi.SimParams()
    params.up_axis, params.gravity = gymapi.UP_AXIS_Z, gymapi.Vec3(0.0, 0.0, -9.81)
    sim = gym.create_sim(0, -1, gymapi.SIM_PHYSX, params)
    options = gymapi.AssetOptions()
    options.fix_base_link = True
    asset = gym.load_asset(sim, str(tmp_path), "cart.urdf", options)
    drives = gym.get_asset_dof_properties(asset)
    drives["driveMode"][:], drives["stiffness"][:], drives["damping"][:] = gymapi.DOF_MODE_POS, 400.0, 40.0
    for i in range(2):
        env = gym.create_env(sim, gymapi.Vec3(-1, -1, 0), gymapi.Vec3(1, 1, 1), 2)
        gym.set_actor_dof_properties(env, gym.create_actor(env, asset, gymapi.Transform(), "cart", i, 0, 0), drives)
    return gym, sim


@pytest.fixture
def dof(rail):
    """The state tensor (2, 2) of the prepared carts, refreshed."""
    gym, sim = rail
    gym.prepare_sim(sim)
    tensor = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))
    assert torch.isnan(tensor).all(), "nothing is in it before a refresh"
    gym.refresh_dof_state_tensor(sim)
    return tensor


def send(rail, values: torch.Tensor, indices: torch.Tensor) -> None:
    gym, sim = rail
    gym.set_dof_state_tensor_indexed(sim, gymtorch.unwrap_tensor(values), gymtorch.unwrap_tensor(indices), len(indices))


def advance(rail) -> None:
    gym, sim = rail
    gym.simulate(sim)
    gym.fetch_results(sim, True)
    gym.refresh_dof_state_tensor(sim)


def test_tensors_need_prepare_sim(rail):
    gym, sim = rail
    with pytest.raises(RuntimeError, match="prepare_sim"):
        gym.acquire_dof_state_tensor(sim)
    with pytest.raises(RuntimeError, match="prepare_sim"):
        gym.simulate(sim)


def test_tensors_are_stale_until_fetched_and_refreshed(rail, dof):
    gym, sim = rail
    dof[:, 1] = 1.0
    both = torch.tensor([0, 1], dtype=torch.int32)
    send(rail, dof, both)
    gym.simulate(sim)
    assert dof[0, 0] == 0.0
    gym.refresh_dof_state_tensor(sim)
    assert dof[0, 0] == 0.0, "on the CPU, results have to be fetched"
    gym.fetch_results(sim, True)
    assert dof[0, 0] == 0.0, "and the tensor refreshed"
    gym.refresh_dof_state_tensor(sim)
    assert dof[0, 0] > 0.005


def test_a_refresh_before_simulate_undoes_what_was_written(rail, dof):
    gym, sim = rail
    dof[0, 0] = 1.0
    gym.refresh_dof_state_tensor(sim)
    assert dof[0, 0] == 0.0


def test_indices_are_int32_and_values_are_full_float32(rail, dof):
    with pytest.raises(TypeError, match="int32"):
        send(rail, dof, torch.tensor([0]))
    with pytest.raises(TypeError, match="float32"):
        send(rail, dof.to(torch.int32), torch.tensor([0], dtype=torch.int32))
    with pytest.raises(Exception, match="dtype"):
        gymtorch.unwrap_tensor(dof.double())
    with pytest.raises(ValueError, match="2 values, not 4"):
        send(rail, dof[:1], torch.tensor([0], dtype=torch.int32))
    with pytest.raises(Exception, match="contiguous"):
        gymtorch.unwrap_tensor(dof[:, :1])


def test_an_indexed_set_reads_its_rows_of_the_full_tensor(rail, dof):
    dof[:, 0] = 2.0
    one = torch.tensor([1], dtype=torch.int32)
    send(rail, dof, one)
    advance(rail)
    assert abs(dof[0, 0]) < 0.1 and dof[1, 0] > 1.5


def test_of_two_sets_the_last_counts(rail, dof):
    dof[:, 0] = 2.0
    first, second = torch.tensor([0], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    send(rail, dof, first)
    send(rail, dof, second)
    advance(rail)
    assert abs(dof[0, 0]) < 0.1 and dof[1, 0] > 1.5


def test_memory_must_live_until_it_is_read(rail, dof):
    send(rail, dof, torch.tensor([0], dtype=torch.int32))
    with pytest.raises(RuntimeError, match="freed"):
        rail[0].simulate(rail[1])


def test_targets_count_from_the_next_simulate(rail, dof):
    gym, sim = rail
    gym.simulate(sim)
    targets = torch.ones(2)
    gym.set_dof_position_target_tensor(sim, gymtorch.unwrap_tensor(targets))
    gym.fetch_results(sim, True)
    gym.refresh_dof_state_tensor(sim)
    assert dof[0, 0] == 0.0
    advance(rail)
    assert dof[0, 0] > 0.01


def test_names_that_are_not_there_raise():
    with pytest.raises(AttributeError):
        gymapi.SimParams().timestep = 0.1
    with pytest.raises(AttributeError):
        gymapi.SimParams().physx.iterations = 8
    with pytest.raises(TypeError):
        gymapi.acquire_gym().create_sim(0, -1, gymapi.SIM_PHYSX, sim_params=gymapi.SimParams())
    with pytest.raises(AttributeError):
        gymapi.acquire_gym().refresh_everything()
    assert np.isclose(gymapi.Quat().w, 1.0)
