"""A backend on the CPU, as tensors: the same numbers in the same memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.sim import make_backend
from dextrack.sim.tensors import TensorBackend, on_tensors
from tests import synthetic

HAND = load_hand("leap_right")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


def test_tensors_are_the_backends_own_numbers() -> None:
    backend = make_backend("mujoco", HAND, UPRIGHT, synthetic.box(), n_worlds=2, n_threads=1)
    lent = on_tensors(backend)
    assert isinstance(lent, TensorBackend)
    hand = torch.tensor(np.tile(np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.rest]), (2, 1)))
    lent.reset_tensors(hand, torch.tensor([[0.0, 0.0, 0.5]] * 2, dtype=torch.float64), torch.tensor(np.tile(UPRIGHT, (2, 1))))
    state = lent.tensors()
    before = state.object_position_w[0, 2].item()
    lent.step_tensors(hand)
    assert state.object_position_w[0, 2].item() < before, "a view shows the step"
    np.testing.assert_array_equal(lent.tensors().tips_w.numpy(), backend.state().tips_w)
    lent.reset_tensors(torch.full_like(hand[:1], torch.nan), state.object_position_w[:1].clone(), state.object_quaternion_w[:1].clone(), torch.tensor([1]))
    assert lent.bad_mask().tolist() == [False, True]
    lent.close()


def test_a_scene_without_an_object() -> None:
    backend = make_backend("mujoco", HAND, UPRIGHT, n_worlds=2, n_threads=1, table=False)
    hand = np.tile(np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.rest]), (2, 1))
    backend.reset(hand)
    backend.step(hand)
    state = backend.state()
    np.testing.assert_allclose(state.hand, hand, atol=1e-6)
    assert state.object_position_w.shape == state.object_quaternion_w.shape == state.object_angular_velocity_w.shape == (2, 0)
    backend.close()


def test_worlds_are_reset_in_any_order() -> None:
    backend = make_backend("mujoco", HAND, UPRIGHT, n_worlds=3, n_threads=1, table=False)
    hand = np.tile(np.concatenate([[0.0, 0.0, 0.4, 0.0, 0.0, 0.0], HAND.rest]), (3, 1))
    backend.reset(hand)
    backend.reset(hand[:2] + np.array([[0.1], [0.2]]), worlds=np.array([2, 0]))
    np.testing.assert_allclose(backend.state().hand[:, 0], [0.2, 0.0, 0.1])
    np.testing.assert_allclose(backend.state().tips_w[0, 0, 0] - backend.state().tips_w[1, 0, 0], 0.2, atol=0.1)
    backend.close()


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="mujoco"):
        make_backend("bullet", HAND, UPRIGHT)
