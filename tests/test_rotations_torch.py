"""Torch's quaternions against the numpy ones, whose truth is scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dextrack import rotations, rotations_torch

RNG = np.random.default_rng(0)
A, B = rotations.normalise(RNG.normal(size=(2, 7, 5, 4)))
V = RNG.normal(size=(7, 5, 3))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("multiply", (A, B)), ("conjugate", (A,)), ("angle", (A, B)), ("angle", (A, -A)), ("to_matrix", (A,)), ("rotate", (A, V)),
        ("from_rotation_vector", (V,)), ("from_rotation_vector", (0.0 * V,)), ("to_rotation_vector", (A,)), ("from_hinges", (V,)),
    ],
)  # fmt: skip
def test_agrees_with_numpy(name, arguments):
    ours = getattr(rotations_torch, name)(*(torch.as_tensor(a) for a in arguments))
    np.testing.assert_allclose(ours.numpy(), getattr(rotations, name)(*arguments), atol=1e-12)


def test_difference_is_a_product_with_the_inverse():
    ours = rotations_torch.difference_w(torch.as_tensor(A), torch.as_tensor(B))
    np.testing.assert_allclose(ours.numpy(), rotations.multiply(A, rotations.conjugate(B)), atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-6, 1e-3, 1.0, 3.14])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rotation_vectors_round_trip_down_to_zero(size, dtype):
    r = torch.tensor([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]], dtype=dtype) * size
    back = rotations_torch.to_rotation_vector(rotations_torch.from_rotation_vector(r))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    np.testing.assert_allclose(back.numpy(), r.numpy(), rtol=4e-6 if dtype == torch.float32 else 1e-12, atol=tolerance * size)
    both = rotations_torch.to_rotation_vector(-rotations_torch.from_rotation_vector(r))
    np.testing.assert_allclose(both.numpy(), back.numpy())


def test_small_angles_keep_their_digits_in_single_precision():
    small = torch.tensor([1e-4, 2e-4, 0.0])
    q = rotations_torch.from_rotation_vector(small)
    one = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert float(rotations_torch.angle(one, q)) == pytest.approx(float(small.norm()), rel=1e-4)


def test_gradients_are_finite_and_right():
    r = torch.randn(6, 3, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    other = torch.as_tensor(A[0, :1])
    assert torch.autograd.gradcheck(lambda x: rotations_torch.angle(rotations_torch.from_rotation_vector(x), other), (r,))
    assert torch.autograd.gradcheck(lambda x: rotations_torch.to_rotation_vector(rotations_torch.from_hinges(x)), (r,))
