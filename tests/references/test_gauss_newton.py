"""The second-order solver: the objective is the paper solver's, its derivatives are right, and it ends lower."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dextrack.hands import load_hand
from dextrack.references import gauss_newton, lbfgs
from dextrack.references.gauss_newton import SumOfSquares
from dextrack.references.jacobians import HandJacobians
from dextrack.references.objective import Problem


def _somewhere(guess: np.ndarray) -> np.ndarray:
    """A rough motion, partly inside object and table and beyond limits, so that every term counts."""
    rng = np.random.default_rng(3)
    theta = guess + rng.normal(scale=0.05, size=guess.shape)
    theta[:40, 2] -= 0.08
    theta[60:, 6:] += rng.normal(scale=0.5, size=(len(theta) - 60, theta.shape[1] - 6))
    return theta


def test_jacobians_are_what_finite_differences_say() -> None:
    hand = load_hand("leap_right")
    kinematics = HandJacobians(hand, np.array([0.9, 0.1, -0.3, 0.3]) / np.linalg.norm([0.9, 0.1, -0.3, 0.3]))
    theta = np.random.default_rng(0).normal(scale=0.4, size=(5, hand.dof))
    bodies = kinematics.index([k.body for k in hand.keypoints])
    offsets = np.array([k.offset for k in hand.keypoints]) + 0.01

    def points(theta: np.ndarray) -> np.ndarray:
        return kinematics.points(kinematics.pose(theta), bodies, offsets)

    pose = kinematics.pose(theta)
    analytic = kinematics.jacobian(pose, bodies, points(theta))
    h = 1e-6
    numeric = np.stack([(points(theta + h * e) - points(theta - h * e)) / (2 * h) for e in np.eye(hand.dof)], axis=-1)
    assert np.abs(analytic - numeric).max() < 1e-8
    direction = np.random.default_rng(1).normal(size=(len(bodies), 3))
    along = kinematics.along(pose, np.full(len(bodies), 2), bodies, points(theta)[2], direction)
    assert np.abs(along - np.einsum("pi,pij->pj", direction, numeric[2])).max() < 1e-8


def test_cost_and_gradient_are_those_of_the_paper_s_solver(posed: tuple[Problem, np.ndarray]) -> None:
    problem, guess = posed
    theta = _somewhere(guess)
    cost, linearise = SumOfSquares(problem)(theta)
    x = torch.as_tensor(theta).requires_grad_()
    value = lbfgs.TorchCost(problem)(x)
    value.backward()
    assert cost == pytest.approx(float(value.detach()), rel=1e-12)
    gradient = x.grad.numpy()
    assert np.abs(2 * linearise()[0] - gradient).max() < 1e-9 * np.abs(gradient).max()


def test_gradient_is_what_finite_differences_of_the_cost_say(posed: tuple[Problem, np.ndarray]) -> None:
    problem, guess = posed
    squares, theta = SumOfSquares(problem), _somewhere(guess)
    gradient = 2 * squares(theta)[1]()[0]
    rng = np.random.default_rng(5)
    for _ in range(5):
        direction = rng.normal(size=theta.shape)
        h = 1e-7
        slope = (squares(theta + h * direction)[0] - squares(theta - h * direction)[0]) / (2 * h)
        # The voxel grid's gradient jumps between cells, hence the tolerance.
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-4 * np.linalg.norm(gradient))


@pytest.mark.parametrize("frames", [3, 4, 5, 9])
def test_the_banded_step_is_the_dense_one(posed: tuple[Problem, np.ndarray], frames: int) -> None:
    problem, guess = posed
    short, which = problem.every(-(-len(guess) // frames))
    assert len(which) == frames
    squares, theta = SumOfSquares(short), _somewhere(guess)[which]
    gradient, blocks = squares(theta)[1]()
    n, dof = theta.shape
    second = np.kron(np.diff(np.eye(n), 2, axis=0), np.diag(1 / short.smooth_scale())) / np.sqrt(n - 2)
    dense = second.T @ second
    for i, block in enumerate(blocks):
        dense[i * dof : (i + 1) * dof, i * dof : (i + 1) * dof] += block
    dense += 0.1 * np.diag(np.diag(dense))
    expected = -np.linalg.solve(dense, gradient.ravel()).reshape(n, dof)
    step, predicted = squares.step(gradient, blocks, 0.1)
    assert np.abs(step - expected).max() < 1e-7 * np.abs(expected).max()
    flat, undamped = step.ravel(), dense - 0.1 / 1.1 * np.diag(np.diag(dense))
    assert predicted == pytest.approx(float(-2 * flat @ gradient.ravel() - flat @ undamped @ flat), rel=1e-6)


def test_it_ends_as_low_as_the_paper_s_solver_in_fewer_steps(posed: tuple[Problem, np.ndarray]) -> None:
    problem, frames = posed[0].every(4)
    guess = posed[1][frames]
    second_order = gauss_newton.solve(problem, [guess])
    paper = lbfgs.solve(problem, guess, 150)
    assert second_order.cost < 1.01 * paper.cost
    assert second_order.iterations < 40


def test_without_an_object_the_hand_lies_on_keypoints_that_it_can_reach(posed: tuple[Problem, np.ndarray]) -> None:
    """Targets are the hand's own keypoints along a known motion; nothing else pulls, so the motion comes back."""
    problem, guess = posed
    hand, n = problem.hand, len(guess)
    t = np.linspace(0.0, 1.0, n)[:, None]
    known = guess.copy()
    known[:, :6] += 0.1 * np.sin(3 * t + np.arange(6))
    known[:, 6:] = np.clip(guess[:, 6:] + 0.25 * np.sin(4 * t + np.arange(hand.dof - 6)), *(b[6:] for b in hand.limits()))
    kinematics = HandJacobians(hand, problem.base_quaternion_w)
    targets = kinematics.points(kinematics.pose(known), kinematics.index([k.body for k in hand.keypoints]), np.array([k.offset for k in hand.keypoints]))
    weights = dataclasses.replace(problem.weights, rest_scale=1e6, smooth_scale=(1e6, 1e6, 1e6))
    free = dataclasses.replace(problem, human_w=targets, keypoint_weights=np.ones(targets.shape[:2]), weights=weights, grasp=None)
    found = gauss_newton.solve(free, [guess])
    moved = kinematics.points(kinematics.pose(found.theta), kinematics.index([k.body for k in hand.keypoints]), np.array([k.offset for k in hand.keypoints]))
    assert np.abs(moved - targets).max() < 1e-4
