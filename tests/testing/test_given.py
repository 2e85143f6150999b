"""The round on given gradients is a real one."""

from __future__ import annotations

import torch

from unlearnkit.strategies import FixedWeights, NGDiff
from unlearnkit.testing.given import Given, given_round


def test_the_gradient_of_a_batch_is_the_batch():
    model, batch = Given(torch.zeros(3)), torch.tensor([1.0, -2.0, 3.0])
    model.losses(batch).sum().backward()
    assert torch.equal(model.theta.grad, batch)
    assert model.counts(batch).tolist() == [1.0]


def test_with_sgd_the_parameters_move_by_the_direction():
    report, moved = given_round(NGDiff(), [3.0, 4.0], [0.0, 2.0])
    torch.testing.assert_close(moved, torch.tensor([0.6, 1.8]).double())
    assert report.skipped is None
    _, moved = given_round(FixedWeights(0.25), [4.0, 0.0], [0.0, 4.0], torch.float32)
    assert torch.equal(moved, torch.tensor([1.0, 3.0]))


def test_a_held_side_has_no_gradient():
    _, moved = given_round(NGDiff(), [3.0, 4.0], [0.0, 2.0], held=["forget"])
    torch.testing.assert_close(moved, torch.tensor([0.6, 0.8]).double())
